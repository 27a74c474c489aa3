"""What is wrong with the `[[imap]]` tables: accounts that cannot work, each with what fixes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from mailbridge.config.settings import ImapSettings, Settings
from mailbridge.config.values import SENDERS, proof_mistakes, sender_pattern
from mailbridge.core.addresses import parse_mailbox

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOVE = "move:"
MOST_FOLDERS = 20
EVERY = (timedelta(minutes=1), timedelta(days=7))
SOONEST = timedelta(seconds=5)
SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?!0)(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])")
SEND_SCOPE = "https://outlook.office.com/SMTP.Send"
RENEW = (timedelta(seconds=5), timedelta(minutes=28))
"""RFC 2177 wants IDLE to be renewed before 29 minutes. The strictest provider ends it after one minute."""
PATIENCE = (timedelta(seconds=10), timedelta(minutes=10))


def mailbox_mistakes(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    """Section, number of the table, key and what is wrong, for every mistake."""
    for number, account in enumerate(settings.imap):
        for key, what in (*_where(account), *_who(account), *_what(account), *_canary(account)):
            yield "imap", number, key, f"account {account.label!r}: {what}"


def _where(account: ImapSettings) -> Iterator[tuple[str, str]]:
    if account.preset is None and not account.host:
        yield "host", "needs a host, or a preset such as gmail"
    if not NAME.fullmatch(account.label):
        yield "name", "must be letters, digits, dots, hyphens and underscores; it stands in metrics and file names"
    if "@" in account.label:
        yield "name", "must not be an address: it stands in metrics"
    if not 0 <= account.port <= 65535:
        yield "port", "must be between 1 and 65535"
    if account.tls == "none" and account.tls_ca is not None and account.canary is None:
        yield "tls_ca", 'has no meaning with tls = "none"'


def _who(account: ImapSettings) -> Iterator[tuple[str, str]]:
    if (account.password is None) == (account.oauth is None):
        yield "password", "needs either password (or password_file) or oauth = {…}"
    if account.preset == "outlook" and account.password is not None:
        yield "password", 'Microsoft takes no passwords over IMAP any more; use oauth = { provider = "microsoft", … }'
    if parse_mailbox(account.mailbox) is None:
        yield "address", f"{account.mailbox!r} is not a mail address; say with address whose mail comes into this account"
    for sender in account.accept_from or ():
        if sender_pattern(sender) is None:
            yield "accept_from", f"{sender!r} {SENDERS}"
    oauth = account.oauth
    if oauth is None:
        return
    if oauth.grant == "service-account":
        if oauth.provider != "google" or oauth.key_file is None:
            yield "oauth", 'service-account is Google\'s: it needs provider = "google" and key_file'
        return
    if not oauth.client_id:
        yield "oauth", "needs client_id, of an application registered with the provider"
    if oauth.provider == "google" and oauth.grant == "user" and oauth.client_secret is None:
        yield "oauth", "Google wants client_secret or client_secret_file too, also of a desktop app"
    if oauth.grant == "client-credentials" and oauth.client_secret is None:
        yield "oauth", "client-credentials needs client_secret or client_secret_file"
    if oauth.provider == "custom" and not (oauth.token_url and oauth.scope):
        yield "oauth", "a custom provider needs token_url and scope"
    if oauth.provider == "microsoft" and oauth.grant == "client-credentials" and oauth.tenant in ("common", "consumers"):
        yield "oauth", "client-credentials needs the tenant's own id"
    for key in ("auth_url", "token_url", "device_url"):
        url = getattr(oauth, key)
        if url and not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            yield "oauth", f"{key} must begin with https://"


def _what(account: ImapSettings) -> Iterator[tuple[str, str]]:
    if not 1 <= len(account.folders) <= MOST_FOLDERS:
        yield "folders", f"must be between 1 and {MOST_FOLDERS} folders"
    if len(set(account.folders)) != len(account.folders) or not all(account.folders):
        yield "folders", "names a folder twice, or one without a name"
    is_named = account.after.startswith((MOVE, "keyword:")) and account.after != MOVE
    if account.after not in ("nothing", "seen", "delete") and not is_named:
        yield "after", "must be nothing, seen, delete, keyword:NAME or move:FOLDER"
    if account.after.startswith("keyword:") and not re.fullmatch(r"keyword:[A-Za-z$][A-Za-z0-9_$.-]{0,60}", account.after):
        yield "after", "a keyword is letters, digits, $, dots, hyphens and underscores"
    if account.after.removeprefix(MOVE) in account.folders and account.after.startswith(MOVE):
        yield "after", "moves mails into a folder that is watched itself"
    for what in proof_mistakes(account.trust):
        yield "trust", what
    if account.identifier is not None and not account.identifier.strip():
        yield "identifier", "is empty"
    if not RENEW[0] <= account.renew <= RENEW[1]:
        yield "renew", "must be between 5s and 28m"
    if not PATIENCE[0] <= account.patience <= PATIENCE[1]:
        yield "patience", "must be between 10s and 10m"


def _canary(account: ImapSettings) -> Iterator[tuple[str, str]]:
    canary = account.canary
    if canary is None:
        return
    if not EVERY[0] <= canary.every <= EVERY[1]:
        yield "canary", "every must be between 1m and 7d"
    if not SOONEST <= canary.deadline < canary.every:
        yield "canary", "deadline must be at least 5s, and less than every"
    if canary.smtp and not SERVER.fullmatch(canary.smtp):
        yield "canary", "smtp must be host:port such as smtp.example.com:465"
    is_known = bool(canary.smtp) or (account.preset is not None and not account.host)
    if canary.by == "append" and canary.smtp:
        yield "canary", 'smtp has no meaning with by = "append"'
    if canary.by == "smtp" and not is_known:
        yield "canary", 'by = "smtp" needs the submission server: smtp = "host:port"'
    if canary.by == "append" or not is_known:
        return
    if not account.mailbox.isascii():
        yield "canary", 'is sent to an address in ASCII only; use by = "append"'
    oauth = account.oauth
    if oauth is None or oauth.provider != "microsoft" or oauth.grant != "user" or not oauth.scope:
        return
    if "smtp.send" not in oauth.scope.casefold():
        yield "canary", f'is sent by SMTP: the scope of oauth needs {SEND_SCOPE} too, or by = "append"'
