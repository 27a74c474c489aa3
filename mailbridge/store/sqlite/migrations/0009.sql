-- Throw-away inboxes while they live. Numbers are not used again. Times are microseconds since 1970.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    line TEXT NOT NULL UNIQUE CHECK (line != ''),
    address TEXT NOT NULL,
    senders TEXT NOT NULL CHECK (json_valid(senders)),
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at >= created_at),
    is_pushed INTEGER NOT NULL DEFAULT 0 CHECK (is_pushed IN (0, 1))
);
CREATE INDEX inbox_expires ON inbox (expires_at);
CREATE INDEX inbox_owner ON inbox (owner, expires_at);
