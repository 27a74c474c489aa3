-- What is still to be done in a mailbox with a mail that was pushed (marked, moved, deleted). With it the tables are those of release 0.1.0.
CREATE TABLE owed (
    mailbox TEXT NOT NULL,
    validity TEXT NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (mailbox, validity, uid)
) WITHOUT ROWID;
