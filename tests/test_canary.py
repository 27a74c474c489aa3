"""A code that is followed everywhere: through good and bad moments of a whole daemon, it is nowhere but where it belongs."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge import logs
from mailbridge.clock import SteadyClock
from mailbridge.config import settings as s
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.store import StoreError
from mailbridge.store.cipher import read_key
from mailbridge.store.sqlite import open_sqlite
from tests.conftest import ROOT
from tests.peers.house import House, house
from tests.store.mails import arrival, draft
from tests.trust.mails import mail

CODES = ("730184", "730185", "730186", "730187")
LINK = "https://acme.example/session/magic?token=cAnArY5Zq81LxV0rBn7sYd2K"
TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged at the finest level, as the daemon formats it."""
    stream = io.StringIO()
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    logs.configure(s.LogSettings(level="debug", format="json", identifiers="plain"), stream)
    yield stream
    root.handlers[:] = kept
    root.setLevel(level)


def where(folder: Path, octets: bytes) -> list[str]:
    """The files of a folder that hold these octets."""
    return [path.name for path in folder.rglob("*") if path.is_file() and octets in path.read_bytes()]


def trouble(home: House) -> None:
    """Codes on every way: delivered, held, refused by the target, to nobody known, ambiguous, and as a link."""
    home.send(mail(f"Your code is {CODES[0]}.", subject=f"{CODES[0]} is your code"), rcpt=TOKEN)
    home.send(mail(f"Your code is {CODES[1]}."), rcpt="codes@bridge.example")
    home.receiver.fault(status=422)
    refused = home.send(mail(f"Your code is {CODES[2]}."), rcpt=TOKEN)
    home.deliveries(refused.mail_id)
    home.receiver.fault(is_garbage=True)
    home.send(mail(f"Your code is {CODES[3]}."), rcpt=TOKEN)
    home.receiver.fault()
    home.send(mail(f"Your code is {CODES[0]} or {CODES[1]}.", to="undisclosed:;"), rcpt="codes@bridge.example")
    home.send(mail(f"Sign in to Acme with this link:\n\n{LINK}\n", subject="Sign in to Acme"), rcpt=TOKEN)


def test_a_code_is_nowhere_but_where_it_belongs(tmp_path: Path, log: io.StringIO) -> None:
    """No code, link, key or body in a log line, in the metrics, or in a file in clear, whatever becomes of the mail."""
    with house(tmp_path, address=(s.AddressSettings(rcpt=TOKEN),), log=s.LogSettings(level="debug")) as home:
        trouble(home)
        metrics = home.do(home.running.render_metrics)
        found = {code: where(tmp_path, code.encode()) for code in (*CODES, LINK, home.receiver.api_key)}
        rows = home.do(home.running.engine.store.mails.page)
        health = repr(home.do(home.running.health))
        seen = repr(home.do(home.running.engine.store.outbox.deliveries))
    assert len(rows) == 6
    for code in (*CODES, LINK, home.receiver.api_key):
        assert code not in log.getvalue()
        assert code.encode() not in metrics
        assert found[code] == []
        assert code not in seen
        assert code not in health
    assert "verification" not in log.getvalue()
    assert "mail" in log.getvalue()


def test_an_expired_code_is_erased_from_disk(tmp_path: Path) -> None:
    """After its time and the retention's no octet of what was kept of a code is in database, log or free pages, sealed or not."""

    async def go() -> bytes:
        retention = s.RetentionSettings(code=timedelta(), mail=timedelta(), journal=timedelta(days=1))
        store = open_sqlite(
            s.StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"), retention, clock=SteadyClock(), grace=timedelta()
        )
        receipt = await store.put(arrival(draft("730188", lifetime=timedelta()), at=store.clock.now()))
        sealed = (await store.readers.rows("SELECT content FROM delivery WHERE mail_id = ?", (receipt.mail_id,)))[0][0]
        await store.sweep()
        assert (await store.readers.rows("SELECT content FROM delivery"))[0][0] is None
        await store.close()
        return bytes(sealed)

    sealed = asyncio.run(go())
    assert len(sealed) > 12
    assert where(tmp_path, sealed) == []
    assert where(tmp_path, b"730188") == []


def test_secrets_hide_themselves() -> None:
    """A secret shows as a mask however it is written out, and a mail's octets stay out of its repr."""
    secret = Secret("730189")
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{[secret]}", f"{ {'a': secret} }"):
        assert "730189" not in text
    envelope = Envelope(mail_from="", rcpt_to=(), content=b"730189", received_at=SteadyClock().now(), ingress="smtp")
    assert "730189" not in repr(envelope)


def test_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    """The target's key and the store's key in a file that others can read stop the start, with the fix."""
    key = tmp_path / "key"
    key.write_text("sk-0123456789\n")
    key.chmod(0o644)
    config = tmp_path / "mailbridge.toml"
    config.write_text(f'[skyvern]\napi_key_file = "{key}"\n')
    with pytest.raises(ConfigError, match="chmod 600") as fault:
        load(config, environ={}, cwd=tmp_path)
    assert "sk-0123456789" not in str(fault.value)
    key.write_bytes(b"k" * 32)
    with pytest.raises(StoreError, match="chmod 600"):
        read_key(key, is_made=False)
    key.chmod(0o600)
    assert read_key(key, is_made=False) == b"k" * 32


REVEALING = {
    "sinks/": "the way out",
    "web/": "the way out for agents that ask",
    "cli/": "the operator asks for it",
    "demo/": "its own made-up codes",
    "store/": "to be sealed",
    "trust/gmail.py": "a link of Google's, opened at Google's",
    "ingress/imap/": "to log in, and to be sealed",
    "intake/worker_protocol.py": "from the worker to the daemon, over their own pipe",
    "intake/door.py": "into a digest that tells copies apart",
    "intake/fingerprint.py": "into a digest that tells copies apart",
    "intake/understand.py": "where a link leads",
    "core/bound.py": "whether the last line binds the code that the words name",
    "core/extract.py": "whether it is the value that another part shows",
    "core/extraction.py": "whether it is a link at all",
    "core/otpauth.py": "into the address that an authenticator reads",
    "core/totp.py": "to compute a code of it",
    "core/explain.py": "for `rules try`, in the operator's hands",
    "config/added.py": "back into the table that it belongs to",
    "config/load.py": "several keys in one file, a line each",
    "config/ingest.py": "whether a secret is Base64, and not empty",
    "ingress/http/texts.py": "into the answer that Skyvern's shape has, for whoever brought the code",
    "ingress/http/proofs.py": "to compare it with what a post brings, and to compute a signature",
    "config/receivers.py": "which values a header's template names",
    "app/receivers.py": "whether an address is one with TLS, and headers as they are sent",
    "app/targets.py": "what of an address or a header is to be masked",
    "app/records.py": "the text of a mail, for a template that names it",
    "app/preparation.py": "whether an address is our own",
    "config/checks.py": "whether a key can be sent at all",
    "operator/rulework.py": "what a rule finds in the mail that it is tried on, to be marked",
    "operator/setup/posting.py": "to be set at the service that posts, shown to whoever sets it up",
    "operator/shown.py": "what an operator asks for by name",
    "operator/codes.py": "what an operator asks for by name",
    "operator/authenticators.py": "what an operator asks for by name",
    "masks.py": "to be masked wherever it turns up",
}


def test_secrets_are_revealed_in_named_places_only() -> None:
    """Each place that looks into a secret is listed here with its reason, and each entry is needed."""
    found = {
        path.relative_to(ROOT / "mailbridge").as_posix()
        for path in (ROOT / "mailbridge").rglob("*.py")
        if ".reveal()" in path.read_text() and path.name != "secret.py"
    }
    assert {path for path in found if not path.startswith(tuple(REVEALING))} == set()
    assert {place for place in REVEALING if place != "web/" and not any(path.startswith(place) for path in found)} == set()
