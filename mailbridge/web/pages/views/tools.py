"""What finds a fault: *Why*, the doctor, and the rules with their tester."""

from __future__ import annotations

from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault
from mailbridge.operator.mails import OneMail
from mailbridge.operator.rules import LARGEST_MAIL, LONGEST_RULE, TryRule
from mailbridge.operator.shapes import RuleTrial
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
    """The button: the examination asks mailboxes, DNS and Skyvern, and takes some seconds."""
    return Page(template="doctor.html", values={"examined": None})


async def doctor_run(asked: Asked) -> Answer:
    """Everything that can be wrong, with what fixes it."""
    examined = await asked.do(verbs.DOCTOR, Nothing())
    return Page(template="_examined.html" if asked.is_part else "doctor.html", values={"examined": examined})


FIRST_RULE = """[[rule]]
name = "my-shop"
from = ["*@shop.example"]
pattern = "Your code is (?P<code>[0-9]{6})"
accepts = [{ text = "Your code is 123456", value = "123456" }]
rejects = ["Order number 12"]
"""


async def rules(asked: Asked) -> Answer:
    """Every rule, and the tester."""
    return await _rules(asked, rule=FIRST_RULE, mail="", trial=None)


async def try_rule(asked: Asked) -> Answer:
    """Run what was typed; what was typed stays. A mail of the store is taken by its number, which needs a young login."""
    rule, mail, number = asked.sent("rule"), asked.sent("mail"), asked.sent("number").strip()
    content = mail.encode("utf-8", "replace")
    if not rule.strip() or len(rule) > LONGEST_RULE or len(content) > LARGEST_MAIL:
        trial = RuleTrial(
            name="", problems=["the rule: must be given, and not too long"], before="", found="", after="", reason=""
        )
    else:
        if number.isascii() and number.isdigit() and 0 < len(number) < 19 and int(number):
            content = (await asked.do(verbs.MAIL_RAW, OneMail(id=int(number)))).content[:LARGEST_MAIL]
        trial = await asked.do(verbs.RULE_TRY, TryRule(rule=rule, content=content))
    if asked.is_part:
        return Page(template="_trial.html", values={"trial": trial})
    return await _rules(asked, rule=rule, mail=mail, trial=trial)


async def _rules(asked: Asked, *, rule: str, mail: str, trial: RuleTrial | None) -> Page:
    found = await asked.attempt(verbs.RULE_LIST, Nothing())
    values = {
        "rules": [] if isinstance(found, Fault) else found.rules,
        "problems": (found.problems or (found.title,)) if isinstance(found, Fault) else (),
        "typed": {"rule": rule, "mail": mail, "number": asked.sent("number") or asked.query.get("mail", "")},
        "trial": trial,
    }
    return Page(template="rules.html", values=values)
