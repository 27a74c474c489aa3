"""Rows about what many share: servers that a domain lets others send from, platforms' customers, and services that sign for anybody."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from tests.attacks.forgeries import ANN, BOUND, by_acme, code, link
from tests.attacks.rows import GMAIL, MAILBOX, Row, Rows, Way
from tests.attacks.rows_mailboxes import add
from tests.attacks.rows_seals import DELIVERED, GOOGLE
from tests.peers import signer
from tests.peers.zone import Zone

ESP = "198.51.100.66"
"""A server of a service that sends for anybody who pays."""

OWN = "203.0.113.5"
"""A server of Acme's alone."""

OURS = "mx.mailbox.example"

POLICIES = {
    "by its record": f"ip4:{OWN} include:sendgrid.net -all",
    "by its record, in the first place": f"include:sendgrid.net ip4:{OWN} -all",
    "by a record of its own that leads there": "include:_spf.acme.example -all",
    "by a record in the place of its own": "redirect=sendgrid.net",
    "by its host": "a:smtp.host.example -all",
    "by the network of its host": "a:smtp.host.example/24 -all",
    "by whoever takes its mail": "mx:inbox.acme.example -all",
    "by whatever a name server says": "exists:yes.host.example -all",
    "with everybody": "+all",
}
"""How Acme's policy lets the service send for it."""


def policy(terms: str, dns: Zone) -> None:
    """Acme's policy says this, and the service's records that its server is one of its own."""
    for domain in ("acme.example", "mail.acme.example"):
        dns.texts[domain] = (f"v=spf1 {terms}",)
    dns.texts["_spf.acme.example"] = ("v=spf1 include:sendgrid.net -all",)
    dns.texts["sendgrid.net"] = (f"v=spf1 ip4:{ESP} ~all",)
    dns.hosts["smtp.host.example"] = (ESP,)
    dns.hosts["yes.host.example"] = ("127.0.0.2",)
    dns.mail["inbox.acme.example"] = ("smtp.host.example",)


def changed(to: str = ANN, *, headers: tuple[str, ...] = ("from", "subject", "date")) -> bytes:
    """A genuine code of the attacker's, whose To Acme does not sign and he has changed."""
    return by_acme(code(to="m@evil.example"), headers=headers).replace(b"m@evil.example", to.encode())


def handed_in() -> Rows:
    """Genuine codes of the attacker's, handed to us by a server from which Acme lets its service send."""
    for name, terms in {**POLICIES, "by its number": f"ip4:{ESP} -all"}.items():
        yield Row(
            kind="shared servers",
            name=f"sent on {name}",
            says="the attacker is a customer of a service that Acme's policy lists, and sends on his own code with another To",
            attack=changed,
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND, mail_from="bounces@acme.example", peer=ESP),
            zone=partial(policy, terms),
        )


GOOGLES = "spf=pass (google.com: domain of {who} designates {ip} as permitted sender) smtp.mailfrom={who}"
MICROSOFTS = "spf=pass (sender IP is {ip}) smtp.mailfrom={who}"
PLAIN = "spf=pass smtp.mailfrom={who}"


def fetched(spf: str, content: bytes, *, who: str = "b@acme.example", ip: str = ESP, dkim: str = "") -> bytes:
    """In a mailbox whose server found SPF and DMARC good."""
    results = f"Authentication-Results: {OURS}; {dkim}{spf.format(who=who, ip=ip)}; dmarc=pass header.from=acme.example"
    return add(content, results, "above")


def junk() -> bytes:
    """Unsigned, under a signature that Acme never made, which covers To."""
    own = f"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=s9; t={int(time.time())}; h=from:to:subject:date; bh=AA; b=AA"
    return add(code(to=MAILBOX), own, "above")


def found_by_spf() -> Rows:
    """Forgeries and changed copies in a mailbox, by a server of a service that Acme's policy lists: SPF and DMARC are good."""
    shapes: dict[str, tuple[Callable[[], bytes], str]] = {
        "unsigned": (lambda: code(to=MAILBOX), ""),
        "under a signature that failed": (junk, "dkim=fail header.d=acme.example; "),
        "under a signature of the service": (lambda: code(to=MAILBOX), "dkim=pass header.d=sendgrid.net; "),
        "a link, unsigned": (lambda: link(to=MAILBOX), ""),
    }
    for name, terms in POLICIES.items():
        yield Row(
            kind="shared servers",
            name=f"found good, unsigned, sent {name}",
            says="nothing but SPF says that Acme wrote it, and anybody who pays the service has the same",
            attack=partial(fetched, GOOGLES, code(to=MAILBOX)),
            twin=partial(fetched, GOOGLES, code(to=MAILBOX)),
            way=Way(rcpt=MAILBOX, ingress="imap"),
            zone=partial(policy, terms),
        )
    for words, spf in {"Google's words": GOOGLES, "Microsoft's words": MICROSOFTS, "no address": PLAIN}.items():
        for name, (build, dkim) in shapes.items():
            yield Row(
                kind="shared servers",
                name=f"found good, {name}, in {words}",
                says="DMARC has passed by SPF alone, from a server that Acme shares with the attacker",
                attack=lambda build=build, spf=spf, dkim=dkim: fetched(spf, build(), dkim=dkim),
                twin=lambda build=build, spf=spf, dkim=dkim: fetched(spf, build(), dkim=dkim),
                way=Way(rcpt=MAILBOX, ingress="imap"),
                zone=partial(policy, POLICIES["by its record"]),
            )
    yield Row(
        kind="shared servers",
        name="found good, Acme's own server in the envelope's name",
        says="the attacker's envelope speaks of a server of Acme's where the mailbox's server writes what it has asked about",
        attack=partial(fetched, GOOGLES, code(to=MAILBOX), who=f"x designates {OWN} as permitted sender)@acme.example"),
        twin=partial(fetched, GOOGLES, code(to=MAILBOX), ip=OWN),
        way=Way(rcpt=MAILBOX, ingress="imap"),
        zone=partial(policy, POLICIES["by its record"]),
    )
    for name, headers in {"To not signed": ("from", "subject", "date"), "Subject not signed": ("from", "to", "date")}.items():
        yield Row(
            kind="shared servers",
            name=f"found good and signed, {name}",
            says="Acme's signature is genuine, leaves open what was changed, and the server it came from is no proof of the rest",
            attack=lambda headers=headers: fetched(
                GOOGLES, changed(MAILBOX, headers=headers), dkim="dkim=pass header.d=acme.example; "
            ),
            twin=lambda headers=headers: fetched(
                GOOGLES, changed(MAILBOX, headers=headers), dkim="dkim=pass header.d=acme.example; "
            ),
            way=Way(rcpt=MAILBOX, ingress="imap"),
            zone=partial(policy, POLICIES["by its record"]),
        )


def forwarded(spf: str, content: bytes, *, domain: str = "acme.example", dkim: str = "") -> bytes:
    """Received at Ann's account by Google, and forwarded to us."""
    found = f"mx.google.com; {dkim}{spf.format(who=f'b@{domain}', ip=ESP)}; dmarc=pass header.from={domain}"
    usual = {"private": signer.key("google"), "at": int(time.time())}
    once = signer.arc(content, "google.com", results=found, instance=1, headers=GOOGLE, **usual)  # type: ignore[arg-type]
    own = f"X-Forwarded-For: {GMAIL} codes@bridge.example\r\nDelivered-To: {GMAIL}\r\n".encode() + once
    return signer.arc(own, "google.com", results=found, instance=2, headers=DELIVERED, darn="bridge.example", **usual)  # type: ignore[arg-type]


def sealed() -> Rows:
    """The same under Google's seal: it was given to Ann's account, which forwards to us."""
    for name, terms in POLICIES.items():
        yield Row(
            kind="shared servers",
            name=f"sealed by Google, unsigned, sent {name}",
            says="the seal says truly that DMARC passed, by SPF alone, from a server that Acme shares with the attacker",
            attack=partial(forwarded, GOOGLES, code(to=GMAIL)),
            twin=partial(forwarded, GOOGLES, code(to=GMAIL)),
            way=Way(rcpt=BOUND),
            zone=partial(policy, terms),
        )
    for name, headers in {"Subject not signed": ("from", "to", "date", "message-id")}.items():
        yield Row(
            kind="shared servers",
            name=f"sealed by Google and signed, {name}",
            says="Acme's signature is genuine, leaves Subject open, and the server it came from is no proof of the rest",
            attack=lambda headers=headers: forwarded(
                GOOGLES, by_acme(code(to=GMAIL), headers=headers), dkim="dkim=pass header.i=@acme.example; "
            ),
            twin=lambda headers=headers: forwarded(
                GOOGLES, by_acme(code(to=GMAIL), headers=headers), dkim="dkim=pass header.i=@acme.example; "
            ),
            way=Way(rcpt=BOUND),
            zone=partial(policy, POLICIES["by its record"]),
        )


CUSTOMERS = {
    "acme.onmicrosoft.com": "evil.onmicrosoft.com",
    "acme.okta.com": "evil.okta.com",
    "acme.zendesk.com": "evil.zendesk.com",
    "acme.my.salesforce.com": "evil.my.salesforce.com",
    "sandboxaaaa.mailgun.org": "sandboxbbbb.mailgun.org",
}
"""Customers of platforms, and their neighbours."""


def by_neighbours() -> Rows:
    """Forgeries in the name of a platform's customer, by another one, which DMARC lets pass since both are of the platform's domain."""
    for name, neighbour in CUSTOMERS.items():
        for how, said in {
            "signed by a neighbour": f"dkim=pass header.d={neighbour}; ",
            "signed by the platform": f"dkim=pass header.d={neighbour.partition('.')[2]}; ",
            "sent by a neighbour": f"spf=pass smtp.mailfrom={neighbour}; ",
            "sent by itself, from the servers of all": f"spf=pass smtp.mailfrom={name}; ",
            "by whatever": "",
        }.items():
            if how == "signed by the platform" and name not in ("acme.onmicrosoft.com", "sandboxaaaa.mailgun.org"):
                continue  # such a platform writes for its customers
            results = f"Authentication-Results: {OURS}; {said}dmarc=pass header.from={name}"
            good = f"Authentication-Results: {OURS}; dkim=pass header.d={name}; dmarc=pass header.from={name}"
            sender = f"Acme <no-reply@{name}>"
            yield Row(
                kind="customers",
                name=f"{name} {how}, in a mailbox",
                says="for DMARC all customers of the platform are one organization, and each of them can make it pass for every other",
                attack=lambda results=results, sender=sender: add(code(to=MAILBOX, sender=sender), results, "above"),
                twin=lambda good=good, sender=sender, name=name: add(
                    signer.dkim(code(to=MAILBOX, sender=sender), name), good, "above"
                ),
                way=Way(rcpt=MAILBOX, ingress="imap"),
            )
            yield Row(
                kind="customers",
                name=f"{name} {how}, sealed by Google",
                says="the same at Ann's account, whose seal says truly what DMARC found",
                attack=lambda said=said, sender=sender, name=name: forwarded(
                    said.rstrip("; ") or "x=y", code(to=GMAIL, sender=sender), domain=name
                ),
                twin=lambda sender=sender, name=name: forwarded(
                    f"dkim=pass header.i=@{name}", code(to=GMAIL, sender=sender), domain=name
                ),
                way=Way(rcpt=BOUND),
            )


def keys(domain: str, dns: Zone) -> None:
    """A service publishes the key with which it signs for everybody."""
    dns.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key("evil")),)


def signed_for_anybody() -> Rows:
    """Mails whose From is of a service that sends for others, signed by its own key: any of its customers has that."""
    for domain in ("sendgrid.net", "amazonses.com", "mandrillapp.com", "ccsend.com", "mcsv.net"):
        for host in (domain, f"em.{domain}"):
            sender = f"Acme <acme@{host}>"
            yield Row(
                kind="signing services",
                name=f"{host}, signed by {domain}",
                says="the service signs what any customer of its writes, and From says Acme",
                attack=lambda sender=sender, domain=domain: signer.dkim(code(sender=sender), domain, private=signer.key("evil")),
                twin=lambda: by_acme(code()),
                way=Way(rcpt=BOUND),
                zone=partial(keys, domain),
            )
        results = f"Authentication-Results: {OURS}; dkim=pass header.d={domain}; dmarc=pass header.from={domain}"
        yield Row(
            kind="signing services",
            name=f"{domain}, found good in a mailbox",
            says="the mailbox's server finds the service's own signature, which says nothing of who wrote it",
            attack=lambda results=results, domain=domain: add(code(to=MAILBOX, sender=f"Acme <acme@{domain}>"), results, "above"),
            twin=lambda: fetched(PLAIN, code(to=MAILBOX)),
            way=Way(rcpt=MAILBOX, ingress="imap"),
        )


GROUPS = (handed_in, found_by_spf, sealed, by_neighbours, signed_for_anybody)
