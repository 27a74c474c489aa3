"""A mail's header as it was signed: what is read of it, and what makes it doubtful."""

from __future__ import annotations

import pytest

from mailbridge.trust import raw
from tests.trust.mails import mail

ONCE = (
    "from",
    "sender",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
)


@pytest.mark.parametrize("name", ONCE)
def test_a_header_that_may_stand_once_stands_once(name: str) -> None:
    """A second one of the same name, in whatever case, makes the mail doubtful, and says which it was."""
    head = b"From: a@acme.example\r\n" if name != "from" else b""
    one = f"{name}: x\r\n".encode()
    assert raw.read(head + one + b"\r\n").doubt == ""
    assert raw.read(head + one + one.upper() + b"\r\n").doubt == f"it has the header {name} more than once"


def test_other_headers_may_stand_more_often() -> None:
    """Received, and what nobody knows."""
    assert raw.read(b"From: a@acme.example\r\nReceived: a\r\nReceived: b\r\nX-A: a\r\nX-A: b\r\n\r\n").doubt == ""


def test_a_mail_has_a_from() -> None:
    """Without one nobody can have signed it as its author."""
    assert raw.read(b"To: a@acme.example\r\n\r\n").doubt == "it has no From"


def test_a_mail_has_forty_signatures_at_most() -> None:
    """Behind more of them one could stand that is not looked at."""
    one = b"DKIM-Signature: d=x.example\r\n"
    assert raw.read(one * 40 + mail()).doubt == ""
    assert raw.read(one * 41 + mail()).doubt == "it has more signatures than any honest mail"


@pytest.mark.parametrize("name", raw.SIGNATURES)
def test_a_signature_has_a_size(name: str) -> None:
    """One of 8,192 octets is read, one more is not; nor is one with more than 80 blanks in a row."""
    head = f"{name}: ".encode()
    honest = head + b"x" * (8_192 - len(head)) + b"\r\n"
    assert raw.read(honest + mail()).doubt == ""
    assert (
        "longer than any honest one"
        in raw.read(b"A" + honest[:1].lower() + b": x\r\n" + head + b"x" * 8_192 + b"\r\n" + mail()).doubt
    )
    assert raw.read(head + b"a" + b" " * 80 + b"b\r\n" + mail()).doubt == ""
    assert "longer than any honest one" in raw.read(honest.replace(b"\r\n", b"x\r\n") + mail()).doubt
    assert raw.read(head + b"a" + b" " * 80 + b"b\r\n" + mail()).doubt == ""
    assert "longer than any honest one" in raw.read(head + b"a" + b" " * 81 + b"b\r\n" + mail()).doubt
    assert raw.read(b"X-Other: a" + b" " * 81 + b"b\r\n" + mail()).doubt == ""


def test_four_kinds_of_headers_are_signatures() -> None:
    """DKIM's, and the three of a seal."""
    assert set(raw.SIGNATURES) == {"dkim-signature", "arc-seal", "arc-message-signature", "arc-authentication-results"}


def test_values_are_unfolded_and_bare() -> None:
    """A fold is taken out, blanks at both ends too, and nothing else; the topmost comes first."""
    found = raw.read(b"From: a@acme.example\r\nX-A: \t one\r\n two \t\r\nx-a:three\r\n\r\n")
    assert found.values("x-a") == ("one two", "three")
    assert found.values("from") == ("a@acme.example",)
    assert "acme" not in repr(found)


COVERED = {
    "one": ("to: ann@corp.example", ["to"], {"ann@corp.example"}),
    "To not covered": ("to: ann@corp.example", ["cc", "from"], set()),
    "Cc": ("cc: ann@corp.example, bob@corp.example", ["cc"], {"ann@corp.example", "bob@corp.example"}),
    "both": ("to: ann@corp.example\r\ncc: bob@corp.example", ["to", "cc"], {"ann@corp.example", "bob@corp.example"}),
    "one that cannot be read beside": ('to: ann@corp.example, "x"@evil.example', ["to"], {"ann@corp.example", ""}),
    "one that cannot be read": ('to: "x"@evil.example', ["to"], {""}),
    "malformed": ("to: x <a@evil.example> y", ["to"], {""}),
    "malformed, Cc": ("to: ann@corp.example\r\ncc: x <a@evil.example> y", ["to", "cc"], {"ann@corp.example", ""}),
    "malformed, not covered": ("to: ann@corp.example\r\ncc: x <a@evil.example> y", ["to"], {"ann@corp.example"}),
    "words": ("to: Undisclosed recipients <x", ["to"], set()),
    "an encoded word": ("to: =?utf-8?q?x?=", ["to"], {""}),
    "nobody, called like an address": ('to: "m@evil.example": ;', ["to"], set()),
    "another header that cannot be read": (
        "subject: x <a@evil.example> y\r\nto: ann@corp.example",
        ["subject", "to"],
        {"ann@corp.example"},
    ),
    "nobody": ("to: undisclosed-recipients:;", ["to"], set()),
    "a name that should be quoted": ("to: Smith, Ann <ann@corp.example>", ["to"], {"ann@corp.example"}),
    "listed more often than there": ("to: ann@corp.example", ["to", "to"], {"ann@corp.example"}),
}


@pytest.mark.parametrize("name", COVERED)
def test_recipients_are_those_that_are_covered(name: str) -> None:
    """The mailboxes of To and Cc as far as they are listed; "" for one that cannot be read."""
    lines, covered, expected = COVERED[name]
    found = raw.read(f"From: a@acme.example\r\n{lines}\r\n\r\n".encode())
    assert found.recipients(covered) == expected


def test_a_list_of_tags_is_read_or_is_none() -> None:
    """White space means nothing, a last semicolon neither; a tag twice, without a name or without a value's sign is no list."""
    assert raw.tags(" a = b c ;\r\n d=;") == {"a": "bc", "d": ""}
    assert raw.tags("x_1=; aB=c") == {"x_1": "", "aB": "c"}
    for text in ("a=b; a=c", "=b", "a=b; =c", "a", "a=b; c", "a=b;; c=d", "", "_=", "1a=b", "a-b=c", "\u00e9=a"):
        assert raw.tags(text) is None, text


@pytest.mark.parametrize("octets", [b"X-A: a\0\r\n", b"X-A: a\rb\r\n", b"X-A: a\nX-B: b\r\n", b"\r\r\n", b"\n"])
def test_what_two_readers_split_differently_is_doubtful(octets: bytes) -> None:
    """NUL and bare CR or LF, in the header and in the body."""
    assert "two readers" in raw.read(octets + mail()).doubt
    assert "two readers" in raw.read(mail() + octets).doubt


def test_a_header_has_a_thousand_lines_at_most() -> None:
    """One more is a line too many."""
    own = len(raw.read(mail()).headers)
    assert raw.read(b"X-A: a\r\n" * (1_000 - own) + mail()).doubt == ""
    assert "a line that is none" in raw.read(b"X-A: a\r\n" * (1_001 - own) + mail()).doubt


def test_a_mail_has_a_size() -> None:
    """A mebibyte is verified, and one octet more is not."""
    largest = mail() + b"x" * ((1 << 20) - len(mail()))
    assert raw.read(largest[:-1] + b"x").doubt == ""
    assert "larger than 1048576 octets" in raw.read(largest + b"x").doubt
    assert raw.read(largest + b"x").values("from") == ()


@pytest.mark.parametrize("line", [b"no header", b": x", b"S\xc3\xbcbject: x", b"X" * 201 + b": x", b" folded: x"])
def test_a_header_is_made_of_headers(line: bytes) -> None:
    """A line that is none, or whose name has a blank or another letter in it, makes the mail doubtful."""
    found = raw.read(line + b"\r\nFrom: a@acme.example\r\n\r\ntext")
    assert found.doubt == "its header has a line that is none"
    assert raw.read(b"From: a@acme.example\r\nX-Name-200" + b"x" * 190 + b": x\r\n\r\n").doubt == ""


def test_a_header_has_an_end() -> None:
    """A mail without an empty line behind its header could be read in any way."""
    assert raw.read(b"From: a@acme.example\r\nSubject: x\r\n").doubt == "its header has no end"
    assert raw.read(b"").doubt == "its header has no end"


def test_a_fold_that_was_written_out_is_doubtful() -> None:
    """A line that begins with a backslash and a t: for some it goes on with the line above, for others it is a header."""
    assert raw.read(b"X-A: a\r\n\\tSubject: b\r\n" + mail()).doubt == "its header has a line that is none"


def test_what_follows_the_last_tag() -> None:
    """White space behind a last semicolon is none of the list."""
    assert raw.tags("a=b; \r\n ") == raw.tags("a=b;") == {"a": "b"}


def test_the_headers_that_a_signature_lists() -> None:
    """In lower case and in order, as often as they are listed; nothing between two colons is no header."""
    assert raw.hosts_of("From:TO::Date:from:") == ("from", "to", "date", "from")
    assert raw.hosts_of("") == ()
