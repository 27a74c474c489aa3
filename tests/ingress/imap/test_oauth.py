"""Tokens and permissions, against a provider on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mailbridge.config.settings import OAuthSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.consent import by_browser, by_device, by_paste
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.oauth import TokenSource, provider_of
from mailbridge.ingress.imap.oauth_errors import refusal_of
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
    found = open_vault(StoreSettings(url=f"sqlite:///{tmp_path}/state/mailbridge.db"))
    assert isinstance(found, TokenVault)
    return found


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


def test_the_browser_is_told_yes_only_after_the_mailbox_opened(provider: TokenEndpoint) -> None:
    """The page waits for the exchange and the login; where that fails it says no, and so does the command."""
    answers: list[int] = []

    def browse(address: str) -> None:
        def go() -> None:
            try:
                answers.append(urllib.request.urlopen(address, timeout=5).status)
            except urllib.error.HTTPError as fault:
                answers.append(fault.code)

        threading.Thread(target=go, daemon=True).start()

    def refused(token: Secret) -> Secret:
        assert answers == [] and token.reveal() in provider.refresh
        raise MailboxFault(Kind.REFUSED, "the server refuses the login")

    with pytest.raises(MailboxFault, match="refuses the login"):
        by_browser(settings_of(provider), account="box", username=ANN, show=browse, timeout=5, check=refused)
    until = time.monotonic() + 5
    while not answers and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert answers == [400]


def test_what_is_pasted_has_to_be_the_answer(provider: TokenEndpoint) -> None:
    """The whole address, or its query alone; another state, or none, is a message, and a no is told in the provider's words."""
    asked: list[str] = []

    def pasted(edit: Callable[[str], str]) -> Secret:
        return by_paste(
            settings_of(provider),
            account="box",
            username=ANN,
            show=asked.append,
            read=lambda: edit(provider.consent(asked[-1])),
        )

    assert pasted(str).reveal() in provider.refresh
    assert pasted(lambda address: address.partition("?")[2]).reveal() in provider.refresh
    for edit in (lambda _: "", lambda _: "http://127.0.0.1/?code=x", lambda address: address + "x"):
        with pytest.raises(MailboxFault, match="address bar"):
            pasted(edit)
    with pytest.raises(MailboxFault, match="only its test users"):
        pasted(lambda address: address.replace("code=", "error=access_denied&was="))


@pytest.mark.parametrize(
    ("error", "description", "kind", "fix"),
    [
        (
            "invalid_grant",
            "AADSTS65001: The user or administrator has not consented to use the application",
            Kind.CONSENT,
            "Grant admin",
        ),
        (
            "interaction_required",
            "AADSTS50076: Due to a configuration change you must use multi-factor",
            Kind.CONSENT,
            "second factor",
        ),
        (
            "invalid_grant",
            "AADSTS700082: The refresh token has expired due to inactivity.",
            Kind.CONSENT,
            "not used for too long",
        ),
        (
            "invalid_client",
            "AADSTS7000218: The request body must contain: 'client_assertion'",
            Kind.SETTING,
            "public client flows",
        ),
        ("invalid_client", "AADSTS7000215: Invalid client secret provided.", Kind.SETTING, "not its ID"),
        ("unauthorized_client", "AADSTS700016: Application was not found in the directory", Kind.SETTING, "client_id and tenant"),
        ("access_denied", "AADSTS90094: Admin consent is required", Kind.CONSENT, "an administrator has to approve"),
        ("access_denied", "This app needs admin approval", Kind.CONSENT, "an administrator has to approve"),
        ("invalid_client", "The OAuth client was not found.", Kind.SETTING, "not known to Google"),
        ("invalid_client", "Unauthorized", Kind.SETTING, "client_id and client_secret"),
        ("invalid_request", "client_secret is missing.", Kind.SETTING, "desktop app"),
        ("invalid_grant", "Token has been expired or revoked.", Kind.CONSENT, "seven days"),
        ("invalid_grant", "", Kind.CONSENT, "oauth login box"),
        ("admin_policy_enforced", "", Kind.SETTING, "Workspace blocks"),
        ("temporarily_unavailable", "try later", Kind.BUSY, ""),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(error: str, description: str, kind: Kind, fix: str) -> None:
    """The error, its description without what is for the provider's own support, and the fix where one is known."""
    tail = " Trace ID: 0000-aaaa Correlation ID: 1111-bbbb Timestamp: 2026-11-29 00:00:00Z" if description else ""
    fault = refusal_of({"error": error, "error_description": description + tail}, "box")
    assert fault.kind is kind
    assert error in str(fault) and description[:150] in str(fault) and fix in str(fault)
    assert "0000-aaaa" not in str(fault) and "{account}" not in str(fault)


@pytest.mark.parametrize("description", [7, None, ["x"], "\x1b[31mred\r\n" * 5000])
def test_a_hostile_description_does_no_harm(description: object) -> None:
    """What is no text is left out; what is long or moves a cursor is cut and escaped."""
    text = str(refusal_of({"error": "invalid_grant", "error_description": description}, "box"))
    assert len(text) < 500 and text.isprintable()


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
