"""Mailboxes that people add: whose they are, whether they work, kept only if a mail could be fetched; the steps of command, page and setup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec

from mailbridge.config.added import Added, merged
from mailbridge.config.problems import ConfigError
from mailbridge.config.providers import Provider, by_domain, by_exchangers, by_policy, by_server
from mailbridge.config.settings import ImapSettings
from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator.asks import Ask, Seconds, Text
from mailbridge.operator.doctor.finding import Step
from mailbridge.operator.entries import AddEntry, EntryVerbs, OneEntry, additions, bad_config
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import Done, MailboxAdded, MailboxTest, ProviderShape, StepShape
from mailbridge.store import StoreError
from mailbridge.store import entries as store
from mailbridge.trust.dns import DnsUnavailable, Resolver

IDLE_FOR = 1.0
"""Seconds of IDLE in a test: enough to see that the server takes it."""
TRIED = ("imap", "mail")
"""Names below a domain at which its IMAP server usually is."""
How = Literal["domain", "mx", "name", "spf"]
TokenText = Annotated[str, msgspec.Meta(max_length=10_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a try: its steps, until one fails, and the refresh token as it is now (a provider may give another one)."""

    steps: Sequence[Step]
    token: Secret | None = None


class MailboxProbes(Protocol):
    """What only higher rooms can do; `app` hands it in. Each may block, and is called in a thread."""

    def tried(self, settings: ImapSettings, token: Secret | None, *, idle_for: float, with_canary: bool) -> Tried:
        """Connect, log in, open the folders, fetch one mail and idle, until a step fails. ``token``: an OAuth refresh token that is not
        kept yet; None: the one that is kept."""
        ...

    def keep(self, label: str, token: Secret) -> None:
        """Keep the refresh token of an account. Raises StoreError."""
        ...

    def forget(self, label: str) -> None:
        """Erase the refresh token of an account, if there is one."""
        ...

    def hint(self, preset: str | None) -> str:
        """What the password of a provider is, for a person."""
        ...


class OfMailbox(Ask, frozen=True, kw_only=True):
    """A mailbox by its address."""

    address: Text


class AddMailbox(Ask, frozen=True, kw_only=True):
    """A mailbox by its address. ``settings`` are further keys of `[[imap]]`; where they name no server, the provider's is used.
    ``refresh_token`` is the permission of its owner, with ``oauth`` in the settings."""

    address: Text
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    secrets: dict[str, Text] = msgspec.field(default_factory=dict)
    refresh_token: TokenText = ""


class OneMailbox(Ask, frozen=True, kw_only=True):
    """A mailbox by the name of its account, or by its address."""

    name: Text


class TryMailbox(OneMailbox, frozen=True, kw_only=True):
    """One to be tried. ``idle``: seconds to wait in IDLE; ``canary``: send a mail to the mailbox itself, and see it arrive."""

    idle: Seconds = IDLE_FOR
    canary: bool = False


class Mailboxes:
    """The verbs of mailboxes. Listing them is a matter of entries."""

    def __init__(
        self,
        *,
        kept: store.Entries,
        entries: EntryVerbs,
        configuration: Configuration,
        probes: MailboxProbes,
        dns: Callable[[], Resolver],
    ) -> None:
        self._kept = kept
        self._entries = entries
        self._configuration = configuration
        self._probes = probes
        self._dns = dns

    async def provider(self, ask: OfMailbox) -> ProviderShape | Fault:
        """Where the mail of an address is, and what it wants as its secret. Asks DNS."""
        domain = _domain_of(ask.address)
        if domain is None:
            return Fault(kind=Kind.BAD_CONFIG, title=f"{ask.address!r} is not a mail address")
        found, host, by = await self._found(domain)
        if found is None and not host:
            return Fault(kind=Kind.NOT_FOUND, title=f"no IMAP server is known for {domain}, nor found by DNS: name its host")
        return ProviderShape(
            name=found.name if found is not None else host,
            preset=(found.preset or "") if found is not None else "",
            host=host,
            oauth=found.oauth if found is not None else "",
            takes_password=found is None or found.takes_password,
            hint=self._probes.hint(found.preset if found is not None else None),
            by=by,
        )

    async def add(self, ask: AddMailbox, by: str) -> MailboxAdded | Fault:
        """Try a mailbox, and keep it if a mail could be fetched; it is watched when this is answered."""
        entry = await self._entry(ask)
        if isinstance(entry, Fault):
            return entry
        account = await self._checked(entry, by)
        if isinstance(account, Fault):
            return account
        token = Secret(ask.refresh_token) if ask.refresh_token else None
        if account.oauth is not None and account.oauth.grant == "user" and token is None:
            return Fault(kind=Kind.BAD_CONFIG, title="refresh_token: this account needs the permission of its owner")
        tried = await asyncio.to_thread(self._probes.tried, account, token, idle_for=IDLE_FOR, with_canary=False)
        bad = next((one for one in tried.steps if not one.is_good), None)
        if bad is not None:
            return Fault(kind=Kind.UPSTREAM, title=f"{ask.address} is not added; {bad.name}: {bad.text}")
        if tried.token is not None:
            try:
                await asyncio.to_thread(self._probes.keep, entry.name, tried.token)
            except StoreError as fault:
                return Fault(kind=Kind.TRY_AGAIN, title=f"{ask.address} is not added: {fault}")
        done = await self._entries.add(entry, by)
        if isinstance(done, Fault):
            if tried.token is not None:
                await asyncio.to_thread(self._probes.forget, entry.name)
            return done
        return MailboxAdded(name=entry.name, address=ask.address, steps=_shown(tried.steps))

    async def remove(self, ask: OneMailbox) -> Done | Fault:
        """Watch a mailbox no longer that was added, and erase its secret."""
        known = [one for one in await additions(self._kept) if one.kind == "imap"]
        name = next((one.name for one in known if _is_meant(ask.name, one.name, one.values)), ask.name)
        done = await self._entries.remove(OneEntry(kind="imap", name=name))
        if not isinstance(done, Fault):
            await asyncio.to_thread(self._probes.forget, name)
        return done

    async def test(self, ask: TryMailbox) -> MailboxTest | Fault:
        """Whether a mailbox of the configuration works: the daemon's own commands, and one mail fetched."""
        accounts = self._configuration.now.imap
        found = next((one for one in accounts if _is_meant(ask.name, one.label, {"username": one.username})), None)
        if found is None:
            known = ", ".join(one.label for one in accounts[:20])
            hint = f"there is {known}" if known else "none is configured; `mailbridge imap add ADDRESS` adds one"
            return Fault(kind=Kind.NOT_FOUND, title=f"no account is called {ask.name!r}; {hint}")
        tried = await asyncio.to_thread(self._probes.tried, found, None, idle_for=ask.idle, with_canary=ask.canary)
        return MailboxTest(name=found.label, ok=all(one.is_good for one in tried.steps), steps=_shown(tried.steps))

    async def _found(self, domain: str) -> tuple[Provider | None, str, How]:
        """A provider, the server where it has no preset, and by what it was found."""
        found = by_domain(domain)
        if found is not None:
            return found, found.host, "domain"
        dns = self._dns()
        found = by_exchangers(await _asked(dns.exchangers, domain))
        if found is not None:
            return found, found.host, "mx"
        for name in TRIED:
            if await _asked(dns.addresses, f"{name}.{domain}"):
                host = f"{name}.{domain}"
                return None, host, "name"
        found = by_policy(await _asked(dns.txt, domain))
        return found, found.host if found is not None else "", "spf"

    async def _entry(self, ask: AddMailbox) -> AddEntry | Fault:
        """The table that is to be kept, with a name that holds no address."""
        settings: dict[str, Any] = {"username": ask.address, **ask.settings}
        if not settings.get("host") and not settings.get("preset"):
            found = await self.provider(OfMailbox(address=ask.address))
            if isinstance(found, Fault):
                return found
            settings |= {"preset": found.preset} if found.preset else {"host": found.host}
        host, preset = str(settings.get("host") or ""), settings.get("preset")
        known = by_server(host)
        if known is not None and known.preset is not None and not preset:
            preset = known.preset
        taken = {one.label: one for one in self._configuration.now.imap}
        same = next(
            (label for label, one in taken.items() if _is_same(one, str(settings["username"]), host, str(preset or ""))), None
        )
        if same is not None:
            return Fault(kind=Kind.EXISTS, title=f"{ask.address} is watched already, as {same}")
        if _domain_of(str(settings["username"])) is None and "address" not in settings:
            settings["address"] = ask.address
        name = settings.get("name") or _free(str(preset or "imap"), taken)
        return AddEntry(kind="imap", name=str(name), settings={**settings, "name": str(name)}, secrets=ask.secrets)

    async def _checked(self, entry: AddEntry, by: str) -> ImapSettings | Fault:
        """The account as the settings have it, before anybody is asked with it."""
        secrets = {key: Secret(value) for key, value in entry.secrets.items()}
        mine = Added(kind="imap", name=entry.name, values=entry.settings, secrets=secrets, at=datetime.now(UTC), by=by)
        try:
            whole = merged(self._configuration.base, (*await additions(self._kept), mine))
        except ConfigError as fault:
            return bad_config(fault)
        return next(one for one in whole.imap if one.label == entry.name)


def _domain_of(address: str) -> str | None:
    """The domain of a mail address; None where it is none."""
    return address.rpartition("@")[2].casefold() if parse_mailbox(address) is not None else None


async def _asked(ask: Callable[[str], Any], name: str) -> tuple[str, ...]:
    """What DNS answers; nothing where it does not."""
    try:
        return tuple(await ask(name))
    except DnsUnavailable:
        return ()


def _is_meant(wanted: str, name: str, values: Mapping[str, Any]) -> bool:
    return wanted.casefold() in (name.casefold(), str(values.get("username", "")).casefold())


def _is_same(one: ImapSettings, username: str, host: str, preset: str) -> bool:
    known = by_server(one.host)
    theirs = one.host.casefold() if known is None or known.preset is None else ""
    is_same_place = (
        (theirs == host.casefold()) if theirs else preset == (one.preset or (known.preset if known is not None else ""))
    )
    return is_same_place and one.username.casefold() == username.casefold()


def _free(word: str, taken: Mapping[str, object]) -> str:
    """``gmail-1``, or the next number that is free: it stands in metrics, and holds no address."""
    folded = {name.casefold() for name in taken}
    return next(name for number in range(1, len(folded) + 2) if (name := f"{word}-{number}") not in folded)


def _shown(steps: Sequence[Step]) -> list[StepShape]:
    return [StepShape(step=one.name, ok=one.is_good, text=one.text) for one in steps]
