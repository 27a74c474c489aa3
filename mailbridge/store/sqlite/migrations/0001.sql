-- The tables as the last database before release 0.1.0 had them; 0002 makes them those of release 0.1.0.
-- A released file is never changed: what is to be different is a file with the next number.
-- Indexes are partial where they can be: a code that goes straight out is never in those of the waiting, and an erased row is in none,
-- so that neither a new mail nor a sweep costs more with every mail that came before.
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE mail (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    ingress TEXT NOT NULL CHECK (ingress IN ('smtp', 'lmtp', 'imap', 'http')),
    verdict TEXT NOT NULL,
    rule TEXT,
    size INTEGER NOT NULL CHECK (size >= 0),
    facts BLOB NOT NULL,
    private BLOB,
    link BLOB,
    raw BLOB
);
CREATE INDEX mail_received ON mail (received_at);
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    mail_id INTEGER NOT NULL REFERENCES mail (id),
    target TEXT NOT NULL,
    line TEXT NOT NULL,
    identifier TEXT NOT NULL,
    sender TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('code', 'link', 'body')),
    content BLOB,
    workflow_run_id TEXT,
    workflow_id TEXT,
    task_id TEXT,
    lifetime INTEGER NOT NULL CHECK (lifetime >= 0),
    state TEXT NOT NULL CHECK (state IN ('pending', 'in_flight', 'delivered', 'superseded', 'expired', 'dead')),
    received_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    due_at INTEGER,
    blocked_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    is_doubtful INTEGER NOT NULL DEFAULT 0 CHECK (is_doubtful IN (0, 1)),
    without_run INTEGER NOT NULL DEFAULT 0 CHECK (without_run IN (0, 1)),
    token INTEGER NOT NULL DEFAULT 0 CHECK (token >= 0),
    rule TEXT,
    reason TEXT NOT NULL DEFAULT '',
    ref TEXT NOT NULL DEFAULT '',
    final_at INTEGER,
    CHECK ((state IN ('pending', 'in_flight')) = (final_at IS NULL)),
    CHECK (state NOT IN ('pending', 'in_flight') OR content IS NOT NULL),
    CHECK (state = 'pending' OR due_at IS NULL),
    CHECK (state != 'in_flight' OR token > 0)
);
CREATE INDEX delivery_mail ON delivery (mail_id);
CREATE INDEX delivery_line ON delivery (target, line, id) WHERE state IN ('pending', 'in_flight');
CREATE UNIQUE INDEX delivery_one_in_flight ON delivery (target, line) WHERE state = 'in_flight';
CREATE INDEX delivery_due ON delivery (target, due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX delivery_deadline ON delivery (deadline) WHERE state = 'pending';
CREATE INDEX delivery_sender ON delivery (target, line, sender, workflow_run_id) WHERE state = 'pending';
CREATE INDEX delivery_secret ON delivery (max(final_at, deadline)) WHERE content IS NOT NULL AND final_at IS NOT NULL;
CREATE INDEX delivery_lost ON delivery (state) WHERE state IN ('expired', 'dead');
CREATE INDEX delivery_readable ON delivery (line, received_at) WHERE content IS NOT NULL;
CREATE TRIGGER delivery_first BEFORE INSERT ON delivery WHEN NEW.state NOT IN ('expired', 'in_flight', 'pending', 'superseded')
    BEGIN SELECT RAISE(ABORT, 'no state for a new delivery'); END;
CREATE TRIGGER delivery_transition BEFORE UPDATE OF state ON delivery
    WHEN OLD.state != NEW.state AND OLD.state || '>' || NEW.state NOT IN ('dead>pending', 'expired>pending', 'in_flight>dead', 'in_flight>delivered', 'in_flight>expired', 'in_flight>pending', 'pending>expired', 'pending>in_flight', 'pending>superseded')
    BEGIN SELECT RAISE(ABORT, 'no such transition of a delivery'); END;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    mail_id INTEGER NOT NULL,
    delivery_id INTEGER,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE TABLE cursor (mailbox TEXT PRIMARY KEY, validity TEXT NOT NULL, uid INTEGER NOT NULL) WITHOUT ROWID;


CREATE TABLE run (
    line TEXT NOT NULL,
    run TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    PRIMARY KEY (line, run)
) WITHOUT ROWID;
CREATE TABLE given (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    line TEXT NOT NULL,
    identifier TEXT NOT NULL,
    way TEXT NOT NULL CHECK (way IN ('pull', 'api')),
    reader TEXT NOT NULL,
    what TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL CHECK (last_at >= first_at),
    times INTEGER NOT NULL DEFAULT 1 CHECK (times > 0),
    is_consumed INTEGER NOT NULL DEFAULT 0 CHECK (is_consumed IN (0, 1)),
    UNIQUE (line, way, reader, what)
);
CREATE UNIQUE INDEX given_consumed ON given (line, what) WHERE is_consumed = 1;
CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    identifiers TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE TABLE totp (
    name TEXT PRIMARY KEY,
    line TEXT UNIQUE,
    identifier TEXT,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK ((line IS NULL) = (identifier IS NULL))
) WITHOUT ROWID;
