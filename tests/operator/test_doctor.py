"""The doctor shows each thing red where it is broken, with what fixes it, and green where it is well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config import settings as s
from mailbridge.core.delivery import Refused
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.secret import Secret
from mailbridge.operator.doctor import accounts, machine, mail, network
from mailbridge.operator.doctor.finding import Check, Finding, Level, Patient, Served, Step
from mailbridge.operator.doctor.run import examine
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import ReplicaShape, Status, TargetShape
from mailbridge.sinks.skyvern_account import Account, Credential, SkyvernAccount
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.cli.hints import wrong_commands
from tests.store.mails import arrival, draft

NOW = datetime.now(UTC)
NO_DAEMON = Fault(kind=Kind.NO_DAEMON, title="no daemon is running")
WELL = Status(
    version="0.1.0",
    level="ready",
    checks={},
    smtp=[],
    http="127.0.0.1:8025",
    targets=[TargetShape(name="skyvern", url="https://api.skyvern.com", is_practice=False, reason="")],
    mailboxes=[],
    outbox={},
    is_practice=False,
)


@dataclass
class Probed:
    """Probes that find what a test puts into them."""

    folder: Path
    found: Sequence[str] = ()
    steps: Sequence[Step] = ()
    served: Served | None = field(
        default_factory=lambda: Served(not_after=NOW + timedelta(days=300), names=("bridge.example",), is_own=True)
    )
    beside: str | None = None

    def places(self) -> tuple[Path, Path]:
        return self.folder / "mailbridge.db", self.folder / "mailbridge.key"

    def problems(self) -> Sequence[str]:
        return self.found

    def mailbox(self, label: str) -> Sequence[Step]:
        del label
        return self.steps

    def certificate(self) -> Served | None:
        return self.served

    def stranger(self) -> str | None:
        return self.beside


@dataclass
class Records:
    """DNS as a test says it is."""

    mx: dict[str, tuple[str, ...]] = field(default_factory=dict)
    a: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def txt(self, name: str) -> tuple[str, ...]:
        del name
        return ()

    async def addresses(self, name: str) -> tuple[str, ...]:
        return self.a.get(name, ())

    async def exchangers(self, name: str) -> tuple[str, ...]:
        return self.mx.get(name, ())


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    """One who is well, in a folder of his own."""
    folder = tmp_path / "state"
    store: SqliteStore = open_sqlite(
        s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"), s.RetentionSettings(), clock=SteadyClock(), grace=timedelta()
    )
    yield Patient(
        settings=s.Settings(domains=s.DomainSettings(accept=("mailbridge.localhost",))),
        store=store,
        status=WELL,
        probes=Probed(folder),
        dns=Records(),
        skyvern=lambda: Fault(kind=Kind.BAD_CONFIG, title="no Skyvern key is configured"),
        database=folder / "mailbridge.db",
        key=folder / "mailbridge.key",
        now=lambda: datetime.now(UTC),
    )
    asyncio.run(store.close())


def _found(check: Check, patient: Patient) -> list[Finding]:
    async def gathered() -> list[Finding]:
        return [one async for one in check(patient)]

    return asyncio.run(gathered())


def _levels(check: Check, patient: Patient) -> set[tuple[str, Level]]:
    found = _found(check, patient)
    assert all(one.hint for one in found if one.level in (Level.FAILURE, Level.WARNING))
    assert [told for one in found for told in wrong_commands(one.hint)] == []
    return {(one.check, one.level) for one in found}


def _with(patient: Patient, **sections: Any) -> Patient:
    return replace(patient, settings=msgspec.structs.replace(patient.settings, **sections))


THIS = ReplicaShape(name="one:1", started_at="2026-01-01T00:00:00Z", is_this=True, mailboxes=2, differs=[])
OTHER = ReplicaShape(name="two:2", started_at="2026-01-01T00:00:00Z", is_this=False, mailboxes=2, differs=["pull", "trust"])

BROKEN: tuple[tuple[str, Check, Callable[[Patient], Patient], str, Level], ...] = (
    (
        "a clock that is not as the database's",
        machine.clock,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, checks={"clock": "this machine's clock is 60 s ahead"})),
        "clock",
        Level.WARNING,
    ),
    (
        "a replica with another configuration",
        machine.replicas,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, replicas=[THIS, OTHER])),
        "replicas",
        Level.WARNING,
    ),
    (
        "a mistake in the file",
        machine.configuration,
        lambda one: replace(one, probes=Probed(one.database.parent, found=["mailbridge.toml:3: no such key"])),
        "configuration",
        Level.FAILURE,
    ),
    (
        "no way in",
        machine.configuration,
        lambda one: _with(one, domains=s.DomainSettings(accept=())),
        "configuration",
        Level.FAILURE,
    ),
    ("no daemon", machine.daemon, lambda one: replace(one, status=NO_DAEMON), "daemon", Level.FAILURE),
    (
        "a daemon that cannot take mail",
        machine.daemon,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, level="unready", checks={"store": "full"})),
        "daemon",
        Level.FAILURE,
    ),
    (
        "practice in place of Skyvern",
        machine.daemon,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, is_practice=True)),
        "practice",
        Level.WARNING,
    ),
    ("a key that others may read", machine.folders, lambda one: _mode(one, one.key, 0o644), "folder", Level.FAILURE),
    ("a database that others may read", machine.folders, lambda one: _mode(one, one.database, 0o640), "folder", Level.FAILURE),
    (
        "a folder that others may enter",
        machine.folders,
        lambda one: _mode(one, one.database.parent, 0o707),
        "folder",
        Level.FAILURE,
    ),
    ("a key that is gone", machine.folders, lambda one: _without(one, one.key), "folder", Level.FAILURE),
    ("a clock that was set", machine.clock, lambda one: replace(one, drift=timedelta(minutes=2)), "clock", Level.WARNING),
    (
        "somebody else's package",
        machine.versions,
        lambda one: replace(one, probes=Probed(one.database.parent, beside="mailbridge 2.1.1 shares our files")),
        "package",
        Level.FAILURE,
    ),
    (
        "an older daemon",
        machine.versions,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, version="0.0.1")),
        "version",
        Level.WARNING,
    ),
    (
        "a certificate that ends tomorrow",
        network.certificate,
        lambda one: replace(
            one, probes=Probed(one.database.parent, served=Served(not_after=NOW + timedelta(days=1), names=(), is_own=False))
        ),
        "certificate",
        Level.FAILURE,
    ),
    (
        "a certificate that ends in a week",
        network.certificate,
        lambda one: replace(
            one, probes=Probed(one.database.parent, served=Served(not_after=NOW + timedelta(days=7), names=(), is_own=False))
        ),
        "certificate",
        Level.WARNING,
    ),
    ("no TLS", network.certificate, lambda one: _with(one, smtp=s.SmtpSettings(tls=False)), "certificate", Level.WARNING),
    (
        "a domain without records",
        network.records,
        lambda one: _with(one, domains=s.DomainSettings(accept=("bridge.example",))),
        "dns",
        Level.FAILURE,
    ),
    (
        "a domain inside somebody's network",
        network.records,
        lambda one: replace(
            _with(one, domains=s.DomainSettings(accept=("bridge.example",))), dns=Records(a={"bridge.example": ("192.168.1.7",)})
        ),
        "dns",
        Level.FAILURE,
    ),
    (
        "a totp_url on loopback",
        network.public_url,
        lambda one: _with(one, http=s.HttpSettings(public_url="http://127.0.0.1:8025")),
        "totp-url",
        Level.FAILURE,
    ),
    (
        "a totp_url that leads inside",
        network.public_url,
        lambda one: replace(
            _with(one, http=s.HttpSettings(public_url="https://codes.example")), dns=Records(a={"codes.example": ("10.0.0.1",)})
        ),
        "totp-url",
        Level.FAILURE,
    ),
    (
        "a totp_url in the clear",
        network.public_url,
        lambda one: replace(
            _with(one, http=s.HttpSettings(public_url="http://codes.example")), dns=Records(a={"codes.example": ("8.8.8.8",)})
        ),
        "totp-url",
        Level.WARNING,
    ),
    (
        "a mailbox with a wrong password",
        accounts.mailboxes,
        lambda one: replace(
            _with(one, imap=(s.ImapSettings(name="box", host="imap.example", username="ann", password=Secret("x")),)),
            probes=Probed(one.database.parent, steps=[Step(name="login", is_good=False, text="the password is refused")]),
        ),
        "mailbox",
        Level.FAILURE,
    ),
    (
        "a mailbox that the daemon has given up",
        accounts.mailboxes,
        lambda one: replace(
            one,
            status=msgspec.structs.replace(WELL, mailboxes=[{"mailbox": "box", "is_well": False, "reason": "password refused"}]),
        ),
        "mailbox",
        Level.FAILURE,
    ),
    (
        "a mail server that does not tell of new mail",
        accounts.mailboxes,
        lambda one: replace(
            one,
            status=msgspec.structs.replace(WELL, mailboxes=[{"mailbox": "box", "is_well": True, "notes": ("raise inotify",)}]),
        ),
        "mailbox",
        Level.WARNING,
    ),
    ("no Skyvern key", accounts.skyvern, lambda one: one, "skyvern", Level.WARNING),
    (
        "a Skyvern that does not answer",
        accounts.skyvern,
        lambda one: replace(
            one, skyvern=lambda: SkyvernAccount(base_url=f"http://127.0.0.1:{_closed_port()}", api_key=Secret("key-of-skyvern"))
        ),
        "skyvern",
        Level.FAILURE,
    ),
    (
        "a credential that tells no site",
        accounts.skyvern,
        lambda one: replace(one, skyvern=lambda: _Listing(base_url="http://127.0.0.1", api_key=Secret("key-of-skyvern"))),
        "site",
        Level.WARNING,
    ),
    (
        "a target that refuses",
        accounts.targets,
        lambda one: replace(
            one,
            status=msgspec.structs.replace(
                WELL, targets=[TargetShape(name="skyvern", url="https://x", is_practice=False, reason="key refused (401)")]
            ),
        ),
        "target",
        Level.FAILURE,
    ),
    (
        "a notice that does not arrive",
        accounts.targets,
        lambda one: replace(
            _with(one, notify=(s.NotifySettings(name="desk", kind="slack"),)),
            status=msgspec.structs.replace(WELL, checks={"notify desk": "the receiver answered 404"}),
        ),
        "notice",
        Level.FAILURE,
    ),
    (
        "a heartbeat that does not arrive",
        accounts.targets,
        lambda one: replace(one, status=msgspec.structs.replace(WELL, checks={"heartbeat": "not reachable"})),
        "heartbeat",
        Level.FAILURE,
    ),
    (
        "trust in anybody",
        mail.trust,
        lambda one: _with(one, trust=s.TrustSettings(default=("none",))),
        "trust",
        Level.FAILURE,
    ),
)


class _Listing(SkyvernAccount):
    """One that names an identifier without a login page."""

    def look(self) -> Account:
        """Its only credential."""
        return Account(
            version="1", credentials=(Credential(id="cred_1", name="GitHub", totp_identifier="ann@corp.com"),), clock_ahead=None
        )


def _mode(patient: Patient, path: Path, mode: int) -> Patient:
    path.chmod(mode)
    return patient


def _without(patient: Patient, path: Path) -> Patient:
    path.unlink()
    return patient


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(("name", "check", "breaks", "where", "level"), BROKEN, ids=[one[0] for one in BROKEN])
def test_what_is_broken_is_shown(
    name: str, check: Check, breaks: Callable[[Patient], Patient], where: str, level: Level, patient: Patient
) -> None:
    """At its place and with what fixes it; before it was broken it was not shown so."""
    if name != "no Skyvern key":
        assert (where, level) not in _levels(check, patient)
    assert (where, level) in _levels(check, breaks(patient))


def test_every_check_is_broken_once() -> None:
    """Or has a test of its own below."""
    own = {network.listeners, mail.held, mail.lost, mail.forwardings, machine.disk}
    from mailbridge.operator.doctor.run import GROUPS

    assert {one[1] for one in BROKEN} | own == {check for group in GROUPS.values() for check in group}


def test_a_well_patient_is_green(patient: Patient) -> None:
    """But for the key that he lacks, nothing is red or yellow."""
    found = [one for group in asyncio.run(examine(patient)).values() for one in group]
    assert [one for one in found if one.level in (Level.FAILURE, Level.WARNING) and one.check != "skyvern"] == []
    assert len({one.check for one in found}) >= 14


def test_a_held_mail_and_a_lost_code_are_shown(patient: Patient) -> None:
    """With the check that failed, and with the reason that the target gave."""

    async def happen() -> None:
        store, at = patient.store, datetime.now(UTC)
        await store.put(replace(arrival(at=at, is_held=True), held=("dkim: no signature",)))
        receipt = await store.put(arrival(draft("482913"), at=at))
        await store.outbox.settle(receipt.claims[0], Refused(reason="422 by Skyvern"), jitter=1.0, grace=timedelta())

    asyncio.run(happen())
    assert [(one.level, "1 by dkim" in one.text) for one in _found(mail.held, patient)] == [(Level.WARNING, True)]
    assert [(one.level, "422 by Skyvern" in one.text) for one in _found(mail.lost, patient)] == [(Level.FAILURE, True)]


def test_in_practice_no_proof_is_said_to_be_needed(patient: Patient) -> None:
    """Without a key nothing has to be proven, and the line says so; with one it names the proofs."""
    practice = replace(patient, status=msgspec.structs.replace(WELL, is_practice=True))
    assert [one.text.startswith("no proof is needed") for one in _found(mail.trust, practice)] == [True]
    real = replace(patient, status=msgspec.structs.replace(WELL, is_practice=False))
    assert [one.text.startswith("a mail needs one of these proofs") for one in _found(mail.trust, real)] == [True]


def test_a_forwarding_that_waits_is_shown(patient: Patient) -> None:
    """Until a mail of that account comes."""
    asked = Extraction(verdict=Verdict.CONFIRMATION, value=Secret("https://mail.google.com/mail/vf-x"), rule=None, reason="x")
    asyncio.run(patient.store.put(replace(arrival(at=datetime.now(UTC)), extraction=asked, drafts=())))
    assert {one.level for one in _found(mail.forwardings, patient)} == {Level.WARNING}


@contextmanager
def _speaking(*lines: bytes) -> Iterator[str]:
    """A listener that says these lines, whatever it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for line in lines:
                    connection.sendall(line)
                connection.settimeout(20)
                while connection.recv(1024):
                    pass

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    ("lines", "level"),
    [
        ((b"220 hello\r\n", b"250-hello\r\n", b"250 STARTTLS\r\n"), Level.OK),
        ((b"220 hello\r\n", b"250 hello\r\n"), Level.WARNING),
        ((b"554 go away\r\n",), Level.FAILURE),
        ((b"HTTP/1.1 400 Bad Request\r\n",), Level.FAILURE),
    ],
)
def test_a_listener_has_to_speak_smtp(lines: tuple[bytes, ...], level: Level, patient: Patient) -> None:
    """With STARTTLS it is green, without yellow, and another program on the port is red."""
    with _speaking(*lines) as address:
        status = msgspec.structs.replace(WELL, smtp=[address])
        assert [one.level for one in _found(network.listeners, replace(patient, status=status))] == [level]


def test_a_check_that_takes_too_long_hides_no_other(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so itself; what the others found is there."""
    from mailbridge.operator.doctor import run

    async def never(_: Patient) -> AsyncIterator[Finding]:
        await asyncio.Event().wait()
        yield Finding(check="never", level=Level.OK, text="")

    monkeypatch.setattr(run, "PATIENCE", 0.2)
    monkeypatch.setattr(run, "GROUPS", {"one": (never, machine.clock)})
    (found,) = asyncio.run(examine(patient)).values()
    assert [(one.check, one.level) for one in found] == [("never", Level.UNKNOWN), ("clock", Level.OK)]
