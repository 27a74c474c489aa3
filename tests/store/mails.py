"""Arrivals as the intake makes them, with what a test does not care about filled in."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from mailbridge.core.delivery import Draft, Standing
from mailbridge.core.extraction import Extraction, Rejected, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.store import Arrival

NUMBERS = itertools.count(1)
LIFETIME = timedelta(minutes=10)


def draft(
    code: str = "482913",
    *,
    identifier: str = "ann@example.com",
    sender: str = "no-reply@larch.example",
    target: str = "skyvern",
    lifetime: timedelta = LIFETIME,
    run: str | None = None,
    is_body: bool = False,
    is_link: bool = False,
    standing: Standing = Standing.KNOWN,
    domain: str = "",
    written_at: datetime | None = None,
) -> Draft:
    """A draft of a code."""
    return Draft(
        target=target,
        identifier=identifier,
        kind="body" if is_body else "link" if is_link else "code",
        content=Secret(code),
        sender=sender,
        lifetime=lifetime,
        workflow_run_id=run,
        standing=standing,
        domain=domain,
        written_at=written_at,
    )


def arrival(
    *drafts: Draft,
    at: datetime,
    fingerprint: str = "",
    cursor: str | None = None,
    size: int = 300,
    has_action: bool = False,
    sender: str = "no-reply@larch.example",
    is_held: bool = False,
) -> Arrival:
    """A mail that has just been understood, another one each time unless a fingerprint is given.

    ``is_held``: it is recognised, and nothing of it is pushed.
    """
    code = drafts[0].content if drafts else None
    octets = b"Subject: Your code\r\n\r\nIt is " + (code.reveal().encode() if code else b"nowhere") + b"\r\n"
    return Arrival(
        envelope=Envelope(
            mail_from="bounce@larch.example",
            rcpt_to=("codes@bridge.example",),
            content=octets.ljust(size, b"."),
            received_at=at,
            ingress="imap" if cursor else "smtp",
            peer="192.0.2.1",
            cursor=cursor,
            has_action=has_action,
        ),
        fingerprint=fingerprint or f"mail {next(NUMBERS)}",
        subject=f"Your code is {code.reveal() if code else 'nowhere'}",
        sender=sender,
        message_id="<1@larch.example>",
        extraction=Extraction(
            verdict=Verdict.CODE if drafts else Verdict.NONE,
            value=code,
            rule="generic" if drafts else None,
            reason="after the words 'your code'" if drafts else "nothing in it looks like a code",
            rejected=(Rejected(value=Secret("2026"), why="year"),),
        ),
        identification=Identification(identifiers=tuple(one.identifier for one in drafts), source="To" if drafts else None),
        defects=("bad-charset",),
        drafts=() if is_held else drafts,
        held=("dkim: no signature",) if is_held else (),
    )
