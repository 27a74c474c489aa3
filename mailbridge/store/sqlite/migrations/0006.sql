-- What a mailbox's watcher has to know after a restart beside its cursor: mails that it still waits for, and how its server behaves.
CREATE TABLE mailbox_notes (
    mailbox TEXT PRIMARY KEY,
    notes TEXT NOT NULL CHECK (json_valid(notes))
) WITHOUT ROWID;
