"""Mail over HTTP by the setup: each service is answered to its end, and a post made of the printed lines alone brings the code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from mailbridge.app.daemon import bridge
from mailbridge.config.added import INGEST, Added, as_toml, merged
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import IngestSettings, Settings
from mailbridge.core.secret import Secret
from mailbridge.operator.setup.posting import HIDDEN, SERVICES
from mailbridge.operator.setup.verb import SetupState
from tests.loop import looped
from tests.operator.test_setup_verbs import ANN, Client, operator, settings_in

URL = "https://bridge.example.com"
KEY = "key-of-the-provider"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
MORE = {"mailgun": ("service-key", KEY), "forwardemail": ("service-key", KEY), "ses": ("topic", TOPIC)}


async def walked(one: Client, service: str) -> tuple[SetupState, str]:
    """The setup with this service, as far as a person can bring it; and all lines to be copied, as text."""
    answers = [("key", ""), ("way", "http"), ("service", service), ("for", ANN), ("sites", "github.com"), ("url", URL)]
    if SERVICES[service].gives_address:
        answers.append(("rcpt", f"a1b2c3@{service}.example"))
    elif SERVICES[service].has_address:
        answers.append(("domain", "bridge.example.com"))
    for name, value in answers:
        state = await one.taken(name, value)
    if service in MORE:
        state = await one.taken(*MORE[service])
    return state, "\n".join(next(step for step in state.steps if step.name == "proof").lines)


@looped
async def test_a_service_is_set_up_and_its_secret_is_shown_to_an_operator_alone(tmp_path: Path) -> None:
    """One address, one proof, in force at once; asked again nothing is made twice; who only looks sees no secret."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running, httpx.AsyncClient(trust_env=False) as client:
        one, shown = await operator(running), []
        for service in SERVICES:
            state, lines = await walked(one, service)
            assert (state.current, HIDDEN in lines) == ("mail", False), service
            again = msgspec.convert((await one.post("go")).json(), SetupState)
            assert (again.current, again.did) == ("mail", state.did), service
            headers = {"Authorization": f"Bearer {one.token}"}
            seen = (await client.get(f"http://{running.http_address}/api/v1/setup", headers=headers)).text
            shown += _secrets(lines)
            assert not [secret for secret in shown if secret in seen], service
            await one.post("forget")
        assert len(shown) == sum(found.proof in ("made", "token") for found in SERVICES.values())
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("mailbridge.db*"))
        assert not [secret for secret in shown if secret.encode() in kept]


def _secrets(lines: str) -> list[str]:
    """What of the lines is secret."""
    return re.findall(r"whsec_\S+|mbt_\S+|(?<=mailbridge:)[0-9a-f]{20,}(?=@)", lines)


@looped
async def test_posts_made_of_the_printed_lines_bring_codes(tmp_path: Path) -> None:
    """The Worker's signature, a password in a URL, a bearer token and x-api-key: each as it was printed, one after the other. A
    text comes first: a code of the site that lives holds what no site is known of."""
    async with (
        bridge(settings_in(tmp_path), state_dir=tmp_path) as running,
        httpx.AsyncClient(base_url=f"http://{running.http_address}", trust_env=False, timeout=30) as client,
    ):
        one = await operator(running)

        async def came(service: str, answer: httpx.Response) -> None:
            assert answer.is_success, answer.text
            state = msgspec.convert((await one.post("go")).json(), SetupState)
            found = {step.name: step for step in state.steps}
            assert "delivered" in found["mail"].text or found["mail"].level == "wait", service
            assert found["proof"].lines == []

        _, lines = await walked(one, "text")
        body = json.loads(lines.splitlines()[-1])
        given = {"Authorization": re.findall(r"Authorization: (Bearer \S+)", lines)[0]}
        await came("text", await client.post("/ingest/text", json={**body, "text": "Your code is 482913"}, headers=given))
        _, lines = await walked(one, "zap")
        path, key = urlsplit(re.findall(r"https://\S+", lines)[0]).path, re.findall(r"x-api-key: (\S+)", lines)[0]
        answer = await client.post(path, json={"totp_identifier": ANN, "content": "482914"}, headers={"x-api-key": key})
        await came("zap", answer)
        assert answer.json()["code"] == "482914"
        _, lines = await walked(one, "cloudflare")
        secret, rcpt = re.findall(r"BRIDGE_SECRET = (\S+)", lines)[0], re.findall(r"(\S+@bridge.example.com)", lines)[0]
        await came("cloudflare", await client.post("/ingest/mime", params={"rcpt": rcpt}, **_signed(secret, _mail("482911"))))
        _, lines = await walked(one, "postmark")
        url = urlsplit(re.findall(r"https://\S+", lines)[0])
        told = {"OriginalRecipient": "a1b2c3@postmark.example", "RawEmail": _mail("482912").decode()}
        answer = await client.post(url.path, json=told, auth=(url.username or "", url.password or ""))
        await came("postmark", answer)


def _signed(secret: str, mail: bytes) -> dict[str, Any]:
    """A post as the Worker makes it."""
    stamp = str(int(datetime.now(UTC).timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.digest(key, b"msg_1." + stamp.encode() + b"." + mail, hashlib.sha256)).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
    return {"content": mail, "headers": {**headers, "content-type": "message/rfc822"}}


def _mail(code: str) -> bytes:
    return (
        f"From: GitHub <noreply@github.com>\r\nTo: {ANN}\r\nSubject: Your verification code\r\nMessage-ID: <{code}@github.com>\r\n"
        f"\r\nYour verification code is: {code}\r\n"
    ).encode()


@looped
async def test_another_service_begins_anew_and_a_key_without_its_service_is_refused(tmp_path: Path) -> None:
    """What the former one gave is asked for again; the key of a service that has none is no answer."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        one = await operator(running)
        await one.taken("way", "http")
        assert "choose the service first" in (await one.answer("service-key", KEY)).json()["title"]
        await walked(one, "postmark")
        assert (await one.answer("service-key", KEY)).status_code == 409
        state = await one.taken("service", "cloudmailin")
        assert state.question is not None
        assert state.question.name == "rcpt"
        refused = await one.answer("service-key", "short")
        assert "short" not in refused.json()["title"]


def _added(name: str, values: dict[str, object] | None = None, **secrets: str) -> Added:
    made = {key: Secret(value) for key, value in secrets.items()}
    return Added(kind=INGEST, name=name, values=values or {}, secrets=made, at=datetime(2026, 1, 1, tzinfo=UTC), by="ann")


def test_proofs_that_were_added_stand_beside_those_of_the_file() -> None:
    """Lists add up, a single key of the file comes first; a key that is none is refused; exported they are one section."""
    file = Settings(ingest=IngestSettings(mailgun_key=Secret("of-the-file"), ses_topics=(TOPIC,)))
    other = TOPIC.replace("mail", "post")
    hook = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    added = (
        _added("mailgun", mailgun_key="added-later"),
        _added("ses", {"ses_topics": [other]}),
        _added("cloudflare", webhook_secrets=hook),
    )
    found = merged(file, added).ingest
    assert found.mailgun_key == Secret("of-the-file")
    assert found.ses_topics == (TOPIC, other)
    assert found.webhook_secrets == (Secret(hook),)
    with pytest.raises(ConfigError, match="mailgun_kye"):
        merged(file, (_added("mailgun", mailgun_kye="x"),))
    with pytest.raises(ConfigError, match="at least 12"):
        merged(Settings(), (_added("postmark", postmark_password="short"),))
    text = as_toml(added)
    assert text.count("[ingest]") == 1
    assert hook not in text
