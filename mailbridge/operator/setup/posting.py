"""Mail over HTTP in a setup: the services that can post mail here, what each proves itself with, and what to set at it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.operator.setup.plan import Facts, Level, Question, Step, domain_of, identifier_of
from mailbridge.operator.setup.progress import Progress

HIDDEN = "***"
"""What stands in the place of a secret that is not to be shown now."""

Proof = Literal["made", "asked", "named", "token"]
"""Where a service's proof is from: made here and set at the service; made by the service and asked for; a public name of it; a bearer
token of role ingest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. ``key`` is its key in `[ingest]` ("": a token instead). ``asks`` is the question for what the service made or is called.
    ``lines`` are what to set there: ``{url}`` the bridge, ``{open}`` the same with the secret as its password, ``{secret}``, ``{rcpt}``,
    ``{identifier}``. ``gives_address``: the service names the address that mail is to be sent to."""

    title: str
    proof: Proof
    key: str
    lines: tuple[str, ...]
    asks: str = ""
    gives_address: bool = False

    @property
    def has_address(self) -> bool:
        """Whether it brings mail for an address, rather than texts for an identifier."""
        return self.proof != "token"


SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        "cloudflare": Service(
            title="Cloudflare Email Routing, by a Worker",
            proof="made",
            key="webhook_secrets",
            lines=(
                "Workers & Pages, Create: paste config/cloudflare/worker.js of the project",
                "Settings, Variables and Secrets of the Worker, text: BRIDGE_URL = {url}",
                "and as a secret: BRIDGE_SECRET = {secret}",
                "Email, Email Routing, Routing rules: {rcpt} (or the catch-all), Send to a Worker",
            ),
        ),
        "mailgun": Service(
            title="Mailgun, by a route",
            proof="asked",
            key="mailgun_key",
            asks="Mailgun's HTTP webhook signing key (Account, Security, API security)",
            lines=(
                "Receiving, Create route, Match recipient: {rcpt}",
                "Forward: {url}/ingest/mailgun/mime (the end, /mime, makes Mailgun send the whole mail)",
            ),
        ),
        "postmark": Service(
            title="Postmark, by its inbound stream",
            proof="made",
            key="postmark_password",
            gives_address=True,
            lines=(
                "the inbound stream, Settings, Webhook: {open}/ingest/postmark",
                "Include raw email content in JSON payload: on",
            ),
        ),
        "ses": Service(
            title="Amazon SES, by SNS",
            proof="named",
            key="ses_topics",
            asks="The ARN of the SNS topic (such as arn:aws:sns:eu-west-1:123456789012:mail)",
            lines=(
                "SES, Email receiving, receipt rule for {rcpt}: Publish to Amazon SNS topic, Encoding Base64",
                "SNS, the topic, Create subscription: protocol HTTPS, endpoint {url}/ingest/ses, raw message delivery off",
                "the subscription then waits in `mailbridge mail list` with a link: open it",
            ),
        ),
        "sendgrid": Service(
            title="SendGrid, by Inbound Parse",
            proof="made",
            key="sendgrid_password",
            lines=(
                "Settings, Inbound Parse, Add Host & URL: the domain of {rcpt}",
                "Destination URL: {open}/ingest/sendgrid",
                "POST the raw, full MIME message: on",
            ),
        ),
        "forwardemail": Service(
            title="Forward Email, by a webhook",
            proof="asked",
            key="forwardemail_key",
            asks="Forward Email's webhook key (Domains, Settings, webhook signature payload verification key)",
            lines=("Aliases, Add alias {rcpt}: forward to {url}/ingest/forwardemail",),
        ),
        "cloudmailin": Service(
            title="CloudMailin",
            proof="made",
            key="cloudmailin_password",
            gives_address=True,
            lines=("the address, Edit target: {open}/ingest/cloudmailin", "Format: Raw"),
        ),
        "text": Service(
            title="texts: a phone that forwards SMS, n8n, Make, Zapier",
            proof="token",
            key="",
            lines=(
                "POST {url}/ingest/text",
                "Authorization: Bearer {secret}",
                "Content-Type: application/json",
                '{{"identifier": {quoted}, "from": "the sender", "text": "the whole text"}}',
            ),
        ),
        "zap": Service(
            title="a Zap that posts to Skyvern today",
            proof="token",
            key="",
            lines=(
                "in the Zap's step, URL: {url}/v1/credentials/totp (in place of https://api.skyvern.com)",
                "x-api-key: {secret}",
                "totp_identifier: {identifier}",
            ),
        ),
    }
)
"""Every service by its word, in the order of the menu; docs/ingest.md has each step by step."""


def service_of(progress: Progress) -> Service | None:
    """The service that was chosen; None while none is."""
    return SERVICES.get(progress.answers.get("service", ""))


def url_of(progress: Progress, facts: Facts) -> str:
    """Where the world reaches this bridge: as answered, else as configured; "" while unknown."""
    return progress.answers.get("url") or facts.way.posting.url.rstrip("/")


def service(progress: Progress, _: Facts) -> Step:
    """Which service it is, and how it proves itself."""
    found = service_of(progress)
    step = Step(name="service", title="service", level=Level.DONE, text=found.title if found is not None else "")
    if found is not None:
        return step
    choices = tuple((word, one.title) for word, one in SERVICES.items())
    return replace(
        step, level=Level.ASK, question=Question(name="service", text="Which service posts the mails?", choices=choices)
    )


def public_address(progress: Progress, facts: Facts) -> Step:
    """Where the service has to post to."""
    step = Step(name="url", title="web address", level=Level.DONE, text=url_of(progress, facts))
    if step.text:
        return step
    text = "The address at which the world reaches this bridge (such as https://bridge.example.com)"
    hint = "a reverse proxy with TLS, or a tunnel, has to pass /ingest/ and /v1/ to [http] listen; config/proxy has examples"
    return replace(step, level=Level.ASK, text="none is configured", hint=hint, question=Question(name="url", text=text))


def domain(progress: Progress, facts: Facts) -> Step:
    """The domain whose mail the service takes; or the address that it gave."""
    step = Step(name="domain", title="domain", level=Level.DONE, text=progress.answers.get("rcpt") or domain_of(progress, facts))
    found = service_of(progress)
    if found is not None and found.gives_address and "rcpt" not in progress.answers:
        text = f"The address that {found.title.partition(',')[0]} takes mail at (it shows one; or one of a domain of yours)"
        return replace(step, level=Level.ASK, text="", question=Question(name="rcpt", text=text))
    if step.text:
        return step
    text = "The domain whose mail the service takes (such as bridge.example.com)"
    default = facts.domains[0] if facts.domains else None
    return replace(step, level=Level.ASK, question=Question(name="domain", text=text, default=default))


def proof(progress: Progress, facts: Facts) -> Step:
    """The secret, and every line that has to be set at the service with it. Nothing more is said once mail has come."""
    step = Step(name="proof", title="at the service", level=Level.DONE, text="mail comes in")
    found = service_of(progress)
    if found is None or facts.mail is not None or "mail" in progress.seen:
        return step
    if not facts.way.posting.is_proven:
        if found.proof == "asked":
            return replace(step, level=Level.ASK, text="", question=Question(name="service-key", text=found.asks, is_secret=True))
        if found.proof == "named" and "topic" not in progress.answers:
            return replace(step, level=Level.ASK, text="", question=Question(name="topic", text=found.asks))
        return replace(step, level=Level.WAIT, text="no secret is made yet", act="proof")
    return replace(
        step,
        text=f"to set at {found.title.partition(',')[0]}:",
        hint=_lost(progress, facts),
        lines=_lines(found, progress, facts),
    )


def _lost(progress: Progress, facts: Facts) -> str:
    """How to have another token, where the text of the one that was made is known no more."""
    found = service_of(progress)
    if found is None or found.proof != "token" or facts.way.posting.secret is not None:
        return ""
    return f"the token was shown once; `mailbridge token add --role ingest --identifier {identifier_of(progress)}` makes another"


def _lines(found: Service, progress: Progress, facts: Facts) -> tuple[str, ...]:
    secret = facts.way.posting.secret
    text, url, identifier = secret.reveal() if secret is not None else HIDDEN, url_of(progress, facts), identifier_of(progress)
    escaped = identifier.replace("\\", "\\\\").replace('"', '\\"')
    values = {
        "url": url,
        "open": url.replace("://", f"://mailbridge:{text}@", 1),
        "secret": text,
        "rcpt": facts.way.rcpt,
        "identifier": identifier,
        "quoted": f'"{escaped}"',
    }
    return tuple(one.format(**values) for one in found.lines)


Maker = Callable[[Progress, Facts], Step]


def makers(progress: Progress, *, whom: Maker, address: Maker) -> Sequence[Maker]:
    """The steps between the way and the first mail; ``whom`` and ``address`` are those that other ways have too."""
    found = service_of(progress)
    if found is None:
        return (service,)
    if found.has_address:
        return (service, whom, public_address, domain, address, proof)
    return (service, whom, public_address, proof)
