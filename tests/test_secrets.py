"""Every secret of a whole configuration is put in, everything that can go wrong with it does, and no line of the log holds one.

A secret that is added to the settings, or a file with one, has to be added here: the first two tests ask for it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailbridge import logs
from mailbridge.app.daemon import Bridge, bridge
from mailbridge.app.targets import guard
from mailbridge.cli.serve import reload_running
from mailbridge.config import settings as s
from mailbridge.config.load import load
from mailbridge.config.secrets import secrets_of
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.masks import LONGEST, Masks
from mailbridge.store.cipher import read_key
from mailbridge.store.places import key_path_of
from tests.ingress.imap.watched import account
from tests.loop import looped, until
from tests.peers.scripted_imap import ScriptedImap, Session
from tests.peers.submission import running_submission
from tests.peers.token_endpoint import TokenEndpoint, running_token_endpoint

CANARY = "cAnArY/{}+s3cr3t=&x".format
PLACES = {
    "heartbeat.url",
    "http.token",
    "imap.*.oauth.client_secret",
    "ingest.cloudmailin_password",
    "ingest.forwardemail_key",
    "ingest.mailgun_key",
    "ingest.postmark_password",
    "ingest.sendgrid_password",
    "ingest.webhook_secrets.*",
    "imap.*.password",
    "notify.*.headers.*",
    "notify.*.token",
    "notify.*.topic",
    "notify.*.url",
    "notify.*.urls.*",
    "pull.keys.*",
    "skyvern.api_key",
    "store.password",
    "target.*.api_key",
    "target.*.headers.*",
    "target.*.old_secret",
    "target.*.secret",
    "target.*.url",
}
"""Where a secret may stand in the settings; the configuration below has one at each."""

SECRET_FILES = {"imap.*.oauth.key_file", "skyvern.credentials_file", "smtp.tls_key", "store.key_file"}
"""Files that hold a secret. What is read of them is masked too; the TLS key is OpenSSL's, which reads the file itself."""

OTHER_FILES = {"imap.*.tls_ca", "rules.paths.*", "smtp.tls_cert", "store.folder"}


def places(section: type[s.Section], wanted: type) -> Iterator[str]:
    """Where values of a type stand in the settings, by their types: ``imap.*.oauth.client_secret``."""
    for field in msgspec.structs.fields(section):
        yield from _places(field.name, field.type, wanted)


def _places(name: str, kind: Any, wanted: type) -> Iterator[str]:
    if kind is wanted:
        yield name
    elif isinstance(kind, type) and issubclass(kind, s.Section):
        yield from (f"{name}.{below}" for below in places(kind, wanted))
    elif getattr(kind, "__origin__", None) is tuple:
        yield from _places(f"{name}.*", get_args(kind)[0], wanted)
    else:
        for one in get_args(kind):
            yield from _places(name, one, wanted)


def general(place: str) -> str:
    """``imap.*.password`` of ``imap.3.password``."""
    return ".".join("*" if part.isdigit() else part for part in place.split("."))


def full(
    folder: Path, *, imap: Sequence[s.ImapSettings] = (), base_url: str = "http://127.0.0.1:9", mark: str = "a"
) -> s.Settings:
    """A configuration with a secret wherever there can be one; ``mark`` makes them different from those of another."""

    def secret(name: str) -> Secret:
        return Secret(CANARY(f"{mark}-{name}"))

    def address(name: str) -> Secret:
        return Secret(f"{base_url}/{CANARY(f'{mark}-{name}')}")

    def signing(name: str) -> Secret:
        return Secret("whsec_" + base64.b64encode(CANARY(f"{mark}-{name}").encode()).decode())

    def header(name: str) -> Secret:
        return Secret(f"X-Key: {CANARY(f'{mark}-{name}')}")

    more = (
        account(9, name="pw", password=secret("imap-password")),
        account(9, name="app", oauth=s.OAuthSettings(provider="custom", client_id="app", client_secret=secret("client-secret"))),
    )
    return s.Settings(
        smtp=s.SmtpSettings(listen=("127.0.0.1:0",), tls=False),
        http=s.HttpSettings(listen="127.0.0.1:0", token=secret("http-token")),
        pull=s.PullSettings(keys=(secret("pull-one"), secret("pull-two"))),
        ingest=s.IngestSettings(
            webhook_secrets=(secret("webhook-secret"),),
            mailgun_key=secret("mailgun-key"),
            postmark_password=secret("postmark-password"),
            cloudmailin_password=secret("cloudmailin-password"),
            forwardemail_key=secret("forwardemail-key"),
            sendgrid_password=secret("sendgrid-password"),
        ),
        skyvern=s.SkyvernSettings(base_url=base_url, api_key=secret("skyvern-key")),
        target=(
            s.TargetSettings(name="other", identifiers=("*@other.example",), base_url=base_url, api_key=secret("target-key")),
            s.TargetSettings(
                name="hook",
                kind="webhook",
                url=address("hook-path"),
                secret=signing("hook-secret"),
                old_secret=signing("hook-old-secret"),
                headers=(header("hook-header"),),
            ),
        ),
        notify=(
            s.NotifySettings(name="phone", kind="ntfy", url=address("ntfy"), topic=secret("topic"), token=secret("ntfy-token")),
            s.NotifySettings(name="desk", kind="slack", url=address("slack-path"), headers=(header("slack-header"),)),
            s.NotifySettings(name="bus", kind="apprise", urls=(address("apprise"),)),
        ),
        heartbeat=s.HeartbeatSettings(url=address("beat-path")),
        identity=s.IdentitySettings(learn_from_skyvern=True),
        imap=tuple(imap) or more,
        store=s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db", password=secret("store-password")),
        trust=s.TrustSettings(default="none"),
        domains=s.DomainSettings(accept=("bridge.example",)),
    )


def test_the_configuration_of_these_tests_has_every_secret(tmp_path: Path) -> None:
    """By the types of the settings: a new secret key fails here until it is one of PLACES and has a canary."""
    assert set(places(s.Settings, Secret)) == PLACES
    assert {general(place) for place, _ in secrets_of(full(tmp_path))} == PLACES


def test_every_file_of_the_settings_is_known_to_hold_a_secret_or_none() -> None:
    """A new key that names a file fails here until somebody has said which it is."""
    assert set(places(s.Settings, Path)) == SECRET_FILES | OTHER_FILES


@pytest.fixture
def log() -> Iterator[tuple[io.StringIO, logs.LogFormatter]]:
    """Everything that anybody logs, at the finest level, as the daemon writes it."""
    stream = io.StringIO()
    root = logging.getLogger()
    kept, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    hooks = (threading.excepthook, sys.unraisablehook)
    talk = logs.configure(s.LogSettings(level="debug", format="json", identifiers="plain"), stream)
    levels = {name: logging.getLogger(name).level for name in ("mailbridge", *logs.QUIET)}
    root.setLevel(logging.DEBUG)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream, talk
    root.handlers[:] = kept
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.raiseExceptions = raising
    threading.excepthook, sys.unraisablehook = hooks
    for name in levels:
        logging.getLogger(name).setLevel(logging.NOTSET)


def forms(secret: str) -> dict[str, str]:
    """A secret as it is sent: in clear, in a URL, in JSON, and within the Base64 of a login."""
    raw = secret.encode()
    return {
        "clear": secret,
        "escaped": quote(secret, safe=""),
        "JSON": json.dumps(secret)[1:-1],
        "LOGIN": base64.b64encode(raw).decode(),
        "PLAIN": base64.b64encode(b"\0ann@corp.example\0" + raw).decode(),
        "Basic": base64.b64encode(b"ann:" + raw).decode(),
        "XOAUTH2": base64.b64encode(b"user=ann@corp.example\x01auth=Bearer " + raw + b"\x01\x01").decode(),
        **({"hexadecimal": raw.hex()} if len(raw) <= LONGEST else {}),
    }


def told(text: str, secrets: Sequence[str]) -> list[str]:
    """Which secrets a log holds, in whichever form: also in Base64 that is longer than the form itself."""
    found = []
    lower = text.lower()
    for secret in secrets:
        for name, form in forms(secret).items():
            inner = form[8:-8] if len(form) > 30 else form
            if inner.lower() in lower:
                found.append(f"{name} of {secret}")
    return found


def chatter(secret: str) -> None:
    """What libraries, servers and bugs could write of a secret, each by a logger of its own."""
    for name in (
        "mailbridge.test",
        "httpx",
        "httpcore.http11",
        "imapclient.imaplib",
        "uvicorn.error",
        "asyncio",
        "mail.log",
        "anybody",
    ):
        logger = logging.getLogger(name)
        for form in forms(secret).values():
            logger.debug("sent %s, got %r", form, {"Authorization": f"Bearer {form}"})
            logger.warning("%s", form, extra={"reason": f"server says {form}", "header": [form]})
        try:
            raise ValueError(f"cannot take {secret}") from OSError(secret)
        except ValueError:
            logger.exception("it failed with %s", secret)


def echoing(server: ScriptedImap) -> None:
    """Make an IMAP server refuse each login in the words of the login."""

    def login(session: Session, tag: str, arguments: str) -> bool:
        session.send(f"{tag} NO [AUTHENTICATIONFAILED] no such {arguments}\r\n".encode())
        return True

    def authenticate(session: Session, tag: str, arguments: str) -> bool:
        session.send(b"+ \r\n")
        sent = session.line().decode().strip()
        clear = base64.b64decode(sent).decode().replace("\0", " ").replace("\x01", " ")
        session.send(f"{tag} NO [AUTHENTICATIONFAILED] no such {clear} in {sent}\r\n".encode())
        return True

    server.hooks = {"LOGIN": login, "AUTHENTICATE": authenticate}


def robot(folder: Path) -> tuple[Path, list[str]]:
    """The key file of a service account, and the lines of its key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    path = folder / "robot.json"
    path.write_text(json.dumps({"private_key": pem, "client_email": "robot@project.example"}))
    return path, pem.splitlines()[1:-1]


def grant(peer: TokenEndpoint, **changes: Any) -> s.OAuthSettings:
    """Tokens of the provider of these tests."""
    usual: dict[str, Any] = {"provider": "custom", "client_id": "app", "scope": "mail", "token_url": f"{peer.url}/token"}
    return s.OAuthSettings(**{**usual, **changes})


async def ask(running: Bridge, settings: s.Settings) -> None:
    """Requests with good and bad secrets, to every door."""
    assert settings.http.token is not None
    async with httpx.AsyncClient(base_url=f"http://{running.http_address}", trust_env=False) as client:
        for token in (settings.http.token.reveal(), settings.pull.keys[0].reveal()):
            await client.get("/api/v1/codes?identifier=x@y.example", headers={"Authorization": f"Bearer {token}"})
            await client.get(f"/api/v1/codes/{quote(token, safe='')}?token={quote(token, safe='')}")
            await client.get("/healthz", headers={"X-Odd": token})
        for key in settings.pull.keys:
            signature = hmac.new(key.reveal().encode(), b"{}", hashlib.sha256).hexdigest()
            answer = await client.post("/skyvern/totp/x@y.example", content=b"{}", headers={"x-skyvern-signature": signature})
            assert answer.status_code == 200
        await client.post("/skyvern/totp/x@y.example", content=settings.pull.keys[0].reveal().encode())


async def send(running: Bridge) -> None:
    """A mail with a code for each target."""
    host, _, port = running.smtp_addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    for to in ("ann@corp.example", "x@other.example"):
        mail = f"From: a@acme.example\r\nTo: {to}\r\nSubject: Your code is 482913\r\n\r\nYour code is 482913.\r\n.\r\n"
        for line in ("EHLO a", "MAIL FROM:<a@acme.example>", "RCPT TO:<codes@bridge.example>", "DATA", mail.removesuffix("\r\n")):
            writer.write(f"{line}\r\n".encode())
            while (await reader.readline())[3:4] == b"-":
                pass
    writer.close()


async def refusing() -> tuple[asyncio.Server, str]:
    """A Skyvern that refuses everything in the words of the request."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 " + head.replace(b"\r\n", b" ")[:900] + b"\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@looped
async def daemon(folder: Path, stream: io.StringIO, talk: logs.LogFormatter) -> None:
    """A whole day of a daemon with every secret, in which nothing works."""
    key_file, key_lines = robot(folder)
    server, base_url = await refusing()
    with (
        ScriptedImap() as refuses,
        running_token_endpoint() as provider,
        running_submission(folder / "post", lambda _: None) as post,
        ScriptedImap() as takes,
    ):
        refuses.capabilities += " AUTH=XOAUTH2"
        echoing(refuses)
        takes.password = CANARY("a-imap-password")
        password = Secret(takes.password)
        secret = Secret(CANARY("a-client-secret"))
        canary = s.CanarySettings(smtp=post.settings["smtp"], tls="starttls")
        imap = (
            account(refuses.port, name="echo", password=password),
            account(takes.port, name="sends", password=password, canary=canary, tls_ca=post.ca),
            account(refuses.port, name="user", oauth=grant(provider, client_secret=secret)),
            account(refuses.port, name="app", oauth=grant(provider, grant="client-credentials", client_secret=secret)),
            account(
                refuses.port,
                name="robot",
                oauth=grant(provider, provider="google", grant="service-account", key_file=key_file),
            ),
        )
        settings = full(folder, imap=imap, base_url=base_url)
        refresh = provider.new_refresh_token()
        open_vault(settings.store).write("user", Secret(refresh))
        async with bridge(settings, state_dir=folder, masks=talk.masks) as running:
            await ask(running, settings)
            await send(running)
            await until(
                lambda: all(not one.is_well and one.reason for one in running.mailboxes.health() if "sends" not in one.mailbox)
            )
            await until(lambda: provider.tokens_asked() >= 3)
            await until(lambda: {"other", "hook"} <= running.engine.dispatcher.alarms.keys())
            await until(lambda: {"notify desk", "notify phone"} <= running.engine.listeners.teller.failing.keys())
            assert "no such" in stream.getvalue(), "the server's echo is logged"
            health = repr(await running.health())
            other = full(folder, base_url=base_url, mark="b")
            await running.reload(msgspec.structs.replace(settings, imap=other.imap, pull=other.pull))
            assert {talk.masks.masked(one.reveal()) for one in other.pull.keys} == {"***"}
            await ask(running, msgspec.structs.replace(settings, pull=other.pull))
            guard(talk.masks, other)
            got = [*provider.access, *provider.refresh, refresh, *(f.get("assertion", "") for _, f in provider.requests)]
            key = read_key(key_path_of(settings.store), is_made=False)
            vault_key = read_key(folder / "oauth" / "vault.key", is_made=False)
            every = [one.reveal() for section in (settings, other) for _, one in secrets_of(section)]
            every += [*filter(None, got), *key_lines]
            assert len(set(every)) > 25
            for one in every:
                chatter(one)
            for octets in (key, vault_key):
                logging.getLogger("anybody").error("%s %s %r", octets.hex(), base64.b64encode(octets).decode(), octets)
    server.close()
    text = stream.getvalue()
    assert told(text, every) == []
    assert told(health, every) == []
    for octets in (key, vault_key):
        assert octets.hex() not in text
        assert base64.b64encode(octets).decode()[:20] not in text
        assert repr(octets)[2:40].replace("\\", "\\\\") not in text


def test_no_secret_of_a_whole_configuration_is_in_the_log(tmp_path: Path, log: tuple[io.StringIO, logs.LogFormatter]) -> None:
    """Refused logins that are echoed, tokens got at run time, keys of files, a reload; of our own loggers and of the libraries'."""
    daemon(tmp_path, *log)
    assert "***" in log[0].getvalue()


def test_without_masks_the_same_day_tells_secrets(tmp_path: Path, log: tuple[io.StringIO, logs.LogFormatter]) -> None:
    """So that the test before this one passes for the reason that it names: a server's echo alone would put a password into the log."""
    stream, talk = log
    with ScriptedImap() as refuses:
        echoing(refuses)
        settings = full(tmp_path, imap=(account(refuses.port, password=Secret(CANARY("x"))),))

        @looped
        async def run() -> None:
            async with bridge(settings, state_dir=tmp_path) as running:
                await until(lambda: not running.mailboxes.health()[0].is_well and "no such" in stream.getvalue())

        run()
    assert told(stream.getvalue(), [CANARY("x")])
    assert talk.masks.masked("nothing is known") == "nothing is known"


RELOADED = """
[skyvern]
api_key = "reloaded-skyvern-key"
[http]
token = "reloaded-http-token"
[pull]
keys = ["reloaded-pull-one", "reloaded-pull-two"]
[[target]]
name = "other"
api_key = "reloaded-target-key"
[[imap]]
name = "pw"
host = "127.0.0.1"
username = "ann@corp.example"
password = "reloaded-imap-password"
[[imap]]
name = "app"
host = "127.0.0.1"
username = "bob@corp.example"
oauth = { provider = "custom", client_id = "app", client_secret = "reloaded-client-secret", token_url = "https://127.0.0.1:9/", scope = "x" }
"""


def test_keys_of_files_and_of_a_new_configuration_are_masked(tmp_path: Path) -> None:
    """Skyvern's credentials file, the practice receiver's key, the store's key; and all of a file that is read again, taken up or not."""
    credentials = tmp_path / "credentials.toml"
    credentials.write_text('[general]\ncred = "key-of-a-credentials-file"\n')
    config = tmp_path / "mailbridge.toml"
    config.write_text(RELOADED)
    base = full(tmp_path)
    masks = Masks()

    @looped
    async def run() -> None:
        skyvern = s.SkyvernSettings(base_url="http://127.0.0.1:9", credentials_file=credentials)
        async with bridge(msgspec.structs.replace(base, skyvern=skyvern, imap=()), state_dir=tmp_path, masks=masks):
            assert masks.masked("key-of-a-credentials-file") == "***"
            assert masks.masked(read_key(key_path_of(base.store), is_made=False).hex()) == "***"
        bare = msgspec.structs.replace(
            base, skyvern=s.SkyvernSettings(), practice=s.PracticeSettings(listen="127.0.0.1:0"), imap=()
        )
        async with bridge(bare, state_dir=tmp_path, masks=masks) as running:
            assert running.practice is not None
            assert masks.masked(running.practice.api_key) == "***"
            assert await reload_running(running, config) == []
            for _, one in secrets_of(load(config, environ={}, cwd=tmp_path).settings):
                assert one.reveal().startswith("reloaded")
                assert masks.masked(one.reveal()) == "***"

    run()


def test_what_nobody_catches_is_logged_without_its_words(
    log: tuple[io.StringIO, logs.LogFormatter], capfd: pytest.CaptureFixture[str]
) -> None:
    """A thread that ends with a fault, and a fault in a destructor: where it happened, and nothing on the error stream."""
    logs.adopt_unhandled()

    def fail() -> None:
        raise ValueError(CANARY("in-a-thread"))

    class Odd:
        def __del__(self) -> None:
            fail()

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Odd()
    events = [json.loads(line) for line in log[0].getvalue().splitlines()]
    assert [(event["message"], event["fault"].partition(" ")[0]) for event in events if "fault" in event] == [
        ("a thread ended with an exception", "ValueError"),
        ("an exception that could not be raised", "ValueError"),
    ]
    assert "cAnArY" not in log[0].getvalue()
    assert "cAnArY" not in capfd.readouterr().err
