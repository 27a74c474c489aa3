"""Mail over HTTP in the assembled daemon: tokens, texts, spent proofs, reloads, and one delivery for one mail by whatever way."""

from __future__ import annotations

import asyncio
import json
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.app.ingesting import SpentProofs
from mailbridge.app.preparation import prepare
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import DomainSettings, IdentitySettings, IngestSettings, Settings, SkyvernSettings
from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.store import Filter
from mailbridge.store.entries import Role
from tests.ingress.http.posts import KEY, basic, mailgun, postmark
from tests.ingress.imap.watched import account
from tests.loop import looped, until
from tests.peers import signer
from tests.peers.daemon import RCPT, mail
from tests.peers.scripted_imap import ScriptedImap
from tests.peers.zone import Zone
from tests.test_app import settings_in

ANN, PHONE = "ann@example.com", "+15551234567"
FROM = "no-reply@larch.example"


@dataclass(slots=True)
class Desk:
    """A daemon with a client at its HTTP listener."""

    running: Bridge
    client: httpx.AsyncClient

    async def token(self, *identifiers: str, role: Role = "ingest") -> dict[str, str]:
        """The header of a new token."""
        text = f"mbt_{role}-{'-'.join(identifiers)}"
        entries = self.running.engine.store.entries
        await entries.add_token(token_digest(text), name="phone", identifiers=identifiers, expires_at=None, role=role)
        return {"Authorization": f"Bearer {text}"}

    async def text(self, headers: dict[str, str], **fields: Any) -> httpx.Response:
        """Post a text."""
        return await self.client.post("/ingest/text", json=fields, headers=headers)

    async def mime(self, content: bytes, headers: dict[str, str], rcpt: str = RCPT) -> httpx.Response:
        """Post a raw mail."""
        given = {**headers, "Content-Type": "message/rfc822"}
        return await self.client.post("/ingest/mime", params={"rcpt": rcpt}, content=content, headers=given)

    async def rows(self) -> list[Any]:
        """The mails, newest first."""
        return list(await self.running.engine.store.mails.page(limit=50))

    async def pushed(self) -> list[str]:
        """The codes in the outbox, oldest first."""
        found = await self.running.engine.store.outbox.deliveries(Filter(), limit=50)
        return [one.draft.content.reveal() for one in sorted(found, key=lambda one: one.id)]


@asynccontextmanager
async def desk(settings: Settings, folder: Path, dns: Zone | None = None) -> AsyncIterator[Desk]:
    """A daemon by these settings."""
    async with (
        bridge(settings, state_dir=folder, dns=dns) as running,
        httpx.AsyncClient(base_url=f"http://{running.http_address}", trust_env=False, timeout=30) as client,
    ):
        yield Desk(running, client)


def strict(folder: Path, **changes: Any) -> Settings:
    """A daemon whose target is a real one, that nobody answers for: so mails have to prove themselves."""
    base = settings_in(folder)
    kept = {
        "skyvern": SkyvernSettings(base_url="http://127.0.0.1:9", api_key=Secret("a-key-of-nobody")),
        "identity": IdentitySettings(known=(ANN, PHONE, "*@example.com"), learn_from_skyvern=False),
        **changes,
    }
    return msgspec.structs.replace(base, **kept)


@looped
async def test_a_raw_mail_becomes_a_push(tmp_path: Path) -> None:
    """By a token of role ingest; with another role, an unknown one or none nothing is stored, and nothing is said of codes."""
    async with desk(settings_in(tmp_path), tmp_path) as here:
        good, content = await here.token(), mail("48291301", identifier=ANN, sender=FROM, number="1")
        refused = [await here.mime(content, await here.token("*", role=role)) for role in ("agent", "viewer", "operator")]
        assert [one.status_code for one in refused] == [403] * 3
        assert (await here.mime(content, {"Authorization": "Bearer mbt_nobody"})).status_code == 401
        assert (await here.mime(content, {})).status_code == 401
        assert await here.rows() == []
        assert (await here.mime(content, good)).status_code == 204
        assert here.running.practice is not None
        await here.running.practice.wait_for("48291301", patience=60)
        (row,) = await here.rows()
        assert row.ingress == "http"
        metrics = (await here.client.get("/metrics")).text
        assert 'mailbridge_ingest_posts_total{answer="taken",post="mime"} 1.0' in metrics
        assert 'mailbridge_messages_total{ingress="http",outcome="code"} 1.0' in metrics


@looped
async def test_an_ingest_token_reads_nothing(tmp_path: Path) -> None:
    """Neither codes of its identifiers nor anything an operator sees."""
    async with desk(settings_in(tmp_path), tmp_path) as here:
        token = await here.token("*")
        for path in (
            "/api/v1/codes",
            "/api/v1/codes/wait?identifier=a@b.c&timeout=0",
            "/api/v1/mail",
            "/api/v1/waiting",
            "/api/v1/given",
        ):
            assert (await here.client.get(path, headers=token)).status_code == 403, path


@looped
async def test_a_text_is_pushed_for_the_tokens_own_identifiers(tmp_path: Path) -> None:
    """Without any proof in it, of an unknown sender; for another's identifier, or one that no code can come for, it is not stored."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token = await here.token(PHONE, ANN, "zoe@else.example")
        answer = await here.text(token, identifier=PHONE, text="Your ACME code is 482913", sender="ACME", junk={"a": 1})
        assert answer.status_code == 200, answer.text
        (row,) = await here.rows()
        assert (row.identifiers, row.sender, row.held) == ((PHONE,), "", ())
        assert row.trust == "token: brought by phone; who wrote it is not proven"
        assert await here.pushed() == ["482913"]
        assert (await here.text(token, identifier="bob@example.com", text="Your code is 482914")).status_code == 403
        assert (await here.text(token, identifier="zoe@else.example", text="Your code is 482915")).status_code == 404
        assert (await here.text(await here.token(), identifier=ANN, text="Your code is 482916")).status_code == 403
        assert len(await here.rows()) == 1


@looped
async def test_the_from_of_a_text_is_nobodys(tmp_path: Path) -> None:
    """However the text names its sender, he is unknown; in a raw mail too."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token = await here.token(ANN)
        raw = mail("48291302", identifier=ANN, sender="security@bank.example", number="2").decode()
        await here.text(token, **{"identifier": ANN, "text": "Your code is 482917", "from": "security@bank.example"})
        await here.text(token, identifier=ANN, raw=raw)
        assert [row.sender for row in await here.rows()] == ["", ""]


@looped
async def test_a_token_is_no_proof_for_a_link(tmp_path: Path) -> None:
    """A text with a magic link is held, with the check that failed; an operator may release it."""
    async with desk(strict(tmp_path), tmp_path) as here:
        text = "Sign in to ACME with this link: https://acme.example/login/verify?token=hZ4tqPw81LxV0rBnQ2"
        assert (await here.text(await here.token(ANN), identifier=ANN, text=text)).status_code == 200
        (row,) = await here.rows()
        assert (row.verdict, [one.partition(":")[0] for one in row.held]) == ("link", ["token"])
        assert await here.pushed() == []


@looped
async def test_a_text_that_is_posted_again_is_one_delivery(tmp_path: Path) -> None:
    """A sender that had no answer posts it again, in JSON or in a form."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token = await here.token(ANN)
        fields = {"identifier": ANN, "text": "Your code is 482918", "html": "<p>Your code is <b>482918</b></p>"}
        for _ in range(2):
            assert (await here.text(token, **fields)).status_code == 200
        assert (await here.client.post("/ingest/text", data=fields, headers=token)).status_code == 200
        assert await here.pushed() == ["482918"]


@looped
async def test_an_old_text_lives_from_when_it_was_received(tmp_path: Path) -> None:
    """A phone that was offline brings a code that is over: it is stored and not pushed."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token, before = await here.token(ANN), datetime.now(UTC) - timedelta(minutes=11)
        answer = await here.text(token, identifier=ANN, text="Your code is 482919", received_at=before.isoformat())
        assert answer.status_code == 200
        (one,) = await here.running.engine.store.outbox.deliveries(Filter(), limit=5)
        assert str(one.state) == "expired"


@looped
async def test_a_text_for_an_address_proves_itself_like_any_mail(tmp_path: Path) -> None:
    """``rcpt`` in place of ``identifier``: the token vouches for nothing, so what has no proof is held."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token = await here.token("*")
        answer = await here.text(
            token, rcpt=RCPT, text="Your code is 482920", raw=mail("48292000", identifier=ANN, sender=FROM, number="9").decode()
        )
        assert answer.status_code == 200
        (row,) = await here.rows()
        assert row.held
        assert await here.pushed() == []
        assert (await here.text(token, rcpt="nobody@else.example", text="Your code is 482921")).status_code == 404


@pytest.mark.parametrize(
    ("content", "code", "kind"),
    [("Your ACME code is 482922", "482922", "totp"), ("482923", "482923", "totp"), ("no code in here", "", None)],
)
@looped
async def test_skyverns_own_post_is_answered_in_its_shape(tmp_path: Path, content: str, code: str, kind: str | None) -> None:
    """The token is its x-api-key. Every key of Skyvern's row is there."""
    async with desk(strict(tmp_path), tmp_path) as here:
        token = await here.token(ANN)
        body = {"totp_identifier": ANN, "content": content, "source": "zapier", "workflow_run_id": "wr_12345"}
        key = {"x-api-key": token["Authorization"].removeprefix("Bearer ")}
        answer = await here.client.post("/v1/credentials/totp", json=body, headers=key)
        assert answer.status_code == 200, answer.text
        row = answer.json()
        assert (row["totp_identifier"], row["code"], row["otp_type"], row["source"]) == (ANN, code, kind, "zapier")
        assert {
            "totp_code_id",
            "organization_id",
            "created_at",
            "modified_at",
            "expired_at",
            "task_id",
            "workflow_id",
        } <= row.keys()
        assert row["workflow_run_id"] == "wr_12345"
        found = await here.running.engine.store.outbox.deliveries(Filter(), limit=5)
        assert [one.draft.workflow_run_id for one in found] == (["wr_12345"] if code else [])
        assert (await here.client.post("/v1/credentials/totp", json=body)).status_code == 401
        assert (await here.client.post("/v1/credentials/totp", json={"content": "1"}, headers=key)).status_code == 422


@looped
async def test_one_mail_by_three_ways_is_one_delivery(tmp_path: Path) -> None:
    """By SMTP, by HTTP and out of a mailbox, octet for octet the same."""
    content = mail("48291304", identifier=ANN, sender=FROM, number="3")
    with ScriptedImap() as server:
        settings = msgspec.structs.replace(settings_in(tmp_path), imap=(account(server.port, address=ANN),))
        async with desk(settings, tmp_path) as here:
            await until(lambda: here.running.mailboxes.health()[0].mode == "idle")
            assert (await here.mime(content, await here.token())).status_code == 204

            def speak() -> None:
                host, _, port = here.running.smtp_addresses[0].rpartition(":")
                with smtplib.SMTP(host, int(port), local_hostname="load.localhost", timeout=10) as client:
                    client.sendmail(FROM, [RCPT], content)

            await asyncio.to_thread(speak)
            server.deliver(content)
            again = b'mailbridge_messages_total{ingress="imap",outcome="duplicate"} 1.0'
            await until(lambda: again in here.running.engine.metrics.render())
            assert await here.pushed() == ["48291304"]


@looped
async def test_a_proof_is_spent_for_the_next_daemon_too(tmp_path: Path) -> None:
    """What counted before a restart does not count after it."""
    settings = msgspec.structs.replace(
        settings_in(tmp_path), ingest=IngestSettings(mailgun_key=KEY), domains=DomainSettings(accept=("bridge.example",))
    )
    posted = mailgun(mail("48291305", identifier=ANN, sender=FROM, number="4"), datetime.now(UTC))
    statuses = []
    for _ in range(2):
        async with desk(settings, tmp_path) as here:
            for _ in range(2):
                answer = await here.client.post("/ingest/mailgun/mime", content=posted.body, headers=dict(posted.headers))
                statuses.append(answer.status_code)
    assert statuses == [200, 401, 401, 401]


@looped
async def test_a_reload_takes_providers_and_secrets(tmp_path: Path) -> None:
    """A provider is there from the moment its key is, and gone with it."""
    bare = msgspec.structs.replace(settings_in(tmp_path), domains=DomainSettings(accept=("bridge.example",)))
    posted = postmark(mail("48291306", identifier=ANN, sender=FROM, number="5"), datetime.now(UTC))
    async with desk(bare, tmp_path) as here:

        async def status() -> int:
            answer = await here.client.post("/ingest/postmark", content=posted.body, headers=dict(posted.headers))
            return answer.status_code

        assert await status() == 404
        assert await here.running.reload(msgspec.structs.replace(bare, ingest=IngestSettings(postmark_password=KEY))) == ()
        assert await status() == 200
        await here.running.reload(
            msgspec.structs.replace(bare, ingest=IngestSettings(postmark_password=Secret("another-password")))
        )
        assert await status() == 401
        await here.running.reload(bare)
        assert await status() == 404


@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "text"])
@looped
async def test_a_failed_signature_behind_a_charset_is_told_from_a_forged_one(tmp_path: Path, is_exact: bool) -> None:
    """A signed mail whose 8-bit octets a provider made text of, and a forged one that came as it was sent: both are held, and only
    the reason of the first says that it may be genuine."""
    signed = signer.dkim(mail("48291307", identifier=ANN, sender=FROM, number="6") + b"Gr\xfc\xdfe\r\n", "larch.example")
    settings = strict(
        tmp_path,
        ingest=IngestSettings(postmark_password=KEY),
        domains=DomainSettings(accept=("bridge.example", "mailbridge.localhost")),
    )
    async with desk(settings, tmp_path, dns=_zone()) as here:
        if is_exact:
            assert (await here.mime(signed.replace(b"48291307", b"48291308"), await here.token())).status_code == 204
        else:
            body = json.dumps({"OriginalRecipient": RCPT, "RawEmail": signed.decode("utf-8", "replace")}).encode()
            headers = {"Content-Type": "application/json", "Authorization": basic()}
            assert (await here.client.post("/ingest/postmark", content=body, headers=headers)).status_code == 200
        (row,) = await here.rows()
        assert "does not fit the mail" in row.held[0]
        assert ("made text of it" in row.held[0]) is not is_exact


@looped
async def test_a_mail_that_lost_its_line_ends_proves_itself(tmp_path: Path) -> None:
    """A provider that makes LF of CRLF breaks no signature: the mail is verified as it was sent, and pushed."""
    signed = signer.dkim(mail("48291309", identifier=ANN, sender=FROM, number="7"), "larch.example")
    settings = strict(
        tmp_path,
        ingest=IngestSettings(postmark_password=KEY),
        domains=DomainSettings(accept=("bridge.example", "mailbridge.localhost")),
    )
    async with desk(settings, tmp_path, dns=_zone()) as here:
        body = json.dumps({"OriginalRecipient": RCPT, "RawEmail": signed.replace(b"\r\n", b"\n").decode()}).encode()
        headers = {"Content-Type": "application/json", "Authorization": basic()}
        assert (await here.client.post("/ingest/postmark", content=body, headers=headers)).status_code == 200
        (row,) = await here.rows()
        assert row.held == ()
        assert await here.pushed() == ["48291309"]


def _zone() -> Zone:
    zone = Zone()
    zone.texts["s1._domainkey.larch.example"] = (signer.record(signer.key()),)
    return zone


@looped
async def test_spent_proofs_are_told_apart(tmp_path: Path) -> None:
    """By their whole text."""
    async with desk(settings_in(tmp_path), tmp_path) as here:
        spent = SpentProofs(here.running.engine.store.answers)
        await spent.spend("mailgun 1")
        await spent.spend("mailgun 1")
        assert [await spent.has(one) for one in ("mailgun 1", "mailgun 2", "")] == [True, False, False]


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:8025", True),
        ("http://localhost:8025/api", True),
        ("http://127.0.0.2:8025", True),
        ("http://[::1]:8025", True),
        ("https://codes.example.com", True),
        ("https://codes.example.com:443/api/v1", True),
        ("http://127.0.0.1:8000", False),
        ("https://api.skyvern.com", False),
    ],
)
def test_a_target_that_is_this_daemon_is_refused(tmp_path: Path, url: str, is_ours: bool) -> None:
    """At the start: its codes would come in again under Skyvern's path, for ever."""
    base = settings_in(tmp_path)
    settings = msgspec.structs.replace(
        base,
        http=msgspec.structs.replace(base.http, listen="127.0.0.1:8025", public_url="https://codes.example.com"),
        skyvern=SkyvernSettings(base_url=url, api_key=Secret("a-key-of-nobody")),
    )
    if not is_ours:
        prepare(settings)
        return
    with pytest.raises(ConfigError) as fault:
        prepare(settings)
    assert "own address" in str(fault.value.problems[0])
