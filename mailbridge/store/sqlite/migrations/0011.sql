-- The octets of a large mail, which are written in pieces, since a row in the making is in memory twice. In mail.raw stands an empty value
-- then. They are gone as soon as that is.
CREATE TABLE large (
    mail_id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL CHECK (length(uid) = 16),
    octets BLOB NOT NULL
);
CREATE TRIGGER mail_erased AFTER UPDATE OF raw ON mail WHEN NEW.raw IS NULL
    BEGIN DELETE FROM large WHERE mail_id = NEW.id; END;
