"""What is known of the large providers, so that only address and secret must be entered; and an account with all values filled
in."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from mailbridge.config.providers import by_server
from mailbridge.config.settings import CanarySettings, ImapSettings, OAuthSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.stream import SILENCE, Endpoint

PORTS = {"tls": 993, "starttls": 143, "none": 143}
OWN_SERVER = "the account's password, or an app password where there is one"
SMTPS = 465
"""The port of submission inside TLS (RFC 8314). On other ports it begins with STARTTLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A provider. ``hint`` says what its password is. ``hot_poll`` is how often it is polled while somebody waits (None: as
    often as a server of your own). ``pipelines`` says whether it accepts several commands at once (Exchange is said to have
    problems; None: it is tried). ``smtp`` is its submission server, ``host:port``."""

    host: str
    hint: str
    smtp: str
    port: int = 993
    tls: Literal["tls", "starttls"] = "tls"
    hot_poll: timedelta | None = timedelta(seconds=2)
    pipelines: bool | None = None


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "gmail": Preset(
            host="imap.gmail.com",
            smtp="smtp.gmail.com:465",
            hint="an app password (16 letters, from https://myaccount.google.com/apppasswords; needs 2-step verification), or oauth",
        ),
        "outlook": Preset(
            host="outlook.office365.com", smtp="smtp.office365.com:587", hint="no password at all: oauth only", pipelines=False
        ),
        "yahoo": Preset(
            host="imap.mail.yahoo.com", smtp="smtp.mail.yahoo.com:465", hint="an app password, from the account's security page"
        ),
        "icloud": Preset(
            host="imap.mail.me.com", smtp="smtp.mail.me.com:587", hint="an app-specific password, from https://account.apple.com"
        ),
        "fastmail": Preset(
            host="imap.fastmail.com", smtp="smtp.fastmail.com:465", hint="an app password, from Settings, Privacy & Security"
        ),
        "zoho": Preset(
            host="imap.zoho.com", smtp="smtp.zoho.com:465", hint="an app password; IMAP has to be switched on in its settings"
        ),
        "proton": Preset(
            host="127.0.0.1",
            smtp="127.0.0.1:1025",
            port=1143,
            tls="starttls",
            hint="the password that Proton Bridge shows, and tls_ca = its exported certificate",
            hot_poll=None,
        ),
        "163": Preset(
            host="imap.163.com",
            smtp="smtp.163.com:465",
            hint="an authorisation code, from its settings",
            hot_poll=timedelta(seconds=5),
        ),
        "yandex": Preset(
            host="imap.yandex.com", smtp="smtp.yandex.com:465", hint="an app password; IMAP has to be switched on in its settings"
        ),
    }
)


USUAL = timedelta(seconds=2)
GREETINGS: Mapping[bytes, timedelta] = MappingProxyType(
    {
        b"gimap": USUAL,
        b"microsoft exchange": USUAL,
        b"yandex": USUAL,
        b"zoho": USUAL,
        b"coremail": timedelta(seconds=5),
        b"netease": timedelta(seconds=5),
    }
)
"""Words (lower case) in the greetings of large providers, and how often each may be polled."""
ABILITIES = frozenset({"X-GM-EXT-1", "XYMHIGHESTMODSEQ", "X-APPLE-REMOTE-LINKS"})
"""Capabilities that only Google, Yahoo and Apple have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The server to which an account sends mail (RFC 6409)."""

    host: str
    port: int
    is_starttls: bool

    def endpoint(self, context: ssl.SSLContext) -> Endpoint:
        """Where to connect. It is never without TLS."""
        return Endpoint(host=self.host, port=self.port, is_starttls=self.is_starttls, context=context, tls_port=SMTPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with all values filled in. ``hot_poll`` None: 50 to 250 ms. ``pipelines`` None: until the server misses two
    rounds. ``submission`` None: its canary, if it has one, is put into the folder."""

    name: str
    host: str
    port: int
    tls: Literal["tls", "starttls", "none"]
    username: str
    mailbox: str
    folders: tuple[str, ...]
    after: str
    renew: timedelta
    hint: str
    hot_poll: timedelta | None
    pipelines: bool | None
    patience: timedelta
    password: Secret | None
    oauth: OAuthSettings | None
    canary: CanarySettings | None
    submission: Submission | None

    def endpoint(self, context: ssl.SSLContext | None, silence: timedelta = SILENCE) -> Endpoint:
        """Where to connect. ``silence`` is how long the server may say nothing when it should answer."""
        return Endpoint(
            host=self.host,
            port=self.port,
            is_starttls=self.tls == "starttls",
            context=None if self.tls == "none" else context,
            connect_timeout=silence.total_seconds(),
            read_timeout=silence.total_seconds(),
        )

    def cursor_of(self, folder: str) -> str:
        """The name of a folder's cursor. It is the same as long as the account is the same, and contains no address."""
        told = f"{self.username}\0{self.host}\0{folder}"
        return f"imap/{hashlib.blake2b(told.encode(), digest_size=10).hexdigest()}"


def account_of(settings: ImapSettings) -> Account:
    """The account for these settings, with the preset's values where the settings have none."""
    preset = PRESETS[settings.preset] if settings.preset else None
    known = preset if preset and not settings.host else _at(settings.host)
    tls = preset.tls if preset and not settings.host else settings.tls
    return Account(
        name=settings.label,
        host=settings.host or (preset.host if preset else ""),
        port=settings.port or (preset.port if preset and not settings.host else PORTS[tls]),
        tls=tls,
        username=settings.username,
        mailbox=settings.mailbox,
        folders=settings.folders,
        after=settings.after,
        renew=settings.renew,
        hint=preset.hint if preset else OWN_SERVER,
        hot_poll=known.hot_poll if known else tolerance_of(settings.host, b"", ()),
        pipelines=settings.pipelining if settings.pipelining is not None or known is None else known.pipelines,
        patience=settings.patience,
        password=settings.password,
        oauth=settings.oauth,
        canary=settings.canary,
        submission=_submission_of(settings, preset),
    )


def _at(host: str) -> Preset | None:
    """The preset of the provider that owns this server, whatever preset the account names."""
    found = by_server(host)
    return PRESETS[found.preset] if found is not None and found.preset is not None else None


def tolerance_of(host: str, greeting: bytes, abilities: Collection[str]) -> timedelta | None:
    """How often the server of a large provider may be polled, recognised by its name, its greeting, or its capabilities. None:
    it is a server of your own."""
    found = by_server(host)
    if found is not None:
        return PRESETS[found.preset].hot_poll if found.preset is not None else USUAL
    folded = greeting.lower()
    slow = [every for word, every in GREETINGS.items() if word in folded]
    slow += [USUAL for one in abilities if one in ABILITIES]
    return max(slow, default=None)


def is_dovecot(greeting: bytes) -> bool:
    """Whether a server is a Dovecot, as far as its greeting shows."""
    return b"dovecot" in greeting.lower()


def forgets_uids(greeting: bytes) -> bool:
    """Whether a server keeps the UIDs that it assigns only if the folder is opened by SELECT (Courier, imap/imapscanclient.c).
    After EXAMINE a mail may have another UID next time."""
    return b"courier-imap" in greeting.lower()


def _submission_of(settings: ImapSettings, preset: Preset | None) -> Submission | None:
    """The server for the canary: the configured one, else the preset's if that is also the watched server."""
    canary = settings.canary
    if canary is None or canary.by == "append":
        return None
    host, _, port = (canary.smtp or (preset.smtp if preset and not settings.host else "")).rpartition(":")
    if not host:
        return None
    is_starttls = int(port) != SMTPS if canary.tls == "auto" else canary.tls == "starttls"
    return Submission(host=host.strip("[]"), port=int(port), is_starttls=is_starttls)


class Contexts:
    """TLS contexts, one for each set of certificate authorities, shared by all connections: a context for each connection
    would cost 943 KiB."""

    def __init__(self) -> None:
        self._made: dict[str, ssl.SSLContext] = {}

    def of(self, settings: ImapSettings) -> ssl.SSLContext | None:
        """The context for an account; None without TLS.

        Raises:
            MailboxFault: ``tls_ca`` cannot be read.
        """
        return None if settings.tls == "none" else self.trusting(settings)

    def trusting(self, settings: ImapSettings) -> ssl.SSLContext:
        """The context for an account that must use TLS.

        Raises:
            MailboxFault: ``tls_ca`` cannot be read.
        """
        name = str(settings.tls_ca or "")
        if name not in self._made:
            try:
                self._made[name] = ssl.create_default_context(cafile=name or None)
            except OSError as fault:
                reason = getattr(fault, "strerror", None) or "no PEM certificate"
                raise MailboxFault(Kind.SETTING, f"tls_ca {name}: {reason}") from None
        return self._made[name]
