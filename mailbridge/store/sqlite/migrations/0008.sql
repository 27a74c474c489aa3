-- Who is logged in to the page: a session by the hash of its cookie. Its times are microseconds since 1970.
CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator')),
    way TEXT NOT NULL CHECK (way IN ('link', 'password')),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL CHECK (seen_at >= created_at),
    expires_at INTEGER NOT NULL
);
CREATE INDEX session_expires ON session (expires_at);

-- Login links that were made and not used yet, by the hash of their token.
CREATE TABLE invitation (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator')),
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- What the password of the page is checked against, where there is one: a PHC string of Argon2id.
CREATE TABLE page_password (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    phc TEXT NOT NULL CHECK (phc LIKE '$argon2id$%')
);
