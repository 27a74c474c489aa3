"""What the headers of a mail say of its kind: a report of a mail system, or a mail over a list."""

from __future__ import annotations

import re

REPORT = re.compile(
    r"(?i)multipart/report|report-type\s*=\s*\"?(?:delivery-status|disposition-notification|feedback-report)|message/(?:delivery-status|feedback-report)"
)
REPORTER = re.compile(r"(?i)^(?:mailer-?daemon|postmaster|mail-?daemon|bounces?|mdaemon|mmdf|uucp)(?:[+._-].*)?@")
FAILED = frozenset(
    {"x-failed-recipients", "x-ms-exchange-message-is-ndr", "x-postfix-queue-id", "x-bounce-key", "x-delivery-status"}
)
RETURNED = re.compile(
    r"(?i)^(?:re: ?|fwd?: ?)?(?:undeliver(?:ed|able)|non[- ]?delivery|delivery (?:status|failure|has failed|report|notification|incomplete|delayed)|mail delivery (?:failed|failure|system|error|status)"
    r"|failure notice|returned mail|mail failure|message delayed|warning: (?:could not send|message)|failed mail|unzustellbar|mail system error)"
)
"""Subjects that mail systems give to their reports, in the language of the standard programs."""


def is_bounce(headers: tuple[tuple[str, str], ...], sender: str) -> bool:
    """Whether a mail system reports on a mail: RFC 3464, RFC 5965, its sender's name, or a null sender that replies by itself.

    A null sender alone is none: some systems forward mails with it.
    """
    found = {name.casefold(): value for name, value in reversed(headers)}
    if REPORT.search(found.get("content-type", "")) or FAILED & found.keys():
        return True
    if REPORTER.match(sender):
        return True
    is_null = found.get("return-path", "x").strip() in ("<>", "")
    is_reply = found.get("auto-submitted", "").strip().casefold().startswith("auto-replied")
    return (is_null or is_reply) and RETURNED.match(found.get("subject", "")) is not None


def is_listed(headers: tuple[tuple[str, str], ...]) -> bool:
    """Whether a mail came over a mailing list (RFC 2919, RFC 2369): many people have it.

    List-Unsubscribe alone is none: services put it into every mail.
    """
    names = {name.casefold() for name, _ in headers}
    precedence = next((value for name, value in headers if name.casefold() == "precedence"), "").strip().casefold()
    return bool({"list-id", "list-post", "mailing-list", "x-mailman-version"} & names) or precedence in ("list", "bulk")
