"""The verbs of a setup: look at it, answer a question, do what can be done now, and forget how far it was.

Each thing that is done is one of the operator's other verbs, so nothing is added here that they could not add, and each is done once:
what is there already is seen, and not added again.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import asdict
from typing import Annotated, Any

import msgspec

from mailbridge.config.added import INGEST, MAIN, has_main
from mailbridge.core.recipients import RANDOM_LENGTH, unguessable_address
from mailbridge.core.secret import Secret
from mailbridge.operator.asks import Ask, MaybeText
from mailbridge.operator.entries import AddEntry, EntryVerbs, OneEntry
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mailboxes import AddMailbox, Mailboxes
from mailbridge.operator.parts import Configuration
from mailbridge.operator.setup.answers import PARSERS, SECRET, Mistake, public, service_key
from mailbridge.operator.setup.answers import address_of_skyvern as parse_address
from mailbridge.operator.setup.answers import key as parse_key
from mailbridge.operator.setup.plan import Facts, Level, Plan, Step, domain_of, identifier_of
from mailbridge.operator.setup.posting import SERVICES, service_of
from mailbridge.operator.setup.progress import ENTRY, Progress, restored, stored
from mailbridge.operator.setup.steps import PRACTICE, base_url, planned
from mailbridge.operator.setup.world import Looking, World, account_named, looked
from mailbridge.operator.shapes import Shape
from mailbridge.operator.shown import stamp
from mailbridge.operator.tokens import AddToken, Tokens
from mailbridge.sinks.skyvern_account import SkyvernAccount
from mailbridge.store import Store

KEPT = ("skyvern", "dns", "port-25", "forwarding", "mail")
"""Steps that, once seen to work, are not asked about again by this setup."""

TURNS = ("way", "for", "domain", "username", "service")
"""Answers that begin another way in: what was seen of the former one no longer counts, nor do its mails."""

SECRET_OCTETS = 24
"""Of a secret that is made here; Standard Webhooks wants as many."""

STARTTLS = "143"
"""The port at which a connection begins without TLS."""

NAMES = "|".join([*PARSERS, *SECRET])


class SetupAnswer(Ask, frozen=True, kw_only=True):
    """The answer to a question by its name; "" takes the question's default."""

    name: Annotated[str, msgspec.Meta(pattern=f"^(?:{NAMES})$")]
    value: MaybeText = ""


class QuestionShape(Shape, frozen=True, kw_only=True):
    """What a person is asked; ``default`` null: there has to be an answer."""

    name: str
    text: str
    is_secret: bool
    choices: list[list[str]]
    default: str | None


class StepShape(Shape, frozen=True, kw_only=True):
    """One step: ``level`` is done, ask, wait, failed or later; ``hint`` what brings it about, ``lines`` what is to be copied.

    ``wants`` is what the client has to do itself: "file" (write ``file`` where there is no configuration file), "filter", "test".
    """

    name: str
    title: str
    level: str
    text: str
    hint: str
    lines: list[str]
    wants: str
    file: str


class DidShape(Shape, frozen=True, kw_only=True):
    """One thing that a setup did."""

    at: str
    text: str


class SetupState(Shape, frozen=True, kw_only=True):
    """How far a setup is. ``current`` is the step that something has to be done about, null where everything is done;
    ``question`` what it asks."""

    identifier: str
    current: str | None
    question: QuestionShape | None
    steps: list[StepShape]
    did: list[DidShape]


class SetupVerbs:
    """The verbs."""

    def __init__(
        self,
        *,
        store: Store,
        entries: EntryVerbs,
        mailboxes: Mailboxes,
        configuration: Configuration,
        looking: Looking,
        world: World,
        tokens: Tokens,
    ) -> None:
        self._store = store
        self._entries = entries
        self._mailboxes = mailboxes
        self._configuration = configuration
        self._looking = looking
        self._world = world
        self._tokens = tokens
        self._turn = asyncio.Lock()

    async def show(self) -> SetupState | Fault:
        """How far it is. Nothing is done and nobody outside is asked."""
        progress = await self._load()
        return _state(progress, planned(progress, await self._looking.facts(progress, is_thorough=False)))

    async def go(self, by: str) -> SetupState | Fault:
        """Do what can be done now without a person, and look at what is waited for. What is done already is not done again."""
        async with self._turn:
            return await self._go(await self._load(), by)

    async def answer(self, ask: SetupAnswer, by: str) -> SetupState | Fault:
        """Take an answer, then go on as `go`. One that is wrong changes nothing, and says why."""
        async with self._turn:
            progress = await self._load()
            try:
                changed = await (self._secret(progress, ask, by) if ask.name in SECRET else self._plain(progress, ask))
            except Mistake as fault:
                return Fault(kind=Kind.REFUSED, title=str(fault))
            if isinstance(changed, Fault):
                return changed
            await self._save(progress, changed, by)
            return await self._go(changed, by)

    async def forget(self, by: str) -> SetupState | Fault:
        """Forget how far it was, so that the next one asks anew. What it added stays; so does the list of what was done."""
        async with self._turn:
            before = await self._load()
            progress = Progress(began_at=stamp(self._world.now()), did=before.did)
            await self._save(before, progress, by)
            return _state(progress, planned(progress, await self._looking.facts(progress, is_thorough=False)))

    async def _load(self) -> Progress:
        rows = [one for one in await self._store.entries.entries(ENTRY) if one.name == ENTRY]
        found = restored(rows[0].settings) if rows else None
        return found if found is not None else Progress(began_at=stamp(self._world.now()))

    async def _save(self, before: Progress, progress: Progress, by: str) -> None:
        if progress != before or not await self._store.entries.entries(ENTRY):
            await self._store.entries.put(ENTRY, ENTRY, stored(progress), by=by)

    async def _go(self, progress: Progress, by: str) -> SetupState | Fault:
        before = progress
        facts = await self._looking.facts(progress)
        plan = planned(progress, facts)
        done: set[str] = set()
        trouble = ""
        while (step := plan.current) is not None and step.act and step.act not in done and not trouble:
            done.add(step.act)
            changed = await self._act(step.act, progress, facts, by)
            if isinstance(changed, Fault):
                trouble = "; ".join(changed.problems) or changed.title
            else:
                progress = changed
                facts = await self._looking.facts(progress)
                plan = planned(progress, facts)
        fresh = {
            one.name: one.text
            for one in plan.steps
            if one.level is Level.DONE and one.name in KEPT and one.name not in progress.seen
        }
        progress = progress.having_seen({name: text for name, text in fresh.items() if text and _is_worth_keeping(name, facts)})
        await self._save(before, progress, by)
        return _state(progress, plan, trouble)

    async def _act(self, act: str, progress: Progress, facts: Facts, by: str) -> Progress | Fault:
        match act:
            case "address":
                return await self._add_address(progress, facts, by)
            case "confirm":
                return await self._confirm(progress, facts)
            case "proof":
                return await self._prove(progress, by)
            case _:
                raise AssertionError(act)

    async def _add_address(self, progress: Progress, facts: Facts, by: str) -> Progress | Fault:
        rcpt = progress.answers.get("rcpt") or unguessable_address(domain_of(progress, facts), self._world.dice(RANDOM_LENGTH))
        identifier = identifier_of(progress)
        values: dict[str, Any] = {"rcpt": rcpt, "identifier": identifier, **_senders(progress, has_site=True)}
        found = await self._entries.add(AddEntry(kind="address", name=rcpt, settings=values), by)
        if isinstance(found, Fault):
            return found
        return self._did(progress, f"address {rcpt} for {identifier} (`mailbridge address remove {rcpt}` takes it back)")

    async def _prove(self, progress: Progress, by: str) -> Progress | Fault:
        """Make what the service proves itself with: a secret of `[ingest]`, or a token for the identifier alone."""
        word, found = progress.answers["service"], SERVICES[progress.answers["service"]]
        if found.proof == "token":
            identifier = identifier_of(progress)
            made = await self._tokens.add(AddToken(role="ingest", identifiers=(identifier,), name=f"setup: {word}"))
            if isinstance(made, Fault):
                return made
            self._looking.memory.tokens[str(made.id)] = Secret(made.token)
            changed = progress.answered("token", str(made.id))
            return self._did(
                changed, f"token {made.id}, which brings texts for {identifier} (`mailbridge token remove {made.id}`)"
            )
        if found.proof == "named":
            return await self._add_proof(progress, by, values={found.key: [progress.answers["topic"]]})
        dice = self._world.dice(SECRET_OCTETS)
        text = f"whsec_{base64.b64encode(dice).decode()}" if found.key == "webhook_secrets" else dice.hex()
        return await self._add_proof(progress, by, secrets={found.key: text})

    async def _add_proof(
        self, progress: Progress, by: str, *, values: dict[str, Any] | None = None, secrets: dict[str, str] | None = None
    ) -> Progress | Fault:
        word = progress.answers["service"]
        added = await self._entries.add(AddEntry(kind=INGEST, name=word, settings=values or {}, secrets=secrets or {}), by)
        if isinstance(added, Fault):
            return added
        return self._did(progress, f"the proof of {word}, kept encrypted (`mailbridge ingest remove {word}` takes it back)")

    async def _add_service_key(self, progress: Progress, text: str, by: str) -> Progress | Fault:
        found = service_of(progress)
        if found is None or found.proof != "asked":
            raise Mistake("choose the service first; Mailgun and Forward Email have such a key")
        if getattr(self._configuration.now.ingest, found.key) is not None:
            return progress
        return await self._add_proof(progress, by, secrets={found.key: service_key(text)})

    async def _confirm(self, progress: Progress, facts: Facts) -> Progress | Fault:
        number, account_name = facts.way.asks or (0, "")
        not_confirmed = self._looking.memory.not_confirmed
        if number not in not_confirmed:
            row = await self._store.mails.one(number)
            link = row.confirm_link if row is not None else None
            not_confirmed[number] = await self._world.confirm(Secret(link)) if link else "the mail is no longer kept"
        why = not_confirmed[number]
        if why:
            title = f"not confirmed: {why}; `mailbridge gmail confirm {number}` tries again"
            return Fault(kind=Kind.UPSTREAM, title=title)
        await self._store.confirmed(number)
        text = f"{account_name} may forward to {facts.way.rcpt}"
        return self._did(progress.having_seen({"forwarding": text}), f"Gmail's question was answered: {text}")

    async def _plain(self, progress: Progress, ask: SetupAnswer) -> Progress:
        """Keep an answer. Raises Mistake."""
        value = ask.value
        if not value.strip():
            facts = await self._looking.facts(progress, is_thorough=False)
            current = planned(progress, facts).current
            question = current.question if current is not None else None
            default = question.default if question is not None and question.name == ask.name else None
            if default is None and ask.name != "sites":
                raise Mistake("there has to be an answer")
            value = default or ""
        parsed = value if ask.name == "skyvern" and value == PRACTICE else PARSERS[ask.name](value)
        if ask.name == "domain" and progress.answers.get("way") == "gmail":
            public(parsed)
        if ask.name in TURNS and progress.answers.get(ask.name) not in (None, parsed):
            kept = {name: text for name, text in progress.seen.items() if name == "skyvern"}
            progress = msgspec.structs.replace(
                progress.without("filter", "test", "allow", "token", "topic", "rcpt"),
                seen=kept,
                began_at=stamp(self._world.now()),
            )
        if ask.name == "allow":
            parsed = await self._of_question(progress, parsed)
        changed = progress.answered(ask.name, parsed)
        return (
            self._did(changed, f"file {parsed}")
            if ask.name in ("file", "filter") and progress.answers.get(ask.name) != parsed
            else changed
        )

    async def _of_question(self, progress: Progress, word: str) -> str:
        """A yes or no, bound to the very mail in which Gmail asks: it allows nobody who asks later. Raises Mistake."""
        asks = (await self._looking.facts(progress, is_thorough=False)).way.asks
        if asks is None:
            raise Mistake("Gmail has not asked yet")
        return f"{word}:{asks[0]}"

    async def _secret(self, progress: Progress, ask: SetupAnswer, by: str) -> Progress | Fault:
        """Try a secret, and keep it where it works. Raises Mistake."""
        if ask.name == "password":
            return await self._add_mailbox(progress, ask.value.strip("\r\n"), by)
        text = ask.value.strip()
        if ask.name == "service-key":
            return await self._add_service_key(progress, text, by)
        if not text:
            return progress.answered("skyvern", PRACTICE)
        if text.startswith(("http://", "https://")):
            return progress.answered("skyvern", parse_address(text))
        return await self._add_key(progress, parse_key(text), by)

    async def _add_key(self, progress: Progress, text: str, by: str) -> Progress | Fault:
        now, base = self._configuration.now.skyvern, self._configuration.base
        url = base_url(progress, await self._looking.facts(progress))
        if now.api_key == Secret(text) and (has_main(base) or now.base_url == url):
            return progress
        if has_main(base):
            raise Mistake("the configuration's file (or environment) has another key; change it there")
        found = await asyncio.to_thread(looked, SkyvernAccount(base_url=url, api_key=Secret(text)), url)
        if not found.is_good:
            raise Mistake(found.text.replace(text, "***"))
        if has_main(self._configuration.now):
            await self._entries.remove(OneEntry(kind=MAIN, name=MAIN))
        values = {"base_url": url} if url != base.skyvern.base_url else {}
        added = await self._entries.add(AddEntry(kind=MAIN, name=MAIN, settings=values, secrets={"api_key": text}), by)
        if isinstance(added, Fault):
            return added
        changed = progress.answered("skyvern", url).having_seen({"skyvern": found.text})
        return self._did(changed, f"key for {url}, kept encrypted (`mailbridge skyvern remove-key` takes it back)")

    async def _add_mailbox(self, progress: Progress, password: str, by: str) -> Progress | Fault:
        """Raises Mistake."""
        address = progress.answers.get("username", "")
        if not address:
            raise Mistake("name the mailbox first, and its server where that is not known")
        if not password:
            raise Mistake("there has to be a password")
        settings = self._configuration.now
        if account_named(settings, address) is not None:
            return progress
        values = {
            "identifier": identifier_of(progress),
            **_senders(progress, has_site=False),
            **_server(progress.answers.get("host", "")),
        }
        found = await self._mailboxes.add(AddMailbox(address=address, settings=values, secrets={"password": password}), by)
        if isinstance(found, Fault):
            raise Mistake("; ".join((found.title, *found.problems)))
        return self._did(progress, f"mailbox {address}, as {found.name}; its password is kept encrypted")

    def _did(self, progress: Progress, text: str) -> Progress:
        return progress.having_done(text, stamp(self._world.now()))


def _server(told: str) -> dict[str, Any]:
    """The settings of a server that was named as ``host`` or ``host:port``; never without TLS. Nothing for "": the provider's."""
    host, _, port = told.partition(":")
    if not host:
        return {}
    return {"host": host, **({"port": int(port)} if port else {}), **({"tls": "starttls"} if port == STARTTLS else {})}


def _senders(progress: Progress, *, has_site: bool) -> dict[str, list[str]]:
    """What was answered about sites: as `site` of an address, whose senders are known then; as `accept_from` where a single sender is
    named, or where there is no such key. Nothing where any sender may bring a code."""
    named = progress.answers.get("sites", "").split()
    if not named:
        return {}
    return {"site" if has_site and not any("@" in one for one in named) else "accept_from": named}


def _is_worth_keeping(name: str, facts: Facts) -> bool:
    """Whether a step that is done was seen to work, rather than left out."""
    return name != "skyvern" or (facts.has_key and facts.skyvern is not None)


def _state(progress: Progress, plan: Plan, trouble: str = "") -> SetupState:
    current = plan.current
    question = current.question if current is not None else None
    return SetupState(
        identifier=identifier_of(progress),
        current=current.name if current is not None else None,
        question=None
        if question is None
        else QuestionShape(
            name=question.name,
            text=question.text,
            is_secret=question.is_secret,
            choices=[list(one) for one in question.choices],
            default=question.default,
        ),
        steps=[_shape(one, trouble if one is current else "") for one in plan.steps],
        did=[DidShape(**msgspec.structs.asdict(one)) for one in progress.did],
    )


def _shape(step: Step, trouble: str) -> StepShape:
    values = {key: value for key, value in asdict(step).items() if key in StepShape.__struct_fields__}
    shown = {**values, "level": step.level.value, "lines": list(step.lines)}
    return StepShape(**shown | ({"level": Level.FAILED.value, "text": trouble} if trouble else {}))
