"""What most rows have is listed as what few have: the way to it is another, the answer is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.core.delivery import State
from mailbridge.store import Filter
from mailbridge.store.sqlite import filters
from tests.web.desk import Desk, at_desk

MAILS = 12
WANTED = (
    Filter(sender="no-reply@larch.example"),
    Filter(sender="larch.example"),
    Filter(sender="fir.example"),
    Filter(identifier="u1@corp.com"),
    Filter(identifier="U1@corp.com", sender="larch.example"),
    Filter(identifier="u1@corp.com", states=(State.IN_FLIGHT, State.PENDING)),
)
HOW = filters.Common(identifier=True, sender=True)


@pytest.mark.parametrize("before", [None, 8])
def test_common_or_rare_the_answer_is_the_same(tmp_path: Path, before: int | None) -> None:
    """The same numbers of mails and of deliveries, in the same order."""

    async def scene(desk: Desk) -> None:
        for number in range(MAILS):
            sender = ("no-reply@larch.example", "other@larch.example", "code@fir.example")[number % 3]
            await desk.mail(f"{482900 + number}", to=f"u{number % 2}@corp.com", sender=sender)

        async def numbers(one: filters.Chosen) -> list[int]:
            name = one.order.removesuffix(" DESC")
            query = f"SELECT {name} FROM {one.source} WHERE {one.where} ORDER BY {one.order}"
            return [row[0] for row in await desk.store.readers.rows(query, one.values)]

        for wanted in WANTED:
            for choose in (filters.mails, lambda *args, **more: filters.deliveries(*args, mail_id=None, **more)):
                rare, common = [await numbers(choose(wanted, before=before, how=how)) for how in (filters.RARE, HOW)]
                assert rare == common, wanted
                assert rare, wanted

    at_desk(tmp_path, scene)


def test_many_rows_make_something_common(tmp_path: Path) -> None:
    """From so many on that a list of all their numbers would be long."""

    async def scene(desk: Desk) -> None:
        await desk.mail("482913")
        fill = (
            "INSERT INTO mail (fingerprint, received_at, ingress, verdict, size, facts, uid, sender) WITH RECURSIVE n (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT randomblob(32), received_at, ingress, verdict, size, facts, uid, sender"
            " FROM n, mail WHERE mail.id = 1"
        )
        ask = Filter(sender="github.com", identifier="ann@corp.com")
        assert await desk.store.readers.do(lambda reading: filters.common(reading, ask)) == filters.RARE
        await desk.store.writer.do(lambda connection: connection.execute(fill))
        assert await desk.store.readers.do(lambda reading: filters.common(reading, ask)) == filters.Common(sender=True)

    at_desk(tmp_path, scene)
