"""How a mail looks in a list: the reason in words, and held for as long as it is."""

from __future__ import annotations

import pytest

from mailbridge.intake.judgement import KEYS, Failure
from mailbridge.operator.shapes import DeliveryShape, MailShape
from mailbridge.web.pages.look import mail_state
from mailbridge.web.pages.rendering import plain_reason
from mailbridge.web.pages.words import TEXTS

AT = "2026-11-25T10:00:00.000Z"


@pytest.mark.parametrize("check", KEYS)
def test_a_reason_is_in_words_and_names_no_setting(check: str) -> None:
    """The check by its name in the catalogue; what it says stays as it is."""
    failure = str(Failure(check=check, why="it is not signed"))  # type: ignore[arg-type]
    assert plain_reason(failure) == f"{TEXTS[f'check.{check}']}: it is not signed"


def test_a_strangers_reason_is_in_words() -> None:
    """As the store writes it: the settings stand before the reason there."""
    assert plain_reason(f"stranger ({KEYS['stranger']}): another code lives") == "Unknown sender: another code lives"


def _mail(held: list[str]) -> MailShape:
    return MailShape(
        id=1,
        received_at=AT,
        ingress="smtp",
        from_="login@shop.example",
        subject="Your code",
        rcpt_to=["codes@bridge.example"],
        mail_from="login@shop.example",
        verdict="code",
        identifiers=["ann@corp.com"],
        identifier_from="To",
        rule="generic",
        reason="",
        trust="",
        held=held,
        rejected=[],
        clues=[],
        defects=[],
        size=200,
        origin=None,
        confirm_link=None,
    )


def _delivery(state: str) -> DeliveryShape:
    return DeliveryShape(
        id=1,
        mail=1,
        state=state,
        target="skyvern",
        is_practice=False,
        identifier="ann@corp.com",
        kind="code",
        sender="login@shop.example",
        attempts=0,
        rule="generic",
        received_at=AT,
        deadline=AT,
        due_at=None,
        final_at=AT,
        reason="",
        ref="",
    )


@pytest.mark.parametrize(
    ("held", "states", "word"),
    [
        (["stranger: another code lives"], ["superseded"], "state.held"),
        ([], ["superseded"], "state.superseded"),
        (["stranger: another code lives"], ["superseded", "delivered"], "state.delivered"),
        (["dkim: it is not signed"], [], "state.held"),
    ],
)
def test_what_is_held_looks_held(held: list[str], states: list[str], word: str) -> None:
    """Also where its delivery was set aside; not once another one of it arrived."""
    assert mail_state(_mail(held), [_delivery(one) for one in states]).word == word
