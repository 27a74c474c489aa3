"""An ingress in a process that the contract kills: what it stores goes into a book, a line a mail, fsynced."""

from __future__ import annotations

import asyncio
import os
import pickle
from dataclasses import replace
from pathlib import Path

from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer, Stored
from mailbridge.store import Receipt
from tests.ingress.contract import Desk, Place


async def main(pickled: str, book: str, hold: str) -> None:
    """Serve until killed; ``hold``: where a mail is held up, so that the kill comes in the middle; ``""``: nowhere."""
    place: Place = pickle.loads(bytes.fromhex(pickled))
    reached = Path(f"{book}.reached")

    def write(content: bytes) -> None:
        with Path(book).open("a", encoding="ascii") as file:
            file.write(content.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())

    async def accept(envelope: Envelope) -> Answer:
        if hold.startswith("before"):
            reached.touch()
            await asyncio.sleep(60)
        write(envelope.content)
        if hold.startswith("when"):
            reached.touch()
            await asyncio.sleep(60)
        return Stored(receipt=Receipt(mail_id=1))

    async with place.serve(replace(Desk().doorway(), accept=accept)) as where:
        print(where, flush=True)
        await asyncio.sleep(600)
