"""The museum gives the expected answers, and the invariants of extraction hold for any text."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.candidates import ascii_digits
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_html, page_from_plain
from tests import cost

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = load(list(rule_sources(RuleSettings())))
MUSEUM = sorted((Path(__file__).resolve().parents[1] / "corpus").glob("*.toml"))
EXHIBITS: list[dict[str, Any]] = [one for file in MUSEUM for one in tomllib.loads(file.read_text(encoding="utf-8"))["exhibit"]]


def message_of(*, subject: str = "", plain: str | None = None, html: str | None = None, **_: Any) -> Message:
    """A mail of these parts."""
    return Message(
        subject=subject,
        plain=page_from_plain(plain) if plain is not None else None,
        html_body=Body(lambda: page_from_html(html)) if html is not None else None,
    )


def extracted(**parts: Any) -> Extraction:
    """What a mail of these parts holds."""
    return extract(message_of(**parts), rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda one: one["name"])
def test_every_exhibit_gives_its_answer(exhibit: dict[str, Any]) -> None:
    """Verdict and value of each mail of the museum are the expected ones."""
    found = extracted(**exhibit)
    assert str(found.verdict) == exhibit["verdict"]
    if "value" in exhibit:
        assert found.value is not None
        assert found.value.reveal() == exhibit["value"]


def test_an_ambiguous_mail_shows_both() -> None:
    """Two equal candidates are both told, with the reason."""
    found = extracted(plain="Your code is 482913\nYour code is 771204")
    assert {one.value.reveal() for one in found.rejected if one.why == "as good a candidate"} == {"482913", "771204"}


def test_the_displayed_form_is_kept() -> None:
    """The value is bare, and the form that the mail shows stands beside it."""
    found = extracted(plain="Your code is 482 913")
    assert found.value is not None
    assert found.displayed is not None
    assert (found.value.reveal(), found.displayed.reveal()) == ("482913", "482 913")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("Your code is 482913. It expires in 15 minutes.", 15), ("Code: 482913. Valid for 2 hours.", 120)],
)
def test_the_lifetime_is_as_the_mail_states_it(text: str, minutes: int) -> None:
    """Minutes and hours near a word of expiry are the lifetime."""
    assert extracted(plain=text).lifetime == timedelta(minutes=minutes)


def test_an_attached_mail_older_than_its_code_is_expired() -> None:
    """A code in an attached mail of an hour ago is shown and not pushed."""
    old = Message(plain=page_from_plain("Your code is 482913"), date=NOW - timedelta(hours=1))
    found = extract(Message(attached=(old,)), rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.EXPIRED, "482913")


@given(st.text(max_size=300), st.text(max_size=60))
@settings(deadline=None)
def test_any_mail_gives_one_answer(plain: str, subject: str) -> None:
    """Extraction is total and deterministic."""
    assert extracted(plain=plain, subject=subject) == extracted(plain=plain, subject=subject)


@given(st.text(alphabet="code is your 0123456789-:.\n#@ABxy", max_size=200))
def test_no_value_that_is_not_in_the_mail(plain: str) -> None:
    """What is found stands in the mail, grouping aside, and fits Skyvern's ten characters unless it is a phrase."""
    found = extracted(plain=plain)
    if found.value is not None and found.verdict is Verdict.CODE:
        shown = "".join(letter for letter in ascii_digits(plain) if letter.isalnum())
        assert "".join(letter for letter in found.value.reveal() if letter.isalnum()) in shown


@given(st.integers(min_value=100_000, max_value=999_999).filter(lambda n: len(set(str(n))) > 1))
def test_any_six_digits_beside_their_label_are_found(number: int) -> None:
    """Which six digits they are does not matter."""
    found = extracted(plain=f"Your verification code is {number}.")
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, str(number))


SHAPES = {
    "by Gmail": "---------- Forwarded message ---------\nFrom: Harbour <a@harbour.example>\nDate: Fri, May 1, 2026 at 11:59 AM\nSubject: {subject}\nTo: <b@corp.example>\n\n{text}",
    "by Outlook": "________________________________\nFrom: Harbour <a@harbour.example>\nSent: Friday, May 1, 2026 11:59:00 AM\nTo: b@corp.example <b@corp.example>\nSubject: {subject}\n\n{text}",
    "by Apple Mail": "> Begin forwarded message:\n> \n> From: Harbour <a@harbour.example>\n> Subject: {subject}\n> Date: 1 May 2026 at 11:59:00\n> To: b@corp.example\n> \n{quoted}",
    "with a note": "fyi\n\n---------- Forwarded message ---------\nFrom: Harbour <a@harbour.example>\nDate: Fri, May 1, 2026 at 11:59 AM\nSubject: {subject}\nTo: <b@corp.example>\n\n{text}",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(
    st.sampled_from([one for one in EXHIBITS if "plain" in one and "Forwarded" not in one["plain"] and "> " not in one["plain"]])
)
@settings(max_examples=60, deadline=None)
def test_a_forward_by_hand_changes_nothing(shape: str, exhibit: dict[str, Any]) -> None:
    """A mail of the museum gives the same answer when a person forwards it, in the block of any mail program."""
    subject, plain = exhibit.get("subject", ""), exhibit["plain"]
    quoted = "\n".join(f"> {line}" for line in plain.split("\n"))
    direct = extracted(subject=subject, plain=plain)
    forwarded = extracted(subject=f"Fwd: {subject}", plain=shape.format(subject=subject, text=plain, quoted=quoted))
    assert (forwarded.verdict, forwarded.value) == (direct.verdict, direct.value)


@given(st.sampled_from([one for one in EXHIBITS if "plain" in one or "html" in one]))
@settings(max_examples=60, deadline=None)
def test_a_mail_attached_to_another_gives_the_same(exhibit: dict[str, Any]) -> None:
    """A mail of the museum gives the same answer as an attachment of a mail without text."""
    direct = extracted(**exhibit)
    inner = message_of(**exhibit)
    found = extract(
        Message(subject="see attachment", attached=(inner,)), rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10)
    )
    assert (found.verdict, found.value) == (direct.verdict, direct.value)


def test_time_grows_with_size_and_not_faster() -> None:
    """Four times the text takes less than eight times as long."""

    def spent(count: int) -> float:
        text = "Your order 771204 of 12 May 2026 costs 24.00 EUR, see page 3.\n" * count
        return cost.seconds(lambda: extracted(plain=text))

    assert spent(1_200) < 8 * spent(300)
