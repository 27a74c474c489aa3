"""The honest set's mails as their authors write them: of the shared folders, and a dozen and more of the project's own."""

from __future__ import annotations

import email.policy
import email.utils
import hashlib
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

CHOSEN = 300
"""Mails of the corpus that are in the set."""

ACCOUNT, DATE = "{account}", "{date}"
"""Stand where an author's headers name whom the mail is for, and when it was written: now."""

TRACE = re.compile(
    r"(?i)^(?:received|return-path|arc-.*|dkim-signature|x-google-.*|x-forwarded-.*|x-gm-.*|x-received|delivered-to|x-ms-.*|x-ld-.*"
    r"|x-originatororg|resent-.*|x-pm-.*|x-original-to|envelope-to|delivery-date|received-spf|authentication-results)$"
)
"""What forwarders and receivers write, which is taken off before a mail is forwarded anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """One mail before anybody signs or forwards it. ``headers`` may hold `ACCOUNT`; ``body`` has CRLF line ends.

    ``kind`` is what is in it; ``values`` are right answers. ``first`` is whom an original within the mail was for, where a person has
    forwarded it by hand: that is a right identifier too.
    """

    name: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    kind: Literal["code", "link"]
    values: frozenset[str]
    first: str = ""

    @property
    def domain(self) -> str:
        """The From's."""
        return _domain(next(value for name, value in self.headers if name.lower() == "from"))

    def written(self, account: str, *, domain: str | None = None) -> bytes:
        """The mail as its author hands it over, for an account; ``domain`` takes the place of the From's."""
        lines = []
        for name, value in self.headers:
            text = value.replace(ACCOUNT, account).replace(DATE, _now())
            if domain is not None and name.lower() == "from":
                text = text.replace(f"@{self.domain}", f"@{domain}")
            lines.append(f"{name}: {text}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body


def foreign_hosts(originals: tuple[Original, ...]) -> tuple[str, ...]:
    """Where links lead that leave their author's registered domain: templates are full of placeholders. An operator lists these."""
    found: set[str] = set()
    for one in originals:
        own = registered(one.domain)
        hosts = {urlsplit(value).hostname or "" for value in one.values if value.startswith("https://")}
        found |= {host for host in hosts if registered(host) != own}
    return tuple(sorted(found))


def digest(originals: tuple[Original, ...]) -> str:
    """What the set is made of, as a word: another corpus has another."""
    found = hashlib.sha256()
    for one in originals:
        found.update(f"{one.name}\0{one.kind}\0{one.headers}\0".encode("utf-8", "surrogateescape") + one.body)
    return found.hexdigest()[:16]


def of_shared(shared: Path) -> tuple[Original, ...]:
    """Every shape of the shared folder that holds a code, and as many mails of the corpus as `CHOSEN`."""
    return (*_shapes(shared / "eml"), *_corpus(shared / "corpus" / "cases.jsonl"))


def of_ours(folder: Path) -> tuple[Original, ...]:
    """Mails of the project's own museum, some with codes and some with links; none that a person has forwarded by hand."""
    exhibits = [
        entry
        for name in ("codes.toml", "links.toml")
        for entry in tomllib.loads((folder / name).read_text())["exhibit"]
        if entry["verdict"] in ("code", "link") and "date" not in entry and "forward" not in entry["name"]
    ]
    chosen = exhibits[:: max(1, len(exhibits) // 20)]
    return tuple(
        _made(
            name=entry["name"],
            sender=entry.get("from", "Harbour <no-reply@harbour.example>"),
            subject=entry.get("subject", ""),
            plain=entry.get("plain"),
            html=entry.get("html"),
            kind=entry["verdict"],
            values=frozenset({entry["value"]}),
        )
        for entry in chosen
    )


def _shapes(folder: Path) -> Iterator[Original]:
    for line in (folder / "index.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row.get("code") and row.get("expected_identifier"):
            yield _bare(row, (folder / row["file"]).read_bytes())


def _bare(row: dict[str, Any], content: bytes) -> Original:
    """A shape without what its forwarder wrote, for whatever account it will have."""
    wired = re.sub(rb"\r?\n", b"\r\n", content)
    head, _, body = wired.partition(b"\r\n\r\n")
    headers: list[tuple[str, str]] = []
    for text in re.split(r"\r\n(?![ \t])", head.decode("utf-8", "surrogateescape")):
        name, _, value = text.partition(":")
        if TRACE.match(name):
            continue
        if name.lower() == "to":
            value = ACCOUNT if "@" in value else value
        if name.lower() == "date":
            value = DATE
        headers.append((name, value.strip()))
    if not any(name.lower() == "date" for name, _ in headers):
        headers.append(("Date", DATE))  # a shape in brief: every sender's library writes one
    return Original(
        name=row["file"],
        headers=tuple(headers),
        body=body,
        kind="code",
        values=frozenset({row["code"]}),
        first=row["expected_identifier"] if row["file"].startswith(("inline-", "att-", "ms-06")) else "",
    )


def _corpus(file: Path) -> Iterator[Original]:
    """Mails with a code or a link, product by product in turn, so that each product is there before one is there twice."""
    products: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in file.read_text().splitlines():
        row = json.loads(line)
        if row["class"] == "email" and row["kind"] in ("code", "magic_link"):
            products[row["product"]].append(row)
    for rows in products.values():
        rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).hexdigest())
    turns = [
        rows[turn] for turn in range(max(map(len, products.values()))) for _, rows in sorted(products.items()) if turn < len(rows)
    ]
    for row in turns[:CHOSEN]:
        yield _made(
            name=row["id"],
            sender=row["from"],
            subject=row["subject"],
            plain=row["text"],
            html=row["html"],
            kind="code" if row["kind"] == "code" else "link",
            values=frozenset({row["expected"], *row.get("accept", ())}),
        )


def _made(
    *,
    name: str,
    sender: str,
    subject: str,
    plain: str | None,
    html: str | None,
    kind: Literal["code", "link"],
    values: frozenset[str],
) -> Original:
    """A mail of these parts as an ordinary library writes it."""
    message = EmailMessage(policy=email.policy.SMTP)
    display, address = email.utils.parseaddr(sender)
    message["From"] = email.utils.formataddr((display, address))
    message["To"] = "account@placeholder.invalid"
    message["Subject"] = re.sub(r"[\r\n]+", " ", subject)
    message["Date"] = datetime(2000, 1, 1, tzinfo=UTC)
    message["Message-ID"] = f"<{hashlib.sha256(name.encode()).hexdigest()[:24]}@{address.rpartition('@')[2]}>"
    if plain is not None and plain.strip():
        message.set_content(plain)
        if html is not None and html.strip():
            message.add_alternative(html, subtype="html")
    else:
        message.set_content(html or "", subtype="html")
    if message.is_multipart():
        message.set_boundary(f"=_{hashlib.sha256(name.encode()).hexdigest()[:24]}")
    head, _, body = message.as_bytes().partition(b"\r\n\r\n")
    headers = []
    for text in re.split(r"\r\n(?![ \t])", head.decode("ascii")):
        key, _, value = text.partition(":")
        headers.append((key, DATE if key == "Date" else value.strip().replace("account@placeholder.invalid", ACCOUNT)))
    return Original(name=name, headers=tuple(headers), body=body, kind=kind, values=values)


@cache
def registered(domain: str) -> str:
    """The part of a domain that somebody has registered; the domain itself where that is none."""
    return str(_suffixes().privatesuffix(domain) or domain)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _now() -> str:
    return email.utils.format_datetime(datetime.now(UTC))


def _domain(sender: str) -> str:
    return email.utils.parseaddr(re.sub(r"\r\n[ \t]", " ", sender))[1].rpartition("@")[2].lower()
