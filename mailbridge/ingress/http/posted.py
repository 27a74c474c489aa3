"""The input and output of every adapter: one POST with its octets, and the mails in it with their envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Protocol

from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One request. ``headers`` have names in lower case. ``query`` has all values of each name. ``body`` is as sent."""

    headers: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters (RFC 9110 8.3)."""
        return self.headers.get("content-type", "").partition(";")[0].strip().casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """One mail with its envelope. ``is_exact``: its octets are those that the sender signed.

    If a provider converts a mail to text, 8-bit octets may change on the way. A signature that fails then does not prove a
    forgery.
    """

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes = field(repr=False)
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a POST brings. ``once`` names its proof, which counts one time: it is spent when the mails are stored ("": no such
    proof).

    ``note`` is shown to the operator if the POST is not a mail, for example a subscription that must be confirmed. ``link`` is
    what to open.
    """

    mails: tuple[Brought, ...] = ()
    once: str = ""
    note: str = ""
    link: str = ""


class Refused(Exception):  # noqa: N818  (an answer rather than an error)
    """The POST is not accepted. ``status`` is the HTTP status, ``title`` says why, ``hint`` says which setting at the provider
    to change."""

    def __init__(self, status: int, title: str, hint: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.hint = hint


class Adapter(Protocol):
    """One provider: its fields and its proof. Pure, except that it has the keys for the proof."""

    @property
    def name(self) -> str:
        """The last part of its path, ``/ingest/<name>``."""
        ...

    @property
    def unknown_recipient(self) -> int:
        """The answer if no recipient is ours: a status after which the provider does not try again, or 200 if the provider
        knows none."""
        ...

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """Check the proof, then read the mails.

        Raises:
            Refused: there is no proof, it is wrong or too old, or fields are missing.
        """
        ...
