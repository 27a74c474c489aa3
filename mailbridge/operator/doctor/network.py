"""Checks of how the world reaches us: listeners, DNS, port 25, STARTTLS, certificate, the address that Skyvern polls."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from mailbridge.config.settings import Settings
from mailbridge.operator.doctor.finding import Finding, Patient, failure, ok, unknown, warning
from mailbridge.operator.faults import Fault
from mailbridge.sinks.skyvern_account import why_address_refused, why_refused
from mailbridge.trust.dns import DnsUnavailable

GREETING = 5.0
SOON, VERY_SOON = timedelta(days=14), timedelta(days=3)
LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "[::]": "::1"}  # noqa: S104
"""Where a listener on every address is asked."""

PLAYGROUND = (".localhost", ".local", ".test", ".invalid")


async def listeners(patient: Patient) -> AsyncIterator[Finding]:
    """Every bound address answers as SMTP, and offers STARTTLS where it should."""
    status = patient.status
    if isinstance(status, Fault):
        yield unknown("listener", "no daemon runs, so nothing listens")
        return
    if not status.smtp:
        yield ok("listener", "no SMTP listener is configured")
    for address in status.smtp:
        if address.startswith(("unix:", "/")):
            continue
        host, _, port = address.rpartition(":")
        told = await _dialogue(LOOPBACK.get(host, host.strip("[]")), int(port))
        if isinstance(told, str):
            yield failure("listener", f"{address}: {told}", "the log says why; another program may have the port")
        elif patient.settings.smtp.tls and not told:
            yield warning("listener", f"{address} answers, without STARTTLS", "[smtp] tls_cert, tls_key: see the log")
        else:
            yield ok("listener", f"{address} answers{', with STARTTLS' if told else ''}")


async def _dialogue(host: str, port: int) -> bool | str:
    """Whether STARTTLS is offered (LMTP too); a text if there is no SMTP."""
    try:
        async with asyncio.timeout(GREETING):
            reader, writer = await asyncio.open_connection(host, port, limit=4096)
            try:
                greeting = await reader.readline()
                if not greeting.startswith(b"220"):
                    return f"greets with {greeting[:60].decode('ascii', 'replace').strip()!r}, not with 220"
                for hello in (b"EHLO doctor.localhost\r\n", b"LHLO doctor.localhost\r\n"):
                    writer.write(hello)
                    lines = [await reader.readline()]
                    while lines[-1][3:4] == b"-":
                        lines.append(await reader.readline())
                    if lines[0].startswith(b"250"):
                        writer.write(b"QUIT\r\n")
                        return any(b"STARTTLS" in line for line in lines)
                return "refuses EHLO and LHLO"
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return f"says nothing within {GREETING:g} s"
    except (OSError, ValueError) as fault:
        return str(getattr(fault, "strerror", None) or type(fault).__name__)


def mail_domains(settings: Settings) -> list[str]:
    """The domains at which mail is taken by SMTP, less those that only this machine knows."""
    named = [*settings.domains.accept, *(one.rcpt.rpartition("@")[2] for one in settings.address)]
    return [one for one in dict.fromkeys(name.casefold() for name in named) if one and not one.endswith(PLAYGROUND)]


async def records(patient: Patient) -> AsyncIterator[Finding]:
    """MX and addresses of every domain, and whether their port 25 is ours, as far as this machine can see."""
    own = await own_addresses()
    for domain in mail_domains(patient.settings):
        try:
            hosts = await patient.dns.exchangers(domain) or (domain,)
            addresses = {host: await patient.dns.addresses(host) for host in hosts[:5]}
        except DnsUnavailable:
            yield unknown("dns", f"{domain}: DNS did not answer", "try again later; /etc/resolv.conf names the servers")
            continue
        named = [one for found in addresses.values() for one in found]
        if not named:
            yield failure(
                "dns",
                f"{domain}: no MX and no address",
                f"{domain}. MX 10 mail.{domain}., and mail.{domain}. A, then the address of this machine",
            )
            continue
        private = [one for one in named if ipaddress.ip_address(one).is_private]
        if private:
            yield failure(
                "dns", f"{domain} leads to {private[0]}, which the internet cannot reach", "set a public address in DNS"
            )
            continue
        yield ok("dns", f"{domain} → {', '.join(hosts[:3])} → {', '.join(named[:4])}")
        async for finding in _port(patient, domain, named, own):
            yield finding


async def _port(patient: Patient, domain: str, addresses: Iterable[str], own: set[str]) -> AsyncIterator[Finding]:
    """Each address of a domain on port 25. An AAAA that does not answer costs senders minutes, and codes."""
    hostname = (patient.settings.smtp.hostname or socket.gethostname()).casefold()
    for address in list(dict.fromkeys(addresses))[:4]:
        told = await _dialogue(address, 25)
        where = f"{domain}: {address} port 25"
        if not isinstance(told, str):
            yield ok("port-25", f"{where} answers")
        elif address in own:
            yield failure(
                "port-25", f"{where} is this machine, and {told}", '[smtp] listen = ["0.0.0.0:25", "[::]:25"], or the socket unit'
            )
        else:
            yield unknown(
                "port-25",
                f"{where}: {told}, asked from here as {hostname}",
                f"ask from outside: nc -v {address} 25 must greet with 220",
            )


async def own_addresses() -> set[str]:
    """The addresses of this machine, as far as its name and its routes tell them."""
    found = set()
    with contextlib.suppress(OSError):
        loop = asyncio.get_running_loop()
        found = {str(one[4][0]) for one in await loop.getaddrinfo(socket.gethostname(), None)}
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # sends nothing: it only asks for the route
            found.add(probe.getsockname()[0])
    return found


async def certificate(patient: Patient) -> AsyncIterator[Finding]:
    """How long the certificate is valid. Senders of mail accept a self-signed one; some refuse an expired one."""
    if not patient.settings.smtp.tls:
        yield warning("certificate", "STARTTLS is off: mails are sent to it unencrypted", "set [smtp] tls = true")
        return
    served = await asyncio.to_thread(patient.probes.certificate)
    if served is None:
        yield unknown("certificate", "the certificate could not be read by this user")
        return
    left = served.not_after - patient.now()
    text = f"valid until {served.not_after:%Y-%m-%d}, for {', '.join(served.names[:3]) or 'no name'}"
    if left < VERY_SOON:
        yield failure("certificate", text, "renew it; the files are read again when they change")
    elif left < SOON:
        yield warning("certificate", text, "renew it; the files are read again when they change")
    else:
        yield ok("certificate", f"{text}{' (self-signed, enough for mail)' if served.is_own else ''}")


async def public_url(patient: Patient) -> AsyncIterator[Finding]:
    """Whether Skyvern's guard would let it poll `[http] public_url`."""
    url = patient.settings.http.public_url
    if not url:
        yield ok("totp-url", "no public address for polls is configured ([http] public_url)")
        return
    reason = why_refused(url)
    host = urlsplit(url).hostname or ""
    if reason is None:
        try:
            found = await patient.dns.addresses(host)
        except (DnsUnavailable, ValueError):
            yield unknown("totp-url", f"{host}: DNS did not answer")
            return
        reason = next((why for one in found if (why := why_address_refused(one)) is not None), None)
        reason = reason or (None if found else f"{host} has no address")
    if reason is not None:
        yield failure("totp-url", f"Skyvern will refuse {url}: {reason}", "set [http] public_url to the public https address")
    elif not url.startswith("https:"):
        yield warning("totp-url", f"{url} is not https: codes travel in the clear", "[http] public_url")
    else:
        yield ok("totp-url", f"{url} is one that Skyvern polls")
