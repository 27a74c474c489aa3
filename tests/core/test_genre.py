"""Of some kinds of mail nothing is pushed, whatever stands in them; each has a mail that would be pushed without it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.genre import GENRES, genre_of
from mailbridge.core.parse import parse
from mailbridge.core.rules import load

RULES = load(list(rule_sources(RuleSettings())))
CODE = "Your verification code is 482913.\n"
PLAIN = "Content-Type: text/plain; charset=utf-8\n"
TEXTS = {
    "quoted headers": "Received: from mx.harbour.example\nContent-Transfer-Encoding: 8bit\n",
    "diff": "diff --git a/x.py b/x.py\n@@ -1,2 +1,2 @@\n",
    "PGP block": "-----BEGIN PGP MESSAGE-----\nPassphrase-Format: numeric9x4\n\nwy4ECQMIbGciDF8wXgVg\n-----END PGP MESSAGE-----\n",
    "source code": "int main(void) {\n  puts(code);\n  return 0;\n}\nint two;\nint three;\n",
    "log": "2026-05-01 12:00:01 start\n2026-05-01 12:00:02 code sent\n2026-05-01 12:00:03 stop\n",
    "table of figures": "1 20 31 44\n2 21 32 45\n3 22 33 46\n4 23 34 47\n",
}
HEADS = {
    "bounce": [
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
        f"From: MAILER-DAEMON@harbour.example\n{PLAIN}",
        f"From: postmaster@harbour.example\n{PLAIN}",
        f"X-Failed-Recipients: ann@corp.example\n{PLAIN}",
        f"Return-Path: <>\nSubject: Undelivered Mail Returned to Sender\n{PLAIN}",
        f"Auto-Submitted: auto-replied\nSubject: Delivery Status Notification (Failure)\n{PLAIN}",
    ],
    "invitation": ["Content-Type: multipart/mixed; boundary=b\n"],
}
CALENDAR = "--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n"


def mail(head: str, text: str) -> bytes:
    """A mail of this head, with a code in its text; in parts where the head has a boundary."""
    if "boundary" not in head:
        return f"{head}\n{text}".encode()
    return f"{head}\n--b\n{PLAIN}\n{text}\n{CALENDAR}--b--\n".encode()


def extracted(octets: bytes) -> Extraction:
    """What a mail holds."""
    return extract(parse(octets), rules=RULES, now=datetime(2026, 5, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))


def cases() -> list[tuple[str, bytes]]:
    """Each kind with every mail of it."""
    by_text = [(name, mail(PLAIN, f"{CODE}\n{text}")) for name, text in TEXTS.items()]
    return by_text + [(name, mail(head, CODE)) for name, heads in HEADS.items() for head in heads]


def test_every_kind_has_its_mail() -> None:
    """No kind is without a mail that needs it."""
    assert {genre.name for genre in GENRES} == {name for name, _ in cases()}


@pytest.mark.parametrize(("name", "octets"), cases())
def test_nothing_is_pushed_of_a_mail_of_the_kind(name: str, octets: bytes) -> None:
    """A code that is called so in every way is not pushed, and the reason says of what kind the mail is."""
    genre = genre_of(parse(octets))
    assert genre is not None
    assert genre.name == name
    found = extracted(octets)
    assert (found.verdict, found.reason) == (Verdict.NONE, genre.why)
    assert [one.value.reveal() for one in found.rejected if one.value.reveal() == "482913"]


@pytest.mark.parametrize(
    "head",
    [
        PLAIN,
        f"Return-Path: <>\n{PLAIN}",
        f"Auto-Submitted: auto-generated\n{PLAIN}",
        f"List-Unsubscribe: <https://harbour.example/u>\n{PLAIN}",
        f"Subject: Delivery of your code\n{PLAIN}",
    ],
)
def test_what_code_mails_have_too_makes_no_kind(head: str) -> None:
    """A null sender, which forwarders use too, a mark of a program, and a way to unsubscribe are in code mails as well."""
    assert extracted(mail(head, CODE)).verdict is Verdict.CODE


def test_what_a_bounce_returns_is_not_read() -> None:
    """The mail that a bounce returns may hold a code; it is nobody's any more."""
    octets = mail(HEADS["bounce"][0], "Not delivered.\n").replace(
        CALENDAR.encode(), f"--b\nContent-Type: message/rfc822\n\n{PLAIN}\n{CODE}\n".encode()
    )
    assert parse(octets).attached
    assert extracted(octets).verdict is Verdict.NONE


@pytest.mark.parametrize(
    "head", ["List-Id: <dev.harbour.example>\n", "Precedence: list\n", "Mailing-List: list dev@harbour.example\n"]
)
def test_a_list_is_told_by_its_headers(head: str) -> None:
    """A mailing list says so in its headers (RFC 2919, RFC 2369), and a lone number of such a mail is no code."""
    text = "Hello all,\n\nthis is the number that you were all waiting for:\n\n482913\n\nSee you there."
    assert parse(mail(head + PLAIN, text)).is_listed
    assert extracted(mail(head + PLAIN, text)).verdict is Verdict.NONE
    assert extracted(mail(PLAIN, text)).verdict is Verdict.CODE


def test_a_file_is_told_from_a_part_to_be_read() -> None:
    """A part that is marked as an attachment is a file; a body that is marked so is named, since nobody reads it."""
    file = "Content-Disposition: attachment; filename=x.pdf\nContent-Type: application/pdf\n\nx\n"
    octets = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{PLAIN}\n{CODE}\n--b\n{file}--b--\n".encode()
    assert parse(octets).has_files
    hidden = f"{PLAIN}Content-Disposition: attachment\n\n{CODE}".encode()
    assert "body-as-attachment" in parse(hidden).defects
    assert "marked as an attachment" in extracted(hidden).reason


def test_a_body_that_is_cut_is_named() -> None:
    """Where HTML goes beyond the limit, the reason says that it was cut."""
    octets = b"Content-Type: text/html\n\n" + b"<p>hello there</p>" * 40_000
    assert "html-cut" in parse(octets).defects
    assert "cut off" in extracted(octets).reason


def test_a_signed_text_is_read() -> None:
    """A signature around a text leaves it a text."""
    text = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{CODE}\n-----BEGIN PGP SIGNATURE-----\n\niQEzBAEB\n-----END PGP SIGNATURE-----\n"
    assert extracted(mail(PLAIN, text)).verdict is Verdict.CODE


def test_numbers_without_blanks_are_read_at_once() -> None:
    """Numbers that only commas part are no table, and a long line of them costs no more than any other."""
    table = next(genre for genre in GENRES if genre.name == "table of figures")
    assert not table.is_of(parse(b""), "1," * 400_000)
    assert table.is_of(parse(b""), f"{'1,' * 1_000}1 2 3 4\n" * 4)
