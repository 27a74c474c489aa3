"""Rules: the list with what each found, and a tester that edits one, tries it on a mail, and keeps it in the store."""

from __future__ import annotations

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.entries import OneEntry
from mailbridge.operator.faults import Fault
from mailbridge.operator.mails import OneMail
from mailbridge.operator.rules import LARGEST_MAIL, LONGEST_RULE, AddRule, OneRule, TryRule
from mailbridge.operator.shapes import RuleShape, RuleTrial
from mailbridge.web.pages.asking import Answer, Asked, Go, Page
from mailbridge.web.pages.words import text

FIRST_RULE = """[[rule]]
name = "my-shop"
from = ["*@shop.example"]
pattern = "Your code is (?P<code>[0-9]{6})"
accepts = [{ text = "Your code is 123456", value = "123456" }]
rejects = ["Order number 12"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """The content of the tester. ``replaces`` is the added rule that is edited; "" for a new one."""

    rule: str
    mail: str = ""
    number: str = ""
    replaces: str = ""


async def find(asked: Asked) -> Answer:
    """Every rule, and the tester: with one of them (``rule``), or with a proposal for a mail (``mail``)."""
    name, number = asked.query.get("rule", ""), asked.query.get("mail", "")
    rule: str | Fault = FIRST_RULE
    if asked.is_operator and name:
        shown = await asked.attempt(verbs.RULE_SHOW, OneRule(name=name))
        rule = shown if isinstance(shown, Fault) else shown.rule
    elif asked.is_operator and _is_number(number):
        made = await asked.attempt(verbs.RULE_NEW, OneMail(id=int(number)))
        rule = made if isinstance(made, Fault) else made.rule
    if isinstance(rule, Fault):
        return await _page(asked, Typed(rule=FIRST_RULE, number=number), trial=_refused(rule), status=rule.meaning.status)
    return await _page(asked, Typed(rule=rule, number=number, replaces=name))


async def attempt(asked: Asked) -> Answer:
    """Try the typed rule; the input stays. A stored mail is chosen by its number, which needs a fresh login."""
    typed = _typed(asked)
    content = typed.mail.encode("utf-8", "replace")
    if not _is_rule(typed.rule):
        trial = _trial(text("rule.wrong.rule"))
    elif len(content) > LARGEST_MAIL:
        trial = _trial(text("rule.wrong.mail"))
    elif typed.number and not _is_number(typed.number):
        trial = _trial(text("rule.wrong.number"))
    else:
        if typed.number:
            content = (await asked.do(verbs.MAIL_RAW, OneMail(id=int(typed.number)))).content[:LARGEST_MAIL]
        trial = await asked.do(verbs.RULE_TRY, TryRule(rule=typed.rule, content=content))
    return Page(template="_trial.html", values={"trial": trial}) if asked.is_part else await _page(asked, typed, trial=trial)


async def add(asked: Asked) -> Answer:
    """Store the rule, which is used at once; mistakes are shown, and the input stays."""
    typed = _typed(asked)
    if not _is_rule(typed.rule):
        return await _page(asked, typed, trial=_trial(text("rule.wrong.rule")), status=400)
    made = await asked.attempt(verbs.RULE_ADD, AddRule(rule=typed.rule, replaces=typed.replaces))
    if isinstance(made, Fault):
        return await _page(asked, typed, trial=_refused(made), status=made.meaning.status)
    return Go(path="/rules", said="said.rule_added")


async def remove(asked: Asked) -> Answer:
    """Take back one that was added."""
    await asked.do(verbs.ENTRY_REMOVE, OneEntry(kind="rule", name=asked.sent("name")))
    return Go(path="/rules", said="said.removed")


def _typed(asked: Asked) -> Typed:
    return Typed(
        rule=asked.sent("rule"),
        mail=asked.sent("mail"),
        number=asked.sent("number").strip(),
        replaces=asked.sent("replaces")[:1000].replace("\0", ""),
    )


def _is_rule(text: str) -> bool:
    return bool(text.strip()) and len(text) <= LONGEST_RULE


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0


def _trial(*problems: str) -> RuleTrial:
    return RuleTrial(name="", problems=list(problems), before="", found="", after="", reason="")


def _refused(fault: Fault) -> RuleTrial:
    return _trial(*(fault.problems or (fault.title,)))


async def _page(asked: Asked, typed: Typed, *, trial: RuleTrial | None = None, status: int = 200) -> Page:
    found = await asked.attempt(verbs.RULE_LIST, Nothing())
    day = await asked.do(verbs.DAY, Nothing())
    rules: list[RuleShape] = [] if isinstance(found, Fault) else found.rules
    edited = next((one for one in rules if one.name == typed.replaces), None)
    values = {
        "rules": rules,
        "hits": day.rules,
        "problems": (found.problems or (found.title,)) if isinstance(found, Fault) else (),
        "typed": typed,
        "is_added": edited is not None and edited.at is not None,
        "edited": edited,
        "trial": trial,
    }
    return Page(template="rules.html", values=values, status=status)
