"""The block of headers that a mail program writes when a person forwards by hand."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.forwards import MAX_BODY, MAX_LINE, ForwardedBlock, introduces_quotation
from mailbridge.core.forwards import forwarded_block as read_block
from mailbridge.core.forwards import is_forward as says_forward
from mailbridge.core.identity import IdentityPolicy, identify
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.recipients import Recipient
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_plain
from tests.core.forged_addresses import ANN, FORGED

WORDS = load(list(rule_sources(RuleSettings()))).wording.forward

BLOCKS = {
    "Gmail": """---------- Forwarded message ---------
From: Larch Bank <no-reply@larch.example>
Date: Wed, Nov 25, 2026 at 9:31 AM
Subject: Your code
To: <ann@corp.example>


Your code is 482913""",
    "Gmail, German": """---------- Forwarded message ---------
Von: Larch Bank <no-reply@larch.example>
Date: Mi., 25. Nov. 2026 um 09:31 Uhr
Subject: Ihr Code
To: <ann@corp.example>


Ihr Code ist 482913""",
    "Gmail, French": """---------- Forwarded message ---------
De : Larch Bank <no-reply@larch.example>
Date: mer. 25 nov. 2026 à 09:31
Subject: Votre code
To: <ann@corp.example>


Votre code est 482913""",
    "Apple Mail": """> Begin forwarded message:
>
> From: Larch Bank <no-reply@larch.example>
> Subject: Your code
> Date: 25 November 2026 at 09:31:21 CET
> To: ann@corp.example
>
> Your code is 482913
""",
    "Outlook on the web": """________________________________
From: Larch Bank <no-reply@larch.example>
Sent: Wednesday, November 25, 2026 09:31
To: ann@corp.example <ann@corp.example>
Subject: Your code

Your code is 482913""",
    "new Outlook, German": """Von: Larch Bank <no-reply@larch.example>
Datum: Mittwoch, 25. November 2026 um 09:31
An: ann@corp.example <ann@corp.example>
Betreff: Ihr Code
Ihr Code ist 482913""",
    "Thunderbird, Spanish": """-------- Mensaje reenviado --------
Asunto: \tSu código
Fecha: \tWed, 25 Nov 2026 09:31:30 +0100
De: \tLarch Bank <no-reply@larch.example>
Para: \tann@corp.example


Su código es 482913""",
    "MailMate": """Forwarded message:

> From: Larch Bank <no-reply@larch.example>
> To: ann@corp.example
> Subject: Your code
> Date: Wed, 25 Nov 2026 09:31:00 +0000
>
> Your code is 482913
""",
    "labels in Chinese": """
发件人: Larch Bank <no-reply@larch.example>
日期: 2026年11月25日 09:31
收件人: ann@corp.example
主题: 验证码

您的验证码是 482913""",
}


def forwarded_block(message: Message) -> ForwardedBlock | None:
    """The block as the shipped wording files know it."""
    return read_block(message, WORDS)


def is_forward(message: Message) -> bool:
    """Whether a mail says of itself that it was forwarded, by the shipped wording files."""
    return says_forward(message, WORDS)


def at(year: int, month: int, day: int, hour: int, minute: int) -> datetime:
    """A moment as a block tells it: without a zone."""
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001


def message(text: str, subject: str = "Fwd: Your code") -> Message:
    """A mail of one plain part."""
    return Message(subject=subject, plain=page_from_plain(text))


@pytest.mark.parametrize("name", BLOCKS)
def test_the_block_of_each_program_is_read(name: str) -> None:
    """Who sent it, to whom, and when: all three, in the program's own layout and language."""
    block = forwarded_block(message(BLOCKS[name]))
    assert block is not None
    assert block.sender == "no-reply@larch.example"
    assert block.to == ("ann@corp.example",)
    assert block.date == at(2026, 11, 25, 9, 31)


@pytest.mark.parametrize(
    "text",
    [
        "Your code is 482913",
        "From: the team\nTo: you\nSubject: hello",
        "On Wed, 25 Nov 2026 at 09:31, Larch <no-reply@larch.example> wrote:\n> Your code is 482913",
        "",
    ],
)
def test_a_mail_that_nobody_forwarded_has_none(text: str) -> None:
    """A plain mail and a reply have no forwarded block."""
    assert forwarded_block(message(text, subject="Re: Your code")) is None


@pytest.mark.parametrize(
    "subject", ["Fwd: x", "FW: x", "WG: x", "TR: x", "RV: x", "I: x", "VS: x", "转发：x".replace("：", ":"), "ENC: x"]
)
def test_a_subject_alone_says_that_it_is_a_forward(subject: str) -> None:
    """The prefixes of many languages."""
    assert is_forward(message("Your code is 482913", subject=subject))


@pytest.mark.parametrize(
    "text",
    [
        "-" * 200_000,
        "From: " * 50_000,
        "> " * 100_000,
        "---------- Forwarded message ---------\n" + "From: a@b.example\n" * 20_000,
    ],
)
def test_a_hostile_block_is_answered(text: str) -> None:
    """Whatever stands in it gives a block or none; the time it takes is bounded by what is read of it."""
    assert isinstance(forwarded_block(message(text)), ForwardedBlock | None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("25 October 2026 at 11:17:21 EEST", at(2026, 10, 25, 11, 17)),
        ("26 octobre 2026 à 14:25:08 UTC+3", at(2026, 10, 26, 14, 25)),
        ("mar. 27 janvier 2026 à 09:31", at(2026, 1, 27, 9, 31)),
        ("mar 27 ott 2026 alle ore 09:31", at(2026, 10, 27, 9, 31)),
        ("Sal, 27 Eki 2026 12:46", at(2026, 10, 27, 12, 46)),
        ("wt., 27 paź 2026 o 12:46", at(2026, 10, 27, 12, 46)),
        ("27 окт. 2026 г., 12:46", at(2026, 10, 27, 12, 46)),
        ("2026. okt. 27., K 9:31", at(2026, 10, 27, 9, 31)),
        ("2026年10月27日火曜日 17:55:44 -0400", at(2026, 10, 27, 17, 55)),
        ("2026년 10월 27일 오후 5:55", at(2026, 10, 27, 17, 55)),
        ("Tuesday, October 27, 2026 1:31:25 PM", at(2026, 10, 27, 13, 31)),
        ("12:05 a.m., Oct 27, 2026", at(2026, 10, 27, 0, 5)),
        ("2026-10-27 09:31", at(2026, 10, 27, 9, 31)),
        ("27.10.2026 09.31", at(2026, 10, 27, 9, 31)),
        ("10/27/26, 9:31 AM", at(2026, 10, 27, 9, 31)),
        ("03/04/2026 09:31", at(2026, 4, 3, 9, 31)),
        ("31 February 2026 09:31", None),
        ("yesterday", None),
    ],
)
def test_a_date_is_read_as_programs_write_it(written: str, expected: datetime | None) -> None:
    """In many languages and orders; where day and month could be either, the later reading; else none."""
    block = forwarded_block(message(BLOCKS["Gmail"].replace("Wed, Nov 25, 2026 at 9:31 AM", written)))
    assert block is not None
    assert block.date == expected


def test_every_month_has_a_name_and_none_means_two() -> None:
    """The names of the wording files give all twelve months; what means two in two languages is left out."""
    assert set(WORDS.months.values()) == set(range(1, 13))
    assert WORDS.months["november"] == 11
    assert "listopada" not in WORDS.months


@pytest.mark.parametrize(
    ("line", "introduces"),
    [
        ("On Wed, 25 Nov 2026 at 09:31, Larch <no-reply@larch.example> wrote:", True),
        ("Am 25.11.2026 um 09:31 schrieb Larch <no-reply@larch.example>:", True),
        ("El mié, 25 nov 2026 a las 9:31, Larch escribió:", True),
        ("25 ноя 2026 г., в 09:31, Larch написал(а):", True),
        ("2026年11月25日(水) 9:31 Larch <no-reply@larch.example> のメール:", True),
        ("Your code is 482913:", False),
        ("Larch wrote 482913", False),
    ],
)
def test_who_wrote_what_is_quoted_is_known(line: str, introduces: bool) -> None:
    """A line with a date and a word for writing, which ends with a colon, introduces a quotation."""
    assert introduces_quotation(line, WORDS) is introduces


BRIDGE = "codes@bridge.example"
WRITTEN_TO = ("ann@corp.example <ann@corp.example>", "<ann@corp.example>", ANN)
UNSEEN = {
    "a NUL inside",
    "a control behind",
    "a soft hyphen",
    "a joiner",
    "a mark that turns the line",
    "a blank that does not break",
    "a line separator",
}
"""Forms that differ from the mailbox by what nobody sees, and what a body's text is read without; each leads to corp.example itself."""


def addressed(name: str, to: str, *, sender: str = "bo@home.example") -> tuple[tuple[str, ...], str | None]:
    """For whom a mail is that somebody forwards by hand, with a block whose To line is that."""
    block = BLOCKS[name]
    for written in WRITTEN_TO:
        block = block.replace(written, "\0")
    text = block.replace("\0", to)
    content = f"From: {sender}\nTo: {BRIDGE}\nSubject: Fwd: code\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    found = identify(
        parse(content.replace("\r\n", " ").replace("\r", " ").replace("\n", "\r\n").encode("utf-8", "surrogateescape")),
        recipient=Recipient(rcpt=BRIDGE),
        mail_from="",
        policy=IdentityPolicy(own_domains=("bridge.example",), forward=WORDS),
    )
    return found.identifiers, found.source


@pytest.mark.parametrize("name", ["Gmail", "Outlook on the web", "labels in Chinese"])
@pytest.mark.parametrize("form", sorted(set(FORGED) - UNSEEN))
def test_what_only_shows_a_mailbox_in_a_block_does_not_name_it(form: str, name: str) -> None:
    """However the To line of a block is written: a mail that was to somebody else is not for the one whom it shows."""
    assert ANN not in addressed(name, FORGED[form].replace("\r\n", " ").replace("\n", " "))[0]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(
    "to",
    [
        ANN,
        f"<{ANN}>",
        f"Ann <{ANN}>",
        f"Ann Smith <{ANN}>;",
        f'"Smith, Ann" <{ANN}>',
        f"'{ANN}' <{ANN}>",
        f"{ANN} <{ANN}>",
        f"{ANN}<mailto:{ANN}>",
        f"<{ANN}<mailto:{ANN}>>",
        f"Ann <mailto:{ANN}>",
        f"Ann [mailto:{ANN}]",
        f"Ann [{ANN}]",
    ],
)
def test_the_to_line_is_read_as_mail_programs_write_it(to: str, name: str) -> None:
    """Named, quoted, made a link of: the mailbox in it."""
    assert addressed(name, to) == ((ANN,), "inline")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_to_several_is_for_the_one_who_forwards_it_or_nobody(name: str) -> None:
    """Which of several it was for is not guessed; but for the person who forwards what was hers too."""
    for to in (f"Ann <{ANN}>, Bo <bo@home.example>", f"bo@home.example; {ANN}"):
        assert addressed(name, to) == (("bo@home.example",), "inline")
        assert addressed(name, to, sender="cy@home.example") == ((), None)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_whose_to_cannot_be_read_is_not_for_the_one_who_forwards_it(name: str) -> None:
    """It was to somebody; that it was to the person who forwards it is what a block without a To line says."""
    assert addressed(name, "x@evil.example@corp.example") == ((), None)
    assert addressed(name, f"<{ANN}<mailto:m@evil.example>>") == ((), None)
    assert addressed(name, "Ann Smith") == (("bo@home.example",), "From")


ROMANIAN = """-------- Mesaj redirecționat --------
Subiect: \tCodul tău
Dată: \tWed, 25 Nov 2026 09:31:30 +0100
de la: \tLarch Bank <no-reply@larch.example>
Către: \tann@corp.example


Codul tău este 482913"""
"""The library knows this To only among the labels that it looks for in run-together lines."""


def test_a_label_that_the_library_knows_loosely_begins_a_line_too() -> None:
    """Such a To line is read as any other is."""
    for to, expected in ((ANN, (ANN,)), (f"Ann <{ANN}>", (ANN,)), (f"{ANN}@evil.example", ())):
        block = forwarded_block(message(ROMANIAN.replace(ANN, to)))
        assert block is not None
        assert block.to == expected


GLUED = "----- Weitergeleitete Nachricht ----- Von: Larch <a@larch.example>An: {}Gesendet: Mittwoch, 25. November 2026, 09:31:00 MEZBetreff: Ihr Code"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (f'"Ann" <{ANN}>', (ANN,)),
        (f'"{ANN}" <{ANN}>', (ANN,)),
        (f"<{ANN}>@evil.example ", ()),
        (f"{ANN} <m@evil.example>", ()),
        (f"x <{ANN}> <m@evil.example>", ()),
        (f'"x <{ANN}>" <m@evil.example>', ()),
        (f"x |{ANN}| m", ()),
        (f"<<{ANN}>>", ()),
    ],
)
def test_headers_that_are_run_together_name_a_mailbox_in_angles(to: str, expected: tuple[str, ...]) -> None:
    """Yahoo's line of headers, which no grammar can read: one mailbox in angles of its own, under no other name."""
    text = f"{GLUED.format(to)}\n\nIhr Code ist 482913"
    content = f"From: bo@home.example\r\nTo: {BRIDGE}\r\nSubject: WG: Ihr Code\r\n\r\n{text}\r\n".encode()
    policy = IdentityPolicy(own_domains=("bridge.example",), forward=WORDS)
    assert identify(parse(content), recipient=Recipient(rcpt=BRIDGE), mail_from="", policy=policy).identifiers == expected


@pytest.mark.parametrize("name", BLOCKS)
def test_a_mark_that_begins_a_mailbox_is_no_label_in_bold(name: str) -> None:
    """``*To:* ann@…`` is ann's; ``To:*ann@…`` is another's, who may be called so."""
    text = BLOCKS[name]
    for written in WRITTEN_TO:
        text = text.replace(written, "\0")
    assert "\0" in text
    block = forwarded_block(message(re.sub(r":\s*\0", f":*{ANN}", text)))
    assert block is not None
    assert ANN not in block.to
    bold = forwarded_block(message(re.sub(r"(?m)^([>\s]*)(\w+):\s*\0", rf"\1*\2:* {ANN}", text)))
    assert bold is not None
    assert bold.to in ((ANN,), ())


def test_a_block_to_several_does_not_fall_back_on_a_received() -> None:
    """What cannot be told from the block is not told by the way that the mail has come since."""
    received = "Received: from a by b for <cy@home.example>; now\r\n"
    for to in (f"Ann <{ANN}>, di@corp.example", "x@evil.example@corp.example"):
        body = f"---------- Forwarded message ---------\r\nFrom: Larch <a@larch.example>\r\nSubject: code\r\nTo: {to}\r\n\r\nYour code is 1"
        content = f"{received}From: bo@home.example\r\nTo: {BRIDGE}\r\nSubject: Fwd: code\r\n\r\n{body}\r\n".encode()
        policy = IdentityPolicy(own_domains=("bridge.example",), forward=WORDS)
        assert identify(parse(content), recipient=Recipient(rcpt=BRIDGE), mail_from="", policy=policy).identifiers == ()


def test_what_is_cut_off_does_not_make_a_mailbox_of_the_rest() -> None:
    """A line or a body that is longer than what is read of it ends in no address."""
    head = "发件人: Larch <a@larch.example>\n主题: 验证码\n"
    line = f"收件人: ({'x' * (MAX_LINE - len('收件人: () ') - len(ANN))}) {ANN}"
    assert len(line) == MAX_LINE
    filler = "x" * (MAX_BODY - len(head) - len(f"\n收件人: {ANN}"))
    lines = "\n".join(filler[at : at + 900] for at in range(0, len(filler), 901))
    whole = f"{lines[: MAX_BODY - len(head) - len(chr(10) + '收件人: ' + ANN)]}\n{head}收件人: {ANN}"
    for text in (f"{head}{line}", whole):
        block = forwarded_block(message(text))
        assert block is not None
        assert block.to == (ANN,)
        cut = forwarded_block(message(f"{text}.evil.example\n您的验证码是 482913"))
        assert cut is not None
        assert (cut.to, cut.is_to_unclear) == ((), True)
