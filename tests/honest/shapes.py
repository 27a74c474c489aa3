"""How mail comes here: straight, by a forwarder that writes what such forwarders write, or out of a mailbox.

Header order and wording are those of real samples (Gmail 2025, Exchange and Outlook.com 2026, Cloudflare, Postfix); where a service's
own form is not known (Proton, Fastmail), what its users report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mailbridge.config import settings as s
from mailbridge.core.mail import Ingress
from mailbridge.core.recipients import RANDOM_LENGTH, unguessable_address
from tests.honest.signings import Signed
from tests.peers import signer
from tests.peers.zone import Zone

DOMAIN = "bridge.example"
CODES = f"codes@{DOMAIN}"
"""Any local part of the domain is taken; the mail itself tells for whom it is."""

SERVER = "mx.mailbox.test"
"""The mailbox's own server, named in ``authserv_ids``."""

GOOGLE = ("mime-version", "date", "message-id", "subject", "to", "from", "dkim-signature")
MICROSOFT = ("from", "date", "subject", "message-id", "content-type", "mime-version")
OUT = "out1.sender.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way. ``account`` is whom the mail is written to; ``bound`` an address of ours that is bound to it, or for ``direct`` the
    address that the site itself writes to. ``forward`` gives content and envelope sender."""

    account: str
    bound: str
    forward: Callable[[Signed, str, str], tuple[bytes, str]]
    ingress: Ingress = "smtp"
    peer: str = "192.0.2.25"
    is_direct: bool = False

    @property
    def to(self) -> str:
        """What stands in the author's To."""
        return self.bound if self.is_direct else self.account


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _below(content: bytes, *lines: str) -> bytes:
    """The lines at the end of the header, where Exchange puts its own."""
    head, _, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n" + _lines(*lines) + b"\r\n" + body


def _now() -> str:
    return format_datetime(datetime.now(UTC))


def _bounce(signed: Signed) -> str:
    return f"bounces@{signed.domain}"


def _results(server: str, signed: Signed) -> str:
    """What a receiver found: the author's signature is aligned, by organization at least, as DMARC asks."""
    return (
        f"{server};\r\n       dkim=pass header.i=@{signed.domain} header.s=s1 header.b=abcdefgh;\r\n"
        f"       spf=pass ({server}: domain of {_bounce(signed)} designates 192.0.2.10 as permitted sender)"
        f" smtp.mailfrom={_bounce(signed)};\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from={signed.domain}"
    )


def _into_google(signed: Signed, account: str) -> bytes:
    """Received by Google, and sealed for the first time."""
    results = _results("mx.google.com", signed)
    sealed = _lines(
        f"Return-Path: <{_bounce(signed)}>",
        f"Received: from {OUT} ({OUT}. [192.0.2.10])\r\n        by mx.google.com with ESMTPS id a640c23a62f3a.3\r\n        for <{account}>"
        f"\r\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        {_now()}",
        f"Received-SPF: pass (google.com: domain of {_bounce(signed)} designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10;",
    )
    return _seal(sealed + signed.content, "google.com", results=results, instance=1, headers=GOOGLE, selector="arc-20240605")


def _out_of_google(content: bytes, signed: Signed) -> bytes:
    """Sealed again, for our domain."""
    results = _results("mx.google.com", signed)
    headers = (*GOOGLE, "delivered-to")
    stamped = (
        _lines(
            "X-Google-DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n        d=1e100.net; s=20230601; h=from; bh=AAAA; b=AAAA",
            f"X-Forwarded-Encrypted: i=2; AJvYcCWyWJR69R7UfUh0074MT8W0OYgxZw1YWcg@{DOMAIN}",
            "X-Gm-Message-State: AOJu0YzU3yubBl72NilgtNUSMF6FreYjCqsGCb/CP",
            f"X-Received: by 2002:a05:6808:7006:b0:43f:1ae3:78f1 with SMTP id 5614622812f47.20;\r\n        {_now()}",
        )
        + content
    )
    sealed = _seal(stamped, "google.com", results=results, instance=2, headers=headers, selector="arc-20240605", darn=DOMAIN)
    return (
        _lines(f"Received: by mail-oi1-f182.google.com with SMTP id 5614622812f47.1\r\n        for <{CODES}>; {_now()}") + sealed
    )


def _seal(
    content: bytes, domain: str, *, results: str, instance: int, headers: tuple[str, ...], selector: str, darn: str = ""
) -> bytes:
    return signer.arc(
        content, domain, results=results, instance=instance, headers=headers, selector=selector, darn=darn, private=_key(domain)
    )


def _direct(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    return signed.content, _bounce(signed)


def _gmail(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """A filter's "Forward it to"."""
    stamped = _lines(
        f"X-Forwarded-To: {rcpt}",
        f"X-Forwarded-For: {account} {rcpt}",
        f"Delivered-To: {account}",
        f"Received: by 2002:ac9:7086:0:b0:5fa:631f:e555 with SMTP id y6csp9787518ocr;\r\n        {_now()}",
        "X-Google-Smtp-Source: AGHT+IH1mvLyzSJxKD2hkhwFrtSaaxka2ZtkXUpW77",
    ) + _into_google(signed, account)
    local, _, domain = account.partition("@")
    return _out_of_google(stamped, signed), f"{local}+caf_={rcpt.replace('@', '=')}@{domain}"


def _workspace(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """Default routing that changes the recipient, with its box for X-Gm-Original-To ticked; the envelope's sender stays."""
    stamped = _lines(
        f"X-Gm-Original-To: {account}",
        "X-Gm-Spam: 0",
        "X-Gm-Phishy: 0",
        f"Received: by 2002:ac9:7086:0:b0:5fa:631f:e555 with SMTP id y6csp9787518ocr;\r\n        {_now()}",
    ) + _into_google(signed, account)
    return _out_of_google(stamped, signed), _bounce(signed)


def _into_microsoft(signed: Signed, account: str) -> bytes:
    results = (
        f"mx.microsoft.com 1; spf=pass (sender ip is\r\n 192.0.2.10) smtp.rcpttodomain={account.partition('@')[2]}"
        f" smtp.mailfrom={signed.domain};\r\n dmarc=pass (p=reject sp=reject pct=100) action=none header.from={signed.domain};"
        f"\r\n dkim=pass (signature was verified) header.d={signed.domain}; arc=none (0)"
    )
    received = (
        _lines(
            f"Received: from {OUT} (192.0.2.10) by\r\n BN8NAM12FT035.mail.protection.outlook.com (10.13.183.2) with Microsoft SMTP Server"
            f" id\r\n 15.21.25.23; {_now()}",
            f"Received-SPF: Pass (protection.outlook.com: domain of {signed.domain} designates\r\n 192.0.2.10 as permitted sender)",
            f"Authentication-Results: spf=pass (sender IP is 192.0.2.10)\r\n smtp.mailfrom={signed.domain}; dkim=pass (signature was"
            f" verified)\r\n header.d={signed.domain};dmarc=pass action=none header.from={signed.domain};",
        )
        + signed.content
    )
    return _seal(received, "microsoft.com", results=results, instance=1, headers=MICROSOFT, selector="arcselector10001")


def _exchange(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """A mailbox's ForwardingSmtpAddress; the envelope's sender is rewritten."""
    tenant = "44d81603-6a98-429d-8ab9-bb947b669639"
    content = _below(
        _into_microsoft(signed, account),
        f"X-MS-Exchange-ForwardingLoop: {account};{tenant}",
        f"X-LD-Processed: {tenant},ExtFwd",
        "X-MS-Exchange-Transport-Forked: True",
        f"X-OriginatorOrg: {account.partition('@')[2]}",
    )
    return content, "bounces+SRS=Ab1cD=YE@school.onmicrosoft.com"


def _outlook(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """An inbox rule's "Redirect to"."""
    inner = _into_microsoft(signed, account)
    results = (
        f"mx.microsoft.com 1; spf=pass (sender ip is\r\n 192.0.2.10) smtp.rcpttodomain=hotmail.com smtp.mailfrom={signed.domain};"
        f"\r\n dmarc=pass action=none header.from={signed.domain}; dkim=pass header.d={signed.domain};\r\n arc=pass (0 oda=0 ltdi=1)"
    )
    sealed = _seal(inner, "microsoft.com", results=results, instance=2, headers=MICROSOFT, selector="arcselector10001")
    content = (
        _lines(
            f"Resent-From: <{account}>",
            "Received: from DM6PR12MB2971.namprd12.prod.outlook.com (2603:10b6:5:118::28)\r\n by IA0PR12MB7699.namprd12.prod.outlook.com with"
            f" Microsoft SMTP Server id 15.21.25.23; {_now()}",
        )
        + sealed
    )
    return _below(content, f"X-MS-Exchange-Inbox-Rules-Loop: {account}"), account


def _cloudflare(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """Email Routing: signs and seals under a name of its own."""
    received = (
        _lines(
            f"Received: from {OUT} (192.0.2.10)\r\n        by cloudflare-email.test (unknown) id 8pOvxHYnzFGj\r\n        for <{account}>; {_now()}",
        )
        + signed.content
    )
    own = signer.dkim(received, "cloudflare-email.test", selector="cf2024-1", private=_key("cloudflare-email.test"))
    results = _results("mx.cloudflare-email.test", signed)
    sealed = _seal(own, "cloudflare-email.test", results=results, instance=1, headers=GOOGLE, selector="cf2024-1")
    stamped = _lines(f"X-Forwarded-To: {rcpt}", f"X-Forwarded-For: {account} {rcpt}") + sealed
    return stamped, f"SRS0=x3Tg=KN={signed.domain}=bounces@{account.partition('@')[2]}"


def _postfix(*, is_rewritten: bool) -> Callable[[Signed, str, str], tuple[bytes, str]]:
    """An alias, or a .forward; with or without a rewritten envelope."""

    def forward(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
        content = (
            _lines(
                f"X-Original-To: {account}",
                f"Delivered-To: {rcpt}",
                f"Received: by mx.fwd.test (Postfix, from userid 118)\r\n\tid AA11; {_now()}",
                f"Received: from {OUT} ({OUT} [192.0.2.10])\r\n\tby mx.fwd.test (Postfix) with ESMTPS id AA10\r\n\tfor <{account}>; {_now()}",
            )
            + signed.content
        )
        return content, f"SRS0=HHH=TT={signed.domain}=bounces@fwd.test" if is_rewritten else _bounce(signed)

    return forward


def _fetched(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    """Delivered to a mailbox that we read."""
    content = (
        _lines(
            f"Return-Path: <{_bounce(signed)}>",
            f"Delivered-To: {account}",
            f"Received: from {SERVER}\r\n\tby imap.mailbox.test with LMTP\r\n\tid 4Kx\r\n\tfor <{account}>; {_now()}",
            "Authentication-Results: " + _results(SERVER, signed),
            f"Received: from {OUT} ({OUT} [192.0.2.10])\r\n\tby {SERVER} (Postfix) with ESMTPS id BB10\r\n\tfor <{account}>; {_now()}",
        )
        + signed.content
    )
    return content, ""


def _proton(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    return _lines(f"X-Pm-Forwarded-From: {account}", f"X-Original-To: {account}") + signed.content, "fwd@forward.proton.test"


def _fastmail(signed: Signed, account: str, rcpt: str) -> tuple[bytes, str]:
    content = (
        _lines(
            f"X-Delivered-to: {account}",
            f"X-Mail-from: {_bounce(signed)}",
            f"Received: from {OUT} (unknown [192.0.2.10])\r\n\tby mx5.messagingengine.test (Postfix) with ESMTPS\r\n\tfor <{account}>; {_now()}",
            "Authentication-Results: " + _results("mx5.messagingengine.test", signed),
        )
        + signed.content
    )
    return content, f"SRS0=xx=YY={signed.domain}=bounces@fastmail.test"


SHAPES: dict[str, Shape] = {
    "direct, to a bound address": Shape(
        account="direct@people.test", bound=f"site@{DOMAIN}", forward=_direct, is_direct=True, peer="192.0.2.10"
    ),
    "Gmail, filter": Shape(account="ann.lee@gmail.com", bound=f"gmail@{DOMAIN}", forward=_gmail, peer="209.85.167.182"),
    "Google Workspace, default routing": Shape(account="finance@workspace.test", bound=f"gws@{DOMAIN}", forward=_workspace),
    "Microsoft 365, mailbox forwarding": Shape(account="ann@school.test", bound=f"m365@{DOMAIN}", forward=_exchange),
    "Outlook.com, redirect rule": Shape(account="ann@hotmail.com", bound=f"outlook@{DOMAIN}", forward=_outlook),
    "Cloudflare Email Routing": Shape(account="me@brand.test", bound=f"cloudflare@{DOMAIN}", forward=_cloudflare),
    "Postfix, alias with SRS": Shape(account="ann@fwd.test", bound=f"srs@{DOMAIN}", forward=_postfix(is_rewritten=True)),
    "Postfix, .forward": Shape(account="bob@fwd.test", bound=f"forward@{DOMAIN}", forward=_postfix(is_rewritten=False)),
    "mailbox, over IMAP": Shape(account="ann@mailbox.test", bound="ann@mailbox.test", forward=_fetched, ingress="imap"),
    "Proton, auto-forward": Shape(account="ann@proton.me", bound=f"proton@{DOMAIN}", forward=_proton),
    "Fastmail, forwarding rule": Shape(account="ann@fastmail.com", bound=f"fastmail@{DOMAIN}", forward=_fastmail),
}


def added(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The same, each to an address as ``mailbridge address add`` and ``setup`` make them: one that nobody can guess."""
    return {
        name: replace(shape, bound=unguessable_address(DOMAIN, sha256(name.encode()).digest()[:RANDOM_LENGTH]))
        if shape.ingress == "smtp"
        else shape
        for name, shape in shapes.items()
    }


def settings(shapes: Mapping[str, Shape] = SHAPES, *, link_hosts: tuple[str, ...] = ()) -> s.Settings:
    """A bridge as its manual sets it up: a domain, an address bound to each account, a mailbox with its server's name; else defaults."""
    return s.Settings(
        domains=s.DomainSettings(accept=(DOMAIN,)),
        address=tuple(
            s.AddressSettings(rcpt=shape.bound, identifier=shape.account) for shape in shapes.values() if shape.ingress == "smtp"
        ),
        imap=(s.ImapSettings(host="imap.mailbox.test", username="ann@mailbox.test"),),
        trust=s.TrustSettings(authserv_ids=(SERVER,), link_hosts=link_hosts),
    )


def publish(zone: Zone) -> None:
    """The forwarders' keys and policies."""
    for selector, domain in (
        ("arc-20240605", "google.com"),
        ("arcselector10001", "microsoft.com"),
        ("cf2024-1", "cloudflare-email.test"),
    ):
        zone.texts[f"{selector}._domainkey.{domain}"] = (signer.record(_key(domain)),)
    zone.texts["gmail.com"] = ("v=spf1 redirect=_spf.google.com",)
    zone.texts["_spf.google.com"] = ("v=spf1 ip4:209.85.128.0/17 ~all",)


@cache
def _key(domain: str) -> RSAPrivateKey:
    return signer.key(domain)
