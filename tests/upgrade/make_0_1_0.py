"""Makes the fixture in ``release_0_1_0``: a database and a configuration as release 0.1.0 leaves them, and what it says of them.

Run it with the code of that release, commit ee520b1::

    git worktree add /tmp/release-0.1.0 ee520b1
    python tests/upgrade/make_0_1_0.py /tmp/release-0.1.0 tests/upgrade/release_0_1_0

It calls nothing of today's code. Everything in it is made up; the key is a test key and opens nothing else.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

START = 1_764_000_000_000_000
"""Microseconds: 24 November 2025, 16:00 UTC. The steady time at which the story of the fixture begins."""

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LIFETIME = 10 * MINUTE
GRACE = 5 * SECOND
SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

CONFIGURATION = """\
# A configuration that release 0.1.0 took.
[smtp]
listen = ["127.0.0.1:2525"]
lmtp = ["127.0.0.1:2424"]
hostname = "bridge.example"
max_size = "10MiB"
rate_recipient = 600

[[address]]
rcpt = "otp-7m3k9q2wxy8vhtnc@bridge.example"
identifier = "ann@corp.example"
accept_from = ["*@larch.example"]
trust = ["dkim", "arc"]

[[imap]]
host = "imap.corp.example"
username = "codes@corp.example"
name = "codes"
password = "a password of the fixture"
folders = ["INBOX", "Codes"]
after = "seen"
trust = "forwarder"

[domains]
accept = ["bridge.example"]

[identity]
known = ["*@corp.example"]
learn_from_skyvern = false

[trust]
senders = ["*"]
forwarders = ["google.com"]
dns_timeout = "2s"

[rules]
fallback = "push-body"
lifetime = "10m"

[skyvern]
base_url = "https://skyvern.corp.example"
api_key = "the-key-of-the-fixture"
grace = "5s"

[[target]]
name = "other-org"
identifiers = ["*@other.example"]
base_url = "https://skyvern.other.example"
api_key = "another-key-of-the-fixture"

[pull]
grace = "2m"

[http]
listen = "127.0.0.1:8025"
token = "the-token-of-the-fixture"

[store]
url = "sqlite:///mailbridge.db"

[retention]
code = "15m"
mail = "24h"
journal = "30d"

[log]
format = "json"
"""


class Release:
    """The modules of release 0.1.0, by short names."""

    def __init__(self, checkout: Path) -> None:
        sys.path.insert(0, str(checkout))
        found = {
            name.rpartition(".")[2]: importlib.import_module(f"mailbridge.{name}")
            for name in (
                "clock",
                "config.load",
                "config.settings",
                "core.delivery",
                "core.extraction",
                "core.identity",
                "core.mail",
                "core.secret",
                "core.token",
                "core.totp",
                "store.reading",
                "store.rotation",
                "store.sqlite",
            )
        }
        store = importlib.import_module("mailbridge.store")
        if not str(store.__file__).startswith(str(checkout)):
            raise SystemExit(f"{store.__file__}: not the code of {checkout}")
        self.store: Any = store
        self.of: dict[str, Any] = found


class Story:
    """What happens, in the release's own words; ``micros`` is the clock of all of it."""

    def __init__(self, release: Release, folder: Path) -> None:
        self.release = release
        self.folder = folder
        self.micros = START
        self.store: Any = None
        self.serial = 0

    def settings(self) -> Any:
        """Of the store."""
        return self.release.of["settings"].StoreSettings(url=f"sqlite:///{self.folder / 'mailbridge.db'}")

    def open(self, *, is_visitor: bool = False) -> Any:
        """The store as the daemon opens it."""
        clock = self.release.of["clock"].SteadyClock(
            wall=lambda: self.micros, since_boot=lambda: self.micros - START + 100_000_000, boot="the fixture's boot"
        )
        retention = self.release.of["settings"].RetentionSettings()
        return self.release.of["sqlite"].open_sqlite(self.settings(), retention, clock=clock, grace=GRACE, is_visitor=is_visitor)

    def pass_by(self, duration: timedelta) -> None:
        """Let time pass."""
        self.micros += duration // timedelta(microseconds=1)

    def draft(self, code: str, **of: Any) -> Any:
        """A draft of a delivery."""
        secret = self.release.of["secret"].Secret
        given = {
            "target": "skyvern",
            "identifier": "ann@corp.example",
            "kind": "code",
            "sender": "no-reply@larch.example",
            "lifetime": LIFETIME,
            **of,
        }
        return self.release.of["delivery"].Draft(content=secret(code), **given)

    async def put(self, *drafts: Any, ago: timedelta = timedelta(), **of: Any) -> Any:
        """A mail with these drafts. Returns the receipt."""
        self.serial += 1
        extraction, mail, identity = (self.release.of[name] for name in ("extraction", "mail", "identity"))
        secret = self.release.of["secret"].Secret
        value = drafts[0].content if drafts else None
        verdict = of.get("verdict", extraction.Verdict.CODE if drafts else extraction.Verdict.NONE)
        told = value.reveal() if value is not None else "nowhere"
        link = of.get("link")
        cursor = of.get("cursor")
        arrival = self.release.store.Arrival(
            envelope=mail.Envelope(
                mail_from="bounce@larch.example",
                rcpt_to=("otp-7m3k9q2wxy8vhtnc@bridge.example",),
                content=f"Subject: Your code\r\n\r\nMail {self.serial}: it is {told}\r\n".encode().ljust(600, b"."),
                received_at=self.release.of["clock"].from_micros(self.micros) - ago,
                ingress="imap" if cursor else of.get("ingress", "smtp"),
                peer="192.0.2.1",
                cursor=cursor,
                is_owed=of.get("is_owed", False),
            ),
            fingerprint=of.get("fingerprint", f"mail {self.serial}"),
            subject=f"Your code is {told}",
            sender=drafts[0].sender if drafts else "news@larch.example",
            message_id=f"<{self.serial}@larch.example>",
            extraction=extraction.Extraction(
                verdict=verdict,
                value=secret(link) if link else value,
                rule="generic" if drafts else None,
                reason="after the words 'your code'" if drafts else "nothing in it looks like a code",
                rejected=(extraction.Rejected(value=secret("2026"), why="year"),),
            ),
            identification=identity.Identification(
                identifiers=tuple(dict.fromkeys(one.identifier for one in drafts)) or of.get("identifiers", ()),
                source="To" if drafts else None,
                clues=(identity.Clue(source="To", address="ann@corp.example", verdict="known"),),
            ),
            defects=("bad-charset",),
            drafts=drafts,
            trust=of.get("trust", "dkim: larch.example" if drafts else ""),
            held=of.get("held", ()),
        )
        return await self.store.put(arrival)

    async def settle(self, claim: Any, outcome: Any) -> Any:
        """What became of an attempt. Returns the claims that follow."""
        delivery = self.release.of["delivery"]
        now = self.release.of["clock"].from_micros(self.micros)
        step = delivery.settle(claim.delivery, outcome, now=now, jitter=1.0, grace=GRACE)
        return await self.store.settle(claim, step)

    async def tell(self) -> None:
        """All of it: an hour ago, then another key, then what still lives."""
        self.store = self.open()
        await self.an_hour_ago()
        await self.store.close()
        rotation, sqlite = self.release.of["rotation"], self.release.of["sqlite"]
        rotation.rotate(self.settings(), path=sqlite.path_of(self.settings()), key_path=sqlite.key_path_of(self.settings()))
        self.store = self.open()
        await self.now()
        await self.vault()
        await self.store.close()

    async def an_hour_ago(self) -> None:
        """What is over: delivered, dead and expired, their codes erased, the mails still there."""
        delivery = self.release.of["delivery"]
        first = await self.put(self.draft("100001", identifier="old1@corp.example"))
        again = await self.settle(first.claims[0], delivery.Deferred(reason="Skyvern answered 503"))
        assert again == ()
        self.pass_by(SECOND)
        (claim,) = (await self.store.claim(limit=10)).claims
        await self.settle(claim, delivery.Accepted(ref="totp_old"))
        dead = await self.put(self.draft("100002", identifier="old2@corp.example"))
        await self.settle(dead.claims[0], delivery.Refused(reason="Skyvern answered 422"))
        late = await self.put(self.draft("100003", identifier="old3@corp.example"), ago=11 * MINUTE)
        assert late.claims == ()
        await self.put(cursor="imap/codes/INBOX/7/40", fingerprint="seen twice")
        await self.put(cursor="imap/codes/INBOX/7/41", fingerprint="seen twice")
        self.pass_by(60 * MINUTE)
        await self.store.sweep()

    async def now(self) -> None:
        """Deliveries in every state, with their codes; mails that are held; cursors, and what was given to whom."""
        delivery, verdict = self.release.of["delivery"], self.release.of["extraction"].Verdict
        done = await self.put(self.draft("200001", identifier="done@corp.example"))
        await self.settle(done.claims[0], delivery.Accepted(ref="totp_1"))
        dead = await self.put(self.draft("200002", identifier="dead@corp.example"))
        await self.settle(dead.claims[0], delivery.Refused(reason="Skyvern answered 422"))
        over = await self.put(self.draft("200003", identifier="over@corp.example", lifetime=SECOND))
        await self.store.release(over.claims)
        await self.backing_off()
        doubt = await self.put(self.draft("200010", identifier="doubt@corp.example"))
        await self.settle(doubt.claims[0], delivery.Doubtful(reason="no answer"))
        await self.put(self.draft("200011", identifier="doubt@corp.example"))
        flying = await self.put(self.draft("200020", identifier="fly@corp.example"))
        assert len(flying.claims) == 1
        await self.put(self.draft("200021", identifier="fly@corp.example"))
        await self.put(self.draft("200022", identifier="Fly@Corp.example", sender="other@fir.example"))
        stale = await self.put(self.draft("200030", identifier="run@corp.example", workflow_run_id="wr_1"))
        await self.settle(stale.claims[0], delivery.Refused(reason="stale run", is_stale_run=True))
        await self.put(
            self.draft("https://larch.example/in?t=1", identifier="link@corp.example", kind="link"), verdict=verdict.LINK
        )
        await self.put(self.draft("a whole body", identifier="body@corp.example", kind="body"), verdict=verdict.NONE)
        await self.put(
            self.draft("200040", identifier="two@other.example"),
            self.draft("200040", identifier="two@other.example", target="other-org", task_id="tsk_1"),
            cursor="imap/codes/INBOX/7/42",
            is_owed=True,
        )
        await self.put(verdict=verdict.CODE, held=("dkim: no signature",), identifiers=("ann@corp.example",))
        await self.put(verdict=verdict.CONFIRMATION, link="https://mail.google.com/mail/vf-1", ingress="lmtp")
        await self.put(verdict=verdict.UNREADABLE)
        await self.store.advance("imap/codes/Codes/3/9")
        self.pass_by(2 * SECOND)
        await self.store.sweep()

    async def backing_off(self) -> None:
        """A queue whose head waits for its next try, with one superseded and two more behind it."""
        delivery = self.release.of["delivery"]
        head = await self.put(self.draft("200004", identifier="queue@corp.example"))
        await self.settle(head.claims[0], delivery.Deferred(reason="Skyvern answered 429", retry_after=5 * MINUTE))
        await self.put(self.draft("200005", identifier="queue@corp.example", sender="a@fir.example"))
        await self.put(self.draft("200006", identifier="queue@corp.example", sender="a@fir.example"))
        await self.put(self.draft("200007", identifier="queue@corp.example", sender="b@fir.example"))

    async def vault(self) -> None:
        """Tokens, authenticators, polls and a code that somebody consumed."""
        reading, totp, token = (self.release.of[name] for name in ("reading", "totp", "token"))
        secret, at = self.release.of["secret"].Secret, self.release.of["clock"].from_micros(self.micros)
        vault, codes = self.store.vault, self.store.codes
        for name, identifiers, expires_at in (
            ("ci", ("*@corp.example",), None),
            ("short", ("ann@corp.example",), at + timedelta(days=400)),
            ("over", ("*",), at - SECOND),
        ):
            digest = token.token_digest(f"mbt_the-fixture's-{name}")
            await vault.add_token(digest, name=name, identifiers=identifiers, expires_at=expires_at)
        await vault.add_totp("shop", totp.Authenticator(secret=secret(SEED), issuer="Shop"), identifier="ann@corp.example")
        await vault.add_totp("game", totp.Authenticator(secret=secret(SEED), is_steam=True), identifier=None)
        poll = reading.Poll(identifier="done@corp.example", run="tsk_9", runs=("tsk_9",), grace=2 * MINUTE)
        assert (await codes.pull(poll)).value.reveal() == "200001"
        wanted = reading.Wanted(identifier="dead@corp.example")
        assert (await codes.consume(wanted, reader="ci")).value.reveal() == "200002"

    async def what_it_says(self) -> dict[str, Any]:
        """Everything that the release itself reads out of the database."""
        store = self.open(is_visitor=True)
        mails = await store.mails(limit=1_000)
        told = {
            "micros": self.micros,
            "deliveries": [told_delivery(one) for one in await store.deliveries(limit=1_000)],
            "mails": [told_mail(one) for one in mails],
            "raw": {str(one.id): envelope.content.decode() for one in mails if (envelope := await store.raw(one.id)) is not None},
            "journal": [
                [one.id, one.at.isoformat(), one.event, one.mail_id, one.delivery_id, one.detail]
                for one in await store.journal(limit=1_000)
            ],
            "cursors": {box: await store.cursor(box) for box in ("imap/codes/INBOX", "imap/codes/Codes", "imap/codes/Nothing")},
            "owed": list(await store.owed("imap/codes/INBOX")),
            "tokens": [[one.id, one.name, list(one.identifiers)] for one in await store.vault.tokens()],
            "totps": [
                [one.name, one.identifier, one.authenticator.code(1_000_000).reveal(), one.authenticator.issuer]
                for one in await store.vault.totps()
            ],
            "given": [
                [one.identifier, one.way, one.reader, one.what, one.times, one.is_consumed] for one in await store.codes.given()
            ],
            "live": [
                [one.identifier, one.kind, one.value.reveal(), one.is_consumed]
                for one in await store.codes.live(identifiers=("*",))
            ],
            "name": store.names.name("ann@corp.example"),
        }
        await store.close()
        return told


def told_delivery(one: Any) -> dict[str, Any]:
    """A delivery as JSON."""
    draft = one.draft
    return {
        "id": one.id,
        "target": draft.target,
        "identifier": draft.identifier,
        "sender": draft.sender,
        "kind": draft.kind,
        "content": draft.content.reveal(),
        "run": [draft.workflow_run_id, draft.workflow_id, draft.task_id],
        "lifetime": draft.lifetime.total_seconds(),
        "state": str(one.state),
        "received_at": one.received_at.isoformat(),
        "deadline": one.deadline.isoformat(),
        "attempts": one.attempts,
        "is_doubtful": one.is_doubtful,
        "without_run": one.without_run,
        "rule": one.rule,
        "reason": one.reason,
        "blocked_until": None if one.blocked_until is None else one.blocked_until.isoformat(),
    }


def told_mail(one: Any) -> dict[str, Any]:
    """A mail as JSON."""
    return {
        "id": one.id,
        "received_at": one.received_at.isoformat(),
        "ingress": one.ingress,
        "mail_from": one.mail_from,
        "rcpt_to": list(one.rcpt_to),
        "sender": one.sender,
        "subject": one.subject,
        "verdict": one.verdict,
        "identifiers": list(one.identifiers),
        "identifier_from": one.identifier_from,
        "rule": one.rule,
        "reason": one.reason,
        "defects": list(one.defects),
        "size": one.size,
        "rejected": [list(pair) for pair in one.rejected],
        "confirm_link": one.confirm_link,
        "clues": [[clue.source, clue.address, clue.verdict] for clue in one.clues],
        "message_id": one.message_id,
        "peer": one.peer,
        "trust": one.trust,
        "held": list(one.held),
    }


def main(checkout: Path, folder: Path) -> None:
    """Make it anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    release = Release(checkout)
    story = Story(release, folder)
    asyncio.run(story.tell())
    configuration = folder / "mailbridge.toml"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    release.of["load"].load(configuration, environ={}, cwd=folder)
    told = asyncio.run(story.what_it_says())
    (folder / "expected.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "mailbridge.db.lock").unlink()
    for left in ("mailbridge.db-wal", "mailbridge.db-shm"):
        (folder / left).unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
