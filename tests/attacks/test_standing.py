"""Whose word counts as a known sender's: what neighbours on a platform, other customers of a provider and senders of copies try."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import Delivery, Standing, State
from mailbridge.sinks.skyvern_pages import Login
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

ANN, YAN, ZED, OKT, GIT = (f"{name}@corp.example" for name in ("ann", "yan", "zed", "okt", "git"))
GMAIL = "ann@gmail.com"
CODES, TOKEN, BOUND = "codes@b.example", "otp-7m3k9q2wxy8vhtnc@b.example", "bound@b.example"
SITED = "sited@b.example"
PAGES = (
    (ANN, "https://acme.example/login"),
    (ANN, "https://bücher.example/login"),
    (YAN, "https://login.yahoo.com/"),
    (YAN, "https://outlook.com"),
    (ZED, "https://acme.zendesk.com/hc/en"),
    (OKT, "https://acme.okta.com/app"),
    (GIT, "https://github.com/login"),
)
SIGNING = (
    "acme.example", "acme.test", "evil.example", "yahoo.com", "outlook.com", "zendesk.com", "evil.zendesk.com", "acme.zendesk.com", "okta.com",
    "evil.okta.com", "acme.okta.com", "github.com", "a.github.io", "gmail.com", "xn--bcher-kva.example", "xn--acm-dma.example",
    "mail.acme.example", "login.yahoo.com", "acme.example.evil.example", "evil-acme.example", "google.com",
)  # fmt: skip
HOSTED, GOOGLE, OTHER = "127.0.0.7", "127.0.0.5", "127.0.0.9"
"""A server that acme.example lets send for it, one of Google's, which it lets too, and one of nobody's."""

NUMBERS = itertools.count(300_000)
LINK = "Sign in with this link:\n\nhttps://{host}/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."
NOTO = ("from", "subject", "date", "message-id", "mime-version", "content-type")

Build = Callable[[], bytes]


def text() -> str:
    """A code mail's words, with a number of its own."""
    return f"Your code is {next(NUMBERS)}."


def code(
    sender: str, domain: str, to: str = ANN, body: str = "", *, headers: tuple[str, ...] = signer.USUAL, **more: Any
) -> Build:
    """A code, signed by a domain."""
    return lambda: signer.dkim(mail(body or text(), sender=sender, to=to, **more), domain, headers=headers)


def link(sender: str, domain: str, host: str, to: str = ANN, **more: Any) -> Build:
    """A link, signed by a domain."""
    return lambda: signer.dkim(mail(LINK.format(host=host), subject="Sign in", sender=sender, to=to, **more), domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A mail, where and how it is sent, and what of it may be pushed: a stranger's code, or nothing."""

    build: Build
    rcpt: str = CODES
    mail_from: str = "bounces@evil.example"
    client: str = OTHER
    may: str = "stranger"


def neighbours() -> Iterator[tuple[str, Attack]]:
    """Others on the platform, or at the provider, of the site that is known."""
    for who, to, sender, domain in (
        ("a mailbox at the site's provider", YAN, "Yahoo <mallory@yahoo.com>", "yahoo.com"),
        ("a mailbox at the site's provider, named as its service", YAN, "Yahoo <security-team@yahoo.com>", "yahoo.com"),
        ("a mailbox at the site's mail service", YAN, "Outlook <mallory@outlook.com>", "outlook.com"),
        ("another customer, signed by the platform", ZED, "Acme <support@evil.zendesk.com>", "zendesk.com"),
        ("another customer, signed by itself", ZED, "Acme <support@evil.zendesk.com>", "evil.zendesk.com"),
        ("another customer of the login service", OKT, "Okta <no-reply@evil.okta.com>", "evil.okta.com"),
        ("another customer, signed by the service", OKT, "Okta <no-reply@evil.okta.com>", "okta.com"),
        ("a page of a user of the site", GIT, "GitHub <no-reply@a.github.io>", "a.github.io"),
    ):
        yield f"code of {who}", Attack(build=code(sender, domain, to))
        yield f"code of {who}, for a run", Attack(build=code(sender, domain, to), rcpt=f"{to.partition('@')[0]}+wr_1@b.example")
        yield f"link of {who}", Attack(build=link(sender, domain, sender.rpartition("@")[2].rstrip(">"), to), may="")
    yield (
        "link of another customer to the site's host",
        Attack(build=link("Acme <support@evil.zendesk.com>", "zendesk.com", "acme.zendesk.com", ZED), may=""),
    )
    yield (
        "a neighbour's code at an address with a site",
        Attack(build=code("Acme <support@evil.zendesk.com>", "zendesk.com"), rcpt=SITED),
    )
    yield (
        "a platform's customer who signs for the platform",
        Attack(build=code("Okta <no-reply@okta.com>", "evil.okta.com", OKT), may="stranger"),
    )
    yield "a neighbour signs for the site's host", Attack(build=code("Acme <a@acme.zendesk.com>", "evil.zendesk.com", ZED))


def look_alikes() -> Iterator[tuple[str, Attack]]:
    """Names that look like the site's."""
    for name, sender, domain in (
        ("the same label under another suffix", "Acme <a@acme.test>", "acme.test"),
        ("the site's name as a subdomain", "Acme <a@acme.example.evil.example>", "acme.example.evil.example"),
        ("the site's name behind a hyphen", "Acme <a@evil-acme.example>", "evil-acme.example"),
        ("an accent, in punycode", "Acme <a@xn--acm-dma.example>", "xn--acm-dma.example"),
        ("an accent, as it is", "Acme <a@acmé.example>", "xn--acm-dma.example"),
        ("the site in the local part", '"a@acme.example" <a@evil.example>', "evil.example"),
        ("the site in a comment", "Acme (a@acme.example) <a@evil.example>", "evil.example"),
        ("two in angles", "<a@acme.example> <a@evil.example>", "evil.example"),
        ("a source route", "<@acme.example:a@evil.example>", "evil.example"),
        ("a group", "acme.example: a@evil.example;", "evil.example"),
        ("percent", "Acme <a%acme.example@evil.example>", "evil.example"),
        ("a full-width sign", "Acme <a＠acme.example@evil.example>", "evil.example"),
        ("a full-width dot", "Acme <a@acme．example>", "evil.example"),
        ("a soft hyphen", "Acme <a@ac\u00adme.example>", "evil.example"),
        ("a zero-width joiner", "Acme <a@acme\u200d.example>", "evil.example"),
        ("an encoded address", "=?utf-8?q?a=40acme.example?= <a@evil.example>", "evil.example"),
        ("a trailing comma", "Acme <a@evil.example>, a@acme.example,", "evil.example"),
        ("the site's U-label by a look-alike", "Buch <a@bucher.example>", "evil.example"),
    ):
        yield f"code of {name}", Attack(build=code(sender, domain))
        yield f"link of {name}", Attack(build=link(sender, domain, "acme.example"), may="")


def heads() -> Iterator[tuple[str, Attack]]:
    """A stranger's mail whose From reads otherwise in another program."""
    for name, above in (
        ("a mark before a second From", "\ufeffFrom: Acme <a@acme.example>"),
        ("a blank before the colon of a second From", "From : Acme <a@acme.example>"),
        ("a first line that is none", "garbage without a colon"),
        ("a mailbox file's line", "From a@acme.example Wed Nov 25 09:57:25 2026"),
        ("a literal tab", "X-One: 1\n\\tFrom: Acme <a@acme.example>"),
        ("From folded before its colon", "From\n : Acme <a@acme.example>"),
        ("From with a tab before the colon", "From\t: Acme <a@acme.example>"),
        ("Sender of the site", "Sender: a@acme.example"),
        ("Resent-From of the site", "Resent-From: a@acme.example"),
        ("results of nobody", "Authentication-Results: b.example; dkim=pass header.d=acme.example; dmarc=pass header.from=acme.example"),
    ):  # fmt: skip
        yield (
            f"code under {name}",
            Attack(
                build=lambda above=above: mail(  # type: ignore[misc]
                    text(), sender="Acme <a@evil.example>", above=above
                ).replace(b"X-None", b""),
                rcpt=TOKEN,
            ),
        )

        def signed(above: str = above) -> bytes:
            own = signer.dkim(mail(text(), sender="Acme <a@evil.example>"), "evil.example")
            return above.encode().replace(b"\n", b"\r\n") + b"\r\n" + own

        yield f"signed code under {name}", Attack(build=signed)
        yield f"signed code under {name}, unguessable", Attack(build=signed, rcpt=TOKEN)


def copies() -> Iterator[tuple[str, Attack]]:
    """Genuine mails of the site that were written to somebody else, sent on."""
    elsewhere = code("Acme <no-reply@acme.example>", "acme.example", "m@evil.example")
    yield "a copy to a plain address", Attack(build=elsewhere, may="")
    yield "a copy to an unguessable address", Attack(build=elsewhere, rcpt=TOKEN)
    yield "a copy to an unguessable address, for a run", Attack(build=elsewhere, rcpt=TOKEN.replace("@", "+wr_1@"))
    for where, client in (("a server of Google's, which the site lists", GOOGLE), ("nobody's server", OTHER)):
        for name, to in (("another To", ANN), ("no To", "undisclosed-recipients:;")):

            def build(to: str = to) -> bytes:
                own = code("Acme <no-reply@acme.example>", "acme.example", "m@evil.example", headers=NOTO)()
                return own.replace(b"To: m@evil.example", f"To: {to}".encode())

            yield (
                f"a copy without a signed To by {where} with {name}",
                Attack(build=build, mail_from="bounces@acme.example", client=client, may=""),
            )
            yield (
                f"a copy without a signed To by {where} with {name}, to ann's address",
                Attack(build=build, mail_from="bounces@acme.example", client=client, rcpt=BOUND, may=""),
            )


def bound() -> Iterator[tuple[str, Attack]]:
    """Codes that a mail binds to a site, which a user of that site, or a stranger, has written."""
    talk = "I have the same trouble since the update.\n\nThanks!\n\n@github.com #X7K-Q2M"
    for subject in (
        "[team/repo] It does not start (#12)",
        "Mallory commented on your document",
        "Mallory invited you to join a team",
    ):
        yield (
            f"bound by a user: {subject}",
            Attack(build=code("Mallory <notifications@github.com>", "github.com", GIT, talk, subject=subject), may=""),
        )
    yield (
        "bound by a user of a list",
        Attack(
            build=code("GitHub <a@github.com>", "github.com", GIT, talk, below="List-Id: team/repo <repo.team.github.com>"),
            may="",
        ),
    )
    yield (
        "bound by a mailbox to its provider",
        Attack(build=code("Yahoo <mallory@yahoo.com>", "yahoo.com", YAN, "Hello\n\n@yahoo.com #999999")),
    )
    yield (
        "bound by a neighbour to the site",
        Attack(build=code("Acme <a@evil.zendesk.com>", "zendesk.com", ZED, "Hello\n\n@acme.zendesk.com #999999")),
    )
    yield (
        "bound to a site in an unsigned header",
        Attack(
            build=lambda: code("Acme <a@evil.example>", "evil.example", body="Hello")().replace(
                b"From:", b'OTP-Token: "999999"; origin="https://evil.example"\r\nFrom:', 1
            ),
            may="",
        ),
    )


def odd() -> Iterator[tuple[str, Attack]]:
    """What is neither."""
    page = base64.b64encode(b"Your code is 999999.").decode()
    yield (
        "unsigned, base64",
        Attack(
            build=lambda: mail(page, sender="Acme <no-reply@acme.example>", below="Content-Transfer-Encoding: base64"), may=""
        ),
    )
    yield (
        "unsigned code of the site, unguessable address",
        Attack(build=lambda: mail(text()), rcpt=TOKEN, mail_from="bounces@acme.example", client=HOSTED),
    )
    yield (
        "unsigned code of the site from its own server",
        Attack(build=lambda: mail(text()), mail_from="bounces@acme.example", client=HOSTED, may=""),
    )
    for rcpt in (CODES, BOUND, TOKEN):
        yield (
            f"a date of tomorrow to {rcpt}",
            Attack(build=lambda: code("A <a@evil.example>", "evil.example")().replace(b"25 Nov 2026", b"30 Nov 2026"), rcpt=rcpt),
        )
        yield (
            f"a trace of tomorrow to {rcpt}",
            Attack(
                build=lambda: (
                    b"Received: from x by mx.google.com; Mon, 30 Nov 2026 09:57:25 +0000\r\n"
                    + code("A <a@evil.example>", "evil.example")()
                ),
                rcpt=rcpt,
            ),
        )


ATTACKS = {name: one for group in (neighbours, look_alikes, heads, copies, bound, odd) for name, one in group()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house by default, whose Skyvern has a credential for each identifier."""
    sections: dict[str, Any] = {
        "domains": s.DomainSettings(accept=("b.example",)),
        "address": (
            s.AddressSettings(rcpt=TOKEN, identifier=ANN),
            s.AddressSettings(rcpt=BOUND, identifier=ANN),
            s.AddressSettings(rcpt=SITED, identifier=ANN, site=("acme.zendesk.com",)),
        ),
        "trust": s.TrustSettings(alarm_held=0),
    }
    with house(tmp_path_factory.mktemp("standing"), **sections) as one:
        for domain in SIGNING:
            one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key()))
        one.dns.txt("_spf.google.com", f"v=spf1 ip4:{GOOGLE} ~all")
        one.dns.txt("gmail.com", "v=spf1 redirect=_spf.google.com")
        one.dns.txt("acme.example", f"v=spf1 ip4:{HOSTED} include:_spf.google.com ~all")
        logins = [Login(identifier=identifier, page=page) for identifier, page in PAGES]
        one.do(lambda: one.running.engine.contacts.learn(logins))
        yield one


def gets(row: Delivery) -> str:
    """As whose a delivery goes out; "" where it does not."""
    if row.state is not State.DELIVERED or row.draft.identifier == "m@evil.example":
        return ""
    if row.draft.standing is Standing.KNOWN:
        return "known"
    is_tagged = row.draft.workflow_run_id or row.draft.workflow_id or row.draft.task_id
    return "stranger" if row.draft.kind == "code" and not is_tagged else f"stranger's {row.draft.kind} for {is_tagged}"


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_no_known_senders(home: House, name: str) -> None:
    """None of these is pushed as a known sender's, with a link, or for a run; a stranger's code is, where it is a stranger's own."""
    one = ATTACKS[name]
    reply = home.send(one.build(), rcpt=one.rcpt, mail_from=one.mail_from, client=one.client)
    found = {gets(row) for row in home.deliveries(reply.mail_id)} - {"", one.may} if reply.mail_id is not None else set()
    assert not found, home.row(reply.mail_id)
