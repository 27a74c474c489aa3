"""Mailboxes watched over IMAP (RFC 3501, RFC 2177): one thread a folder, never silently dead, nothing lost, nothing twice."""
