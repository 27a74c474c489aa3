"""The lines of the journal, as transactions write them."""

from __future__ import annotations

from mailbridge.store.sql import Transaction

LINE = "INSERT INTO journal (at, event, mail_id, delivery_id, detail, identifier) VALUES (?, ?, ?, ?, ?, ?)"


async def tell(
    transaction: Transaction,
    at: int,
    event: str,
    mail_id: int,
    delivery_id: int | None = None,
    detail: str = "",
    identifier: str = "",
) -> None:
    """Write one line of what happened. ``identifier`` is only for a line without mail and delivery; those name their own."""
    await transaction.change(LINE, (at, event, mail_id, delivery_id, detail, identifier))
