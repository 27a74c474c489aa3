"""Tokens and permissions, against a provider on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mailbridge.config.settings import OAuthSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.consent import by_browser, by_device
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.oauth import TokenSource, provider_of
from mailbridge.ingress.imap.vault import TokenVault, open_vault
from mailbridge.store import StoreError
from tests.ingress.imap.watched import ANN, account, code_mail, house, until, watching
from tests.peers.scripted_imap import ScriptedImap, Session
from tests.peers.token_endpoint import TokenEndpoint, running_token_endpoint


@pytest.fixture
def provider() -> Iterator[TokenEndpoint]:
    """A provider whose tokens live an hour."""
    with running_token_endpoint() as one:
        yield one


@pytest.fixture
def vault(tmp_path: Path) -> TokenVault:
    """A vault with a key of its own."""
    return open_vault(StoreSettings(url=f"sqlite:///{tmp_path}/state/mailbridge.db"))


def settings_of(provider: TokenEndpoint, **changes: object) -> OAuthSettings:
    """Settings that point to the provider."""
    usual: dict[str, object] = {
        "provider": "custom",
        "client_id": "app",
        "scope": "mail",
        "token_url": f"{provider.url}/token",
        "auth_url": f"{provider.url}/auth",
        "device_url": f"{provider.url}/device",
    }
    usual.update(changes)
    return OAuthSettings(**usual)  # type: ignore[arg-type]


def source_of(provider: TokenEndpoint, vault: TokenVault, **changes: object) -> TokenSource:
    """The tokens of the account ``box``."""
    return TokenSource(account="box", username=ANN, settings=settings_of(provider, **changes), vault=vault)


def test_fifty_folders_cause_one_refresh(provider: TokenEndpoint, vault: TokenVault) -> None:
    """At the start, and again when one token is refused to all of them."""
    vault.write("box", Secret(provider.new_refresh_token()))
    source = source_of(provider, vault)

    def all_ask() -> set[str]:
        found: set[str] = set()
        threads = [threading.Thread(target=lambda: found.add(source.token().value.reveal())) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    assert len(all_ask()) == 1
    assert provider.tokens_asked() == 1
    first = source.token()
    for _ in range(50):
        source.refuse(first)
    assert len(all_ask()) == 1
    source.refuse(first)
    assert source.token().value != first.value
    assert provider.tokens_asked() == 2


def test_a_rotated_token_is_kept_before_it_is_needed(provider: TokenEndpoint, vault: TokenVault) -> None:
    """A new process goes on with what the last refresh brought, since the old one is good no more; and it lies encrypted."""
    first = provider.new_refresh_token()
    vault.write("box", Secret(first))
    source_of(provider, vault).token()
    kept = vault.read("box")
    assert kept is not None
    assert kept.reveal() != first
    source_of(provider, vault).token()
    assert provider.tokens_asked() == 2


def test_a_token_at_rest_is_sealed_to_its_account(tmp_path: Path, vault: TokenVault) -> None:
    """Not in clear, for its owner alone, and worthless under another name."""
    vault.write("box", Secret("refresh-in-clear"))
    path = next(tmp_path.rglob("box.token"))
    assert b"refresh-in-clear" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    path.rename(path.with_name("other.token"))
    with pytest.raises(StoreError):
        vault.read("other")
    assert vault.read("box") is None


def test_a_withdrawn_permission_is_asked_for_once(provider: TokenEndpoint, vault: TokenVault) -> None:
    """CONSENT with the command that fixes it, no further request, and a new login ends it by itself."""
    vault.write("box", Secret("revoked"))
    source = source_of(provider, vault)
    for _ in range(20):
        with pytest.raises(MailboxFault, match="mailbridge oauth login box") as caught:
            source.token()
        assert caught.value.kind is Kind.CONSENT
    assert provider.tokens_asked() == 1
    assert not source.has_changed()
    time.sleep(0.01)
    vault.write("box", Secret(provider.new_refresh_token()))
    assert source.has_changed()
    source.token()


def test_an_old_token_serves_while_the_provider_is_down(provider: TokenEndpoint, vault: TokenVault) -> None:
    """A refresh that fails with 503 leaves the token in use until it ends, and then says busy."""
    now = 0.0
    vault.write("box", Secret(provider.new_refresh_token()))
    source = TokenSource(account="box", username=ANN, settings=settings_of(provider), vault=vault, now=lambda: now)
    first = source.token()
    provider.failing = 503
    now = 3500.0
    assert source.token() is first
    now = 3700.0
    with pytest.raises(MailboxFault, match="503") as caught:
        source.token()
    assert caught.value.kind is Kind.BUSY
    provider.failing = 0
    assert source.token() is not first


def test_an_application_logs_in_for_a_shared_mailbox(provider: TokenEndpoint, vault: TokenVault) -> None:
    """Client credentials: no person, nothing kept."""
    source = source_of(provider, vault, grant="client-credentials", client_secret=Secret("app-secret"))
    assert source.token().value.reveal() in provider.access
    assert vault.read("box") is None
    assert provider_of(OAuthSettings(provider="microsoft", tenant="t1", grant="client-credentials")).app_scope.endswith(
        "/.default"
    )


def test_a_service_account_signs_for_the_mailbox(provider: TokenEndpoint, vault: TokenVault, tmp_path: Path) -> None:
    """The assertion names issuer, subject and audience, and the key's public half confirms it."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file = tmp_path / "key.json"
    key_file.write_text(json.dumps({"private_key": pem.decode(), "client_email": "robot@project.example"}))
    source_of(provider, vault, grant="service-account", key_file=key_file).token()
    head, claims, signature = provider.requests[-1][1]["assertion"].split(".")
    key.public_key().verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    told = json.loads(_decoded(claims))
    assert (told["iss"], told["sub"], told["aud"]) == ("robot@project.example", ANN, f"{provider.url}/token")


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_person_allows_it_in_a_browser(provider: TokenEndpoint) -> None:
    """PKCE over loopback: the browser's redirect brings the code, the verifier the refresh token."""

    def browse(address: str) -> None:
        threading.Thread(target=lambda: urllib.request.urlopen(address, timeout=5).read(), daemon=True).start()

    token = by_browser(settings_of(provider), account="box", username=ANN, show=browse, timeout=5)
    assert token.reveal() in provider.refresh


@pytest.mark.parametrize("status", [307, 308])
def test_a_token_endpoint_that_redirects_is_not_followed(status: int, provider: TokenEndpoint, vault: TokenVault) -> None:
    """What is secret goes to the configured address alone, also where an answer would have the same form sent elsewhere."""
    vault.write("box", Secret(provider.new_refresh_token()))
    with running_token_endpoint() as elsewhere:
        provider.failing, provider.moved_to = status, f"{elsewhere.url}/token"
        with pytest.raises(MailboxFault):
            source_of(provider, vault).token()
        assert provider.tokens_asked() == 1
        assert elsewhere.requests == []


def test_a_redirect_of_a_stranger_is_not_taken(provider: TokenEndpoint) -> None:
    """A wrong state gets a 400, and the login goes on waiting."""

    def browse(address: str) -> None:
        redirect = provider.consent(address)
        forged = redirect.rpartition("state=")[0] + "state=forged"

        def both() -> None:
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(forged, timeout=5)
            urllib.request.urlopen(redirect, timeout=5).read()

        threading.Thread(target=both, daemon=True).start()

    assert by_browser(settings_of(provider), account="box", username=ANN, show=browse, timeout=5).reveal() in provider.refresh


def test_nobody_in_the_browser_is_a_message(provider: TokenEndpoint) -> None:
    """In time, and without a listener left behind."""
    with pytest.raises(MailboxFault, match="in time"):
        by_browser(settings_of(provider), account="box", username=ANN, show=lambda _: None, timeout=0.1)


def test_a_person_allows_it_on_another_machine(provider: TokenEndpoint) -> None:
    """Device code: shown once, asked for until it is given."""
    provider.pending = 2
    shown: list[tuple[str, str]] = []
    token = by_device(
        settings_of(provider), account="box", show=lambda *words: shown.append(words), timeout=5, sleep=lambda _: None
    )
    assert token.reveal() in provider.refresh
    assert shown == [(provider.url, "ABCD-EFGH")]
    assert provider.tokens_asked() == 3


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_opens_the_mailbox(provider: TokenEndpoint, vault: TokenVault, tmp_path: Path, mechanism: str) -> None:
    """A refused token is renewed once and tried again; the challenge gets the empty reply that the mechanism wants."""
    vault.write("box", Secret(provider.new_refresh_token()))
    refused: list[str] = []

    def authenticate(session: Session, tag: str, arguments: str) -> bool:
        if not refused:
            refused.append(arguments)
            return False
        session.server.tokens = set(provider.access)
        return False

    async def run() -> None:
        with ScriptedImap(capabilities=f"IMAP4rev1 IDLE AUTH={mechanism}") as server:
            server.hooks["AUTHENTICATE"] = authenticate
            settings = account(server.port, oauth=settings_of(provider))
            async with house(tmp_path / "h") as home, watching(home, settings, vault=vault):
                await until(lambda: server.idling == 1, what="IDLE")
                assert provider.tokens_asked() == 2
                assert refused == [mechanism]
                reply = next(line for line in server.log if line.startswith("reply"))
                assert reply == ("reply b'AQ==\\r\\n'" if mechanism == "OAUTHBEARER" else "reply b'\\r\\n'")
                server.deliver(code_mail("482913"))
                await until(lambda: len(home.brought) == 1, what="the mail")

    asyncio.run(run())


def test_a_session_is_replaced_before_its_token_ends(vault: TokenVault, tmp_path: Path) -> None:
    """At 85 % of the token's life a second session is there before the first goes, and a mail in between is not missed."""

    async def run() -> None:
        with running_token_endpoint(life=2) as provider, ScriptedImap(capabilities="IMAP4rev1 IDLE AUTH=XOAUTH2") as server:
            vault.write("box", Secret(provider.new_refresh_token()))

            def authenticate(session: Session, tag: str, arguments: str) -> bool:
                server.tokens = set(provider.access)
                return False

            server.hooks["AUTHENTICATE"] = authenticate
            settings = account(server.port, oauth=settings_of(provider))
            async with house(tmp_path / "h") as home, watching(home, settings, vault=vault) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                await until(lambda: len(server.logins) == 2, what="the second login")
                server.deliver(code_mail("482913"))
                await until(lambda: len(home.brought) == 1, what="the mail")
                assert watchers.health()[0].reconnects == 0
                assert server.logins[1] - server.logins[0] < 2.0

    asyncio.run(run())


def test_a_parked_account_comes_back_by_itself(provider: TokenEndpoint, vault: TokenVault, tmp_path: Path) -> None:
    """Parked while nobody has logged in, watched within seconds of `oauth login`."""

    async def run() -> None:
        with ScriptedImap(capabilities="IMAP4rev1 IDLE AUTH=XOAUTH2") as server:

            def authenticate(session: Session, tag: str, arguments: str) -> bool:
                server.tokens = set(provider.access)
                return False

            server.hooks["AUTHENTICATE"] = authenticate
            settings = account(server.port, oauth=settings_of(provider))
            async with house(tmp_path / "h") as home, watching(home, settings, vault=vault) as watchers:
                await until(lambda: watchers.health()[0].mode == "parked", what="the parking")
                assert "mailbridge oauth login box" in watchers.health()[0].reason
                assert provider.tokens_asked() == 0
                vault.write("box", Secret(provider.new_refresh_token()))
                watchers.wake()
                await until(lambda: server.idling == 1, what="IDLE")

    asyncio.run(run())


def test_a_key_is_not_made_beside_tokens(tmp_path: Path, vault: TokenVault) -> None:
    """A missing key of tokens that are there is an error, not a new key."""
    vault.write("box", Secret("refresh"))
    key = tmp_path / "state" / "oauth" / "vault.key"
    key.unlink()
    with pytest.raises(StoreError, match=r"vault\.key"):
        open_vault(StoreSettings(url=f"sqlite:///{tmp_path}/state/mailbridge.db"))
    assert not key.exists()
