-- What happened beside mails and deliveries (a mailbox is down, nobody came for a wait) has a line of the journal too, with whom it is about.
ALTER TABLE journal ADD COLUMN identifier TEXT NOT NULL DEFAULT '';
CREATE INDEX journal_identifier ON journal (identifier) WHERE identifier != '';

-- How far each listener (a target that is told of events, a notice) has been told of the journal.
CREATE TABLE told (
    name TEXT PRIMARY KEY,
    line INTEGER NOT NULL CHECK (line >= 0)
) WITHOUT ROWID;

-- Alarms that were raised and are not over.
CREATE TABLE alarm (
    name TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
