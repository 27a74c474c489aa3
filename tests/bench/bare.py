"""The reference of `make bench`: a mail in by aiosmtpd, read by the standard library, its code posted by httpx; nothing is kept.

Run as ``python -m tests.bench.bare SMTP_PORT SINK_PORT``; prints one line when it listens.
"""

from __future__ import annotations

import asyncio
import re
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage

import httpx
import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

CODE = re.compile(r"code is: (\d{4,8})")


class Handler:
    """Answers 250 after the push was answered."""

    def __init__(self, client: httpx.AsyncClient, sink: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{sink}/v1/credentials/totp"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        """Read, find, post."""
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        body = mail.get_body(preferencelist=("plain", "html"))
        found = CODE.search(body.get_content() if body is not None else "")
        if found is not None:
            payload = {"totp_identifier": str(mail["To"]), "content": found[1], "source": "email"}
            await self._client.post(self._url, json=payload, headers={"x-api-key": "bench"})
        return "250 OK"


async def main(port: int, sink: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient() as client:
        handler = Handler(client, sink)
        server = await loop.create_server(lambda: SMTP(handler, hostname="bare.localhost", loop=loop), "127.0.0.1", port)
        print("listening", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
