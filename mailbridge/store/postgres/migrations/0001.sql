-- The tables of mailbridge in PostgreSQL. A released file is never changed: what is to be different is a file with the next number.
-- Times are microseconds since 1970, truth values 0 or 1, as everywhere in mailbridge. Indexes are partial where they can be: a code
-- that goes straight out is never in those of the waiting, and an erased row is in few. Every change of a delivery is written into each
-- of its indexes, so there are no more than the queries of a queue need; what waits in one queue is little, and is filtered.
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);

-- One row for each process that has the database, from its start to its end. It is gone when ``alive_until`` is over (this one is by
-- the server's own clock): what it had in flight is then another's.
CREATE TABLE replica (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    started_at bigint NOT NULL,
    alive_until bigint NOT NULL,
    configuration text NOT NULL DEFAULT ''
);

-- The row of a queue is what a transaction locks before it looks at the queue and until it has written what became of it.
CREATE TABLE queue (target text NOT NULL, line text NOT NULL, PRIMARY KEY (target, line));

CREATE TABLE mail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid bytea NOT NULL CHECK (length(uid) = 16),
    fingerprint bytea NOT NULL UNIQUE,
    received_at bigint NOT NULL,
    ingress text NOT NULL CHECK (ingress IN ('smtp', 'lmtp', 'imap', 'http')),
    verdict text NOT NULL,
    rule text,
    size bigint NOT NULL CHECK (size >= 0),
    sender text NOT NULL,
    is_held smallint NOT NULL CHECK (is_held IN (0, 1)),
    facts bytea NOT NULL,
    private bytea,
    link bytea,
    raw bytea
);
-- What is sealed does not get smaller.
ALTER TABLE mail ALTER COLUMN private SET STORAGE EXTERNAL, ALTER COLUMN raw SET STORAGE EXTERNAL;
CREATE INDEX mail_received ON mail (received_at);
CREATE INDEX mail_secret ON mail (received_at) WHERE private IS NOT NULL OR raw IS NOT NULL;
CREATE INDEX mail_sender ON mail (substr(sender, strpos(sender, '@') + 1), sender);
CREATE INDEX mail_held ON mail (id) WHERE is_held = 1;
CREATE TABLE mail_identifier (line text NOT NULL, mail_id bigint NOT NULL, PRIMARY KEY (line, mail_id));

CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid bytea NOT NULL CHECK (length(uid) = 16),
    mail_id bigint NOT NULL REFERENCES mail (id),
    target text NOT NULL,
    line text NOT NULL,
    identifier text NOT NULL,
    sender text NOT NULL,
    domain text NOT NULL DEFAULT '',
    standing smallint NOT NULL CHECK (standing IN (0, 1, 2)),
    kind text NOT NULL CHECK (kind IN ('code', 'link', 'body')),
    content bytea,
    workflow_run_id text,
    workflow_id text,
    task_id text,
    lifetime bigint NOT NULL CHECK (lifetime >= 0),
    state text NOT NULL CHECK (state IN ('pending', 'in_flight', 'delivered', 'superseded', 'expired', 'dead')),
    received_at bigint NOT NULL,
    written_at bigint,
    deadline bigint NOT NULL,
    due_at bigint,
    blocked_until bigint,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    is_doubtful smallint NOT NULL DEFAULT 0 CHECK (is_doubtful IN (0, 1)),
    without_run smallint NOT NULL DEFAULT 0 CHECK (without_run IN (0, 1)),
    is_overtaken smallint NOT NULL DEFAULT 0 CHECK (is_overtaken IN (0, 1)),
    is_late smallint NOT NULL DEFAULT 0 CHECK (is_late IN (0, 1)),
    token bigint NOT NULL DEFAULT 0 CHECK (token >= 0),
    owner bigint,
    rule text,
    reason text NOT NULL DEFAULT '',
    ref text NOT NULL DEFAULT '',
    final_at bigint,
    CHECK ((state IN ('pending', 'in_flight')) = (final_at IS NULL)),
    CHECK (state NOT IN ('pending', 'in_flight') OR content IS NOT NULL),
    CHECK (state = 'pending' OR due_at IS NULL),
    CHECK (state != 'in_flight' OR (token > 0 AND owner IS NOT NULL))
);
CREATE INDEX delivery_mail ON delivery (mail_id);
CREATE INDEX delivery_line ON delivery (target, line, id) WHERE state IN ('pending', 'in_flight');
CREATE UNIQUE INDEX delivery_one_in_flight ON delivery (target, line) WHERE state = 'in_flight';
CREATE INDEX delivery_due ON delivery (target, standing, due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX delivery_deadline ON delivery (deadline) WHERE state = 'pending';
CREATE INDEX delivery_of_line ON delivery (line, received_at);
CREATE INDEX delivery_secret ON delivery (greatest(final_at, deadline)) WHERE content IS NOT NULL AND final_at IS NOT NULL;
CREATE INDEX delivery_readable ON delivery (line, received_at) WHERE content IS NOT NULL;
CREATE INDEX delivery_lost ON delivery (state, id) WHERE state IN ('expired', 'dead');

CREATE FUNCTION delivery_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no state for a new delivery';
END $$;
CREATE TRIGGER delivery_first BEFORE INSERT ON delivery FOR EACH ROW
    WHEN (NEW.state NOT IN ('expired', 'in_flight', 'pending', 'superseded')) EXECUTE FUNCTION delivery_first();
CREATE FUNCTION delivery_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no such transition of a delivery';
END $$;
CREATE TRIGGER delivery_transition BEFORE UPDATE OF state ON delivery FOR EACH ROW
    WHEN (OLD.state != NEW.state AND OLD.state || '>' || NEW.state NOT IN ('dead>pending', 'expired>pending', 'in_flight>dead', 'in_flight>delivered', 'in_flight>expired', 'in_flight>pending', 'pending>expired', 'pending>in_flight', 'pending>superseded'))
    EXECUTE FUNCTION delivery_transition();

-- The queues that a transaction is about, each locked; always in one order, so that two never wait for each other. A row that is being
-- purged is made again.
CREATE FUNCTION lock_queues(targets text[], lines text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT DISTINCT t, l FROM unnest(targets, lines) AS pair (t, l) ORDER BY t, l LOOP
        LOOP
            PERFORM FROM queue WHERE target = wanted.t AND line = wanted.l FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO queue VALUES (wanted.t, wanted.l) ON CONFLICT DO NOTHING;
        END LOOP;
    END LOOP;
END $$;

-- The server's clock, by which the life of replicas is reckoned.
CREATE FUNCTION now_micros() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

CREATE TABLE journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    event text NOT NULL,
    mail_id bigint NOT NULL,
    delivery_id bigint,
    detail text NOT NULL DEFAULT '',
    identifier text NOT NULL DEFAULT ''
);
CREATE INDEX journal_identifier ON journal (identifier) WHERE identifier != '';
CREATE INDEX journal_mail ON journal (mail_id);

-- The newest number that was drawn; and after that, which transactions are open that write here. Each has locked the table so since
-- before it drew its first number.
CREATE FUNCTION journal_seen(OUT last bigint, OUT open text[]) LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last FROM journal_id_seq;
    SELECT coalesce(array_agg(virtualtransaction), '{}') INTO open FROM pg_locks
        WHERE locktype = 'relation' AND relation = 'journal'::regclass AND mode = 'RowExclusiveLock'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
END $$;

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line text NOT NULL UNIQUE CHECK (line != ''),
    address text NOT NULL,
    senders text NOT NULL CHECK (senders::json IS NOT NULL),
    owner text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL CHECK (expires_at >= created_at),
    is_pushed smallint NOT NULL DEFAULT 0 CHECK (is_pushed IN (0, 1))
);
CREATE INDEX inbox_expires ON inbox (expires_at);
CREATE INDEX inbox_owner ON inbox (owner, expires_at);

CREATE TABLE told (name text NOT NULL, line bigint NOT NULL CHECK (line >= 0));
CREATE UNIQUE INDEX told_name ON told (md5(name));
CREATE TABLE alarm (name text PRIMARY KEY, reason text NOT NULL, at bigint NOT NULL);

CREATE TABLE cursor (mailbox text PRIMARY KEY, validity text NOT NULL, uid bigint NOT NULL);
CREATE TABLE owed (mailbox text NOT NULL, validity text NOT NULL, uid bigint NOT NULL, PRIMARY KEY (mailbox, validity, uid));
CREATE TABLE mailbox_notes (mailbox text PRIMARY KEY, notes text NOT NULL CHECK (notes::json IS NOT NULL));

CREATE TABLE run (line text NOT NULL, run text NOT NULL, first_at bigint NOT NULL, PRIMARY KEY (line, run));
CREATE TABLE given (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line text NOT NULL,
    identifier text NOT NULL,
    way text NOT NULL CHECK (way IN ('pull', 'api')),
    reader text NOT NULL,
    what text NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL CHECK (last_at >= first_at),
    times bigint NOT NULL DEFAULT 1 CHECK (times > 0),
    is_consumed smallint NOT NULL DEFAULT 0 CHECK (is_consumed IN (0, 1)),
    UNIQUE (line, way, reader, what)
);
CREATE UNIQUE INDEX given_consumed ON given (line, what) WHERE is_consumed = 1;

CREATE TABLE token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    identifiers text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    role text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'ingest', 'viewer', 'operator'))
);
CREATE TABLE totp (
    name text PRIMARY KEY,
    uid bytea NOT NULL CHECK (length(uid) = 16),
    line text UNIQUE,
    identifier text,
    sealed bytea NOT NULL,
    created_at bigint NOT NULL,
    CHECK ((line IS NULL) = (identifier IS NULL))
);
CREATE TABLE entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid bytea NOT NULL CHECK (length(uid) = 16),
    kind text NOT NULL CHECK (kind != ''),
    name text NOT NULL CHECK (name != ''),
    settings text NOT NULL CHECK (settings::json IS NOT NULL),
    secret_names text NOT NULL DEFAULT '[]' CHECK (secret_names::json IS NOT NULL),
    secrets bytea,
    added_at bigint NOT NULL,
    added_by text NOT NULL,
    UNIQUE (kind, name),
    CHECK ((secrets IS NULL) = (secret_names = '[]'))
);
CREATE TABLE answered (
    key bytea PRIMARY KEY CHECK (length(key) = 32),
    uid bytea NOT NULL CHECK (length(uid) = 16),
    request bytea NOT NULL CHECK (length(request) = 32),
    answer bytea,
    at bigint NOT NULL
);
CREATE INDEX answered_at ON answered (at);
CREATE TABLE site (line text NOT NULL, domain text NOT NULL, learned_at bigint NOT NULL, PRIMARY KEY (line, domain));
CREATE TABLE proven (line text NOT NULL, domain text NOT NULL, last_at bigint NOT NULL, PRIMARY KEY (line, domain));
CREATE TABLE session (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator')),
    way text NOT NULL CHECK (way IN ('link', 'password')),
    created_at bigint NOT NULL,
    seen_at bigint NOT NULL CHECK (seen_at >= created_at),
    expires_at bigint NOT NULL
);
CREATE INDEX session_expires ON session (expires_at);
CREATE TABLE invitation (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator')),
    expires_at bigint NOT NULL
);
CREATE TABLE page_password (id integer PRIMARY KEY CHECK (id = 1), phc text NOT NULL CHECK (phc LIKE '$argon2id$%'));

-- Rows are emptied in place and soon after their mail came: without this their old octets would lie about until a fifth of all changed.
ALTER TABLE mail SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100);
ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100, fillfactor = 70);
