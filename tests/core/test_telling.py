"""Whether a mail speaks of its code itself: what a stranger's words look like in a site's mail, and what sites write."""

from __future__ import annotations

import pytest

from mailbridge.core import telling
from mailbridge.core.parse import parse
from mailbridge.core.parts import parts_of
from mailbridge.core.reading import Reader
from tests.extraction.chosen_names import own_rules


def doubt(subject: str, text: str, value: str = "482913") -> str:
    """What is said of a plain mail."""
    content = f"From: Acme <a@acme.example>\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    wording = own_rules().wording
    return telling.doubt(parts_of(parse(content.encode()), wording.forward), Reader(wording), value)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Acme", "Your code is 482913."),
        ("Acme", "Hi Ann,\n\nyour code is 482913.\n\nThanks,\nThe Acme Team"),
        ("Sign in to Acme", "Hello Ann,\n\nsomebody asked for this number.\n\n482913 is your code."),
        (
            "Acme",
            "Hello Ann,\n\nsomebody asked us for this.\n\n482913 is your code. It expires in 10 minutes.\n\nEnter the code now.",
        ),
        ("Acme", "Verification code: 482913\n\nThe request came from Berlin, Germany."),
        ("", "482913 is good for whatever you may want to do with your friends."),
        ("The team is here", "We are glad that you are with us.\n\n482913\n"),
        ("Mallory shared a file with you", "Mallory wrote:\n\nYour code is 482913"),
        ("Your code", 'Hi Ann,\n\nthe request came from "Berlin 482913".'),
        ("Code in here: 482913", "We could not show it below. See the subject."),
    ],
)
def test_a_mail_that_speaks_of_its_code(subject: str, text: str) -> None:
    """In its subject, by what it opens or how long that lives, by beginning with it; or it calls nothing a code, or says nothing
    else. What its subject calls a notice is the gate's."""
    assert doubt(subject, text) == ""


@pytest.mark.parametrize(
    ("subject", "text", "why"),
    [
        ("A request", 'Mallory asks for access to "Your code is 482913".', telling.QUOTED),
        ("A request", "Mallory asks for access to “Your code is 482913”.", telling.QUOTED),
        ("Sign in to Acme", 'Your code:\n\nMallory asks for "code 482913".', telling.QUOTED),
        ("News", "Your code is 482913 has invited you to the team.", telling.NOTICE),
        ("News", "Mallory shared a file with you.\n\nYour code is 482913", telling.NOTICE),
        ("Welcome", "Hello Ann,\n\nyou are now a member of the project Your code is 482913.", telling.EMBEDDED),
        ("Followers", "Your code is 482913 follows you now on Acme.", telling.EMBEDDED),
        ("Digest", "This happened in your workspace today:\n\nYour code is 482913", telling.EMBEDDED),
        ("482913 is your Acme code", "Hello Ann,\n\nthanks for being with us today.", telling.EMBEDDED),
        ("Ticket", "Ticket: Your code is 482913\n\nStatus: open", telling.FIELD),
        ("Ticket", "Ticket: 9482913. Your code is 482913\n\nStatus: open", telling.FIELD),
        ("Your sign-in to Acme", "Somebody came in.\n\nDevice: Your code is 482913", telling.FIELD),
        ("Password changed", "Hello Your code is 482913,\n\nyour password is another one now.", telling.GREETED),
    ],
)
def test_words_that_somebody_else_may_have_chosen(subject: str, text: str, why: str) -> None:
    """Only they call it a code, and the mail speaks of something else."""
    assert doubt(subject, text) == why
