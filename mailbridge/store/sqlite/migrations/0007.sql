-- A bearer token of role 'ingest' brings mail over HTTP and may do nothing else. SQLite cannot widen a CHECK, so the table is made again;
-- numbers of removed tokens stay used.
CREATE TABLE token_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    identifiers TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    role TEXT NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'ingest', 'viewer', 'operator'))
);
INSERT INTO sqlite_sequence (name, seq) SELECT 'token_new', seq FROM sqlite_sequence WHERE name = 'token';
INSERT INTO token_new (id, name, hash, identifiers, created_at, expires_at, role)
    SELECT id, name, hash, identifiers, created_at, expires_at, role FROM token;
DROP TABLE token;
ALTER TABLE token_new RENAME TO token;
