-- Whose a delivery is, and when its mail was written: a known sender's (2), a stranger's (1), or held and kept for who asks for that
-- sender (0). What an earlier version has pushed was proven by nobody who is known.
ALTER TABLE delivery ADD COLUMN standing INTEGER NOT NULL DEFAULT 1 CHECK (standing IN (0, 1, 2));
ALTER TABLE delivery ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN written_at INTEGER;
ALTER TABLE delivery ADD COLUMN is_late INTEGER NOT NULL DEFAULT 0 CHECK (is_late IN (0, 1));
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (target, standing, due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX delivery_strange ON delivery (target, line) WHERE state = 'pending' AND standing = 1;
CREATE INDEX delivery_known ON delivery (target, line, id) WHERE standing = 2 AND content IS NOT NULL;
CREATE INDEX delivery_domain ON delivery (line, domain, received_at) WHERE domain != '';

-- Sites that Skyvern's credentials name for an identifier; and domains that have proven themselves for it.
CREATE TABLE site (
    line TEXT NOT NULL,
    domain TEXT NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (line, domain)
) WITHOUT ROWID;
CREATE TABLE proven (
    line TEXT NOT NULL,
    domain TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (line, domain)
) WITHOUT ROWID;
