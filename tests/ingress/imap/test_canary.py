"""The canary of a watched mailbox: seen with its time, named where it went, alarmed where it did not come, and never a mail."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from mailbridge.config.settings import CanarySettings, ImapSettings, OAuthSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.canary import CanaryHealth
from mailbridge.ingress.imap.canary.tokens import LENGTH, CanaryTokens, canary_mail, token_of
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.ingress.imap.watchers import Watchers
from mailbridge.intake.worker_protocol import Request
from tests.ingress.imap.watched import ANN, account, code_mail, house, understander, until, watching
from tests.peers.daemon import free_port
from tests.peers.scripted_imap import ScriptedImap, Session, StoredMail
from tests.peers.submission import SubmissionPeer, running_submission
from tests.peers.token_endpoint import running_token_endpoint

SHORT = timedelta(milliseconds=300)
LONG = timedelta(seconds=30)
KEY = b"a key of these tests, 32 octets."


@pytest.fixture
def post(server: ScriptedImap, tmp_path: Path) -> Iterator[SubmissionPeer]:
    """The provider's submission server, which delivers into the mailbox."""
    with running_submission(tmp_path / "post", server.deliver) as peer:
        yield peer


def box(server: ScriptedImap, post: SubmissionPeer | None = None, **changes: object) -> ImapSettings:
    """An account whose canary goes by ``post``, or else by APPEND, every 300 ms."""
    usual: dict[str, object] = {"every": SHORT, "deadline": LONG}
    for name in ("every", "deadline"):
        if name in changes:
            usual[name] = changes.pop(name)
    by = {"by": "append"} if post is None else post.settings
    ca = {} if post is None else {"tls_ca": post.ca}
    return account(server.port, **{"canary": CanarySettings(**usual, **by), **ca, **changes})  # type: ignore[arg-type]


def told(watchers: Watchers) -> CanaryHealth:
    """How the canary is."""
    return watchers.canaries()["box"]


async def seen(watchers: Watchers) -> CanaryHealth:
    """Wait until one has arrived, and all is well."""
    await until(lambda: told(watchers).seen is not None and told(watchers).is_well, what="a canary")
    return told(watchers)


async def alarmed(watchers: Watchers, *words: str) -> str:
    """Wait for an alarm with these words; the whole of it."""
    await until(
        lambda: not told(watchers).is_well and all(one in told(watchers).reason for one in words),
        within=10,
        what=f"alarm {words}",
    )
    return told(watchers).reason


@pytest.mark.parametrize("is_starttls", [True, False])
def test_a_canary_is_sent_seen_and_removed(server: ScriptedImap, tmp_path: Path, is_starttls: bool) -> None:
    """From the mailbox to itself over TLS; no door sees it, no mail is counted, nothing stays, and the place moves past it."""

    async def run() -> None:
        with running_submission(tmp_path / "post", server.deliver, is_starttls=is_starttls) as post:
            async with house(tmp_path) as home, watching(home, box(server, post)) as watchers:
                health = await seen(watchers)
                assert health.reason == "" and health.latency is not None and 0 < health.latency < 5
                assert post.envelopes[0] == (ANN, [ANN]) and post.in_clear == 0
                assert watchers.health()[0].canary is not None and watchers.health()[0].mails == 0
                await until(lambda: any("EXPUNGE" in line for line in server.log), what="the removal")
                server.deliver(code_mail("482913"))
                await until(lambda: len(home.brought) == 1)
                assert home.brought[0].cursor is not None and int(home.brought[0].cursor.rpartition("/")[2]) > 1
                assert await home.codes() == ["482913"]
            assert all(token_of(mail.content) is None for mail in server.mails[:-1])

    asyncio.run(run())


def test_a_canary_may_be_put_into_the_folder(server: ScriptedImap, tmp_path: Path) -> None:
    """Without a submission server: APPEND on a connection of its own, seen by the watcher, which stays read-only."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server)) as watchers:
            await seen(watchers)
            assert home.brought == []
            assert any(line.split()[1] == "APPEND" for line in server.log if " " in line)
            await until(lambda: any("EXPUNGE" in line for line in server.log), what="the removal")
            assert [line.split()[1] for line in server.log if line.split()[1:2] in (["EXAMINE"], ["SELECT"])][:2] == [
                "EXAMINE",
                "SELECT",
            ]

    asyncio.run(run())


def test_the_folder_that_it_went_to_is_named(server: ScriptedImap, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A filter puts it into Junk: the alarm says so with the line that fixes it, once; it is removed there too. Then all is well."""
    server.folders = {"Sent": [], "Junk": []}
    uids = itertools.count(1)

    def filtered(content: bytes) -> None:
        server.folders["Junk"].append(StoredMail(uid=next(uids), content=content, at=datetime.now(UTC)))

    async def run() -> None:
        with running_submission(tmp_path / "post", filtered) as post:
            async with house(tmp_path) as home, watching(home, box(server, post, deadline=SHORT)) as watchers:
                reason = await alarmed(watchers, "went to Junk")
                assert 'folders = ["INBOX", "Junk"]' in reason
                await until(lambda: len(post.taken) >= 3)
                await until(lambda: not server.folders["Junk"], what="the removal from Junk")
                assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
                post.deliver = server.deliver
                await seen(watchers)
                assert any("arrives again" in one.getMessage() for one in caplog.records)
                assert home.brought == []

    asyncio.run(run())


def test_one_that_never_comes_is_an_alarm(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """And it is over when one comes again."""
    post.deliver = len

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post, deadline=SHORT)) as watchers:
            await alarmed(watchers, "did not arrive within 0.3 s", "in no folder")
            assert told(watchers).seen is None
            post.deliver = server.deliver
            await seen(watchers)

    asyncio.run(run())


def test_one_that_comes_late_says_how_late(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """Its time is told, it is no mail, and it is removed; the alarm stays until one is in time."""
    post.deliver = len

    async def run() -> None:
        settings = box(server, post, every=timedelta(seconds=1), deadline=SHORT)
        async with house(tmp_path) as home, watching(home, settings) as watchers:
            await alarmed(watchers, "did not arrive")
            server.deliver(post.taken[0])
            await alarmed(watchers, "too late")
            await until(lambda: not server.mails, what="the removal")
            assert home.brought == []

    asyncio.run(run())


def test_a_watcher_that_is_told_nothing_is_found_out(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """The mail lies in a watched folder, and IDLE has not told of it."""
    server.is_deaf = True

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post, deadline=SHORT)) as watchers:
            await alarmed(watchers, "lies in INBOX", "has not been told")

    asyncio.run(run())


def test_one_that_is_not_taken_is_an_alarm_at_the_second_time(
    server: ScriptedImap, post: SubmissionPeer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's own words, less the address; one attempt a period, and no storm."""
    post.refusal = f"552 5.2.2 <{ANN}> is over quota"

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post, every=timedelta(seconds=1))) as watchers:
            await until(lambda: told(watchers).reason != "")
            assert told(watchers).is_well
            reason = await alarmed(watchers, "could not be sent", "over quota")
            assert ANN not in reason
            assert len(post.envelopes) == 2
            assert [one.levelname for one in caplog.records if "could not be sent" in one.getMessage()] == ["WARNING", "ERROR"]
            post.refusal = ""
            watchers.retry_now()
            await seen(watchers)

    asyncio.run(run())


def test_a_wrong_password_is_named_and_not_shown(
    server: ScriptedImap, post: SubmissionPeer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The mailbox itself is watched on; neither log nor health hold the password or what was sent of it."""
    caplog.set_level(logging.DEBUG)
    server.password = "sesame-open-7391"
    post.password = "another"

    async def run() -> None:
        settings = box(server, post, password=Secret("sesame-open-7391"))
        async with house(tmp_path) as home, watching(home, settings) as watchers:
            reason = await alarmed(watchers, "refuses the login: 535")
            assert watchers.health()[0].is_well
            assert "sesame" not in reason + caplog.text
            assert "c2VzYW1l" not in reason + caplog.text

    asyncio.run(run())


def test_an_access_token_sends_too(server: ScriptedImap, tmp_path: Path) -> None:
    """XOAUTH2 with the account's own token; one that holds for IMAP alone is refused, and the alarm names the permission."""
    server.capabilities += " AUTH=XOAUTH2"

    async def run() -> None:
        with running_token_endpoint() as provider, running_submission(tmp_path / "post", server.deliver) as post:
            vault = open_vault(StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"))
            vault.write("box", Secret(provider.new_refresh_token()))
            grant = OAuthSettings(provider="microsoft", client_id="app", token_url=f"{provider.url}/token")

            def take_tokens() -> bool:
                server.tokens |= set(provider.access)
                return not told(watchers).is_well

            async with house(tmp_path) as home, watching(home, box(server, post, oauth=grant), vault=vault) as watchers:
                await until(take_tokens, what="the refusal")
                assert "SMTP.Send" in told(watchers).reason
                assert provider.tokens_asked() > 1, "a token that is refused is tried once more as a new one"
                assert all(token not in told(watchers).reason for token in provider.access)

                def take_all() -> bool:
                    server.tokens |= set(provider.access)
                    post.tokens = server.tokens
                    return told(watchers).is_well and told(watchers).seen is not None

                await until(take_all, what="a canary by token")

    asyncio.run(run())


@pytest.mark.parametrize(("changes", "words"), [({"tls_ca": None}, "cannot be trusted"), ({"smtp": "plain"}, "STARTTLS")])
def test_no_password_without_a_trusted_connection(
    server: ScriptedImap, post: SubmissionPeer, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    """A certificate of somebody else, and a server that speaks no TLS at all: nothing is said to either but hello."""

    async def run() -> None:
        settings = box(server, post)
        async with contextlib.AsyncExitStack() as stack:
            if changes.pop("smtp", None):
                plain = Controller(
                    post, hostname="127.0.0.1", port=free_port(), authenticator=post.authenticate, auth_require_tls=False
                )
                plain.start()
                stack.callback(plain.stop)
                settings = box(server, post, canary=CanarySettings(every=SHORT, smtp=f"localhost:{plain.port}", tls="starttls"))
            home = await stack.enter_async_context(house(tmp_path))
            changed = account(server.port, canary=settings.canary, **{"tls_ca": settings.tls_ca, **changes})
            watchers = await stack.enter_async_context(watching(home, changed))
            await alarmed(watchers, words)
        assert post.logins == 0

    asyncio.run(run())


def test_a_mail_that_only_claims_to_be_a_canary_is_a_mail(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """Its code is pushed, and nobody removes it, though it has a canary's header, subject, and a token of the right form."""
    post.deliver = len
    forged = CanaryTokens(b"somebody else's", ANN).token()

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post), key=KEY) as watchers:
            await until(lambda: bool(post.taken))
            text = code_mail("482913", extra=f"X-Mailbridge-Canary: {forged}\r\n")
            server.deliver(text.replace(b"Subject: Your code", f"Subject: Mailbridge canary {forged}".encode()))
            await until(lambda: len(home.brought) == 1)
            await until(lambda: told(watchers).seen is None)
            assert (await home.codes()) == ["482913"]
            post.deliver = server.deliver
            server.deliver(post.taken[0])
            await seen(watchers)
            await until(lambda: any("EXPUNGE" in line for line in server.log), what="a removal")
            flown = len(post.taken)
            await until(lambda: len(post.taken) >= flown + 2, what="two more, with all that was before them removed")
            assert forged in [token_of(mail.content) for mail in server.mails]

    asyncio.run(run())


def test_one_that_outlives_its_daemon_is_removed_by_the_next(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """It came while nobody waited: an ordinary mail without a code, nothing pushed, no burst, and gone with the next canary."""
    post.deliver = len

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, box(server, post), key=KEY):
                await until(lambda: bool(post.taken))
            server.deliver(post.taken[0])
            orphan = token_of(post.taken[0])
            post.deliver = server.deliver
            async with watching(home, box(server, post), key=KEY) as watchers:
                await seen(watchers)
                await until(lambda: all(token_of(mail.content) != orphan for mail in server.mails), what="the removal")
                assert [token_of(one.content) for one in home.brought] == [orphan]
                assert await home.codes() == []
                assert not home.intake.is_alarmed(home.clock.now())

    asyncio.run(run())


def test_a_mailbox_that_is_not_watched_gets_none(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """It is red itself, and the canary begins once it is watched."""

    def hang_up(session: Session, tag: str, arguments: str) -> bool:
        session.close()
        return True

    server.hooks["EXAMINE"] = hang_up

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post, every=timedelta(milliseconds=50))) as watchers:
            await until(lambda: len(server.logins) >= 3)
            assert post.logins == 0
            assert told(watchers) == CanaryHealth(is_well=True, reason="", seen=None, latency=None)
            del server.hooks["EXAMINE"]
            await seen(watchers)

    asyncio.run(run())


def test_a_hurry_does_not_send_while_nothing_is_watched(server: ScriptedImap, post: SubmissionPeer, tmp_path: Path) -> None:
    """What was repaired may be something else: the next canary waits until the mailbox is watched, and is sent at once then."""
    post.refusal = "552 5.2.2 over quota"

    def hang_up(session: Session, tag: str, arguments: str) -> bool:
        session.close()
        return True

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post)) as watchers:
            await alarmed(watchers, "over quota")
            server.hooks["EXAMINE"] = hang_up
            server.hang_up()
            await until(lambda: watchers.health()[0].mode == "waiting")
            logins = len(server.logins)
            await until(lambda: len(server.logins) >= logins + 1, what="the end of one that was being sent")
            asked, logins = len(post.envelopes), len(server.logins)
            watchers.retry_now()
            await until(lambda: len(server.logins) >= logins + 2)
            assert len(post.envelopes) == asked
            post.refusal = ""
            del server.hooks["EXAMINE"]
            await seen(watchers)

    asyncio.run(run())


def test_a_removal_that_is_refused_is_no_alarm(
    server: ScriptedImap, post: SubmissionPeer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning with the server's reason; the canary has done its work."""

    def refuse(session: Session, tag: str, arguments: str) -> bool:
        session.send(f"{tag} NO not yours\r\n".encode())
        return True

    server.hooks["UID STORE"] = refuse

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post)) as watchers:
            await seen(watchers)
            await until(lambda: "canary not removed: removing the canary was refused: NO not yours" in caplog.text)
            assert told(watchers).is_well
            assert home.brought == []

    asyncio.run(run())


def test_gmail_archives_what_is_deleted_so_it_goes_to_the_trash(
    server: ScriptedImap, post: SubmissionPeer, tmp_path: Path
) -> None:
    """And a server without UIDPLUS would take others' mails along."""
    server.capabilities += " X-GM-EXT-1"
    server.folders = {"Trash": []}

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, box(server, post)) as watchers:
            await seen(watchers)
            await until(lambda: server.moved.get("Trash", [])[:1] == [1], what="the move")

    asyncio.run(run())


def test_nobody_reads_a_code_in_it() -> None:
    """No digit of ours, no link, and no rule of the shipped ones finds anything."""
    canary_tokens = CanaryTokens(KEY, ANN)
    for _ in range(200):
        mail = canary_mail(canary_tokens.token(), address=ANN, at=datetime.now(UTC))
        head, _, body = mail.partition(b"\r\n\r\n")
        told = b"".join(line for line in head.splitlines() if not line.startswith(b"Date:")) + body
        assert not any(48 <= octet <= 57 for octet in told.replace(b"MIME-Version: 1.0", b"")) and b"://" not in told
        found = understander()(Request(content=mail, rcpt_to=(ANN,), mail_from="", now=datetime.now(UTC)))
        assert found.extraction.verdict == "none"


def test_a_token_is_known_by_its_maker_alone() -> None:
    """In any letter case of the mail; not with a letter changed, cut, longer, or of another account or machine."""
    canary_tokens = CanaryTokens(KEY, ANN)
    token = canary_tokens.token()
    assert len(token) == LENGTH and token.isalpha() and canary_tokens.is_genuine(token)
    assert token_of(canary_mail(token, address=ANN, at=datetime.now(UTC))) == token
    other = "b" if token[3] != "b" else "c"
    for wrong in (token[:3] + other + token[4:], token[:-1], token + "b", "a" * LENGTH, "", "é" * LENGTH):
        assert not canary_tokens.is_genuine(wrong)
    assert not CanaryTokens(KEY, "bob@corp.example").is_genuine(token) and not CanaryTokens(b"x", ANN).is_genuine(token)


@pytest.mark.parametrize(
    ("content", "is_claimed"),
    [
        (b"Subject: Mailbridge canary %b\r\n\r\nhi", True),
        (b"SUBJECT: mailbridge canary\r\n %b\r\n\r\nhi", True),
        (b"X-Mailbridge-Canary: %b\n\nhi", True),
        (b"Subject: hi\r\n\r\nX-Mailbridge-Canary: %b\r\n", False),
        (b"X-Mailbridge-Canary: %bb\r\n\r\n", False),
        (b"X-Mailbridge-Canary: 482913\r\n\r\n%b", False),
    ],
)
def test_a_token_is_read_in_the_head_alone(content: bytes, is_claimed: bool) -> None:
    """In its header or the subject, which a server may fold; what the body says counts for nothing."""
    token = CanaryTokens(KEY, ANN).token()
    assert token_of(content % token.encode()) == (token if is_claimed else None)
