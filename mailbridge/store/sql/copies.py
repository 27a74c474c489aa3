"""A copy of a stored mail of whose sender more is known than of the first copy's.

The same mail may arrive twice: once without a proof, and once with a proof of its author. Whichever comes first, it is one mail.
The proven copy gets what the stranger's copy did not. If the first copy was held or given up, the mail is delivered now. If the
first copy is at the target, or may be on its way there, it stays the only delivery, and now counts as the known sender's.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Delivery, Draft, Standing, State
from mailbridge.store.rows import DELIVERY, micros, read_delivery
from mailbridge.store.sql import Transaction

OF_MAIL = f"SELECT {DELIVERY} FROM delivery WHERE mail_id = ?"  # noqa: S608
GONE_OUT = (State.IN_FLIGHT, State.DELIVERED, State.DEAD)
"""The states in which the target has a delivery, may get it, or has refused it. It does not get it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a copy adds. ``left`` are drafts still to be delivered, because the first copy's were not, for want of proof.
    ``is_surer``: more is known of the mail now."""

    left: tuple[Draft, ...] = ()
    is_surer: bool = False


async def compared(transaction: Transaction, mail_id: int, drafts: Iterable[Draft]) -> Copy:
    """Compare a copy's drafts with the deliveries of the first copy. Deliveries that have gone out now count with the copy's
    proof."""
    rows = [read_delivery(row) for row in await transaction.rows(OF_MAIL, (mail_id,))]
    left: list[Draft] = []
    is_surer = False
    for draft in drafts:
        own = [row for row in rows if _is_of(row, draft)]
        if not own or not all(_is_surer(draft, row.draft) for row in own):
            continue
        is_surer = True
        out = [row for row in own if row.state in GONE_OUT or row.is_doubtful]
        for row in out:
            await _vouch(transaction, row, draft)
        left += [] if out else [draft]
    return Copy(left=tuple(left), is_surer=is_surer)


def _is_of(row: Delivery, draft: Draft) -> bool:
    one = row.draft
    return (one.target, one.identifier.casefold(), one.sender.lower()) == (
        draft.target,
        draft.identifier.casefold(),
        draft.sender.lower(),
    )


def _is_surer(draft: Draft, first: Draft) -> bool:
    """Whether the copy is of a known sender and the first was not, or proves a domain and the first proved none."""
    is_known = draft.standing is Standing.KNOWN and first.standing is not Standing.KNOWN
    return is_known or (draft.domain != "" and first.domain == "" and first.standing is not Standing.KNOWN)


async def _vouch(transaction: Transaction, row: Delivery, draft: Draft) -> None:
    await transaction.change(
        "UPDATE delivery SET standing = ?, domain = ?, written_at = coalesce(?, written_at) WHERE id = ?",
        (int(max(draft.standing, row.draft.standing)), draft.domain, micros(draft.written_at), row.id),
    )
