"""The text of a sender policy (RFC 7208 4.6, 5, 6 and 12) as terms, or an error if it is not a policy.

The whole record is read before any part of it is used. A syntax error anywhere makes the record invalid, even after a term that
would have matched. Macros are kept unexpanded; the caller that evaluates the terms decides about them.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from mailbridge.core.dataclass import dataclass

Result = Literal["pass", "fail", "softfail", "neutral"]
Kind = Literal["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"]

QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
MACRO = r"%(?:\{[slodiphvSLODIPHV](?:[1-9][0-9]{0,2})?[rR]?[.\-+,/_=]*\}|%|_|-)"
"""Macros that may be in a policy; ``c``, ``r`` and ``t`` are for explanations only (7.2)."""

MACRO_STRING = re.compile(rf"(?:[!-$&-~]|{MACRO})*")
TOP_LABEL = r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])"
DOMAIN_SPEC = re.compile(rf"(?:[!-$&-~]|{MACRO})*(?:\.{TOP_LABEL}\.?|{MACRO})")
MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)")
MECHANISM = re.compile(r"([-+?~]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?=[:/]|\Z)(.*)", re.IGNORECASE)
LENGTHS = re.compile(r"(.*?)(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?")
MAX_TERMS = 500


class Malformed(Exception):  # noqa: N818  (a finding about the record)
    """The record is not a valid policy: RFC 7208's permerror."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One directive. ``domain`` is its domain-spec, unexpanded; ``""`` means the domain under evaluation. ``four`` and ``six``
    are the prefix lengths of ``a`` and ``mx``. ``network`` is the network of ``ip4`` and ``ip6``."""

    kind: Kind
    result: Result
    domain: str = ""
    four: int = 32
    six: int = 128
    network: IPv4Network | IPv6Network | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A well-formed record. ``redirect`` is None if there is none."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str | None = None


def is_policy(record: str) -> bool:
    """Whether a TXT record is a sender policy of this version (4.5)."""
    return record[:6].lower() == "v=spf1" and record[6:7] in ("", " ")


def parse(record: str) -> Policy:
    """The terms of a record. Call it only for a record that passes `is_policy`.

    Raises:
        Malformed: a term does not match the grammar, or ``redirect`` or ``exp`` occurs twice.
    """
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    terms = [term for term in record[6:].split(" ") if term]
    if len(terms) > MAX_TERMS:
        raise Malformed
    for term in terms:
        modifier = MODIFIER.fullmatch(term)
        if modifier is None:
            mechanisms.append(_mechanism(term))
            continue
        name, value = modifier[1].lower(), modifier[2]
        if name not in ("redirect", "exp"):
            if not MACRO_STRING.fullmatch(value):
                raise Malformed
            continue
        if name in modifiers:
            raise Malformed
        modifiers[name] = _domain(value)
    return Policy(mechanisms=tuple(mechanisms), redirect=modifiers.get("redirect"))


def _mechanism(term: str) -> Mechanism:
    found = MECHANISM.fullmatch(term)
    if found is None:
        raise Malformed
    kind: Kind = found[2].lower()  # type: ignore[assignment]
    result, rest = QUALIFIERS[found[1] or "+"], found[3]
    match kind:
        case "all":
            if rest:
                raise Malformed
            return Mechanism(kind=kind, result=result)
        case "ip4" | "ip6":
            return Mechanism(kind=kind, result=result, network=_network(kind, rest))
        case "include" | "exists":
            if not rest.startswith(":"):
                raise Malformed
            return Mechanism(kind=kind, result=result, domain=_domain(rest[1:]))
        case "ptr":
            return Mechanism(kind=kind, result=result, domain=_optional(rest))
        case "a" | "mx":
            lengths = LENGTHS.fullmatch(rest)
            if lengths is None or int(lengths[2] or 0) > 32 or int(lengths[3] or 0) > 128:
                raise Malformed
            four, six = int(lengths[2] or 32), int(lengths[3] or 128)
            return Mechanism(kind=kind, result=result, domain=_optional(lengths[1]), four=four, six=six)


def _optional(rest: str) -> str:
    """``:domain-spec``, or nothing."""
    if not rest:
        return ""
    if not rest.startswith(":"):
        raise Malformed
    return _domain(rest[1:])


def _domain(text: str) -> str:
    if not DOMAIN_SPEC.fullmatch(text):
        raise Malformed
    return text


def _network(kind: Literal["ip4", "ip6"], rest: str) -> IPv4Network | IPv6Network:
    """``:address`` with or without a prefix length. Without a colon there is no address, and an empty text is not a network."""
    address, slash, length = rest.removeprefix(":").partition("/")
    if (slash and not re.fullmatch("0|[1-9][0-9]{0,2}", length)) or "%" in address:
        raise Malformed
    try:
        network = ip_network(f"{address}/{length}" if slash else address, strict=False)
    except ValueError:
        raise Malformed from None
    if network.version != (4 if kind == "ip4" else 6):
        raise Malformed
    return network
