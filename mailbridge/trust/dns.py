"""DNS lookups with a cache and a deadline, for the checks of signatures and senders."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

LONGEST = 3_600.0
SHORTEST = 60.0
"""Seconds. An answer is kept for its own TTL, within these bounds."""

FAILURE = timedelta(seconds=5)
"""A failure is kept this long without a new try, so that a burst of mails waits for it only once."""

CAPACITY = 1_024
LARGEST = 16_384
"""Characters of one answer that are kept. A stranger's zone must not fill the memory."""


class DnsUnavailable(Exception):  # noqa: N818  (a condition rather than a fault)
    """DNS did not answer in time, or a server failed. Nothing is known, so the mail must be tried again later."""


class Resolver(Protocol):
    """Looks up names. Every method returns ``()`` if the name has no such record, and raises only DnsUnavailable."""

    async def txt(self, name: str) -> tuple[str, ...]:
        """TXT records, the strings of each joined."""
        ...

    async def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses."""
        ...

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """Hosts of MX records, best first."""
        ...


class Dns:
    """`Resolver` over the system's name servers, or over those that are named (``host``, ``host:port``, ``[v6]:port``).

    If the system names none, this machine is asked (127.0.0.1), as in the C library.
    """

    def __init__(
        self,
        *,
        timeout: timedelta,
        nameservers: Sequence[str] = (),
        failure: timedelta = FAILURE,
        resolv_conf: str = "/etc/resolv.conf",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._named = tuple(nameservers)
        self._resolv_conf = resolv_conf
        self._made: Any = None
        self._clock = clock
        self._timeout = timeout.total_seconds()
        self._failure = failure.total_seconds()
        self._known: OrderedDict[tuple[str, str], tuple[float, tuple[str, ...] | None]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[tuple[str, ...]]] = {}

    def warm_up(self) -> None:
        """Load the library now. That takes 50 ms and 3 MB, and blocks. Otherwise the first lookup loads it, in a thread."""
        self._resolver()

    @property
    def nameservers(self) -> tuple[str, ...]:
        """The servers that are asked."""
        return tuple(map(str, self._resolver().nameservers))

    async def txt(self, name: str) -> tuple[str, ...]:
        """See `Resolver.txt`."""
        return await self._ask(name, "TXT", lambda record: b"".join(record.strings).decode("utf-8", "replace"))

    async def addresses(self, name: str) -> tuple[str, ...]:
        """See `Resolver.addresses`."""
        four, six = await asyncio.gather(
            self._ask(name, "A", lambda record: str(record.address)), self._ask(name, "AAAA", lambda record: str(record.address))
        )
        return (*four, *six)

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """See `Resolver.exchangers`."""
        found = await self._ask(
            name, "MX", lambda record: f"{record.preference:05d} {record.exchange.to_text(omit_final_dot=True)}"
        )
        return tuple(one.partition(" ")[2] for one in sorted(found))

    def _resolver(self) -> Any:
        """The library's resolver, made at its first use. Safe for several threads: the last assignment publishes the finished
        object."""
        if self._made is not None:
            return self._made
        import dns.asyncresolver
        import dns.exception

        named = self._named
        try:
            made = dns.asyncresolver.Resolver(filename=self._resolv_conf, configure=not named)
        except (dns.exception.DNSException, OSError, ValueError):
            made = dns.asyncresolver.Resolver(configure=False)
            named = ("127.0.0.1",)
        made.cache = None
        made.lifetime = self._timeout
        made.timeout = self._timeout / 3
        if named:
            made.nameservers = [_nameserver(one) for one in named]
        self._made = made
        return made

    async def _ask(self, name: str, kind: str, text: Callable[[Any], str]) -> tuple[str, ...]:
        key = (name.lower().rstrip("."), kind)
        known = self._known.get(key)
        if known is not None and known[0] > self._clock():
            self._known.move_to_end(key)
            if known[1] is None:
                raise DnsUnavailable(f"no answer for {key[0]}")
            return known[1]
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._look_up(key, text))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await _shared(task)

    async def _look_up(self, key: tuple[str, str], text: Callable[[Any], str]) -> tuple[str, ...]:
        if self._made is None:
            await asyncio.to_thread(self.warm_up)
        import dns.exception
        import dns.name
        import dns.resolver

        name, kind = key
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._resolver().resolve(name, kind, search=False)
        except dns.resolver.NXDOMAIN:
            return self._keep(key, SHORTEST, ())
        except dns.resolver.NoAnswer:
            return self._keep(key, SHORTEST, ())
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape, dns.name.IDNAException):
            return self._keep(key, LONGEST, ())
        except (dns.exception.DNSException, OSError, ValueError) as fault:
            self._keep(key, self._failure, None)
            raise DnsUnavailable(f"no answer for {name}: {type(fault).__name__}") from None
        ttl = min(max(float(answer.rrset.ttl), SHORTEST), LONGEST)
        return self._keep(key, ttl, _bounded(text(record) for record in answer))

    def _keep(self, key: tuple[str, str], seconds: float, found: tuple[str, ...] | None) -> tuple[str, ...]:
        self._known[key] = (self._clock() + seconds, found)
        self._known.move_to_end(key)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return found or ()


def _bounded(records: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    left = LARGEST
    for record in records:
        left -= len(record)
        if left < 0:
            break
        kept.append(record)
    return tuple(kept)


async def _shared(task: Awaitable[T]) -> T:
    """Wait for a task that others may also wait for. A waiter that is cancelled does not cancel the task."""
    return await asyncio.shield(asyncio.ensure_future(task))


def _nameserver(text: str) -> Any:
    import dns.nameserver

    host, port = text, 53
    if text.startswith("["):
        host, _, tail = text[1:].partition("]")
        port = int(tail.removeprefix(":") or 53)
    elif text.count(":") == 1:
        host, _, tail = text.partition(":")
        port = int(tail)
    return dns.nameserver.Do53Nameserver(host, port)
