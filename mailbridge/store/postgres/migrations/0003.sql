-- What is to be erased is found without a walk through the mails that have one part erased and not yet the other.
CREATE INDEX mail_private ON mail (received_at) WHERE private IS NOT NULL;
CREATE INDEX mail_raw ON mail (received_at) WHERE raw IS NOT NULL;
DROP INDEX mail_secret;

-- Where rows come and go at the same pace, what is gone is room again before a fiftieth of the table is. The octets of large values lie in
-- tables of their own, which have settings of their own.
ALTER TABLE mail SET (toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 1000);
ALTER TABLE journal SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE mail_identifier SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE given SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
