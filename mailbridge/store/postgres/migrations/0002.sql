-- Mailboxes are shared out among the replicas. An account is watched by its ``owner`` for as long as that is alive; ``epoch`` tells who
-- had it later, and is never given twice.
CREATE SEQUENCE mailbox_epoch;
CREATE TABLE mailbox_lease (
    account text PRIMARY KEY,
    owner bigint,
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    changed_at bigint NOT NULL DEFAULT now_micros(),
    CHECK (owner IS NULL OR epoch > 0)
);
CREATE INDEX mailbox_lease_owner ON mailbox_lease (owner);

-- What its watcher says of an account, to be shown at the others. It is apart, so that who writes it is in nobody's way.
CREATE TABLE mailbox_state (account text PRIMARY KEY, state text NOT NULL CHECK (state::json IS NOT NULL));

-- What a replica calls the list of accounts that it knows: those with the same list share them out evenly.
ALTER TABLE replica ADD COLUMN accounts text NOT NULL DEFAULT '';

-- The names of the keys that it opens with, and of the one that it seals with.
ALTER TABLE replica ADD COLUMN opens text NOT NULL DEFAULT '', ADD COLUMN seals text NOT NULL DEFAULT '';

-- The logins that may be under way at a host at the same time, of all replicas together. One is free after ``until``.
CREATE TABLE login_slot (
    host text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    owner bigint NOT NULL DEFAULT 0,
    until bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (host, number)
);

-- For whom somebody waits for a code at which replica: the mailboxes that it can come by are looked at more often, whoever watches them.
CREATE TABLE awaited (
    line text NOT NULL,
    replica bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (line, replica)
);

-- Addresses for one test mail each, until that has come, by whichever replica.
CREATE TABLE one_time (
    address text PRIMARY KEY,
    identifier text NOT NULL,
    asked_by text NOT NULL,
    until bigint NOT NULL
);

-- Refresh tokens of mailboxes (OAuth), sealed; ``stamp`` changes whenever one is written.
CREATE TABLE oauth_token (
    account text PRIMARY KEY,
    uid bytea NOT NULL CHECK (length(uid) = 16),
    sealed bytea NOT NULL,
    stamp bigint NOT NULL
);
