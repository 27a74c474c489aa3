"""What finds a fault: *Why* and the doctor."""

from __future__ import annotations

from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault
from mailbridge.operator.why import WhyAsk
from mailbridge.web.pages.asking import Answer, Asked, Page


async def why(asked: Asked) -> Answer:
    """Why no code came for somebody."""
    identifier = asked.query.get("identifier", "").strip()
    if not identifier:
        return Page(template="why.html", values={"why": None, "identifier": "", "wrong": ""})
    found = await asked.attempt(verbs.WHY, WhyAsk(identifier=identifier))
    if isinstance(found, Fault):
        return Page(template="why.html", values={"why": None, "identifier": identifier, "wrong": found.title}, status=400)
    return Page(template="why.html", values={"why": found, "identifier": identifier, "wrong": ""})


async def doctor(asked: Asked) -> Answer:  # noqa: ARG001  (a view's form)
    """The examination: it asks mailboxes, DNS and Skyvern, and takes some seconds."""
    return Page(template="doctor.html", values={"examined": None})


async def doctor_run(asked: Asked) -> Answer:
    """Everything that can be wrong, with what fixes it."""
    examined = await asked.do(verbs.DOCTOR, Nothing())
    return Page(template="_examined.html" if asked.is_part else "doctor.html", values={"examined": examined})
