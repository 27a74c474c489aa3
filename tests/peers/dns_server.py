"""A DNS server of our own on loopback, UDP and TCP, that serves a zone kept in memory and can fail in every way that matters."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Way = Literal["servfail", "silent"]
UDP_LIMIT = 512


class DnsServer:
    """``zone`` is (name, type) to values; ``broken`` are names that fail; ``asked`` counts questions.

    ``ttl`` is that of every record, in seconds; ``lost`` is how many questions for a name are not answered at first.
    """

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.broken: dict[str, Way] = {}
        self.asked: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.ttl = 300
        self.by_tcp = 0
        self.port = 0

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def txt(self, name: str, *values: str) -> None:
        """Serve TXT records at a name."""
        self.zone[name.lower(), "TXT"] = list(values)

    def answer(self, octets: bytes, *, limit: int) -> bytes | None:
        """What is sent back for one question; None for silence."""
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name] += 1
        way = self.broken.get(name)
        if way == "silent" or self.asked[name] <= self.lost[name]:
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if way == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        values = self.zone.get((name, kind))
        if values is not None:
            texts = [_quoted(one) if kind == "TXT" else one for one in values]
            reply.answer.append(dns.rrset.from_text_list(question.name, self.ttl, dns.rdataclass.IN, question.rdtype, texts))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        wire = reply.to_wire()
        if len(wire) > limit:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC | dns.flags.RA
            return short.to_wire()
        return wire


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._server.answer(data, limit=UDP_LIMIT)
        if wire is not None:
            self._transport.sendto(wire, addr)


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    """A running server with an empty zone."""
    server = DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                server.by_tcp += 1
                wire = server.answer(await reader.readexactly(size), limit=65_535)
                if wire is None:
                    return
                writer.write(len(wire).to_bytes(2, "big") + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.bind(("127.0.0.1", 0))
    server.port = one.getsockname()[1]
    by_tcp = await asyncio.start_server(serve, sock=one)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Udp(server), local_addr=("127.0.0.1", server.port)
    )
    try:
        yield server
    finally:
        transport.close()
        by_tcp.close()


def _quoted(text: str) -> str:
    """A TXT value in strings of at most 255 octets, as zone files have it."""
    return " ".join('"' + text[at : at + 250].replace("\\", "\\\\").replace('"', '\\"') + '"' for at in range(0, len(text), 250))
