"""What the headers of a mail say of its kind: a report of a mail system, or a mail over a list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

REPORT = re.compile(
    r"(?i)multipart/report|report-type\s*=\s*\"?(?:delivery-status|disposition-notification|feedback-report)|message/(?:delivery-status|feedback-report)"
)
REPORTER = re.compile(r"(?i)^(?:mailer-?daemon|postmaster|mail-?daemon|bounces?|mdaemon|mmdf|uucp)(?:[+._-].*)?@")
FAILED = frozenset(
    {"x-failed-recipients", "x-ms-exchange-message-is-ndr", "x-postfix-queue-id", "x-bounce-key", "x-delivery-status"}
)
OF_LISTS = frozenset({"list-id", "list-post", "mailing-list", "x-mailman-version"})
RETURNED = re.compile(
    r"(?i)^(?:re: ?|fwd?: ?)?(?:undeliver(?:ed|able)|non[- ]?delivery|delivery (?:status|failure|has failed|report|notification|incomplete|delayed)|mail delivery (?:failed|failure|system|error|status)"
    r"|failure notice|returned mail|mail failure|message delayed|warning: (?:could not send|message)|failed mail|unzustellbar|mail system error)"
)
"""Subjects that mail systems give to their reports, in the language of the standard programs."""


Headers = Mapping[str, Sequence[str]]
"""The values of headers by their names without case (`mail.by_name`)."""


def is_bounce(headers: Headers, sender: str) -> bool:
    """Whether a mail system reports on a mail: RFC 3464, RFC 5965, its sender's name, or a null sender that replies by itself.

    A null sender alone is none: some systems forward mails with it.
    """
    if REPORT.search(_topmost(headers, "content-type")) or not FAILED.isdisjoint(headers):
        return True
    if REPORTER.match(sender):
        return True
    is_null = _topmost(headers, "return-path", "x").strip() in ("<>", "")
    is_reply = _topmost(headers, "auto-submitted").strip().casefold().startswith("auto-replied")
    return (is_null or is_reply) and RETURNED.match(_topmost(headers, "subject")) is not None


def is_listed(headers: Headers) -> bool:
    """Whether a mail came over a mailing list (RFC 2919, RFC 2369): many people have it.

    List-Unsubscribe alone is none: services put it into every mail.
    """
    return not OF_LISTS.isdisjoint(headers) or _topmost(headers, "precedence").strip().casefold() in ("list", "bulk")


def _topmost(headers: Headers, name: str, missing: str = "") -> str:
    found = headers.get(name)
    return found[0] if found else missing
