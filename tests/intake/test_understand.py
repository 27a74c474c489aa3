"""What one mail means, in one pure step; and that the first mail of a worker finds everything built."""

from __future__ import annotations

import cProfile
import functools
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbridge.config.rulepack import rule_sources, rule_texts
from mailbridge.config.settings import AddressSettings, DomainSettings, RuleSettings, Settings
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.mail import Envelope
from mailbridge.core.rules import load
from mailbridge.core.secret import Secret
from mailbridge.intake import understand
from mailbridge.intake.fingerprint import fingerprint
from mailbridge.intake.parser_config import ParserConfig, parser_config_of
from mailbridge.intake.understand import BODY_LIMIT, Understander, Understanding
from mailbridge.intake.warmup import warm_ups
from mailbridge.intake.worker_protocol import Request, decoder, encoder
from tests.bench.load import FIRST_CODE, RCPT, mail

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT / "tests" / "fuzz" / "seeds"
ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

build = functools.cache(understand.build)


def guide(*, with_body: bool = False) -> ParserConfig:
    """What a daemon with two addresses and a domain tells its workers."""
    return parser_config_of(
        Settings(
            address=(
                AddressSettings(rcpt="codes@bridge.example"),
                AddressSettings(rcpt="otp@bridge.example", identifier="bob@corp.example"),
            ),
            domains=DomainSettings(accept=("bridge.example",)),
            rules=RuleSettings(fallback="push-body" if with_body else "hold"),
        ),
        rules=rule_texts(RuleSettings()),
    )


def understood(name: str, *rcpts: str, with_body: bool = False, is_truncated: bool = False) -> Understanding:
    """One of the fuzzer's mails, understood by a parser_config that has crossed a pipe."""
    content = (SEEDS / f"{name}.eml").read_bytes()
    request = Request(
        content=content,
        rcpt_to=rcpts or ("codes@bridge.example",),
        mail_from="ann+caf_=codes=bridge.example@corp.example",
        now=ARRIVED,
        is_truncated=is_truncated,
    )
    return build(guide(with_body=with_body).encode())(request)


def test_a_code_is_found_with_whom_it_is_for() -> None:
    """Extraction, identifier and provenance come out of one step, each stage timed."""
    meaning = understood("gmail_auto")
    assert meaning.extraction.verdict is Verdict.CODE
    assert meaning.extraction.value == Secret("482913")
    (entry,) = meaning.addressed
    assert entry.identification.identifiers == ("ann@corp.example",)
    assert (meaning.sender, meaning.message_id, meaning.defects) == ("no-reply@heron.example", "a1@heron.example", ())
    assert all(0 < seconds < 5 for seconds in meaning.timings)


def test_each_recipient_is_asked_about() -> None:
    """A bound address names its identifier, a plus tag its run, each for its own recipient."""
    meaning = understood("gmail_auto", "otp@bridge.example", "codes+wr_12@bridge.example")
    first, second = meaning.addressed
    assert first.identification.identifiers == ("bob@corp.example",)
    assert second.identification.identifiers == ("ann@corp.example",)
    assert (first.recipient.workflow_run_id, second.recipient.workflow_run_id) == (None, "wr_12")


def test_nothing_that_the_postmaster_gets_is_anybodys_code() -> None:
    """Every server takes mail for its postmaster; that opens no way in to an identifier that the mail names."""
    (entry,) = understood("gmail_auto", "postmaster").addressed
    assert entry.identification.identifiers == ()
    assert "postmaster" in entry.identification.reason
    assert entry.unstamped is None or entry.unstamped.identifiers == ()


def test_a_forwarding_confirmation_is_never_a_code() -> None:
    """Gmail's own digits and link are for a person to see, whatever the extractor would make of them."""
    meaning = understood("gmail_confirmation")
    assert meaning.extraction.verdict is Verdict.CONFIRMATION
    assert not meaning.extraction.verdict.is_pushed


@pytest.mark.parametrize("with_body", [False, True])
def test_a_body_is_given_only_where_it_is_wanted(with_body: bool) -> None:
    """And only of a mail without a code, up to what Skyvern takes."""
    assert (understood("prices_and_phones", with_body=with_body).body is not None) is with_body
    assert understood("gmail_auto", with_body=with_body).body is None
    long = Request(
        content=b"From: a@b.example\r\n\r\n" + (b"word " * 20 + b"\r\n") * 1_500,
        rcpt_to=("a@bridge.example",),
        mail_from="",
        now=ARRIVED,
    )
    body = build(guide(with_body=with_body).encode())(long).body
    assert (len(body) if body else 0) == (BODY_LIMIT if with_body else 0)


def test_a_cut_mail_says_so() -> None:
    """What the pool cut off is a defect, as it is where the parser cuts."""
    assert understood("plain", is_truncated=True).defects == ("truncated",)


def test_secrets_do_not_show() -> None:
    """Neither the code nor the subject, which may hold it, is in what an Understanding prints."""
    shown = repr(understood("folded", with_body=True))
    assert "482913" not in shown


def test_the_wire_carries_what_was_understood() -> None:
    """Encoded and decoded, an Understanding is itself, secrets included; octets that are none are refused."""
    for path in SEEDS.glob("*.eml"):
        meaning = understood(path.stem)
        assert decoder(Understanding).decode(encoder().encode(meaning)) == meaning, path.name


def test_the_first_mail_is_no_slower_than_the_next() -> None:
    """After its start a worker imports nothing more for a mail of any usual shape: no deadline pays for what is built once."""
    program = (
        "import sys\n"
        "from datetime import datetime, UTC\n"
        "from pathlib import Path\n"
        "from mailbridge.config.settings import Settings\n"
        "from mailbridge.config.rulepack import rule_texts\n"
        "from mailbridge.intake.parser_config import parser_config_of\n"
        "from mailbridge.intake.understand import build\n"
        "from mailbridge.intake.worker_protocol import Request\n"
        "read = build(parser_config_of(Settings(), rules=rule_texts(Settings().rules)).encode())\n"
        "before = set(sys.modules)\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.eml')):\n"
        "    read(Request(content=path.read_bytes(), rcpt_to=('a@bridge.example',), mail_from='', now=datetime.now(UTC)))\n"
        "codecs = {name for name in sys.modules if name.startswith(('encodings.', '_codecs', '_multibytecodec'))}\n"
        "print(*sorted(set(sys.modules) - before - codecs))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(SEEDS)], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


@pytest.mark.parametrize("foot", [b"Larch Bank, 90210 Seaside", b"https://larch.example/?code=%d"])
def test_no_mail_costs_a_pattern_of_its_own(foot: bytes) -> None:
    """What a mail has alone, as its code, its account or its number, is looked for without compiling anything: that takes as long as
    all else together."""
    reader = Understander(guide())
    mails = [
        mail(one, run=1).replace(b"Larch Bank, 90210 Seaside", foot.replace(b"%d", b"%d" % (FIRST_CODE + one)))
        for one in range(8)
    ]
    requests = [Request(content=one, rcpt_to=(RCPT,), mail_from="", now=datetime.now(UTC)) for one in mails]
    for one in requests[:3]:
        reader(one)
    profile = cProfile.Profile()
    with profile:
        found = [reader(one).extraction.verdict for one in requests[3:]]
    assert found == [Verdict.CODE] * 5
    called = {
        (Path(entry.code.co_filename).name, entry.code.co_name) for entry in profile.getstats() if not isinstance(entry.code, str)
    }
    assert ("understand.py", "__call__") in called
    assert [name for file, name in called if file == "_compiler.py"] == []


def test_the_daemon_loads_nothing_that_reads_mails() -> None:
    """What mail is read with, and so what a hostile mail may reach, is in the workers alone; it takes their memory once."""
    program = (
        "import sys\n"
        "import mailbridge.app.daemon, mailbridge.app.preparation, mailbridge.cli.serve\n"
        "readers = ('selectolax', 'mailparser', 'emailforwardparser', 'mailbridge.core.parse', 'mailbridge.core.extract')\n"
        "print(*(name for name in readers if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_shipped_words_go_to_a_worker_by_name() -> None:
    """The daemon keeps no text of the shipped lists, and a worker that reads them itself knows their languages."""
    known = parser_config_of(Settings(), rules=rule_texts(RuleSettings()))
    assert len(known.encode()) < 10_000
    assert known.rules == ()
    read = Understander(ParserConfig.decode(known.encode()))
    assert {rule.name for rule in read.rules.rules} == {rule.name for rule in load(list(rule_sources(RuleSettings()))).rules}
    assert read.rules.wording.code.any("einmalpasswort")


def test_every_warm_up_means_something() -> None:
    """Among them are a code, a link and neither: they go where real mails go."""
    read = Understander(guide())
    verdicts = {read(request).extraction.verdict for request in warm_ups()}
    assert {Verdict.CODE, Verdict.LINK, Verdict.NONE} <= verdicts
    assert all(read(request).defects == () for request in warm_ups())


def envelope(content: bytes, rcpt: str = "codes@bridge.example") -> Envelope:
    """An envelope that came by SMTP just now."""
    return Envelope(mail_from="a@b.example", rcpt_to=(rcpt,), content=content, received_at=ARRIVED, ingress="smtp")


def test_a_fingerprint_tells_mails_apart_and_doors_not() -> None:
    """The same Message-ID, identifier and code are the same mail, however it came; any of them another, another mail."""
    meaning = Understanding(extraction=Extraction(verdict=Verdict.CODE, value=Secret("482913")), message_id="1@a.example")
    other_code = Understanding(extraction=Extraction(verdict=Verdict.CODE, value=Secret("111222")), message_id="1@a.example")
    other_id = Understanding(extraction=Extraction(verdict=Verdict.CODE, value=Secret("482913")), message_id="2@a.example")
    ann, bob = ("ann@corp.example",), ("bob@corp.example",)
    same = fingerprint(envelope(b"Received: one\r\n\r\nx"), meaning, ann)
    assert fingerprint(envelope(b"Received: two\r\n\r\ny", "second@bridge.example"), meaning, ann) == same
    others = [fingerprint(envelope(b""), *what) for what in ((other_code, ann), (other_id, ann), (meaning, bob))]
    assert len({same, *others}) == 4


def test_a_mail_without_a_message_id_is_known_by_its_content() -> None:
    """Trace headers above do not count, a single other octet below does."""
    meaning = Understanding(extraction=Extraction(verdict=Verdict.NONE), subject="s", sender="a@b.example")
    one, again, other = (
        fingerprint(envelope(content), meaning, ("ann@corp.example",))
        for content in (
            b"Received: a\r\nA: b\r\n\r\ntext",
            b"Received: c\r\nA: b\r\n\r\ntext",
            b"Received: a\r\nA: b\r\n\r\ntexx",
        )
    )
    assert one == again
    assert one != other


def certain(*lines: str, body: str = "Your code is 482913.\r\n", with_body: bool = False) -> bool:
    """Whether a mail means the same by every description that its body fits."""
    head = "".join(f"{line}\r\n" for line in ("From: a@acme.example", "To: ann@corp.example", "Subject: Acme", *lines))
    request = Request(
        content=f"{head}\r\n{body}".encode("utf-8", "surrogateescape"),
        rcpt_to=("codes@bridge.example",),
        mail_from="",
        now=ARRIVED,
    )
    return build(guide(with_body=with_body).encode())(request).is_certain


SIGNED = "DKIM-Signature: v=1; d=acme.example"


@pytest.mark.parametrize(
    "mark", [SIGNED, "ARC-Seal: i=1", "Authentication-Results: mx.corp.example; dkim=pass", "dkim-signature: x"]
)
def test_a_mail_that_could_be_proven_is_read_by_all_that_fits_it(mark: str) -> None:
    """Its own headers and its body agree, or it is not certain; where no proof could rest on anything, nobody asks."""
    assert certain(mark)
    assert not certain(
        mark,
        "Content-Transfer-Encoding: base64",
        body="Your code: 482913 or not; WW91ciBjb2RlIGlzIDExMTIyMi4=\r\n",
        with_body=True,
    )
    two = "--out\r\n\r\nYour code is 482913.\r\n--in\r\n\r\nYour code is 111222.\r\n--in--\r\n--out--\r\n"
    assert not certain(mark, "Content-Type: multipart/mixed; boundary=in", body=two)
    assert certain("Content-Type: multipart/mixed; boundary=in", body=two)


def test_a_mail_in_which_nothing_is_found_is_not_read_again() -> None:
    """Without a value nothing would be pushed; where whole texts are pushed, the text has to be the same too."""
    page = "<html><body><p>Our office is closed.</p></body></html>\r\n"
    assert certain(SIGNED, "Content-Type: text/plain", body=page)
    assert not certain(SIGNED, "Content-Type: text/plain", body=page, with_body=True)
    assert certain(SIGNED, "Content-Type: text/html", body=page, with_body=True)


def test_a_code_that_is_bound_to_a_site_is_the_same_in_every_reading() -> None:
    """It is pushed with hardly a word about a code, and is compared like one."""
    two = "--out\r\n\r\nHello\r\n--in\r\n\r\nHello\r\n\r\n@acme.example #482913\r\n--in--\r\n--out--\r\n"
    assert not certain(SIGNED, "Content-Type: multipart/mixed; boundary=in", body=two)
    assert certain(SIGNED, body="Hello\r\n\r\n@acme.example #482913\r\n")


def test_what_is_too_large_to_be_read_again_is_not_certain() -> None:
    """A large mail is not read again and again: nobody's code mail is such."""
    body = "Your code is 482913. \r\nAcme\r\n"
    assert certain(SIGNED, body=body)
    large = body + "Nothing to see here.\r\n" * (understand.LARGEST_READ_AGAIN // 20)
    assert not certain(SIGNED, body=large)
    assert certain(SIGNED, body=large.replace(". \r\n", ".\r\n"))
