"""Any octets become a Message: what is read, what is refused, and the name of what was odd."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mailparser.dates import parse_mail_date

from mailbridge.core.limits import MAX_CONTENT, MAX_HEADER_LINES, MAX_HEADERS
from mailbridge.core.mail import Message
from mailbridge.core.parse import MAX_BODY, parse

SEEDS = Path(__file__).resolve().parents[1] / "fuzz" / "seeds"
HEAD = b"From: Heron <no-reply@heron.example>\r\nTo: ann@corp.example\r\nSubject: code\r\nMIME-Version: 1.0\r\n"
CODE = "Your code is 482913"


def seed(name: str) -> Message:
    """A mail of the fuzzer's, parsed."""
    return parse((SEEDS / f"{name}.eml").read_bytes())


def text(message: Message) -> str:
    """The visible text of the plain part, or else of the page, and of what stands beside it."""
    return message.text


def mail(headers: bytes, body: bytes = b"text") -> Message:
    """A mail of further headers and a body."""
    return parse(HEAD + headers + b"\r\n" + body)


def test_a_simple_mail_is_read() -> None:
    """Addresses, subject, date and identity come from the headers, the text from the body, and nothing is odd."""
    message = seed("plain")
    assert (message.sender, message.sender_name, message.to) == ("no-reply@heron.example", "Heron Mail", ("ann@corp.example",))
    assert (message.subject, message.message_id) == ("Your Heron code", "a1@heron.example")
    assert message.date == datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC)
    assert "verification code is 482913." in text(message)
    assert message.html is None
    assert message.defects == ()


DATES = st.tuples(
    st.sampled_from(["Mon, ", "Sun, ", "", "Tue,", "mon, "]),
    st.sampled_from(["1", "01", "29", "31", "32", "0"]),
    st.sampled_from([" Jan ", " Feb ", " Jun ", " Dec ", " dec "]),
    st.sampled_from(["1900", "1899", "2000", "2024", "2026", "2100", "26"]),
    st.sampled_from([" 00:00:00 ", " 23:59:59 ", " 24:00:00 ", " 12:60:00 ", " 12:00:60 ", " 12:00 "]),
    st.sampled_from(["+0000", "-0000", "+0530", "-0730", "+1460", "+9959", "GMT", "EST"]),
    st.sampled_from(["", " (UTC)", " (CEST)", " (x (y))", " ("]),
).map("".join)


@given(DATES)
@example("Mon, 01 Jun 2026 12:00:00 +0200 (CEST)")
@example("29 Feb 2024 23:59:59 -0730")
def test_a_date_is_what_mail_parser_reads(text: str) -> None:
    """Whether it is written as usual or not."""
    found, expected = mail(b"Date: " + text.encode() + b"\r\n").date, parse_mail_date(text).value
    assert found == expected
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("name", ["alternative", "related_in_mixed"])
def test_both_bodies_of_a_mail_are_read(name: str) -> None:
    """Plain and HTML part are found however deep they stand; preamble, epilogue and files are not text."""
    message = seed(name)
    assert message.plain is not None
    assert message.html is not None
    assert "482913" in message.plain.text
    assert "482 913" in message.html.text
    assert "preamble" not in text(message)
    assert "JVBER" not in text(message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("koi8r", "Ваш код: 482913"),
        ("latin1", "Ihr Code für Köln lautet 482913"),
        ("latin1_called_utf8", "Ihr Code für Köln lautet 482913"),
        ("iso2022jp", "認証コードは 482913 です"),
        ("gb2312", "您的验证码是 482913,5分钟内有效"),
        ("big5_euckr_sjis", "驗證碼 482913\n인증번호 482913\n確認コード 482913"),
        ("utf7_and_punycode", "+AFk-our code is 482913\ncode-482913-abc\ncode 482913"),
        ("base64", "your verification code is 482913"),
        ("base64_broken", "your verification code is 482913"),
        ("base64_footer", "1 Lake Road, 10115 Berlin"),
        ("quoted_printable", "Ihr Bestätigungscode ist: 482913\nGültig bis 12:30 =XX"),
        ("utf16", "your verification code is 482913"),
        ("flowed", "Your code is 482913 and it expires in 10 minutes.\n> quoted\n> text\n--\nHeron"),
        ("flowed_delsp", "Your code is 482913."),
        ("rfc2231", "your verification code is 482913"),
        ("lf_only", "your verification code is 482913"),
        ("no_headers", "Your code is 482913"),
        ("not_a_mail", "Your code is 482913"),
        ("missing_end", "your verification code is 482913"),
        ("boundary_never_there", "your verification code is 482913"),
        ("type_garbage", "your verification code is 482913"),
        ("tnef", "your verification code is 482913"),
        ("mbox_from", "your verification code is 482913"),
    ],
)
def test_the_text_of_a_body(name: str, expected: str) -> None:
    """Charsets, transfer encodings and broken structure give the text that was meant, as far as it can be told."""
    assert expected in text(seed(name))


@pytest.mark.parametrize(
    ("name", "defects"),
    [
        ("several_from", {"several-from"}),
        ("from_tricks", {"bad-from", "from-several"}),
        ("no_headers", {"no-from"}),
        ("bare_lf_header", {"bare-lf"}),
        ("bare_cr", {"bare-cr"}),
        ("nul", {"nul", "bad-header-line"}),
        ("controls", {"control-in-header", "control-in-body"}),
        ("latin1_called_utf8", {"bad-charset"}),
        ("utf7_and_punycode", {"unknown-charset"}),
        ("base64_broken", {"bad-base64"}),
        ("uuencode", {"unknown-encoding"}),
        ("headers_8bit", {"raw-8bit-header"}),
        ("huge_header", {"headers-cut"}),
        ("dates", {"bad-date"}),
        ("bad_encoded_words", {"bad-encoded-word", "unknown-charset", "control-in-header"}),
        ("boundary_never_there", {"no-parts"}),
        ("found_name_and_name_0", {"bad-content-type"}),
        ("rfc822_thrice", set()),
    ],
)
def test_what_is_odd_has_a_name(name: str, defects: set[str]) -> None:
    """A defect is named once, and nothing else is called one."""
    assert defects <= set(seed(name).defects)
    assert set(seed(name).defects) - defects <= {"bad-charset"}


def test_text_is_kept_as_utf8_where_one_octet_is_broken() -> None:
    """A mail that is cut in the midst of a character does not lose its letters for it."""
    message = mail(b"Content-Type: text/plain; charset=utf-8\r\n", "Ihr Bestätigungscode für Köln: 482913 ü".encode()[:-1])
    assert text(message).startswith("Ihr Bestätigungscode für Köln: 482913")
    assert message.defects == ("bad-charset",)


def test_a_header_cannot_be_slipped_in() -> None:
    """Neither a bare LF nor a bare CR nor an encoded line end begins a header, in a mail with honest line ends."""
    for name in ("bare_lf_header", "bare_cr", "bad_encoded_words"):
        assert seed(name).header("X-Forwarded-For") is None, name
        assert "482913" in text(seed(name)), name


def test_controls_never_get_through() -> None:
    """Neither headers nor text hold a control character: they are shown in terminals and written to logs."""
    for path in SEEDS.glob("*.eml"):
        message = parse(path.read_bytes())
        for name, value in message.headers:
            assert name.isprintable(), path.name
            assert value.isprintable() or not any(ord(c) < 32 and c != "\t" for c in value), path.name
        for line in text(message).split("\n"):
            assert not any(ord(c) < 32 or ord(c) == 127 for c in line), path.name


@pytest.mark.parametrize(
    "value",
    [
        b"a@b.example, c@d.example",
        b'"no-reply@acme.example" <evil@evil.example>, no-reply@acme.example',
        b"a@b.example <c@d.example>, <e@f.example>",
        b"<@relay.example:a@b.example>",
        b"group: a@b.example;",
        b"nobody",
        b"",
        b"=?utf-8?q?a=40b.example?=",
    ],
)
def test_a_sender_is_one_address_or_nobody(value: bytes) -> None:
    """Two addresses, a route, a group, none: no sender at all, rather than the parser's best guess (CVE-2023-27043)."""
    message = parse(b"From: " + value + b"\r\nTo: x@y.example\r\n\r\ntext")
    assert message.sender == ""
    assert "bad-from" in message.defects


@pytest.mark.parametrize(
    ("value", "sender", "name"),
    [
        (b"no-reply@Heron.Example", "no-reply@heron.example", ""),
        (b"Heron <No-Reply@heron.example>", "No-Reply@heron.example", "Heron"),
        (b'"Heron, Inc." <no-reply@heron.example>', "no-reply@heron.example", "Heron, Inc."),
        (b"=?utf-8?q?H=C3=A9ron?= <no-reply@heron.example>", "no-reply@heron.example", "Héron"),
        (b"(comment) no-reply@heron.example (other)", "no-reply@heron.example", "comment other"),
    ],
)
def test_an_honest_sender_is_read(value: bytes, sender: str, name: str) -> None:
    """The domain is folded, the local part is not, and the name is decoded."""
    message = parse(b"From: " + value + b"\r\n\r\ntext")
    assert message.sender == sender
    assert message.sender_name in (name, "", "comment", "other")


def test_attached_mails_are_read_as_mails() -> None:
    """As message/rfc822, encoded against the standard, as a file, in a digest: each is a Message of its own, bodies and all."""
    for name in ("rfc822", "rfc822_base64", "eml_file"):
        (inner,) = seed(name).attached
        assert (inner.sender, inner.subject, inner.to) == ("no-reply@heron.example", "Your Heron code", ("ann@corp.example",)), (
            name
        )
        assert "482913" in text(inner), name
        assert "482913" not in text(seed(name)), name
    assert [inner.subject for inner in seed("digest").attached] == ["one", "two"]
    assert seed("rfc822").attached[0].header("X-Forwarded-For") == "ann@corp.example codes@bridge.example"


def test_attached_mails_are_bounded() -> None:
    """Three levels and five beside each other; what is over that is named."""
    deep = HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 1
    for _ in range(6):
        deep += HEAD + b"Content-Type: message/rfc822\r\n\r\n"
    message, depth = parse(deep + HEAD + b"\r\ntext"), 0
    while message.attached:
        message, depth = message.attached[0], depth + 1
    assert depth == 3
    part = b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n1\r\n"
    wide = mail(b"Content-Type: multipart/mixed; boundary=b\r\n", part * 9 + b"--b--\r\n")
    assert len(wide.attached) == 5
    assert "too-many-attached" in wide.defects


def test_encoded_words_are_joined_and_folding_undone() -> None:
    """A character cut in two between neighbours comes out whole; folded headers are one line."""
    assert seed("encoded_words").subject == "Ihr Bestätigungscode:482913"
    assert seed("folded").subject == "Your Heron code 482913"
    assert seed("folded").header("x-forwarded-for") == "ann@corp.example codes@bridge.example"


def test_what_is_too_large_is_cut_and_named() -> None:
    """Content, headers and bodies have limits; what lies within them is read."""
    message = mail(b"Content-Type: text/plain\r\n", CODE.encode() + b"\r\n" + b"x" * (MAX_CONTENT + 1))
    assert "truncated" in message.defects
    assert CODE in text(message)
    many = parse(b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + HEAD + b"\r\n" + CODE.encode())
    assert "headers-cut" in many.defects
    assert len(many.headers) <= 2_000
    assert CODE in text(many)
    lines = mail(b"Content-Type: text/plain\r\n", CODE.encode() + b"\r\n" * 200_000)
    assert "too-many-lines" in lines.defects
    assert CODE in text(lines)


def test_a_header_whose_last_lines_are_cut_off_is_left_out() -> None:
    """Where the limit of lines or of octets falls into an address, no address comes of its beginning."""
    to = b"To: Ann\r\n <ann@corp.example>,\r\n <bob@corp.example>\r\nSubject: code\r\nX: y\r\n\r\ntext"
    lines = [b"X: y\r\n" * count for count in range(MAX_HEADER_LINES - 6, MAX_HEADER_LINES + 1)]
    full = MAX_HEADERS - 1_010 * (MAX_HEADERS // 1_010)
    octets = [
        (b"X: " + b"y" * 1_005 + b"\r\n") * (MAX_HEADERS // 1_010) + b"Y: " + b"y" * size + b"\r\n"
        for size in range(full - 80, full)
    ]
    for heads in (lines, octets):
        told = {parse(head + to).to for head in heads}
        assert told == {(), ("ann@corp.example", "bob@corp.example")}


def test_costly_parameters_are_cut_and_the_rest_is_read() -> None:
    """A type with thousands of parameters, in the head or in a part, folded or not, is still a type; what matters comes first."""
    for fold in (b"", b"\r\n "):
        part = b"--b\r\nContent-Type: text/plain; charset=utf-8" + (b";" + fold) * 3_000 + b"\r\n\r\n" + CODE.encode() + b"\r\n"
        message = mail(b"Content-Type: multipart/mixed; boundary=b\r\n", part + b"--b--\r\n")
        assert "headers-cut" in message.defects
        assert CODE in text(message)


def test_only_whole_mails_among_messages_are_read() -> None:
    """A delivery status or a fragment is a file, whatever it holds."""
    for kind in (b"delivery-status", b"partial", b"external-body", b"x"):
        message = mail(b"Content-Type: message/" + kind + b"\r\n", b"Subject: inner\r\n\r\n482913")
        assert message.attached == ()
        assert "482913" not in text(message)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=2_000))
@example(b"")
@example(b"\r\n\r\n")
@example(b"From: \xff\xfe\r\nSubject: =?\r\n\r\n=")
def test_any_octets_give_a_bounded_message(content: bytes) -> None:
    """No exception, no lone surrogate (no store and no wire can carry one), nothing larger than what came in."""
    message = parse(HEAD + content)
    _check(message)
    _check(parse(content))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "Received"]
            ),
            st.text(max_size=80),
        ),
        max_size=8,
    ),
    st.sampled_from(["text/plain", "text/html", "multipart/mixed; boundary=b", "message/rfc822", "text/plain; format=flowed"]),
    st.text(max_size=300),
)
def test_any_headers_give_a_bounded_message(headers: list[tuple[str, str]], kind: str, body: str) -> None:
    """Nor do headers that look like headers, with anything in them."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    _check(parse(f"{head}Content-Type: {kind}\r\n\r\n{body}".encode("utf-8", "replace")))


def _check(message: Message) -> None:
    page = message.html
    values = [message.subject, message.sender, message.sender_name, *message.to, message.message_id, text(message)]
    values += [part for header in message.headers for part in header]
    values += [page.text, *page.hidden] if page is not None else []
    msgspec.json.encode(values)
    assert all(len(value) <= MAX_BODY * 2 for value in values)
    assert message.date is None or message.date.tzinfo is not None
    assert all(defect == defect.lower() and " " not in defect for defect in message.defects)
    for inner in message.attached:
        _check(inner)
