"""Rows about time, keys, DNS and sender policies: old mails sent again, keys that must not count, and servers that may not forward."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.forgeries import ANN, BOUND, CODES, by_acme, code, confirm, link
from tests.attacks.rows import GMAIL, GOOGLE, HOSTED, Change, Row, Rows, Way
from tests.peers import signer
from tests.peers.zone import Zone
from tests.trust.mails import mail

NOW = int(time.time())
DAY = 86_400


def dated(when: str | None, text: str = "Your verification code is 713928.") -> bytes:
    """A code mail of Acme's of a date; without one for None."""
    content = mail(text)
    line = f"Date: {when}\r\n".encode() if when is not None else b""
    return re.sub(rb"(?m)^Date:.*\r\n", line, content, count=1)


def ago(seconds: int) -> str:
    """A Date header's words."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S +0000")


USUAL = ("from", "to", "subject", "date", "message-id")
UNDATED = ("from", "to", "subject", "message-id")


def aged() -> Rows:
    """Genuine mails of Ann's that were signed at another time, sent again by somebody who has kept them."""
    fresh = lambda: by_acme(dated(ago(0)), headers=USUAL, more={"t": None})  # noqa: E731
    made = {
        "t= of last year": by_acme(code(), more={"t": str(NOW - 365 * DAY)}),
        "t= of two days ago": by_acme(code(), more={"t": str(NOW - 2 * DAY)}),
        "t= of last year, Date of now": by_acme(dated(ago(0)), more={"t": str(NOW - 365 * DAY)}),
        "t= of last year, x= of next year": by_acme(code(), more={"t": str(NOW - 365 * DAY), "x": str(NOW + 365 * DAY)}),
        "x= of an hour ago": by_acme(code(), more={"x": str(NOW - 3_600)}),
        "x= before t=": by_acme(code(), more={"t": str(NOW), "x": str(NOW - 1)}),
        "t= of tomorrow": by_acme(code(), more={"t": str(NOW + DAY)}),
        "t= of the year 5000": by_acme(code(), more={"t": str(95_617_584_000)}),
        "t= below zero": by_acme(code(), more={"t": "-1"}),
        "t= of words": by_acme(code(), more={"t": "now"}),
        "t= with digits beyond ASCII": by_acme(code(), more={"t": "١٧٩٥"}),
        "t= empty": by_acme(dated(ago(365 * DAY)), more={"t": ""}),
        "x= of words": by_acme(code(), more={"x": "never"}),
        "no t=, signed Date of last year": by_acme(dated(ago(365 * DAY)), headers=USUAL, more={"t": None}),
        "no t=, signed Date of two days ago": by_acme(dated(ago(2 * DAY)), headers=USUAL, more={"t": None}),
        "no t=, signed Date of tomorrow": by_acme(dated(ago(-DAY)), headers=USUAL, more={"t": None}),
        "no t=, signed Date that is none": by_acme(dated("yesterday"), headers=USUAL, more={"t": None}),
        "no t=, signed Date that is empty": by_acme(dated(""), headers=USUAL, more={"t": None}),
        "no t=, Date not signed, and made new": by_acme(dated(ago(365 * DAY)), headers=UNDATED, more={"t": None}).replace(
            ago(365 * DAY)[:16].encode(), ago(0)[:16].encode()
        ),
        "no t=, no Date": by_acme(dated(None), headers=UNDATED, more={"t": None}),
        "no t=, no Date, one written above": f"Date: {ago(0)}\r\n".encode() + by_acme(dated(None), headers=UNDATED, more={"t": None}),
        "no t=, signed Date of last year, Resent-Date of now": f"Resent-Date: {ago(0)}\r\n".encode()
        + by_acme(dated(ago(365 * DAY)), headers=USUAL, more={"t": None}),
        "no t=, x= of next year, signed Date of last year": by_acme(
            dated(ago(365 * DAY)), headers=USUAL, more={"t": None, "x": str(NOW + 365 * DAY)}
        ),
    }  # fmt: skip
    for name, content in made.items():
        for rcpt in (BOUND, CODES):
            yield Row(
                kind="aged",
                name=f"{name}, to {rcpt}",
                says="a code that was Ann's once; by its signature it is not of today, or does not say",
                attack=lambda content=content: content,
                twin=fresh,
                way=Way(rcpt=rcpt),
            )
    yield Row(
        kind="aged",
        name="a link, no t=, signed Date of last year",
        says="a link to sign in that was Ann's last year, sent again",
        attack=lambda: by_acme(
            re.sub(rb"(?m)^Date:.*\r\n", f"Date: {ago(365 * DAY)}\r\n".encode(), link()), headers=USUAL, more={"t": None}
        ),
        twin=lambda: by_acme(
            re.sub(rb"(?m)^Date:.*\r\n", f"Date: {ago(0)}\r\n".encode(), link()), headers=USUAL, more={"t": None}
        ),
        way=Way(rcpt=BOUND),
    )


KEY = "s1._domainkey.acme.example"


def _p(key: str = "") -> str:
    return signer.record(signer.key(), key)


def texts(*records: str, name: str = KEY) -> Change:
    """DNS says this at a name."""

    def change(zone: Zone) -> None:
        zone.texts[name] = records

    return change


def silent(*names: str) -> Change:
    """NoEvents answers for these names."""

    def change(zone: Zone) -> None:
        zone.silent.update(names)

    return change


def _elliptic() -> str:
    der = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


SHORT_512 = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALxcqn+zK7PtrlZdFRnUtGQX8AuIn3OXkSUw6k5ITjYK7FMtClqaXFNFACu+6pl4t3uMPVsnRtroFhLQqudxPs8CAwEAAQ=="
SHORT_768 = "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAL0D+8SHpk4fPG0rPdRjOVHDzxTZlS1oZ5w1aZKGKZbjIGkqKEoBbzFZgLx7vUkq6fDQnJ8Aa0QvYw6PZcZpM4sW0cT0Qp4hZkqQ8FZl8pZ3wq8mSxqvYl2pOZJwQ3o0CwIDAQAB"

RECORDS: dict[str, tuple[str, ...]] = {
    "revoked": ("v=DKIM1; k=rsa; p=",),
    "revoked, and the old one beside it": ("v=DKIM1; k=rsa; p=", _p()),
    "two keys, the attacker's second": (_p(), signer.record(signer.key("evil"))),
    "two keys, the attacker's first": (signer.record(signer.key("evil")), _p()),
    "of another version": (_p().replace("v=DKIM1", "v=DKIM2"),),
    "of a version in small letters": (_p().replace("v=DKIM1", "v=dkim1"),),
    "with its version behind": (_p().replace("v=DKIM1; ", "") + "; v=DKIM2",),
    "for tests": (_p("t=y; "),),
    "for tests, among other flags": (_p("t=s:y; "),),
    "for another service": (_p("s=tlsrpt; "),),
    "for other services": (_p("s=other:web; "),),
    "for SHA-1 alone": (_p("h=sha1; "),),
    "for no hash": (_p("h=; "),),
    "of another kind": (_p().replace("k=rsa", "k=dsa"),),
    "called Ed25519": (_p().replace("k=rsa", "k=ed25519"),),
    "of an elliptic curve": (f"v=DKIM1; k=rsa; p={_elliptic()}",),
    "with p= twice": (f"{_p()}; p=AAAA",),
    "with p= of no base64": ("v=DKIM1; k=rsa; p=!!!!",),
    "of 768 bits": (f"v=DKIM1; k=rsa; p={SHORT_768}",),
    "huge": ("v=DKIM1; k=rsa; n=" + "x" * 20_000 + "; " + _p().partition("; ")[2],),
    "behind a thousand others": (*tuple(f"x={n}" for n in range(1000)), _p(), _p("n=1; ")),
    "in pieces that are several records": (_p()[:100], _p()[100:]),
    "with a NUL": (_p().replace("p=", "p=\0"),),
    "with letters beyond ASCII": (_p().replace("p=", "p=é"),),
    "nothing": (),
    "not a key": ("v=spf1 +all",),
}  # fmt: skip


def keys() -> Rows:
    """Signatures that fit, by keys that must not count, or that cannot be had."""
    for name, records in RECORDS.items():
        yield Row(
            kind="keys",
            name=f"the key is {name}",
            says="the signature fits the key that once was; what DNS says now is not that it counts",
            attack=lambda: by_acme(code()),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
            zone=texts(*records),
        )
    yield Row(
        kind="keys",
        name="the key cannot be looked up",
        says="nobody answers for the key, or its aliases lead round in a circle: nothing is known",
        attack=lambda: by_acme(code()),
        twin=lambda: by_acme(code()),
        way=Way(rcpt=BOUND),
        zone=silent(KEY),
    )
    for bits in (512, 768):
        yield Row(
            kind="keys",
            name=f"a key of {bits} bits",
            says="a key that is factored in an afternoon, genuinely Acme's",
            attack=lambda: signer.dkim(code(), "acme.example", selector="short", private=signer.key("short", 1_024)),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
            zone=texts(f"v=DKIM1; k=rsa; p={SHORT_768 if bits == 768 else SHORT_512}", name="short._domainkey.acme.example"),
        )
    for name, tags in {
        "i= of a subdomain, the key is for the domain itself": {"i": "@mail.acme.example"},
        "i= of somebody below, the key is for the domain itself": {"i": "x@deep.mail.acme.example"},
    }.items():
        yield Row(
            kind="keys",
            name=name,
            says="the key's t=s says that i= must be of the domain itself (RFC 6376 3.6.1), and it is not",
            attack=lambda tags=tags: by_acme(code(), more=tags),
            twin=lambda: by_acme(code(), more={"i": "@acme.example"}),
            way=Way(rcpt=BOUND),
            zone=texts(_p("t=s; ")),
        )
    for name, identity in {
        "i= of another domain": "@evil.example",
        "i= of the domain above": "@example",
        "i= of a domain that ends so": "@xacme.example",
        "i= without an at sign": "acme.example",
    }.items():
        yield Row(
            kind="keys",
            name=name,
            says="i= must be of d= or below it (RFC 6376 3.5); a signature that says otherwise is none",
            attack=lambda identity=identity: by_acme(code(), more={"i": identity}),
            twin=lambda: by_acme(code(), more={"i": "@acme.example"}),
            way=Way(rcpt=BOUND),
        )
    for name, change in {
        "q= of another kind": {"q": "http/url"},
        "v= of another version": {"v": "2"},
        "no v=": {"v": None},
        "h= without From": {"h": "to:subject:date"},
        "h= empty": {"h": ""},
    }.items():
        yield Row(
            kind="keys",
            name=f"{name}, genuinely signed",
            says="a signature that Acme has made so, and that RFC 6376 calls none",
            attack=lambda change=change: by_acme(code(), more=change),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
        )


CAF = "ann+caf_=codes=bridge.example@{}"
STAMPS = "X-Forwarded-For: {0} codes@bridge.example\nDelivered-To: {0}"


def forged(account: str) -> bytes:
    """Acme's From over a code of the attacker's, stamped as a forward of an account's."""
    return mail("Your verification code is 999999.", to=account, above=STAMPS.format(account))


def envelopes() -> Rows:
    """Gmail's envelope of a listed account, from a server that is not Google's, or for somebody else than the account."""
    away = Way(mail_from=CAF.format("gmail.com"), peer=HOSTED)
    home = Way(mail_from=CAF.format("gmail.com"), peer=GOOGLE)
    for name, peer in {
        "anybody's server": HOSTED,
        "no address": "",
        "a name": "mail-oi1-f182.google.com",
        "a socket": "unix",
        "this machine": "127.0.0.1",
        "an address with a zone": "fe80::1%eth0",
        "an address of IPv6": "2001:db8::1",
        "an address of IPv4 in IPv6": f"::ffff:{HOSTED}",
        "Google's address with words behind": f"{GOOGLE} ",
        "Google's address as a network": f"{GOOGLE}/24",
        "Google's address with a nought": "209.085.167.182",
    }.items():
        yield Row(
            kind="envelopes",
            name=f"from {name}",
            says="the envelope is right in every letter, and does not come from Google",
            attack=lambda: forged(GMAIL),
            twin=lambda: forged(GMAIL),
            way=Way(mail_from=CAF.format("gmail.com"), peer=peer),
            twin_way=home,
        )
    for name, sender in {
        "another recipient of ours": CAF.format("gmail.com").replace("=codes=", "=other="),
        "a longer recipient": CAF.format("gmail.com").replace("=codes=", "=xcodes="),
        "our recipient at another domain": "ann+caf_=codes=evil.example@gmail.com",
        "an account that is not listed": CAF.format("gmail.com").replace("ann+", "mallory+"),
        "an account that ends as a listed one": CAF.format("gmail.com").replace("ann+", "x.ann+").replace("ann", "joann"),
        "a listed account at another domain": CAF.format("gmail.com.evil.example"),
        "a domain that looks alike": CAF.format("gmai1.com"),
        "two recipients": "ann+caf_=other=bridge.example+caf_=codes=bridge.example@gmail.com",
        "no account": "+caf_=codes=bridge.example@gmail.com",
        "no caf_": "ann@gmail.com",
        "caf_ with a dash": "ann+caf-=codes=bridge.example@gmail.com",
    }.items():
        yield Row(
            kind="envelopes",
            name=f"of {name}",
            says="from Google's own servers, and not Ann's account forwarding to this address",
            attack=lambda: forged(GMAIL),
            twin=lambda: forged(GMAIL),
            way=Way(mail_from=sender, peer=GOOGLE),
            twin_way=home,
        )
    yield Row(
        kind="envelopes",
        name="for another listed account",
        says="what Ann's account forwards is pushed for Bob, whose account is listed too",
        attack=lambda: forged("bob@gmail.com"),
        twin=lambda: forged(GMAIL),
        way=home,
        config="pair",
    )
    for name, stamp in {
        "a To of Bob's": "To: bob@gmail.com",
        "a stamp of Bob's": "X-MS-Exchange-ForwardingLoop: bob@gmail.com;1",
    }.items():
        yield Row(
            kind="envelopes",
            name=f"for another listed account, by {name}",
            says="the envelope is Ann's, and the mail names Bob",
            attack=lambda stamp=stamp: mail(
                "Your verification code is 999999.",
                to="bob@gmail.com" if stamp.startswith("To") else "list@acme.example, x@acme.example",
                above="" if stamp.startswith("To") else stamp,
            ),
            twin=lambda: forged(GMAIL),
            way=home,
            config="pair",
        )
    yield Row(
        kind="envelopes",
        name="a link, not from Google",
        says="the same with a link to sign in",
        attack=lambda: link(to=GMAIL, above=STAMPS.format(GMAIL)),
        twin=lambda: link(to=GMAIL, above=STAMPS.format(GMAIL)),
        way=away,
        twin_way=home,
    )


POLICIES = {
    "a host that it rents": f"v=spf1 include:_spf.google.com ip4:{HOSTED} ~all",
    "a host that it rents, first": f"v=spf1 ip4:{HOSTED} include:_spf.google.com ~all",
    "a network that it rents": "v=spf1 include:_spf.google.com ip4:198.51.100.0/24 -all",
    "everybody": "v=spf1 +all",
    "everybody, behind Google": "v=spf1 include:_spf.google.com +all",
    "everybody, of IPv4": "v=spf1 include:_spf.google.com ip4:0.0.0.0/0 -all",
    "everybody, in two halves": "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all",
    "a mail service": "v=spf1 include:_spf.google.com include:_spf.service.example -all",
    "a mail service's neighbour": "v=spf1 include:_spf.google.com a:www.service.example -all",
    "its own web server": "v=spf1 a include:_spf.google.com -all",
    "its own mail server": "v=spf1 mx include:_spf.google.com -all",
    "whoever has a name": "v=spf1 include:_spf.google.com exists:any.service.example -all",
    "whoever has a name, by a macro": "v=spf1 exists:%{i}.service.example include:_spf.google.com -all",
    "whoever points back": "v=spf1 ptr:corp.example include:_spf.google.com -all",
    "another domain's": "v=spf1 redirect=service.example",
    "itself": "v=spf1 include:corp.example +all",
    "itself, by redirect": "v=spf1 redirect=corp.example",
    "eleven others": "v=spf1 " + " ".join(f"include:n{n}.service.example" for n in range(11)) + " +all",
    "a length that is none": "v=spf1 ip4:198.51.100.7/33 +all",
    "a length below nought": "v=spf1 ip4:198.51.100.7/-1 +all",
    "an address that is none": "v=spf1 ip4:198.51.100 +all",
    "no address": "v=spf1 ip4: +all",
    "no host": "v=spf1 a: +all",
    "no include": "v=spf1 include: +all",
    "all of something": "v=spf1 all:x +all",
    "an unknown word": "v=spf1 ipv4:198.51.100.7 +all",
    "a modifier twice": "v=spf1 redirect=service.example redirect=service.example",
    "another version": "v=spf10 +all",
    "an include that has no policy": "v=spf1 include:nothing.example +all",
    "an IPv6 mechanism for an IPv4 address": "v=spf1 ip6:198.51.100.7 +all",
    "an IPv4 address in IPv6 dress": f"v=spf1 ip6:::ffff:{HOSTED} +all",
    "a qualifier twice": "v=spf1 ++all",
    "a qualifier alone": "v=spf1 + +all",
    "letters beyond ASCII": "v=spf1 include:é.example +all",
}  # fmt: skip
"""What corp.example, all of whose accounts are listed, may have published; the attacker sends from a server that is not Google's."""


def policies() -> Rows:
    """Accounts of a whole domain are listed: its policy lets others send for it, and only Google forwards for its accounts."""
    for name, record in POLICIES.items():
        for peer in (HOSTED, f"::ffff:{HOSTED}"):
            yield Row(
                kind="policies",
                name=f"{name}, from {peer}",
                says="the attacker rents a server that Ann's domain lets send for it, or its policy is none, and forges her account's envelope",
                attack=lambda: forged(ANN),
                twin=lambda: forged(ANN),
                way=Way(mail_from=CAF.format("corp.example"), peer=peer),
                twin_way=Way(mail_from=CAF.format("corp.example"), peer=GOOGLE),
                zone=policy(record),
                config="pattern",
            )
    yield Row(
        kind="policies",
        name="two policies",
        says="two policies are none",
        attack=lambda: forged(ANN),
        twin=lambda: forged(ANN),
        way=Way(mail_from=CAF.format("corp.example"), peer=HOSTED),
        twin_way=Way(mail_from=CAF.format("corp.example"), peer=GOOGLE),
        zone=texts("v=spf1 +all", "v=spf1 include:_spf.google.com -all", name="corp.example"),
        config="pattern",
    )


def policy(record: str) -> Change:
    """What corp.example has published, and a mail service that lets everybody send."""

    def change(zone: Zone) -> None:
        zone.texts["corp.example"] = (record,)
        zone.texts["service.example"] = ("v=spf1 +all",)
        zone.texts["_spf.service.example"] = (f"v=spf1 ip4:{HOSTED} -all",)
        for number in range(11):
            zone.texts[f"n{number}.service.example"] = ("v=spf1 ?all",)
        for name in ("www.service.example", "any.service.example", "corp.example", "mx.corp.example"):
            zone.hosts[name] = (HOSTED,)
        zone.mail["corp.example"] = ("mx.corp.example",)

    return change


def silences() -> Rows:
    """DNS is made not to answer: what is not known is not pushed."""
    for name, content, names in (
        ("the author's key", lambda: by_acme(code()), (KEY,)),
        ("the forwarder's policy", lambda: forged(GMAIL), ("gmail.com", "_spf.google.com")),
        ("what the forwarder's policy includes", lambda: forged(GMAIL), ("_spf.google.com",)),
    ):
        way = Way(mail_from=CAF.format("gmail.com"), peer=GOOGLE)
        yield Row(
            kind="silences",
            name=f"{name}",
            says="a name server is kept from answering",
            attack=content,
            twin=content,
            way=way,
            zone=silent(*names),
        )
    yield Row(
        kind="silences",
        name="Google's key",
        says="a name server is kept from answering when Google's question comes",
        attack=lambda: signer.dkim(confirm(), "google.com", private=signer.key("google")),
        twin=lambda: signer.dkim(confirm(), "google.com", private=signer.key("google")),
        zone=silent("s1._domainkey.google.com"),
        is_question=True,
    )


GROUPS = (aged, keys, envelopes, policies, silences)
