"""The steps of adding a mailbox: whose it is, tried before it is kept, and named without its address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.app.probing import LocalMailboxProbes
from mailbridge.clock import SteadyClock
from mailbridge.config.added import merged
from mailbridge.config.settings import ImapSettings, RetentionSettings, Settings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.masks import Masks
from mailbridge.operator.doctor.finding import Step
from mailbridge.operator.entries import EntryVerbs, additions
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mailboxes import AddMailbox, Mailboxes, OfMailbox, OneMailbox, Tried
from mailbridge.operator.shapes import Done, MailboxAdded, ProviderShape
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.trust.dns import DnsUnavailable
from tests.peers.scripted_imap import ScriptedImap, Session


@dataclass
class Records:
    """DNS as a test says it is; None: it does not answer."""

    mx: dict[str, tuple[str, ...]] | None = field(default_factory=dict)
    a: dict[str, tuple[str, ...]] = field(default_factory=dict)
    spf: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def txt(self, name: str) -> tuple[str, ...]:
        return self.spf.get(name, ())

    async def addresses(self, name: str) -> tuple[str, ...]:
        return self.a.get(name, ())

    async def exchangers(self, name: str) -> tuple[str, ...]:
        if self.mx is None:
            raise DnsUnavailable(name)
        return self.mx.get(name, ())


@dataclass
class Probed:
    """Probes that find what a test puts into them, and remember what they were asked."""

    steps: Sequence[Step] = (Step(name="fetch", is_good=True, text="one"),)
    rotated: Secret | None = None
    asked: list[ImapSettings] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def tried(self, settings: ImapSettings, token: Secret | None, *, idle_for: float, with_canary: bool) -> Tried:
        del idle_for, with_canary
        self.asked.append(settings)
        return Tried(steps=self.steps, token=self.rotated or token)

    def keep(self, label: str, token: Secret) -> None:
        self.kept[label] = token.reveal()

    def forget(self, label: str) -> None:
        self.kept.pop(label, None)

    def hint(self, preset: str | None) -> str:
        return f"the hint of {preset}"


@dataclass
class Config:
    """A configuration that takes everything that was added."""

    store: SqliteStore
    base: Settings = field(default_factory=Settings)
    now: Settings = field(default_factory=Settings)

    async def take_additions(self) -> None:
        self.now = merged(self.base, await additions(self.store.entries))


def verbs_of(
    store: SqliteStore, probes: Probed | LocalMailboxProbes, dns: Records | None = None, base: Settings | None = None
) -> Mailboxes:
    """The verbs over a store."""
    config = Config(store, base or Settings(), base or Settings())
    entries = EntryVerbs(entries=store.entries, configuration=config)
    return Mailboxes(kept=store.entries, entries=entries, configuration=config, probes=probes, dns=lambda: dns or Records())


async def opened(folder: Path) -> SqliteStore:
    """A store of its own."""
    return open_sqlite(
        StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"), RetentionSettings(), clock=SteadyClock(), grace=timedelta()
    )


CORP = "corp.example"


@pytest.mark.parametrize(
    ("address", "dns", "expected"),
    [
        ("ann@GMAIL.com", Records(mx=None), ("gmail", "", "google", True, "domain")),
        ("ann@hotmail.com", Records(), ("outlook", "", "microsoft", False, "domain")),
        ("ann@gmx.de", Records(), ("", "imap.gmx.net", "", True, "domain")),
        (
            f"ann@{CORP}",
            Records(mx={CORP: ("aspmx.l.google.com", "alt1.aspmx.l.google.com")}),
            ("gmail", "", "google", True, "mx"),
        ),
        (f"ann@{CORP}", Records(mx={CORP: ("SMTP.Google.com.",)}), ("gmail", "", "google", True, "mx")),
        (
            f"ann@{CORP}",
            Records(mx={CORP: ("corp-example.mail.protection.outlook.com",)}),
            ("outlook", "", "microsoft", False, "mx"),
        ),
        (f"ann@{CORP}", Records(mx={CORP: ("corp-example.x-v1.mx.microsoft",)}), ("outlook", "", "microsoft", False, "mx")),
        (f"ann@{CORP}", Records(mx={CORP: ("in1-smtp.messagingengine.com",)}), ("fastmail", "", "", True, "mx")),
        (f"ann@{CORP}", Records(mx={CORP: ("mx.zoho.eu",)}), ("", "imap.zoho.eu", "", True, "mx")),
        (
            f"ann@{CORP}",
            Records(mx={CORP: ("mx1.filter.example",)}, spf={CORP: ("v=spf1 include:_spf.google.com ~all",)}),
            ("gmail", "", "google", True, "spf"),
        ),
        (f"ann@{CORP}", Records(mx=None, a={f"mail.{CORP}": ("192.0.2.1",)}), ("", f"mail.{CORP}", "", True, "name")),
    ],
)
def test_the_provider_is_found(tmp_path: Path, address: str, dns: Records, expected: tuple[str, str, str, bool, str]) -> None:
    """By domain, by MX records, by the usual name of a server, by SPF; in that order, and without regard to case."""

    async def run() -> None:
        store = await opened(tmp_path)
        found = await verbs_of(store, Probed(), dns).provider(OfMailbox(address=address))
        assert isinstance(found, ProviderShape), found
        assert (found.preset, found.host, found.oauth, found.takes_password, found.by) == expected
        await store.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("spf", "mx"),
    [
        ("v=spf1 include:_spf.google.com include:spf.protection.outlook.com -all", "mx.filter.example"),
        ("include:_spf.google.com", "mx.filter.example"),
        ("v=spf1 -all", "aspmx.l.google.com.evil.example"),
        ("v=spf1 -all", "notgoogle.com"),
    ],
)
def test_what_only_looks_like_a_provider_is_none(tmp_path: Path, spf: str, mx: str) -> None:
    """Two providers in SPF, no SPF at all, or a host with a provider's name in it: no password goes there."""

    async def run() -> None:
        store = await opened(tmp_path)
        found = await verbs_of(store, Probed(), Records(mx={CORP: (mx,)}, spf={CORP: (spf,)})).provider(
            OfMailbox(address=f"ann@{CORP}")
        )
        assert isinstance(found, Fault) and found.kind is Kind.NOT_FOUND
        await store.close()

    asyncio.run(run())


def test_only_a_mailbox_that_works_is_kept(tmp_path: Path) -> None:
    """A step that fails is told, and nothing is kept; one that works is kept under a name without its address, once."""

    async def run() -> None:
        store = await opened(tmp_path)
        probes = Probed(steps=[Step(name="fetch", is_good=False, text="the server gives nothing")])
        verbs = verbs_of(store, probes)
        ask = AddMailbox(address="ann@gmail.com", secrets={"password": "app-secret"})
        failed = await verbs.add(ask, "ann")
        assert isinstance(failed, Fault) and failed.kind is Kind.UPSTREAM
        assert "fetch: the server gives nothing" in failed.title and "app-secret" not in failed.title
        assert await store.entries.entries("imap") == ()
        probes.steps = [Step(name="fetch", is_good=True, text="one")]
        added = await verbs.add(ask, "ann")
        assert isinstance(added, MailboxAdded) and added.name == "gmail-1"
        other = await verbs.add(AddMailbox(address="bob@gmail.com", secrets={"password": "x"}), "ann")
        assert isinstance(other, MailboxAdded) and other.name == "gmail-2"
        again = await verbs.add(ask, "ann")
        assert isinstance(again, Fault) and again.kind is Kind.EXISTS and "gmail-1" in again.title
        (kept, _) = await store.entries.entries("imap")
        assert (kept.name, kept.secrets, kept.settings["preset"]) == ("gmail-1", ("password",), "gmail")
        assert "app-secret" not in str(kept.settings)
        assert isinstance(await verbs.remove(OneMailbox(name="ann@gmail.com")), Done)
        assert [one.name for one in await store.entries.entries("imap")] == ["gmail-2"]
        await store.close()

    asyncio.run(run())


def test_an_account_of_the_file_is_not_added_twice(tmp_path: Path) -> None:
    """The same user at the same provider is watched already, whether the file names the preset or its host."""

    async def run() -> None:
        store = await opened(tmp_path)
        mine = ImapSettings(username="ann@gmail.com", host="imap.gmail.com", name="work", password=Secret("x"))
        verbs = verbs_of(store, Probed(), base=Settings(imap=(mine,)))
        found = await verbs.add(AddMailbox(address="ann@gmail.com", secrets={"password": "x"}), "ann")
        assert isinstance(found, Fault) and found.kind is Kind.EXISTS and "work" in found.title
        await store.close()

    asyncio.run(run())


def test_a_permission_is_kept_as_the_provider_left_it(tmp_path: Path) -> None:
    """A refresh token that was exchanged during the try is kept in its new form; a try that fails keeps none; removal erases it."""

    async def run() -> None:
        store = await opened(tmp_path)
        probes = Probed(rotated=Secret("second"))
        verbs = verbs_of(store, probes)
        oauth = {"provider": "microsoft", "client_id": "app"}
        ask = AddMailbox(address="ann@hotmail.com", settings={"oauth": oauth}, refresh_token="first")
        added = await verbs.add(ask, "ann")
        assert isinstance(added, MailboxAdded) and probes.kept == {"outlook-1": "second"}
        await verbs.remove(OneMailbox(name="outlook-1"))
        assert probes.kept == {}
        probes.steps = [Step(name="login", is_good=False, text="no")]
        assert isinstance(await verbs.add(ask, "ann"), Fault) and probes.kept == {}
        none = await verbs.add(AddMailbox(address="ann@hotmail.com", settings={"oauth": oauth}), "ann")
        assert isinstance(none, Fault) and none.kind is Kind.BAD_CONFIG
        await store.close()

    asyncio.run(run())


def test_what_the_configuration_would_refuse_asks_no_server(tmp_path: Path) -> None:
    """A password for Microsoft, or an account without any secret, is a mistake before anybody is connected to."""

    async def run() -> None:
        store = await opened(tmp_path)
        probes = Probed()
        verbs = verbs_of(store, probes)
        for ask in (AddMailbox(address="ann@hotmail.com", secrets={"password": "x"}), AddMailbox(address="ann@gmail.com")):
            found = await verbs.add(ask, "ann")
            assert isinstance(found, Fault) and found.kind is Kind.BAD_CONFIG
        assert probes.asked == []
        await store.close()

    asyncio.run(run())


def _refused(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} NO not today\r\n".encode())
    return True


def test_the_real_probe_fetches_a_mail(tmp_path: Path) -> None:
    """By the watchers' own connection: a FETCH goes out before anything is kept, and a server that refuses it keeps the mailbox out."""

    async def run() -> None:
        store = await opened(tmp_path)
        with ScriptedImap() as server:
            server.deliver(b"Subject: one\r\n\r\nbody\r\n")
            probes = LocalMailboxProbes(StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"), Masks())
            verbs = verbs_of(store, probes)
            place = {"host": "127.0.0.1", "port": server.port, "tls": "none"}
            ask = AddMailbox(address="ann@corp.example", settings=place, secrets={"password": "pw"})
            server.hooks["UID FETCH"] = _refused
            failed = await verbs.add(ask, "ann")
            assert isinstance(failed, Fault) and "fetch" in failed.title and "not today" in failed.title
            server.hooks.clear()
            added = await verbs.add(ask, "ann")
            assert isinstance(added, MailboxAdded) and added.name == "imap-1"
            assert any("UID 1" in step.text for step in added.steps if step.step == "fetch")
        await store.close()

    asyncio.run(run())
