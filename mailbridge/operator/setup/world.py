"""What a setup needs of the world beside the operator's verbs, and what it sees there: checks of the doctor, mails, mailboxes."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta

import msgspec

from mailbridge.config.added import has_main
from mailbridge.config.settings import DomainSettings, ImapSettings, Settings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator.doctor import network
from mailbridge.operator.doctor.finding import Finding, Level, Patient
from mailbridge.operator.doctor.verb import Doctor
from mailbridge.operator.faults import Fault
from mailbridge.operator.mailboxes import Mailboxes, OfMailbox
from mailbridge.operator.mails import Mails, OneMail
from mailbridge.operator.setup.plan import CLOUD, Facts, Posting, Seen, Way, domain_of, identifier_of
from mailbridge.operator.setup.posting import service_of
from mailbridge.operator.setup.progress import Progress
from mailbridge.operator.setup.steps import planned
from mailbridge.operator.shapes import DeliveryShape, ProviderShape, Status
from mailbridge.operator.why import ASKS
from mailbridge.sinks.skyvern_account import SkyvernAccount, SkyvernError, is_skyvern
from mailbridge.store import Filter, MailRow, Store
from mailbridge.store.reading import literal
from mailbridge.trust.suffixes import registrable

NEAR = ("http://skyvern:8000", "http://localhost:8000")
"""Where a self-hosted Skyvern answers: its Compose service, and its port on this machine."""

AGAIN = timedelta(minutes=1)
"""After that DNS is asked again for a mailbox's server."""
SEARCHED = 50
PUSHED = ("code", "link")
UNFINISHED = ("pending", "in_flight")
TESTED = re.compile(r"operator\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What only higher rooms can do. ``confirm`` opens Gmail's link and gives why it did not work ("" where it did); ``near`` are places to look for a Skyvern."""

    confirm: Callable[[Secret], Awaitable[str]]
    dice: Callable[[int], bytes]
    now: Callable[[], datetime]
    near: tuple[str, ...] = NEAR


@dataclass(slots=True)
class Memory:
    """What is remembered while the daemon runs, so that polling asks Skyvern and Google once."""

    skyvern: dict[tuple[str, Secret | None], Seen] = field(default_factory=dict)
    found: str | None = None
    providers: dict[str, tuple[ProviderShape | None, datetime]] = field(default_factory=dict)
    not_confirmed: dict[int, str] = field(default_factory=dict)
    tokens: dict[str, Secret] = field(default_factory=dict)
    """Texts of tokens that setup made, by their number: the store keeps their hashes alone."""


class Looking:
    """Gathers what a plan is made of. It changes nothing."""

    def __init__(self, *, store: Store, mails: Mails, mailboxes: Mailboxes, doctor: Doctor, world: World, memory: Memory) -> None:
        self._store = store
        self._mails = mails
        self._mailboxes = mailboxes
        self._doctor = doctor
        self._world = world
        self.memory = memory

    async def facts(self, progress: Progress, *, is_thorough: bool = True) -> Facts:
        """What is seen now. ``is_thorough``: DNS, ports and Skyvern are asked too, where the plan waits for them."""
        patient = await self._doctor.patient()
        settings = patient.settings
        facts = Facts(
            has_key=has_main(settings),
            url=settings.skyvern.base_url,
            domains=tuple(network.mail_domains(settings)),
            way=self._way(progress, settings, patient.status),
            provider=await self._provider(progress, settings, is_thorough=is_thorough),
            mail=await self._mail(progress),
        )
        facts = replace(facts, way=await self._bound(progress, settings, facts))
        if not is_thorough:
            return facts
        facts = replace(facts, way=replace(facts.way, posting=self._posting(progress, settings)))
        facts = await self._with_skyvern(progress, facts, patient)
        current = planned(progress, facts).current
        if current is not None and current.name in ("dns", "port-25"):
            facts = replace(facts, way=await self._with_records(progress, facts, patient))
        return facts

    async def _bound(self, progress: Progress, settings: Settings, facts: Facts) -> Way:
        """With what hangs on the identifier and the answers. The secret of a service is not among it."""
        posting = replace(self._posting(progress, settings), secret=None)
        return replace(facts.way, rcpt=_rcpt(settings, progress, facts), asks=await self._asks(progress), posting=posting)

    def _posting(self, progress: Progress, settings: Settings) -> Posting:
        found, url = service_of(progress), settings.http.public_url
        if found is None:
            return Posting(url=url)
        if found.proof == "token":
            number = progress.answers.get("token", "")
            return Posting(url=url, is_proven=bool(number), secret=self.memory.tokens.get(number))
        kept = getattr(settings.ingest, found.key)
        one = kept[0] if isinstance(kept, tuple) and kept else kept
        return Posting(url=url, is_proven=bool(kept), secret=one if isinstance(one, Secret) and found.proof == "made" else None)

    def _way(self, progress: Progress, settings: Settings, status: Status | Fault) -> Way:
        lmtp = settings.smtp.lmtp
        bound = () if isinstance(status, Fault) else tuple(one for one in status.smtp if one not in lmtp)
        return Way(listeners=bound, lmtp=lmtp, mailbox=_mailbox(progress, settings, status))

    async def _provider(self, progress: Progress, settings: Settings, *, is_thorough: bool) -> ProviderShape | None:
        """Where the mail of a mailbox is that was named and is not watched yet. DNS is asked where ``is_thorough``, once for an address,
        and again after a while where it did not answer."""
        address = progress.answers.get("username", "")
        if not address or "host" in progress.answers or account_named(settings, address) is not None:
            return None
        known, at = self.memory.providers.get(address, (None, None))
        if known is None and is_thorough and (at is None or self._world.now() - at > AGAIN):
            found = await self._mailboxes.provider(OfMailbox(address=address))
            known = None if isinstance(found, Fault) else found
            self.memory.providers[address] = (known, self._world.now())
        return known

    async def _with_skyvern(self, progress: Progress, facts: Facts, patient: Patient) -> Facts:
        if not facts.has_key:
            if self.memory.found is None and "skyvern" not in progress.answers:
                self.memory.found = await asyncio.to_thread(self._near, patient.settings)
            return replace(facts, found=self.memory.found or "")
        main = patient.settings.skyvern
        name = (main.base_url, main.api_key)
        known = self.memory.skyvern.get(name)
        if known is None or not known.is_good:
            account = patient.skyvern()
            known = (
                Seen(is_good=False, text=account.title, hint="[skyvern] api_key_file")
                if isinstance(account, Fault)
                else await asyncio.to_thread(looked, account, main.base_url)
            )
            self.memory.skyvern[name] = known
        return replace(facts, skyvern=known)

    def _near(self, settings: Settings) -> str:
        named = settings.skyvern.base_url
        places = (named, *self._world.near) if named != CLOUD else self._world.near
        return next((one for one in places if is_skyvern(one)), "")

    async def _with_records(self, progress: Progress, facts: Facts, patient: Patient) -> Way:
        domain = domain_of(progress, facts)
        narrowed = msgspec.structs.replace(patient.settings, domains=DomainSettings(accept=(domain,)), address=())
        found = [one async for one in network.records(replace(patient, settings=narrowed))]
        own = tuple(sorted(one for one in await network.own_addresses() if ipaddress.ip_address(one.partition("%")[0]).is_global))
        return replace(
            facts.way,
            addresses=own,
            apex=registrable(domain) or domain,
            records=_seen([one for one in found if one.check == "dns"]),
            port=_seen([one for one in found if one.check == "port-25"]),
        )

    async def _asks(self, progress: Progress) -> tuple[int, str] | None:
        """The newest confirmation that is proven to be Google's, and whose account it is for ("": it does not say)."""
        if progress.answers.get("way") != "gmail":
            return None
        rows = await self._store.mails.page(Filter(since=began(progress)), limit=SEARCHED)
        for row in rows:
            if row.verdict == "confirmation" and row.confirm_link:
                asks = ASKS.search(row.trust)
                return row.id, asks.group(1) if asks else ""
        return None

    async def _mail(self, progress: Progress) -> Seen | None:
        """The newest mail with a code or link for the identifier that came since the setup began; a test mail only in a trial."""
        name = identifier_of(progress)
        if not name:
            return None
        rows = await self._store.mails.page(Filter(identifier=literal(name), since=began(progress)), limit=SEARCHED)
        is_trial = progress.answers.get("way") == "try"
        own = [row for row in rows if row.verdict in PUSHED and (is_trial or not TESTED.match(row.trust))]
        return await self._became(own[0], name) if own else None

    async def _became(self, row: MailRow, name: str) -> Seen:
        what = f"mail {row.id} from {row.sender}: {row.verdict}"
        if row.held:
            return Seen(is_good=False, text=f"{what}, held: {row.held[0]}", hint=f"mailbridge mail show {row.id}")
        detail = await self._mails.show(OneMail(id=row.id))
        rows: Sequence[DeliveryShape] = () if isinstance(detail, Fault) else detail.deliveries
        of_name = [one for one in rows if one.identifier.casefold() == name.casefold()] or list(rows)
        bad = next((one for one in of_name if one.state != "delivered"), None)
        if bad is None:
            return Seen(is_good=True, text=f"{what} for {name}, delivered")
        return Seen(
            is_good=False, text=f"{what}, {bad.state}{': ' + bad.reason if bad.reason else ''}", hint=f"mailbridge why {name}"
        )


def began(progress: Progress) -> datetime:
    """When the setup began."""
    return datetime.fromisoformat(progress.began_at)


def looked(account: SkyvernAccount, url: str) -> Seen:
    """Whether a key is good, and the version behind it. Blocking."""
    try:
        found = account.look()
    except SkyvernError as fault:
        return Seen(is_good=False, text=str(fault), hint="mailbridge doctor")
    return Seen(is_good=True, text=f"{url}, the key is good, {found.version or 'no version told'}")


def _rcpt(settings: Settings, progress: Progress, facts: Facts) -> str:
    name, domain = identifier_of(progress).casefold(), domain_of(progress, facts)
    ours = (one.rcpt for one in settings.address if (one.identifier or "").casefold() == name and name)
    if "rcpt" in progress.answers:
        return next((one for one in ours if one.casefold() == progress.answers["rcpt"].casefold()), "")
    return next((one for one in ours if one.rpartition("@")[2].casefold() == domain), "")


def account_named(settings: Settings, address: str) -> ImapSettings | None:
    """The account that reads a mailbox; None where none does."""
    folded = address.casefold()
    return next((one for one in settings.imap if folded and one.mailbox.casefold() == folded), None)


def _mailbox(progress: Progress, settings: Settings, status: Status | Fault) -> Seen | None:
    """How the daemon sees the mailbox; None where no account reads it."""
    account = account_named(settings, progress.answers.get("username", ""))
    if account is None:
        return None
    rows = (
        []
        if isinstance(status, Fault)
        else [one for one in status.mailboxes if one["mailbox"].partition("/")[0] == account.label]
    )
    bad = next((one for one in rows if not one["is_well"]), None)
    if bad is not None:
        return Seen(is_good=False, text=f"{account.label}: {bad['reason']}", hint=f"mailbridge imap test {account.label}")
    if not rows or any(one["last_roundtrip"] is None and not one["watched_by"] for one in rows):
        return Seen(is_good=False, text=f"{account.label}: the daemon is connecting")
    return Seen(is_good=True, text=f"{account.mailbox} is watched ({account.label})")


def _seen(found: Sequence[Finding]) -> Seen | None:
    """Findings of one kind as one: good where each is."""
    bad = next((one for one in found if one.level is Level.FAILURE), None) or next(
        (one for one in found if one.level is not Level.OK), None
    )
    if bad is not None:
        return Seen(is_good=False, text=bad.text, hint=bad.hint)
    return Seen(is_good=True, text="; ".join(one.text for one in found)) if found else None
