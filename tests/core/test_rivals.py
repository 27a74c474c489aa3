"""Two numbers in one mail, of which a stranger may have written the one that looks better: neither is pushed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import HIDDEN, UNREAD, extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_html, page_from_plain

RULES = load(list(rule_sources(RuleSettings())))
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WROTE = "On Fri, 1 May 2026 at 11:00, Ann &lt;ann@corp.example&gt; wrote:"
ANSWER = (("In-Reply-To", "<1@harbour.example>"),)


def extracted(*, plain: str | None = None, html: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Extraction:
    """The answer for a mail with these parts, under a subject that announces a code."""
    message = Message(
        headers=headers,
        subject="Your sign-in code",
        plain=None if plain is None else page_from_plain(plain),
        html_body=None if html is None else Body(lambda: page_from_html(html)),
    )
    return extract(message, rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))


@pytest.mark.parametrize(
    "plain",
    [
        "Hello Your code is 99966688,\n\nuse 7731 to log in.",
        "Hello Verification code: 99966688 111222 333444 555777, your verification code is 482913.",
        "Hello\nYour code is\n99966688\n111222\n333444\n555777\nEnter this code to sign in:\n482913",
        "Hello\nYour code is 99966688\n50%, use K7QX2M to log in.",
        "Hello\nVerification code: 99966688\nInvoice no., use 7731 to log in.",
    ],
    ids=["another length", "a list in its line", "a list of its form", "a percentage", "an invoice"],
)
def test_a_number_called_the_code_is_a_rival_whatever_stands_around_it(plain: str) -> None:
    """Beside a number that looks better stands one that the mail calls its code: the mail is ambiguous, and both are named."""
    found = extracted(plain=plain)
    assert found.verdict is Verdict.AMBIGUOUS
    named = {one.value.reveal() for one in found.rejected if one.why == "as good a candidate"}
    assert len(named) > 1


def test_a_number_that_only_stands_near_a_word_for_codes_is_no_rival() -> None:
    """What no word touches and no place sets apart, as the digits of an account in a sentence, leaves the code alone."""
    found = extracted(plain="482913 is the OTP for your transfer to Jane Doe, account ending 5678, valid for 5 minutes.")
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize(
    "hiding",
    ["<!--", "<style>", "<select>", "<a title='", '<div style="display:none">', "<div hidden>"],
)
def test_a_code_that_the_page_hides_is_a_rival(hiding: str) -> None:
    """What a name hides, the site wrote: nothing is pushed, and the site's code is named. Without the mark it is pushed."""
    body = "<body><p>Hello {},</p><p>Enter this code to sign in:</p><h1>482913</h1></body>"
    found = extracted(html=body.format(f"<b>Your code is 99966688</b>{hiding}"))
    assert found.verdict is Verdict.AMBIGUOUS
    assert (found.reason == HIDDEN) is ("none" not in hiding and "hidden" not in hiding)
    assert {one.value.reveal() for one in found.rejected} >= {"482913"}
    twin = extracted(html=body.format("<b>Ann</b>"))
    assert (twin.verdict, twin.value and twin.value.reveal()) == (Verdict.CODE, "482913")


def test_the_same_code_out_of_sight_is_no_rival() -> None:
    """A page may repeat its code where it is not seen, and hide another number that nobody calls a code."""
    page = "<body><p>Your code is</p><h1>482913</h1><div style='display:none'>Your code is 482913. Case of 12 May, 1234 Main St</div></body>"
    found = extracted(html=page)
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.CODE, "482913")


@pytest.mark.parametrize(
    ("older", "headers", "verdict"),
    [
        (f"<br>{WROTE}<br>Your code is 771204", (), Verdict.AMBIGUOUS),
        (f"<br>{WROTE}<br>Your code is 771204", ANSWER, Verdict.CODE),
        (f"<br>{WROTE}<blockquote>Your code is 771204</blockquote>", (), Verdict.CODE),
        (f"<br>{WROTE}<blockquote>Your code is 771204", (), Verdict.AMBIGUOUS),
        ("<blockquote>Your code is 771204</blockquote>", (), Verdict.AMBIGUOUS),
        ("<br>&gt; Your code is 771204", (), Verdict.AMBIGUOUS),
        ("<br>&gt; Your code is 771204", ANSWER, Verdict.CODE),
    ],
    ids=[
        "unmarked",
        "unmarked, an answer",
        "a quotation",
        "one without an end",
        "one of nobody's",
        "a mark alone",
        "a mark, an answer",
    ],
)
def test_only_an_answer_quotes_without_marks(older: str, headers: tuple[tuple[str, str], ...], verdict: Verdict) -> None:
    """A page that answers no mail quotes only what its markup quotes, below a line that says whose words they are."""
    found = extracted(html=f"<body><p>Your new code is 482913</p>{older}</body>", headers=headers)
    assert found.verdict is verdict
    assert found.value is not None and (verdict is Verdict.AMBIGUOUS or found.value.reveal() == "482913")


@pytest.mark.parametrize(
    ("padding", "verdict"),
    [
        (" x ".join(str(1_000 + 7 * number) for number in range(60)), Verdict.AMBIGUOUS),
        (" x ".join(str(1_000 + 7 * number) for number in range(20)), Verdict.CODE),
        ("la " * 900 + "your security code is 555123", Verdict.AMBIGUOUS),
        ("la " * 3_000 + "your security code is 555123" + " la" * 900, Verdict.AMBIGUOUS),
        ("la " * 900 + "la 555123", Verdict.CODE),
        ("la " * 900 + "our code of conduct", Verdict.CODE),
        ("la " * 300, Verdict.CODE),
        ("la\n" * 1_600, Verdict.AMBIGUOUS),
        ("la\n" * 1_000, Verdict.CODE),
    ],
    ids=[
        "many numbers",
        "some numbers",
        "a code behind a long line",
        "a code within a long line",
        "a number behind a long line",
        "a word behind a long line",
        "a line",
        "many lines",
        "lines",
    ],
)
def test_nothing_is_pushed_of_a_part_that_is_not_read_to_its_end(padding: str, verdict: Verdict) -> None:
    """Where a line has more numbers or letters, or a part more lines, than are read, the code may stand behind them."""
    found = extracted(plain=f"Your code is 482913.\n\nThank you.\n\n{padding}.")
    assert found.verdict is verdict
    assert (found.reason == UNREAD) is (verdict is Verdict.AMBIGUOUS)
    page = extracted(html=f"<body><h1>Your code is 482913</h1><p>Thank you.</p>{padding}</body>".replace("\n", "<br>"))
    assert page.verdict is verdict
