"""Each veto has a mail whose candidate would be pushed without it, and no other veto strikes that one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.context import Context, context_of
from mailbridge.core.evidence import Evidence
from mailbridge.core.extract import evidence_of
from mailbridge.core.features import THRESHOLD
from mailbridge.core.lifetime import stated_lifetime
from mailbridge.core.mail import Body, Message
from mailbridge.core.parts import parts_of
from mailbridge.core.reading import Reader
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_html, page_from_plain
from mailbridge.core.vetoes import VETOES, veto_of

RULES = load(list(rule_sources(RuleSettings())))


def message_of(*, subject: str = "", plain: str | None = None, html: str | None = None, **rest: Any) -> Message:
    """A mail of these parts."""
    return Message(
        subject=subject,
        plain=page_from_plain(plain) if plain is not None else None,
        html_body=Body(lambda: page_from_html(html)) if html is not None else None,
        **rest,
    )


def weighed(message: Message) -> tuple[list[Evidence], Context]:
    """The candidates of a mail, best first, and what holds for it."""
    parts, reader = parts_of(message, RULES.wording.forward), Reader(RULES.wording)
    context = context_of(parts, reader, stated_lifetime(parts.texts, RULES.wording))
    return evidence_of(parts, reader, context), context


EXHIBITS: dict[str, tuple[str, dict[str, Any]]] = {
    "year": ("2019", {"plain": "The code that you asked for in 2019 was never used. Sign in again, it expires in 10 minutes."}),
    "called-else": (
        "482913",
        {"plain": "Verification code sent.\n\nOrder number:\n\n482913\n\nYour code is valid for 10 minutes."},
    ),
    "out-of-sight": (
        "DQX08EQ8",
        {"html": "<p>New plants have come.</p><div style='display:none'>Your code: DQX08EQ8</div>"},
    ),
    "subject-alone": (
        "67493952",
        {
            "subject": "Your card is approved. Code: 67493952",
            "html": "<p>Dear customer, your card waits for you.</p><a href='https://harbour.example/card?c=1'>Get it now</a>",
        },
    ),
    "meeting": (
        "391027",
        {
            "plain": "Zoom: your verification passcode is right here.\n\nYour code: 391027\n\n845 2213 9907\n\nIt expires in 10 minutes."
        },
    ),
    "word": (
        "EXPIRED",
        {"subject": "Your verification code", "plain": "Your verification code: EXPIRED\n\nSign in again within 10 minutes."},
    ),
    "word-and-number": (
        "SUMMER24",
        {"plain": "Your verification code to sign in is SUMMER24. It expires in 10 minutes.\nSUMMER24 is your code."},
    ),
    "of-something-else": (
        "7HK2QX",
        {"subject": "Your order has shipped", "plain": "Your code: 7HK2QX\n\nSign in with it. It expires in 10 minutes."},
    ),
    "offered": (
        "7HK2QX",
        {
            "plain": "Order number 4829, invoice 7712, voucher 3301 and your coupon came.\n\nYour code, as we told you when you asked for it\n\n7HK2QX\n\nSign in within 10 minutes."
        },
    ),
    "phrase": (
        "tibgr-wozkp",
        {"plain": "Your verification code for signing in to the Harbour app is tibgr-wozkp. It expires in 10 minutes."},
    ),
    "letters": (
        "XKCDQW",
        {"plain": "Your code was sent by the XKCDQW service of your bank 482 and expires in 10 minutes. Sign in with it."},
    ),
    "small-letters": ("xkqzw", {"plain": "Your code to sign in xkqzw was made on 12 May 2026. It expires in 10 minutes."}),
    "receipt": (
        "604417",
        {
            "html": "<p>Thank you: $12.40, paid with a card.</p><table><tr><td>Authorization code</td></tr><tr><td>604417</td></tr></table>"
        },
    ),
    "mixed": (
        "7HK2QX",
        {
            "plain": "Your verification code comes soon.\n\nThe app shows it, named 7HK2QX\n\nSign in with the code within 10 minutes."
        },
    ),
    "unnamed": (
        "482913",
        {
            "subject": "Your code",
            "plain": "Your code was sent by post.\n\nPage 482913 has it: https://harbour.example/\n\nSign in within 10 minutes, it expires.",
        },
    ),
}


def test_every_veto_has_its_exhibit() -> None:
    """No veto is without a mail that needs it, and none has another's name."""
    assert {veto.name for veto in VETOES} == EXHIBITS.keys()
    assert len({veto.name for veto in VETOES}) == len(VETOES)


@pytest.mark.parametrize("name", EXHIBITS)
def test_without_the_veto_the_exhibit_is_pushed(name: str) -> None:
    """The candidate of the exhibit has the score of a code, and this veto is the only one that strikes it."""
    value, parts = EXHIBITS[name]
    found, context = weighed(message_of(**parts))
    one = next(one for one in found if one.shape.value == value)
    assert [veto.name for veto in VETOES if veto.strikes(one, context)] == [name]
    assert one.score >= THRESHOLD, sorted(one.features)
    struck = veto_of(one, context)
    assert struck is not None
    assert struck.name == name


def test_a_code_that_is_called_so_is_struck_by_nothing() -> None:
    """The plainest of code mails has no veto against it."""
    found, context = weighed(message_of(subject="Sign in", plain="Your code is 482913. It expires in 10 minutes."))
    assert veto_of(found[0], context) is None
    assert stated_lifetime(["It expires in 10 minutes."], RULES.wording) == timedelta(minutes=10)
