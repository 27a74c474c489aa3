"""What mailbridge answers, as values. Members have the names of `/openapi.json`, but for ``sender`` (``from``) and ``value`` (``code``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

MASK = "******"
"""Stands for every code, however long it is."""

CodeKind = Literal["code", "link", "totp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code, or a magic link (``kind`` "link"). ``value`` is the secret; ``repr`` and ``str`` show a mask in its place.

    ``received_at`` and ``mail`` are None for an authenticator's code (``kind`` "totp"). ``run`` is the id of Skyvern's that it is
    bound to.
    """

    value: str
    identifier: str
    kind: CodeKind
    sender: str | None
    rule: str | None
    received_at: datetime | None
    expires_at: datetime
    run: str | None
    mail: int | None
    is_consumed: bool

    def __repr__(self) -> str:
        return f"Code(value={MASK!r}, kind={self.kind!r}, identifier={self.identifier!r}, sender={self.sender!r}, mail={self.mail!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """mailbridge knows that a code is wanted until ``until``. ``since`` is when it was told so, by its own clock."""

    identifier: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why nothing came: ``kind`` for programs, ``text`` and ``hint`` ("" for none) for people."""

    kind: str
    certainty: str
    text: str
    hint: str
    mail: int | None
    delivery: int | None
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The causes in order of likelihood, for mails since ``since``."""

    identifier: str
    since: datetime
    is_waited_for: bool
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxInfo:
    """A throw-away inbox: mail to ``address`` brings codes under ``identifier``, until ``expires_at``.

    ``senders``: the domains and addresses whose mails it takes; empty: those of any sender that proves itself.
    """

    id: int
    identifier: str
    address: str
    senders: tuple[str, ...]
    expires_at: datetime
