"""How long a code lives is read as the mail states it, and nothing else is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Verdict
from mailbridge.core.lifetime import stated_expiry, stated_lifetime
from mailbridge.core.mail import Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_plain

RULES = load(list(rule_sources(RuleSettings())))
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "minutes"),
    [
        ("It expires in 10 minutes.", 10),
        ("This code is valid for two hours.", 120),
        ("Der Code gilt 5 Minuten.", 5),
        ("Le code expire dans 15 minutes.", 15),
        ("Caduca en 20 minutos.", 20),
        ("有効期限は10分です。", 10),
        ("验证码5分钟内有效。", 5),
        ("Код действителен 30 минут.", 30),
        ("الرمز صالح لمدة ١٠ دقائق", 10),
        ("인증번호는 3분간 유효합니다.", 3),
        ("Geldig: 10 min", 10),
    ],
)
def test_a_lifetime_is_read_in_many_languages(line: str, minutes: int) -> None:
    """A number beside a unit of time and near a word of expiry is the lifetime."""
    assert stated_lifetime(["Hello", line], RULES.wording) == timedelta(minutes=minutes)


@pytest.mark.parametrize("line", ["We met 10 minutes ago.", "Open 24 hours a day.", "Version 10.5 min", "Expires soon."])
def test_other_durations_are_no_lifetime(line: str) -> None:
    """Without a word of expiry, or without a duration, no lifetime is stated."""
    assert stated_lifetime([line], RULES.wording) is None


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("It expires at 2026-05-01 12:08 UTC.", (12, 8)),
        ("Valid until 2026-05-01T14:08:30+02:00", (12, 8)),
        ("The code is valid until May 1, 2026 at 12:08 PM (UTC)", (12, 8)),
        ("Gültig bis 1 May 2026 07:08 GMT-0500", (12, 8)),
    ],
)
def test_an_absolute_expiry_is_read_with_its_zone(line: str, moment: tuple[int, int]) -> None:
    """A moment with a zone behind a word of expiry is the expiry, in UTC."""
    assert stated_expiry([line], RULES.wording) == datetime(2026, 5, 1, *moment, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    ["You asked for it at 2026-05-01 11:58 UTC.", "Valid until 2026-05-01 12:08.", "Valid until 2026-13-41 12:08 UTC"],
)
def test_other_moments_are_no_expiry(line: str) -> None:
    """The moment of the request, a moment without zone and an impossible one say nothing about the code's end."""
    assert stated_expiry([line], RULES.wording) is None


def test_a_code_whose_mail_says_that_it_has_ended_is_expired() -> None:
    """A code past the moment that its own mail names is shown and not pushed; a minute before it is."""
    text = "Your code is 482913. It expires at 2026-05-01 12:08 UTC."
    mail = Message(plain=page_from_plain(text))

    def verdict(minutes: int) -> Verdict:
        now = NOW + timedelta(minutes=minutes)
        return extract(mail, rules=RULES, now=now, default_lifetime=timedelta(minutes=10)).verdict

    assert (verdict(7), verdict(8)) == (Verdict.CODE, Verdict.EXPIRED)


def test_a_hand_forwarded_mail_is_expired_only_if_it_is_too_old_in_every_zone() -> None:
    """The date of a forwarded block has no zone: eleven hours may be a zone's, two days are not."""

    def verdict(date: str) -> Verdict:
        text = f"---------- Forwarded message ---------\nFrom: Harbour <a@harbour.example>\nDate: {date}\nSubject: Code\nTo: <b@corp.example>\n\nYour code is 482913."
        mail = Message(subject="Fwd: Code", plain=page_from_plain(text))
        return extract(mail, rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10)).verdict

    assert verdict("Fri, May 1, 2026 at 1:05 AM") is Verdict.CODE
    assert verdict("Wed, Apr 29, 2026 at 11:58 AM") is Verdict.EXPIRED
