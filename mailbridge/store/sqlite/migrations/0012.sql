-- The same checks of what every mail writes, as comparisons. SQLite makes a table in memory of a list with more than two values, anew for
-- each row that is checked against it: seven of them for a mail and its delivery, which were an eighth of what storing both cost.
-- What is on disk stays as it is, so the text of the tables alone is changed (https://sqlite.org/lang_altertable.html#otheralter); that
-- triggers are made anew tells every connection to read it again.
PRAGMA writable_schema = on;
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (ingress IN (''smtp'', ''lmtp'', ''imap'', ''http''))',
    'CHECK (ingress = ''smtp'' OR ingress = ''lmtp'' OR ingress = ''imap'' OR ingress = ''http'')')
    WHERE type = 'table' AND name = 'mail';
UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
    'CHECK (kind IN (''code'', ''link'', ''body''))',
    'CHECK (kind = ''code'' OR kind = ''link'' OR kind = ''body'')'),
    'CHECK (standing IN (0, 1, 2))',
    'CHECK (standing = 0 OR standing = 1 OR standing = 2)'),
    'CHECK (state IN (''pending'', ''in_flight'', ''delivered'', ''superseded'', ''expired'', ''dead''))',
    'CHECK (state = ''pending'' OR state = ''in_flight'' OR state = ''delivered'' OR state = ''superseded'' OR state = ''expired'''
    || ' OR state = ''dead'')')
    WHERE type = 'table' AND name = 'delivery';
PRAGMA writable_schema = reset;
DROP TRIGGER delivery_first;
CREATE TRIGGER delivery_first BEFORE INSERT ON delivery
    WHEN NEW.state != 'pending' AND NEW.state != 'in_flight' AND NEW.state != 'superseded' AND NEW.state != 'expired'
    BEGIN SELECT RAISE(ABORT, 'no state for a new delivery'); END;
DROP TRIGGER delivery_transition;
CREATE TRIGGER delivery_transition BEFORE UPDATE OF state ON delivery
    WHEN OLD.state != NEW.state AND NOT (
        (OLD.state = 'pending' AND (NEW.state = 'in_flight' OR NEW.state = 'superseded' OR NEW.state = 'expired'))
        OR (OLD.state = 'in_flight'
            AND (NEW.state = 'delivered' OR NEW.state = 'pending' OR NEW.state = 'expired' OR NEW.state = 'dead'))
        OR ((OLD.state = 'expired' OR OLD.state = 'dead') AND NEW.state = 'pending')
    )
    BEGIN SELECT RAISE(ABORT, 'no such transition of a delivery'); END;
