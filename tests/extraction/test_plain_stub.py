"""A plain part that only says that the mail is to be seen as HTML does not decide by itself what its code is."""

from __future__ import annotations

import html
import itertools
from datetime import timedelta
from functools import cache

import pytest

from mailbridge.core.additions import has_another_value
from mailbridge.core.extract import extract
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet
from tests.extraction.chosen_names import HONEST, NOW, SITE, own_rules
from tests.extraction.mails import composed

STUBS = (
    "Hello {name},\n\nthis mail is best viewed in HTML.\n",
    "Hello {name},\n\nplease open this mail in a program that shows HTML.\n\nHarbour\n",
    "{name}, sign in to Harbour. It expires in 10 minutes.\n",
    "Hello {name},\n\nyou asked to sign in to your account. See the HTML part for your code. It expires in 10 minutes.\n",
)
PAGES = (
    "<p>Hello {name},</p><p>Enter this code to sign in:</p><h1>{code}</h1><p>It expires in 10 minutes.</p>",
    "<p>Your verification code is <b>{code}</b>.</p>",
    "<h1>{code}</h1><p>Valid for 10 minutes.</p>",
    "<p>Hi {name}!</p><table><tr><td>Your code</td><td>{code}</td></tr></table>",
)
STRANGE = (
    "Your verification code is 999666",
    "Verification code: 999666",
    "Use 999666 to sign in",
    "Your code: QXRT-9981",
    "999666 is your code",
    "Ann, your login code is 999666. It expires in 10 minutes",
    "Ann\nYour login code:\n999666",
)
"""Names that a stranger may have chosen."""

CODES = ("482913", "7731", "K7QX2M")


@cache
def rules() -> RuleSet:
    """The wording that comes with the project."""
    return own_rules()


def pushed(plain: str, page: str, name: str, code: str, subject: str) -> str | None:
    """What is pushed of a mail of these two parts; None where it is held."""
    shown = page.format(name=html.escape(name), code=code)
    content = composed(
        subject.format(name=name.replace("\n", " ")),
        site=SITE,
        plain=plain.format(name=name),
        html=f"<html><body>{shown}</body></html>",
    )
    found = extract(parse(content), rules=rules(), now=NOW, default_lifetime=timedelta(minutes=10))
    return found.value.reveal() if found.verdict.is_pushed and found.value is not None else None


@pytest.mark.parametrize("subject", ["Your sign-in code", "{name}: your code"])
def test_a_name_is_no_code_where_the_page_has_another(subject: str) -> None:
    """Of a mail whose plain part greets by a hostile name and has no code, the page's code is pushed, or nothing."""
    turns = itertools.cycle(CODES)
    for plain, page, name in itertools.product(STUBS, PAGES, STRANGE):
        code = next(turns)
        assert pushed(plain, page, name, code, subject) in (code, None), (plain, page, name)


def test_a_stub_costs_no_honest_code() -> None:
    """The page's code is pushed where the name is anybody's."""
    for plain, page, name, code in itertools.product(STUBS, PAGES, HONEST, CODES):
        assert pushed(plain, page, name, code, "Your sign-in code") == code, (plain, page, name)


@pytest.mark.parametrize(
    ("page", "plain", "has_another"),
    [
        ("<p>Your code is <b>482913</b>.</p>", "Your code is 482913.", False),
        ("<p>Code: 482-913</p>", "Code: 482 913", False),
        ("<td>4</td><td>8</td><td>2</td><td>9</td>", "Code: 4829", True),  # boxes are looked at as what they are
        ("<p>482913</p><p>\u00a9 2026 Harbour</p>", "482913", False),
        ("<style>.a{color:#333333;width:600px}</style><p title='777123'>482913</p>", "482913", False),
        ("<!-- <b>771204</b> -->482913", "482913", True),
        ("<a title='<h1>771204</h1>'>482913", "482913", True),
        ("<p>&#55;71204</p>", "482913", True),
        ("<p>48\u200b29\u00ad13</p>", "482913", False),
        ("<p>\u0664\u0668\u0662\u0669</p>", "4829", False),
        ("<p>\u0667\u0667\u0663\u0661</p>", "482913", True),
        ("<p>K7QX2M</p>", "482913", True),
        ("<b>K</b> <b>7</b> <b>Q</b> <b>X</b>", "482913", True),
        ("<p>kanto-bilex</p>", "482913", True),
        ("<p>482913</p><p>SIGN IN, iPhone15</p>", "482913", False),
        ("", "482913", False),
    ],
)
def test_what_a_page_has_beside_its_plain_part(page: str, plain: str, has_another: bool) -> None:
    """Anything of a code's shape that is not in the plain part, wherever in the source it stands but in a style sheet or a tag."""
    is_shaped = ("K7QX2M", "kanto-bilex").__contains__
    assert has_another_value(page, plain, is_shaped) is has_another
