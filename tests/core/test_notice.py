"""Platforms' notices of what a user wrote, and code mails that look a little like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.notice import SHAPES, has_shape, notice
from mailbridge.core.parse import parse


def sign(headers: str) -> str:
    """Why a mail is a notice; its sender's own domain is acme.example."""
    content = f"{headers}\r\n\r\nYour code is 123456.\r\n".encode()
    return notice(parse(content), is_own=lambda domain: domain.endswith("acme.example"))


@pytest.mark.parametrize(
    "headers",
    [
        "From: a@acme.example\r\nList-Id: team/repo <repo.team.acme.example>",
        "From: a@acme.example\r\nReply-To: reply+AAFK7Q2PZ@reply.acme.example",
        "From: a@acme.example\r\nReply-To: Mallory <m@evil.example>",
        'From: "Mallory (via Acme Docs)" <drive@acme.example>',
        "From: Mallory via Acme <a@acme.example>",
        "From: a@acme.example\r\nSubject: Mallory shared a document with you",
        "From: a@acme.example\r\nSubject: [team/repo] Your code is 123456 (#12)",
        "From: a@acme.example\r\nSubject: Re: [team/repo] Your code (Issue #12)",
        "From: a@acme.example\r\nSubject: Mallory mentioned you in a comment",
        "From: a@acme.example\r\nSubject: Invitation to collaborate on 123456",
        "From: a@acme.example\r\nSubject: Mallory sent you $1.00 USD",
        "From: a@acme.example\r\nSubject: Mallory requested money from you",
        "From: a@acme.example\r\nSubject: =?utf-8?q?Mallory_hat_ein_Dokument_mit_Ihnen_geteilt?=",
        "From: a@acme.example\r\nSubject: =?utf-8?q?Mallory_vous_a_invit=C3=A9?=",
        "From: a@acme.example\r\nSubject: =?utf-8?q?Mallory_comparti=C3=B3_un_archivo?=",
        "From: help@acme.example\r\nAuto-Submitted: auto-replied\r\nSubject: We have your request",
        "From: help@acme.example\r\nAuto-Submitted: Auto-Replied (vacation)\r\nSubject: Your code is 123456",
        "From: help@acme.example\r\nPrecedence: auto_reply\r\nSubject: We have your request",
        "From: help@acme.example\r\nX-Autoreply: yes\r\nSubject: We have your request",
        "From: help@acme.example\r\nAuto-Submitted: auto-generated\r\nIn-Reply-To: <a@b.example>\r\nSubject: Re: Your code is 123456",
        "From: help@acme.example\r\nReferences: <a@b.example>\r\nSubject: AW: Anfrage",
        "From: help@acme.example\r\nIn-Reply-To: <a@b.example>\r\nSubject: Re[2]: a question",
        "From: bob@acme.example\r\nSubject: Automatic reply: Your code is 123456",
        "From: bob@acme.example\r\nSubject: Out of Office",
        "From: bob@acme.example\r\nSubject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_code?=",
        "From: team-bounces@acme.example\r\nSubject: Your message awaits a moderator",
        "From: owner-team@acme.example\r\nSubject: Your message awaits a moderator",
        "From: mailman@acme.example\r\nSubject: Your message awaits a moderator",
    ],
)
def test_a_notice_is_known_by_what_it_shows(headers: str) -> None:
    """Lists of the platform, answers to what somebody wrote or that go there, somebody else's name, and what somebody did."""
    assert sign(headers)


@pytest.mark.parametrize(
    "headers",
    [
        "From: Acme <no-reply@acme.example>\r\nSubject: Your sign-in code",
        "From: Acme <no-reply@acme.example>\r\nReply-To: support@acme.example\r\nSubject: 123456 is your code",
        "From: Acme <no-reply@acme.example>\r\nReply-To: no-reply@mailer.example\r\nSubject: Your code",
        "From: Acme <no-reply@acme.example>\r\nList-Id: <codes.corp.example>\r\nSubject: Your code",
        "From: Acme <no-reply@acme.example>\r\nList-Unsubscribe: <https://acme.example/u>\r\nSubject: [Acme] Sign-in code: 123456",
        "From: Acme <no-reply@acme.example>\r\nSubject: Your requested verification code",
        "From: Acme <no-reply@acme.example>\r\nSubject: Someone requested a login code for your account",
        "From: Acme <no-reply@acme.example>\r\nSubject: =?utf-8?q?Ihr_Best=C3=A4tigungscode?=",
        "From: Acme <no-reply@acme.example>\r\nSubject: Do not share this code with anyone",
        "From: Acme <no-reply@acme.example>\r\nAuto-Submitted: auto-generated\r\nSubject: Your code",
        "From: Acme <no-reply@acme.example>\r\nPrecedence: bulk\r\nSubject: Your code",
        "From: Acme <no-reply@acme.example>\r\nReferences: <acme/sign-in/4711@acme.example>\r\nSubject: Your code",
        "From: Acme <no-reply@acme.example>\r\nSubject: Re: your sign-in code",
        "From: Acme <no-reply@acme.example>\r\nX-Auto-Response-Suppress: All\r\nSubject: Reply with this code: 123456",
        "From: Acme <no-reply@acme.example>\r\nSubject: Automatic replay protection: your code",
        "From: Acme <bounces+123@acme.example>\r\nSubject: Your code",
        "From: Acme <account-owners@acme.example>\r\nSubject: Your code",
    ],
)
def test_a_code_mail_is_no_notice(headers: str) -> None:
    """A list of the recipient's own, an answer address of the site's own, and the words of code mails say nothing of a user."""
    assert sign(headers) == ""


PLAIN_SHAPES = re.sub(r"\\s[+*]?|\.\{0,\d+\}", "[ ]", SHAPES.pattern.removeprefix("(?ix)"))
"""The shapes with one blank for whatever may stand between their words."""

BRANCHES = re.split(r"\|\s", PLAIN_SHAPES)
"""The shapes one by one; the inner alternatives have no blank behind their mark."""


@pytest.mark.parametrize("branch", BRANCHES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_shape_is_seen_by_its_stem(branch: str, data: st.DataObject) -> None:
    """Every shape holds one of the words that are looked for first, as far as it can be written in ASCII."""
    text = data.draw(st.from_regex(re.compile(f"(?ix){branch}"), fullmatch=True))
    plain = text.encode("ascii", "ignore").decode()
    assert has_shape(text)
    assert has_shape(plain) == (SHAPES.search(plain) is not None)
