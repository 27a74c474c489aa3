"""Beside each veto's exhibit, an honest mail that differs from it in what its rule is about: its code has the score, and nothing strikes it."""

from __future__ import annotations

from typing import Any

import pytest

from mailbridge.core.features import THRESHOLD
from mailbridge.core.vetoes import VETOES, veto_of
from tests.core.test_vetoes import message_of, weighed

TWINS: dict[str, tuple[str, dict[str, Any]]] = {
    "year": ("2019", {"plain": "Your sign-in code is 2019. It expires in 10 minutes."}),
    "called-else": ("482913", {"plain": "Verification code:\n\n482913\n\nYour code is valid for 10 minutes."}),
    "out-of-sight": (
        "482913",
        {"subject": "Your verification code", "html": "<p>Hello.</p><div style='display:none'>Your code: 482913</div>"},
    ),
    "subject-alone": ("67493952", {"subject": "Your sign-in code: 67493952", "plain": "Dear customer, it works once."}),
    "meeting": (
        "391027",
        {"plain": "Zoom: your verification code is right here.\n\nYour code: 391027\n\nIt expires in 10 minutes."},
    ),
    "word": (
        "XKCDQW",
        {"subject": "Your verification code", "plain": "Your verification code: XKCDQW\n\nSign in within 10 minutes."},
    ),
    "word-and-number": ("SUMMER24", {"plain": "Your verification code to sign in:\n\nSUMMER24\n\nIt expires in 10 minutes."}),
    "of-something-else": (
        "482913",
        {"subject": "Your order has shipped", "plain": "Your code: 482913\n\nSign in with it. It expires in 10 minutes."},
    ),
    "offered": (
        "7HK2QX",
        {
            "plain": "Order number 4829, invoice 7712, voucher 3301 and your coupon came.\n\nYour code: 7HK2QX\n\nSign in within 10 minutes."
        },
    ),
    "phrase": ("tibgr-wozkp", {"plain": "Your verification code for signing in is:\n\ntibgr-wozkp\n\nIt expires in 10 minutes."}),
    "letters": ("XKCDQW", {"plain": "Your code is XKCDQW. It expires in 10 minutes. Sign in with it."}),
    "small-letters": ("xkqzw", {"plain": "Your code to sign in is xkqzw. It expires in 10 minutes."}),
    "receipt": (
        "604417",
        {
            "html": "<p>Confirm your payment of $12.40.</p><table><tr><td>Verification code</td></tr><tr><td>604417</td></tr></table><p>It expires in 10 minutes.</p>"
        },
    ),
    "mixed": ("7HK2QX", {"plain": "Your verification code is 7HK2QX. Sign in with the code within 10 minutes."}),
    "unnamed": (
        "482913",
        {"subject": "Your code", "plain": "Your code was sent by post.\n\n482913\n\nSign in within 10 minutes, it expires."},
    ),
}


def test_every_veto_has_its_twin() -> None:
    """No veto is without a mail that it must leave alone."""
    assert {veto.name for veto in VETOES} == TWINS.keys()


@pytest.mark.parametrize("name", TWINS)
def test_the_honest_twin_is_struck_by_nothing(name: str) -> None:
    """Its code leads, has the score of a code, and no veto is against it."""
    value, parts = TWINS[name]
    found, context = weighed(message_of(**parts))
    assert found[0].shape.value == value
    struck = veto_of(found[0], context)
    assert struck is None, struck
    assert found[0].score >= THRESHOLD, sorted(found[0].features)
