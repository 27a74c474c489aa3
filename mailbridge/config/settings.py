"""The settings: one frozen struct for each section of ``mailbridge.toml``. The defaults are enough for a first start.

Durations are timedeltas, sizes are octets, secrets are `Secret`. Only `config.load` builds them and does I/O for them.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from mailbridge.core.happening import NEEDS_YOU, RECEIVED, USUAL
from mailbridge.core.secret import Secret

Seconds = timedelta
Trust = Literal["dkim", "arc", "forwarder", "token", "none"]
Strangers = Literal["codes", "hold", "all"]
TargetKind = Literal["skyvern", "webhook", "http"]
"""The kinds of a `[[target]]`. Each has a line in `app.parts.SINKS`, and one wherever else the type checker asks for it."""

BESIDE = ("webhook", "http")
"""The kinds that get codes in addition to Skyvern, not instead of it."""

NotifyKind = Literal["ntfy", "slack", "discord", "telegram", "gotify", "apprise", "http"]
"""The kinds of a `[[notify]]`. Each has a template in `sinks.notices`."""

Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]

Preset = Literal["gmail", "outlook", "yahoo", "icloud", "fastmail", "zoho", "proton", "163", "yandex"]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common base of every section: immutable, keyword only, unknown keys refused."""


class SmtpSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[smtp]`: the SMTP and LMTP listeners. Addresses are ``host:port``, ``[v6]:port`` or ``unix:/path``."""

    listen: tuple[str, ...] = ("127.0.0.1:2525",)
    lmtp: tuple[str, ...] = ()
    hostname: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls: bool = True
    max_size: int = 26_214_400
    max_recipients: int = 100
    max_connections: int = 1_000
    max_per_ip: int = 20
    max_memory: int = 67_108_864
    idle_timeout: timedelta = Seconds(seconds=60)
    session_timeout: timedelta = Seconds(minutes=5)
    data_timeout: timedelta = Seconds(minutes=2)
    proxy_from: tuple[str, ...] = ()
    rate_recipient: int = 6_000
    rate_sender: int = 6_000
    rate_client: int = 6_000


class AddressSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[address]]`: one recipient that is accepted. ``site`` are the hosts whose codes it is meant for."""

    rcpt: str
    identifier: str | None = None
    accept_from: tuple[str, ...] | None = None
    trust: Trust | tuple[Trust, ...] | None = None
    site: tuple[str, ...] | None = None


class SenderSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[sender]]`: a domain or an address whose mails are known, or never pushed (``allow = false``), for some identifiers or all."""

    sender: str
    identifiers: tuple[str, ...] = ("*",)
    allow: bool = True

    @property
    def label(self) -> str:
        """What distinguishes it from the others: the sender, and for whom if not for everybody."""
        return self.sender if self.identifiers == ("*",) else f"{self.sender} for {', '.join(self.identifiers)}"


class OAuthSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[imap]] oauth = {…}`: how an account gets its access tokens. If addresses and scope are empty, the provider's own are
    used."""

    provider: Literal["google", "microsoft", "custom"]
    grant: Literal["user", "client-credentials", "service-account"] = "user"
    client_id: str = ""
    client_secret: Secret | None = None
    tenant: str = "common"
    key_file: Path | None = None
    scope: str = ""
    auth_url: str = ""
    token_url: str = ""
    device_url: str = ""


class CanarySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[imap]] canary = {…}`: a mail that is sent to the mailbox itself; if it does not arrive, an alarm is raised. ``smtp``
    is ``host:port``, "" means the preset's server. ``by`` "auto" means smtp if such a server is known, else append. ``tls``
    "auto" means tls on port 465, and STARTTLS elsewhere."""

    every: timedelta = Seconds(hours=1)
    deadline: timedelta = Seconds(minutes=5)
    by: Literal["auto", "smtp", "append"] = "auto"
    smtp: str = ""
    tls: Literal["auto", "tls", "starttls"] = "auto"


class ImapSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[imap]]`: one account whose folders are watched. ``port`` 0 means the usual port for ``tls``."""

    username: str
    preset: Preset | None = None
    host: str = ""
    port: int = 0
    tls: Literal["tls", "starttls", "none"] = "tls"
    tls_ca: Path | None = None
    name: str = ""
    password: Secret | None = None
    oauth: OAuthSettings | None = None
    address: str = ""
    identifier: str | None = None
    accept_from: tuple[str, ...] | None = None
    trust: Trust | tuple[Trust, ...] | None = None
    folders: tuple[str, ...] = ("INBOX",)
    after: str = "nothing"
    renew: timedelta = Seconds(seconds=55)
    patience: timedelta = Seconds(minutes=2)
    pipelining: bool | None = None
    canary: CanarySettings | None = None

    @property
    def label(self) -> str:
        """The name of the account in health, logs and metrics."""
        return self.name or self.preset or self.host

    @property
    def mailbox(self) -> str:
        """The address whose mail arrives in this account."""
        return self.address or self.username


class DomainSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[domains]`: whole domains that are accepted, with every local part. The default is only for trying mailbridge out."""

    accept: tuple[str, ...] = ("mailbridge.localhost",)


class IdentitySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[identity]`: which identifiers may be pushed, and which domains are our own relays."""

    known: tuple[str, ...] = ("*",)
    learn_from_skyvern: bool = True
    own_domains: tuple[str, ...] = ()


class TrustSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[trust]`: what proves that a mail is genuine, before its code or link is pushed."""

    default: Trust | tuple[Trust, ...] = ("dkim", "arc", "forwarder", "token")
    senders: tuple[str, ...] = ("*",)
    signers: tuple[str, ...] = ()
    forwarders: tuple[str, ...] = ("google.com", "microsoft.com", "zohomail.com")
    accounts: tuple[str, ...] = ()
    authserv_ids: tuple[str, ...] = ()
    link_hosts: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    dns_timeout: timedelta = Seconds(seconds=3)
    strangers: Strangers = "codes"
    sites: tuple[str, ...] = ()
    confirm: bool = True
    alarm_held: int = 20


class RuleSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rules]`: where extraction rules come from, and what happens to a mail in which nothing is found."""

    paths: tuple[Path, ...] = ()
    builtin: bool = True
    fallback: Literal["hold", "push-body"] = "hold"
    ambiguous: Literal["hold", "push-best"] = "hold"
    lifetime: timedelta = Seconds(minutes=10)


class ExampleSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[rule]] accepts = [{…}]`: a text, and the value that the rule must find in it."""

    text: str
    value: str


class RuleTable(Section, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}):
    """`[[rule]]`: one extraction rule with its examples, as in a file of ``[rules] paths``. `core.rules` checks its content."""

    name: str
    pattern: str
    from_: str | tuple[str, ...] = ()
    to: str | tuple[str, ...] = ()
    subject: str | None = None
    lifetime: str | None = None
    link_hosts: str | tuple[str, ...] = ()
    accepts: tuple[ExampleSettings, ...] = ()
    rejects: str | tuple[str, ...] = ()
    source: str = ""
    adds: str = ""
    version: int = 1


class SkyvernSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[skyvern]`: the target. Without a key the practice receiver is used instead."""

    base_url: str = "https://api.skyvern.com"
    api_key: Secret | None = None
    credentials_file: Path | None = None
    source: str = "email"
    timeout: timedelta = Seconds(seconds=10)
    grace: timedelta = Seconds(seconds=5)
    senders: int = 12
    use_env_proxy: bool = False


class TargetSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[target]]`: another receiver, with the identifiers that it serves. `config.receivers` says which keys belong to which
    kind.

    ``allow_private`` None: a target from the file may have a private address; a target added by command or page may not.
    """

    name: str
    kind: TargetKind = "skyvern"
    identifiers: tuple[str, ...] = ("*",)
    base_url: str = "https://api.skyvern.com"
    api_key: Secret | None = None
    source: str = "email"
    use_env_proxy: bool = False
    url: Secret | None = None
    events: tuple[str, ...] | None = None
    secret: Secret | None = None
    old_secret: Secret | None = None
    include_code: bool = False
    method: Method = "POST"
    headers: tuple[Secret, ...] = ()
    json: Any = None
    form: dict[str, str] | None = None
    raw: str | None = None
    allow_private: bool | None = None
    timeout: timedelta = Seconds(seconds=10)
    grace: timedelta = Seconds(seconds=5)
    senders: int = 12

    @property
    def wanted(self) -> tuple[str, ...]:
        """The types of events that are sent to it. Without ``events`` a webhook gets the usual ones, and other kinds get only
        codes."""
        if self.events is not None:
            return self.events
        return USUAL if self.kind == "webhook" else (RECEIVED,)


class NotifySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[notify]]`: how a person is told about what needs a person. It never tells a code."""

    name: str
    kind: NotifyKind
    events: tuple[str, ...] = NEEDS_YOU
    identifiers: tuple[str, ...] = ("*",)
    url: Secret | None = None
    urls: tuple[Secret, ...] = ()
    token: Secret | None = None
    topic: Secret | None = None
    chat: str = ""
    priority: int | None = None
    method: Method = "POST"
    headers: tuple[Secret, ...] = ()
    json: Any = None
    form: dict[str, str] | None = None
    raw: str | None = None
    allow_private: bool | None = None
    timeout: timedelta = Seconds(seconds=10)


class HeartbeatSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[heartbeat]`: a URL that is requested while all is well. If the requests stop, the monitoring service tells you. Off
    without ``url``."""

    url: Secret | None = None
    every: timedelta = Seconds(minutes=1)
    timeout: timedelta = Seconds(seconds=10)


class PracticeSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[practice]`: the built-in receiver with Skyvern's contract. It is used while there is no Skyvern key."""

    listen: str = "127.0.0.1:8026"


class InboxesSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[inboxes]`: throw-away inboxes. ``domain`` "" means the first of `[domains] accept`. ``most`` is how many each token
    may have at a time."""

    domain: str = ""
    lifetime: timedelta = Seconds(hours=1)
    longest: timedelta = Seconds(hours=24)
    most: int = 100


class PullSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[pull]`: Skyvern asks us for codes (its ``totp_url``). Without keys here Skyvern's requests are checked with the keys
    that we push with."""

    keys: tuple[Secret, ...] = ()
    grace: timedelta = Seconds(seconds=120)
    totp_left: timedelta = Seconds(seconds=10)


class HttpSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[http]`: health, readiness, metrics, the pull endpoint and the API. ``token`` may read everything. ``drain`` is how
    long ``/readyz`` is red after TERM while everything else goes on."""

    listen: str = "127.0.0.1:8025"
    token: Secret | None = None
    public_url: str = ""
    drain: timedelta = Seconds(seconds=0)


class IngestSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ingest]`: mail over HTTP. A provider with a key may post to ``/ingest/<provider>``."""

    webhook_secrets: tuple[Secret, ...] = ()
    mailgun_key: Secret | None = None
    postmark_password: Secret | None = None
    cloudmailin_password: Secret | None = None
    forwardemail_key: Secret | None = None
    sendgrid_key: str = ""
    sendgrid_password: Secret | None = None
    ses_topics: tuple[str, ...] = ()


class StoreSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: where accepted mail is kept until it is delivered or expired. ``url`` is "" only until the settings are
    loaded."""

    url: str = ""
    listen_url: str = ""
    password: Secret | None = None
    folder: Path | None = None
    key_file: Path | None = None
    busy_timeout: timedelta = Seconds(seconds=2)


class RetentionSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[retention]`: how long codes, mails and journal lines are kept."""

    code: timedelta = Seconds(minutes=15)
    mail: timedelta = Seconds(hours=24)
    journal: timedelta = Seconds(days=30)


class ParserSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[parser]`: the limits of the worker process that reads hostile mail."""

    timeout: timedelta = Seconds(seconds=2)
    workers: int = 1


class LogSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: how the daemon logs."""

    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    identifiers: Literal["hash", "plain"] = "hash"


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``mailbridge.toml``."""

    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    address: tuple[AddressSettings, ...] = ()
    sender: tuple[SenderSettings, ...] = ()
    imap: tuple[ImapSettings, ...] = ()
    domains: DomainSettings = field(default_factory=DomainSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)
    rule: tuple[RuleTable, ...] = ()
    skyvern: SkyvernSettings = field(default_factory=SkyvernSettings)
    target: tuple[TargetSettings, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    practice: PracticeSettings = field(default_factory=PracticeSettings)
    inboxes: InboxesSettings = field(default_factory=InboxesSettings)
    pull: PullSettings = field(default_factory=PullSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    parser: ParserSettings = field(default_factory=ParserSettings)
    log: LogSettings = field(default_factory=LogSettings)


OCTETS = frozenset({"smtp.max_size", "smtp.max_memory"})
"""The keys that are sizes. They may be written as ``25MiB``."""

FREE_TEXTS = frozenset({"rule.pattern", "rule.subject", "rule.rejects", "target.raw", "notify.raw"})
"""The keys whose texts may have several lines, blank entries and any length. The code that uses them limits them."""
