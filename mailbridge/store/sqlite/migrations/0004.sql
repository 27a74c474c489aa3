-- What a bearer token allows: an agent reads the codes of its identifiers, a viewer looks at everything but codes, an operator does
-- everything that a command does. The tokens that are there are those of agents.
ALTER TABLE token ADD COLUMN role TEXT NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'viewer', 'operator'));

-- What a changing request of the operator API was answered, by a hash of its Idempotency-Key: the same key is answered the same. The
-- answer is sealed; it is NULL where it named somebody who was removed.
CREATE TABLE answered (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    uid BLOB NOT NULL CHECK (length(uid) = 16),
    request BLOB NOT NULL CHECK (length(request) = 32),
    answer BLOB,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX answered_at ON answered (at);
