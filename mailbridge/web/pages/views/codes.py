"""Valid codes, masked until somebody reveals one; and who waits for a code."""

from __future__ import annotations

from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.codes import CodeList, GivenList
from mailbridge.operator.faults import Fault
from mailbridge.web.pages.asking import Answer, Asked, Page, Refused

ROWS = 50


async def find(asked: Asked) -> Answer:
    """The valid codes, and which code was given to whom."""
    ask = CodeList(identifier=asked.query.get("identifier", "") or "*", limit=ROWS)
    page = await asked.do(verbs.CODE_LIST, ask)
    given = await asked.do(verbs.CODE_GIVEN, GivenList(limit=20))
    return Page(template="codes.html", values={"codes": page.codes, "given": given.given, "clear": {}})


async def reveal(asked: Asked) -> Answer:
    """One code in clear, for ten seconds."""
    identifier = asked.sent("identifier")
    mail = asked.sent("mail")
    page = await asked.do(verbs.CODE_REVEAL, CodeList(identifier=identifier, limit=100))
    code = next((one for one in page.codes if str(one.mail) == mail), None)
    if asked.is_part:
        return Page(template="_code.html", values={"code": code})
    masked = await asked.do(verbs.CODE_LIST, CodeList(limit=ROWS))
    given = await asked.do(verbs.CODE_GIVEN, GivenList(limit=20))
    clear = {} if code is None else {(code.identifier, code.mail): code}
    return Page(template="codes.html", values={"codes": masked.codes, "given": given.given, "clear": clear})


async def waiting(asked: Asked) -> Answer:
    """Who waits now."""
    page = await asked.operator.codes.waiting(Nothing())
    if isinstance(page, Fault):
        raise Refused(page)
    return Page(template="_waits.html" if asked.is_part else "waiting.html", values={"waits": page.waiting})
