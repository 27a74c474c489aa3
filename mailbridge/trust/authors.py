"""Why a mail has no author that can be proven: what is wrong with its From, in words."""

from __future__ import annotations

from collections.abc import Iterable

ODD = {
    "no-from": "it has no From",
    "several-from": "it has From more than once",
    "two-readings": "a line below a header may belong to it, and then it names somebody else",
    "from-name-is-another": "From's name is another address than the one in angles",
    "from-several": "From names several addresses",
    "from-none": "From names no address",
    "from-grouped-or-routed": "From is a group, or has a route",
    "from-quoted-local": "From's address is written in quotes",
    "from-not-ascii": "From's address has letters that look like others",
    "from-spaced": "From's address has blanks in it",
    "from-refused": "From's address has characters that none may have",
    "from-unclosed": "a quote or a bracket in From does not end",
    "from-control": "From has control characters",
    "from-too-long": "From is longer than any honest one",
    "from-malformed": "From cannot be read as an address",
}
"""Defects of a mail (`Message.defects`), the plainest first."""


def oddity(defects: Iterable[str]) -> str:
    """What is wrong with the From of a mail without an author; ``""`` if nothing is known."""
    found = set(defects)
    return next((text for name, text in ODD.items() if name in found), "")
