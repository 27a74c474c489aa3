-- After release 0.1.0.
-- Whether a newer code of its sender came while a delivery was in flight or blocked is written down, and no longer looked for.
ALTER TABLE delivery ADD COLUMN is_overtaken INTEGER NOT NULL DEFAULT 0 CHECK (is_overtaken IN (0, 1));
UPDATE delivery SET is_overtaken = 1 WHERE state IN ('pending', 'in_flight') AND sender != '' AND EXISTS (
    SELECT 1 FROM delivery AS newer WHERE newer.state = 'pending' AND newer.target = delivery.target AND newer.line = delivery.line
        AND newer.sender = delivery.sender AND newer.kind != 'body' AND newer.id > delivery.id
        AND newer.workflow_run_id IS delivery.workflow_run_id AND newer.workflow_id IS delivery.workflow_id
        AND newer.task_id IS delivery.task_id);

-- What is sealed is bound to 128 bits that the process has drawn, not to the row's number, which the database gives. What release
-- 0.1.0 has sealed has none (NULL), and stays bound to its number.
ALTER TABLE mail ADD COLUMN uid BLOB CHECK (uid IS NULL OR length(uid) = 16);
ALTER TABLE delivery ADD COLUMN uid BLOB CHECK (uid IS NULL OR length(uid) = 16);
ALTER TABLE totp ADD COLUMN uid BLOB CHECK (uid IS NULL OR length(uid) = 16);

-- What lists are filtered by. The step behind this file fills it from the facts of the mails that are there. An index costs every mail
-- something: a sender is found by its domain first, and only the states in which few are have one.
ALTER TABLE mail ADD COLUMN sender TEXT NOT NULL DEFAULT '';
ALTER TABLE mail ADD COLUMN is_held INTEGER NOT NULL DEFAULT 0 CHECK (is_held IN (0, 1));
CREATE TABLE mail_identifier (line TEXT NOT NULL, mail_id INTEGER NOT NULL, PRIMARY KEY (line, mail_id)) WITHOUT ROWID;
CREATE INDEX mail_sender ON mail (substr(sender, instr(sender, '@') + 1), sender);
CREATE INDEX mail_held ON mail (id) WHERE is_held = 1;
CREATE INDEX delivery_origin ON delivery (line, sender, received_at);
DROP INDEX delivery_lost;
CREATE INDEX delivery_expired ON delivery (id) WHERE state = 'expired';
CREATE INDEX delivery_dead ON delivery (id) WHERE state = 'dead';
CREATE INDEX delivery_superseded ON delivery (id) WHERE state = 'superseded';
CREATE INDEX journal_mail ON journal (mail_id);

-- What people add by command or page, beside the configuration's file.
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid BLOB NOT NULL CHECK (length(uid) = 16),
    kind TEXT NOT NULL CHECK (kind != ''),
    name TEXT NOT NULL CHECK (name != ''),
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    secret_names TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(secret_names)),
    secrets BLOB,
    added_at INTEGER NOT NULL,
    added_by TEXT NOT NULL,
    UNIQUE (kind, name),
    CHECK ((secrets IS NULL) = (secret_names = '[]'))
);
