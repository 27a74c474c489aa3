"""Strangers before a whole daemon with a real target: what is pushed of them, what is held, and what makes a sender known."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import State
from mailbridge.sinks.skyvern_pages import Login
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

PATIENCE = 10.0
CODES, TOKEN, OPEN, SITED = "codes@b.example", "otp-7m3k9q2wxy8vhtnc@b.example", "open@b.example", "sited@b.example"
NUMBERS = itertools.count(100_000)
USERS = itertools.count(1)
DOMAINS = ("acme.example", "mail.acme.example", "evil.example", "acme.test", "other.example", "mailer.example", "corp.example")
LINK = "Sign in to Acme with this link:\n\nhttps://{host}/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."


def sections(**trust: Any) -> dict[str, Any]:
    """The usual addresses, and what a test says of trust."""
    return {
        "domains": s.DomainSettings(accept=("b.example",)),
        "address": (
            s.AddressSettings(rcpt=TOKEN),
            s.AddressSettings(rcpt=OPEN, trust="none"),
            s.AddressSettings(rcpt=SITED, site=("https://www.acme.example/login",)),
        ),
        "trust": s.TrustSettings(alarm_held=0, **trust),
    }


def published(one: House) -> House:
    """With the keys of everybody."""
    for domain in DOMAINS:
        one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key()))
    return one


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for tests of the default; each has an identifier of its own."""
    with house(tmp_path_factory.mktemp("strangers"), **sections(sites=("acme.test=mailer.example",))) as one:
        yield published(one)


@pytest.fixture
def ann() -> str:
    """An identifier that nobody has used."""
    return f"user{next(USERS)}@corp.example"


def code(ann: str, domain: str = "acme.example", *, is_signed: bool = True, **more: Any) -> tuple[str, bytes]:
    """A new code and the mail that holds it, by a sender of this domain."""
    number = str(next(NUMBERS))
    content = mail(f"Your code is {number}.", sender=f"Acme <no-reply@{domain}>", to=ann, **more)
    return number, signer.dkim(content, domain) if is_signed else content


def link(ann: str, domain: str = "acme.example") -> bytes:
    """A mail with a link to its sender's own host."""
    return signer.dkim(mail(LINK.format(host=domain), subject="Sign in", sender=f"a@{domain}", to=ann), domain)


def know(home: House, ann: str, *pages: str) -> None:
    """As if Skyvern's credentials for this identifier had these login pages."""
    logins = [Login(identifier=ann.upper(), page=page) for page in pages]
    home.do(lambda: home.running.engine.contacts.learn(logins, is_whole=False))


def outcome(home: House, content: bytes, rcpt: str = CODES) -> tuple[list[State], str]:
    """The states of the mail's deliveries in the end, and what is said of it: why it is held, or by what it passed."""
    reply = home.send(content, rcpt=rcpt)
    assert reply.code == 250, reply.text
    rows = home.deliveries(reply.mail_id)
    row = home.row(reply.mail_id)
    return [one.state for one in rows], " | ".join(row.held) or row.trust


def newest(home: House, ann: str) -> list[str]:
    """What the target holds for an identifier, oldest first."""
    return [row.content for row in reversed(home.receiver.rows(ann, limit=1_000))]


def test_a_strangers_code_is_pushed_and_marked(home: House, ann: str) -> None:
    """Where nobody is known it goes, and the list, the journal and the metrics say that its sender was not."""
    number, content = code(ann)
    states, told = outcome(home, content)
    assert states == [State.DELIVERED]
    assert "first seen: acme.example is not known for" in told
    assert f"`mailbridge sender allow acme.example --for {ann}`" in told
    assert newest(home, ann) == [number]
    events = [line.event for line in home.do(lambda: home.running.engine.store.journal.after(limit=10_000))]
    assert "first_seen" in events
    assert b"mailbridge_first_seen_total" in home.do(home.running.render_metrics)


def test_the_proven_copy_of_a_held_mail_is_delivered_once(home: House, ann: str) -> None:
    """The same mail by a door that proves nothing, while another known code lives, and then with its signature; a third changes nothing."""
    know(home, ann, "https://acme.example/login", "https://other.example/login")
    assert outcome(home, code(ann, "other.example")[1])[0] == [State.DELIVERED]
    number, content = code(ann, is_signed=False)
    assert outcome(home, content, TOKEN)[0] == [State.SUPERSEDED]
    for _ in range(2):
        states, told = outcome(home, signer.dkim(content, "acme.example"))
        assert sorted(states) == [State.DELIVERED, State.SUPERSEDED]
        assert "signed by acme.example" in told
    assert newest(home, ann)[-1] == number
    assert newest(home, ann).count(number) == 1


def test_a_strangers_code_is_held_while_a_known_one_lives(home: House, ann: str) -> None:
    """The known site's stays the newest; the reason names both. A known one goes at once behind a stranger's."""
    know(home, ann, "https://app.acme.example/login")
    before, content = code(ann, "evil.example")
    assert outcome(home, content)[0] == [State.DELIVERED]
    number, content = code(ann, "mail.acme.example")
    states, told = outcome(home, content)
    assert states == [State.DELIVERED]
    assert "first seen" not in told
    _, content = code(ann, "other.example")
    states, told = outcome(home, content)
    assert states == [State.SUPERSEDED]
    assert told.startswith("stranger (`mailbridge sender allow`")
    assert "other.example is not known" in told
    assert "acme.example is still valid" in told
    assert newest(home, ann) == [before, number]


def test_the_same_name_under_another_suffix_is_somebody_else(home: House, ann: str) -> None:
    """acme.test is not acme.example, unless the operator says that it mails for it."""
    know(home, ann, "acme.example")
    assert "first seen" in outcome(home, code(ann, "acme.test")[1])[1]


def test_a_site_may_mail_from_elsewhere(home: House, ann: str) -> None:
    """`[trust] sites` names who does."""
    know(home, ann, "acme.test")
    assert "first seen" not in outcome(home, code(ann, "mailer.example")[1])[1]


def test_an_address_is_there_for_a_site(home: House, ann: str) -> None:
    """What comes there of its site is known, and a link of it goes; a stranger's link is held with the command that allows it."""
    assert outcome(home, link(ann), SITED)[0] == [State.DELIVERED]
    states, told = outcome(home, link(ann, "evil.example"), SITED)
    assert State.DELIVERED not in states
    assert f"`mailbridge sender allow evil.example --for {ann}` makes it known" in told


def test_a_strangers_link_is_held_and_a_known_one_goes(home: House, ann: str) -> None:
    """By default, from whatever door; nothing of it is at the target."""
    assert State.DELIVERED not in outcome(home, link(ann))[0]
    assert newest(home, ann) == []
    know(home, ann, "acme.example")
    assert outcome(home, link(ann))[0] == [State.DELIVERED]


def test_a_run_tag_counts_from_known_senders_only(home: House, ann: str) -> None:
    """A stranger's code for somebody's run goes to none."""
    run = home.receiver.make_run()
    outcome(home, code(ann, "evil.example")[1], f"sited+{run}@b.example")
    tagged = [row.draft.workflow_run_id for row in home.do(lambda: home.running.engine.store.outbox.deliveries(limit=1))]
    assert tagged == [None]
    outcome(home, code(ann)[1], f"sited+{run}@b.example")
    tagged = [row.draft.workflow_run_id for row in home.do(lambda: home.running.engine.store.outbox.deliveries(limit=1))]
    assert tagged == [run]


def test_only_a_proven_from_is_known(home: House, ann: str) -> None:
    """An unguessable address proves no author: what comes there unsigned of a known site is a stranger's, what is signed is known."""
    know(home, ann, "acme.example")
    assert "nothing proves that it is of acme.example" in outcome(home, code(ann, is_signed=False)[1], TOKEN)[1]
    assert outcome(home, code(ann)[1], TOKEN)[1] == "token: sent to an address that nobody can guess"
    states, told = outcome(home, code(ann, is_signed=False)[1], TOKEN)
    assert (states, "only claims to be of acme.example" in told or "has proven itself" in told) == ([State.SUPERSEDED], True)


def test_a_domain_that_was_proven_once_is_a_stranger_when_it_is_not(home: House, ann: str) -> None:
    """Also at an address that asks for nothing: its link is held from then on, where it went before."""
    unsigned = mail(LINK.format(host="acme.example"), subject="Sign in", sender="a@acme.example", to=ann)
    assert outcome(home, unsigned, OPEN)[0] == [State.DELIVERED]
    assert outcome(home, code(ann)[1], CODES)[0] == [State.DELIVERED]
    unsigned = mail(LINK.format(host="acme.example"), subject="Sign in", sender="a@acme.example", to=ann)
    states, told = outcome(home, unsigned, OPEN)
    assert State.DELIVERED not in states
    assert f"acme.example has proven itself for {ann} before, and this mail does not" in told


def test_a_platforms_notice_is_no_code_mail(home: House, ann: str) -> None:
    """Also where the platform is known by its domain; only where its very address is listed it is pushed."""
    know(home, ann, "acme.example")
    states, told = outcome(home, code(ann, below="List-Id: team/repo <repo.team.acme.example>")[1])
    assert states == []
    assert told.startswith("platform: ")


@pytest.mark.parametrize("kind", ["message/rfc822", 'application/octet-stream; name="mail.eml"'])
def test_whoever_attaches_a_mail_does_not_answer_for_it(home: House, ann: str, kind: str) -> None:
    """A help desk attaches what anybody has written to it; the identifier's own organization attaches what it has received."""
    know(home, ann, "acme.example")
    inner = mail(f"Your code is {next(NUMBERS)}.", to=ann)
    inner = inner.replace(b"Wed, 25 Nov 2026 09:57:25 +0000", format_datetime(datetime.now(UTC)).encode())

    def attaching(sender: str, domain: str) -> bytes:
        head = mail("", sender=sender, to=ann, subject="A mail for you").partition(b"\r\n\r\n")[0]
        head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="b0"')
        parts = (
            b"--b0\r\n\r\nSee the mail below.\r\n--b0\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + inner + b"\r\n--b0--\r\n"
        )
        return signer.dkim(head + b"\r\n\r\n" + parts, domain)

    states, told = outcome(home, attaching("Acme help <help@acme.example>", "acme.example"))
    assert states == []
    assert "platform: it stands in a mail or a text that is attached, and acme.example does not answer for who wrote that" in told
    assert outcome(home, attaching(ann, "corp.example"))[0] == [State.DELIVERED]


def test_a_bound_code_is_read_before_any_word(home: House, ann: str) -> None:
    """Where the header is signed and names the signer's own site; another site's, or an unsigned header, is not."""
    for below, is_read in (
        ('OTP-Token: "777001"; origin="https://acme.example"', True),
        ('OTP-Token: "777002"; origin="https://other.example"', False),
    ):
        number = str(next(NUMBERS))
        content = mail(f"Your code is {number}.", to=ann, below=below)
        covered = signer.dkim(
            content,
            "acme.example",
            headers=("from", "to", "subject", "date", "otp-token", "content-type", "content-transfer-encoding"),
        )
        outcome(home, covered)
        assert newest(home, ann)[-1] == (below[12:18] if is_read else number)
    number = str(next(NUMBERS))
    outcome(home, signer.dkim(mail("Your code:\n\n@acme.example #777003", to=ann), "acme.example"))
    assert newest(home, ann)[-1] == "777003"


def test_a_last_line_that_disagrees_with_the_words_binds_nothing(home: House, ann: str) -> None:
    """It may be the name of a stranger's choice that the site shows at the end: nothing is pushed of such a mail."""
    number = str(next(NUMBERS))
    content = mail(f"Your code is {number}.\n\n@acme.example #777004", to=ann)
    assert outcome(home, signer.dkim(content, "acme.example"))[0] == []
    content = mail(f"Your code is {number}.\n\n@acme.example #{number}", to=ann)
    assert outcome(home, signer.dkim(content, "acme.example"))[0] == [State.DELIVERED]


def dated(ann: str, domain: str, ago: float) -> tuple[str, bytes]:
    """A code that was written so many seconds ago, by its signed Date."""
    number, content = code(ann, domain, is_signed=False)
    at = format_datetime(datetime.now(UTC) - timedelta(seconds=ago)).encode()
    content = content.replace(b"Date: Wed, 25 Nov 2026 09:57:25 +0000", b"Date: " + at)
    return number, signer.dkim(content, domain)


@pytest.mark.parametrize(
    ("first", "second", "is_late"),
    [
        (("acme.example", 0), ("acme.example", 60), True),
        (("acme.example", 0), ("mail.acme.example", 60), True),
        (("acme.example", 0), ("acme.example", 2), False),
        (("acme.example", 0), ("other.example", 60), False),
        (("acme.example", -120), ("acme.example", 4), False),
        (("acme.example", 60), ("acme.example", 0), False),
    ],
)
def test_a_late_code_does_not_overtake(
    home: House, ann: str, first: tuple[str, float], second: tuple[str, float], is_late: bool
) -> None:
    """By SMTP too: the signed Dates of one registrable domain decide where they are well apart, else the arrival does."""
    one, content = dated(ann, *first)
    assert outcome(home, content)[0] == [State.DELIVERED]
    other, content = dated(ann, *second)
    assert outcome(home, content)[0] == [State.SUPERSEDED if is_late else State.DELIVERED]
    assert newest(home, ann) == ([one] if is_late else [one, other])


@pytest.mark.parametrize(
    ("strangers", "of_code", "of_link"), [("hold", False, False), ("codes", True, False), ("all", True, True)]
)
def test_what_the_setting_means(tmp_path: Path, ann: str, strangers: str, of_code: bool, of_link: bool) -> None:
    """Codes and links of strangers, by `[trust] strangers`."""
    with house(tmp_path, **sections(strangers=strangers)) as one:
        published(one)
        assert (State.DELIVERED in outcome(one, link("ben@corp.example"))[0]) is of_link
        assert (State.DELIVERED in outcome(one, code(ann)[1])[0]) is of_code
        health = one.do(one.running.health)
        assert f'strangers = "{strangers}"' in health.strangers


def test_what_was_learned_outlives_a_restart(tmp_path: Path, ann: str) -> None:
    """Sites and proofs are in the store, so that an outage of Skyvern's forgets nothing."""
    with house(tmp_path, **sections()) as one:
        know(published(one), ann, "acme.example")
        assert "first seen" in outcome(one, code(ann, "evil.example")[1])[1]
    with house(tmp_path, **sections()) as one:
        assert "first seen" not in outcome(published(one), code(ann)[1])[1]
        assert one.running.engine.contacts.has_proven(ann, "evil.example")


def test_a_sender_is_allowed_and_forbidden_by_an_entry(tmp_path: Path, ann: str) -> None:
    """As a command adds it: in force soon, for its identifier alone; a forbidden one is pushed no more."""
    with house(tmp_path, **sections()) as one:
        published(one)
        entries = one.running.engine.store.entries
        name = f"acme.example for {ann}"
        one.do(lambda: entries.put("sender", name, {"sender": "acme.example", "identifiers": [ann]}, by="ann"))
        one.do(lambda: entries.put("sender", "evil.example", {"sender": "evil.example", "allow": False}, by="ann"))
        until = time.monotonic() + PATIENCE
        while len(one.running.settings.sender) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert outcome(one, link(ann))[0] == [State.DELIVERED]
        assert State.DELIVERED not in outcome(one, link("ben@corp.example"))[0]
        states, told = outcome(one, code(ann, "evil.example")[1])
        assert (states, told.startswith("sender: its sender is forbidden")) == ([], True)
