"""Mailboxes watched over IMAP (RFC 3501, RFC 2177): one thread for each folder. A dead connection is noticed, no mail is lost,
none is taken twice."""
