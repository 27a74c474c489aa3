"""Heads as mail programs send them: each mistake is repaired and named, the head ends at its first empty line, and two readings are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailbridge.core.identity import IdentityPolicy, identify
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.recipients import Recipient
from tests.cost import loops, seconds

BOM = b"\xef\xbb\xbf"
HEAD = (
    b"Received: from a.example by b.example; Sat, 28 Nov 2026 18:40:00 +0000\r\n"
    b"From: Acme <no-reply@acme.example>\r\n"
    b"To: ann@corp.example\r\n"
    b"Subject: Your code\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
)
BODY = b"\r\nYour verification code is 482913\r\n"
GOOD = HEAD + BODY


def put(line: bytes, behind: bytes) -> bytes:
    """The good mail with octets behind the header of that name."""
    at = GOOD.index(b"\r\n", GOOD.index(behind + b":")) + 2
    return GOOD[:at] + line + GOOD[at:]


MENDED: dict[str, tuple[bytes, set[str]]] = {
    "a mark before the first header": (BOM + GOOD, {"bom"}),
    "two marks": (BOM * 2 + GOOD, {"bom"}),
    "a mark before a later header": (GOOD.replace(b"From:", BOM + b"From:"), {"bom"}),
    "a mark alone in the first line": (BOM + b"\r\n" + GOOD, {"blank-first-line"}),
    "an empty first line": (b"\r\n" + GOOD, {"blank-first-line"}),
    "an empty first line, then a mark": (b"\r\n" + BOM + GOOD, {"blank-first-line", "bom"}),
    "an empty first line of LF": (b"\n" + GOOD.replace(b"\r\n", b"\n"), {"blank-first-line"}),
    "rubbish in the first line": (b"!!! delivered by hand\r\n" + GOOD, {"bad-first-line"}),
    "a fold in the first line": (b" x\r\n" + GOOD, {"bad-first-line"}),
    "an answer of HTTP in the first line": (b"HTTP/1.1 200 OK\r\n" + GOOD, {"bad-first-line"}),
    "a mailbox file's line": (b"From a@b.example Sat Nov 28 18:40:00 2026\r\n" + GOOD, set()),
    "a mailbox file's line, quoted": (b">From a@b.example Sat Nov 28 18:40:00 2026\r\n" + GOOD, {"bad-first-line"}),
    "a line without its colon": (put(b"X-Mailer something\r\n", b"Received"), {"bad-header-line"}),
    "the same behind To": (put(b"X-Mailer something\r\n", b"To"), {"bad-header-line"}),
    "the same behind From": (put(b"X-Mailer something\r\n", b"From"), {"bad-header-line"}),
    "the same with a fold": (put(b"X-Mailer something\r\n\tmore of it\r\n", b"Subject"), {"bad-header-line"}),
    "two of them": (put(b"X-Mailer\r\nX-Other\r\n", b"Received"), {"bad-header-line"}),
    "words before a name": (put(b"quite Delivered-To: ann@corp.example\r\n", b"Received"), {"bad-header-line"}),
    "a continuation without its blank": (put(b"by c.example with SMTP; 28 Nov 2026\r\n", b"Received"), {"bad-header-line"}),
    "the same of From, with its address": (
        GOOD.replace(b"Acme <no-reply@acme.example>", b"Acme\r\n<no-reply@acme.example>"),
        {"bad-header-line"},
    ),
    "the same of To, with its address": (GOOD.replace(b"To: ann", b"To: Ann\r\n<ann").replace(b"ann@corp.example", b"ann@corp.example>"), {"bad-header-line"}),
    "a literal fold": (GOOD.replace(b"; Sat,", b";\r\n\\tSat,"), {"literal-fold"}),
    "a literal fold of From": (GOOD.replace(b"Acme <", b"Acme\r\n\\t<"), {"literal-fold"}),
    "a literal fold of Content-Type": (GOOD.replace(b"plain; ", b"plain;\r\n\\t"), {"literal-fold"}),
    "a blank before a colon": (GOOD.replace(b"To:", b"To :"), {"blank-before-colon"}),
    "blanks before colons": (GOOD.replace(b"To:", b"To \t:").replace(b"Subject:", b"Subject  :"), {"blank-before-colon"}),
    "a blank before the first colon": (GOOD[GOOD.index(b"From") :].replace(b"From:", b"From :"), {"blank-before-colon"}),
    "a fold before a colon": (GOOD.replace(b"From:", b"From\r\n :"), {"blank-before-colon"}),
    "LF for line ends in the head": (HEAD.replace(b"\r\n", b"\n") + b"\n" + BODY, {"bare-lf"}),
}  # fmt: skip
"""A mail, and its defects."""


@pytest.mark.parametrize("name", MENDED)
def test_a_mistake_in_the_head_is_mended_and_named(name: str) -> None:
    """From, To, Subject and the body are read as if it were not there."""
    content, defects = MENDED[name]
    message = parse(content)
    assert (message.sender, message.to, message.subject) == ("no-reply@acme.example", ("ann@corp.example",), "Your code")
    assert message.plain is not None
    assert "482913" in message.plain.text
    assert "no-reply" not in message.plain.text
    assert set(message.defects) - {"name-unquoted"} == defects
    assert not message.is_twofold


def test_the_head_ends_at_the_first_empty_line_and_nowhere_else() -> None:
    """What looks like a header below it is text, and of what stands above it nothing is."""
    below = parse(HEAD + b"\r\nTo: eve@evil.example\r\n" + BODY)
    assert below.to == ("ann@corp.example",)
    assert below.plain is not None
    assert "eve@evil.example" in below.plain.text
    above = parse(put(b"Your verification code is 111111\r\n", b"Received"))
    assert above.plain is not None
    assert "111111" not in above.plain.text
    twice = parse(b"\r\n\r\n" + GOOD)
    assert (twice.sender, twice.to) == ("", ())


def test_a_text_without_a_head_is_a_text() -> None:
    """Where no line is a familiar header, nothing is taken for one."""
    message = parse(b"Hello,\r\nyour code: 482913\r\nhttps://acme.example/\r\n\r\nBye\r\n")
    assert message.plain is not None
    assert "482913" in message.plain.text
    assert message.defects == ("no-from",)


TWOFOLD = {
    "a second mailbox in To": put(b", <eve@evil.example>\r\n", b"To"),
    "a second mailbox in To, folded": put(b"x\r\n , <eve@evil.example>\r\n", b"To"),
    "a longer domain in To": put(b".evil.example\r\n", b"To"),
    "another mailbox in From": put(b", m@evil.example\r\n", b"From"),
    "a literal fold of To": put(b"\\t, <eve@evil.example>\r\n", b"To"),
    "a mailbox that cannot be read": put(b"eve@evil.example <\r\n", b"To"),
    "an encoded word": put(b"=?utf-8?q?eve=40evil.example?=\r\n", b"To"),
    "a stamp": put(b"Delivered-To: ann@corp.example\r\n@evil.example\r\n", b"Received"),
    "a second To with a blank": put(b"To : eve@evil.example\r\n", b"To"),
    "a second To with a mark": put(BOM + b"To: eve@evil.example\r\n", b"To"),
    "a second From with a blank": put(b"From : eve@evil.example\r\n", b"Received"),
    "a stamp with a blank": put(b"Delivered-To: ann@corp.example\r\nDelivered-To : eve@evil.example\r\n", b"Received"),
}


@pytest.mark.parametrize("name", TWOFOLD)
def test_two_readings_that_name_different_mailboxes_name_nobody(name: str) -> None:
    """Of such a mail it is not known whom it is for, by no header and no stamp; a bound address says it."""
    message = parse(TWOFOLD[name])
    assert message.is_twofold
    assert "two-readings" in message.defects
    if "From" in name:
        assert message.sender == ""
    for rcpt in (Recipient(rcpt="codes@bridge.example"), Recipient(rcpt="box@bridge.example", is_mailbox=True)):
        found = identify(message, recipient=rcpt, mail_from="", policy=IdentityPolicy())
        assert found.identifiers == ()
        assert "two ways" in found.reason
    bound = Recipient(rcpt="codes@bridge.example", identifier="ann@corp.example")
    assert identify(message, recipient=bound, mail_from="", policy=IdentityPolicy()).identifiers == ("ann@corp.example",)


def test_two_readings_that_name_the_same_are_one() -> None:
    """A line that adds no mailbox to a header, or only the one that it names, changes nothing."""
    for content in (
        put(b"sent by our new system\r\n", b"To"),
        put(b"To : ann@corp.example\r\n", b"Received"),
        put(b"\\t(Ann)\r\n", b"To"),
    ):
        assert not parse(content).is_twofold, content


def test_an_attached_mail_with_a_mark_is_read() -> None:
    """The original that somebody has attached may begin with the mark as well."""
    content = (
        b"From: ann@corp.example\r\nTo: codes@bridge.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n'
        + BOM
        + GOOD
        + b"--b--\r\n"
    )
    (inner,) = parse(content).attached
    assert (inner.sender, inner.to) == ("no-reply@acme.example", ("ann@corp.example",))


@pytest.mark.parametrize(
    "head",
    [b"x\r\n" * 60_000, BOM * 80_000, b"To :\r\n" * 30_000, b"a" * 200_000, b"x\r\n y\r\n" * 20_000, b"To: a\r\n" + b"\\t,a@b.example\r\n" * 15_000],
    ids=["rubbish", "marks", "blanks", "one name", "folds", "literal folds"],
)  # fmt: skip
def test_mending_is_quick_whatever_it_is(head: bytes) -> None:
    """The work is in proportion to the octets."""
    assert loops(seconds(lambda: parse(b"Subject: x\r\n" + head + b"\r\n\r\nx"), rounds=1)) < 1_000


def test_the_handout_is_read_as_it_says(shared: Path) -> None:
    """Each mail about heads and authors has its sender and recipient."""
    names = [row["file"] for row in json.loads((shared / "handout" / "index.json").read_text())]
    chosen = [name for name in names if name.startswith(("bom", "hdr", "from"))]
    found: dict[str, Message] = {name: parse((shared / "handout" / name).read_bytes()) for name in chosen}
    assert {name: (one.sender, one.to) for name, one in found.items()} == dict.fromkeys(
        chosen, ("no-reply@harbour.example", ("ann@corp.example",))
    )
