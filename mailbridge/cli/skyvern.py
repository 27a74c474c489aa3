"""`skyvern`: the address to enter there, what is wrong between Skyvern and us, and a secret for its own credential tool."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

import click

from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.entries import entries
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.groups import Group
from mailbridge.cli.listener import own_url
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import dumped
from mailbridge.cli.secret import unread
from mailbridge.config.added import MAIN
from mailbridge.config.settings import Settings
from mailbridge.config.values import secret_file
from mailbridge.core.addresses import canonical
from mailbridge.core.identification import IdentityPolicy
from mailbridge.core.otpauth import SecretError
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.authenticators import OneAuthenticator
from mailbridge.operator.codes import OfIdentifier
from mailbridge.operator.entries import OneEntry, bad_config
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mails import MailList
from mailbridge.operator.shapes import AuthenticatorSecret
from mailbridge.operator.targets import skyvern_account
from mailbridge.sinks.skyvern_account import CLOCK_SLACK, Account, SkyvernAccount, SkyvernError, why_address_refused, why_refused
from mailbridge.trust.known import site_of
from mailbridge.web.pull import PATH

CLOUD = "api.skyvern.com"
SITELESS = (
    "has no login page (tested_url), so its site is not known here, and the site's mails are a stranger's: enter it in Skyvern, or"
    " `mailbridge sender allow DOMAIN`"
)
SEEN = 500
"""Mails of the last time that are looked through for identifiers."""


@click.group(cls=Group)
def skyvern() -> None:
    """Skyvern: its totp_url, a check of its key and credentials, a login with an authenticator."""


@skyvern.command("url")
@config_option
@json_option
@click.option(
    "--for", "identifier", required=True, metavar="IDENTIFIER", help="The identifier whose codes Skyvern asks for there."
)
@click.option("--hidden", is_flag=True, help="Use a name that nobody can guess in place of the identifier.")
def url(*, config: Path | None, identifier: str, hidden: bool, as_json: bool) -> None:
    """Print the totp_url to enter in Skyvern.

    Warns if Skyvern would refuse it.
    """
    one = client(config)
    settings = one.loaded.settings
    shown = one.do(verbs.CODE_NAME, OfIdentifier(identifier=identifier)).name if hidden else quote(identifier, safe="@+")
    address = (settings.http.public_url.rstrip("/") or own_url(settings)) + PATH + shown
    reason = why_refused(address) or _why_its_address_is_refused(address)
    if as_json:
        click.echo(dumped({"totp_url": address, "refused_because": reason}))
        return
    click.echo(address)
    if reason is not None:
        cloud = (
            f"Skyvern's cloud ({CLOUD}) will refuse it"
            if CLOUD in settings.skyvern.base_url
            else "A Skyvern with ENABLE_URL_VALIDATION refuses it"
        )
        hint = "Change [http] public_url" if settings.http.public_url else "Set [http] public_url"
        host = urlsplit(address).hostname
        note(
            f"{cloud}: {reason}. {hint} to an https address that Skyvern reaches; "
            f"or, with a Skyvern of your own, allow this host there: ALLOWED_HOSTS='[\"{host}\"]'"
        )


def _why_its_address_is_refused(address: str) -> str | None:
    """What its name resolves to from here; a name that resolves to nothing is told as that."""
    host = urlsplit(address).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except OSError:
        return f"{host} cannot be resolved from here"
    return next((reason for one in sorted(found) if (reason := why_address_refused(one)) is not None), None)


@skyvern.command("check")
@config_option
@json_option
def check(*, config: Path | None, as_json: bool) -> None:
    """Check key, clock and identifiers of Skyvern.

    Says which identifiers Skyvern's credentials name, and which of ours match none. Exit 3 if something is wrong, 69 if
    Skyvern cannot be asked.
    """
    one = client(config)
    settings = _whole(one)
    account = _account(settings)
    try:
        found = account.look()
    except SkyvernError as fault:
        _fail(fault)
    ours = _ours(one, settings) if one.has_database else _configured(settings)
    report = _report(settings, found, ours)
    if as_json:
        click.echo(dumped(report))
    else:
        _print(report)
    if report["problems"]:
        raise SystemExit(Exit.DOCTOR)


def _report(settings: Settings, found: Account, ours: list[str]) -> dict[str, list[str] | str | float | None]:
    expected = sorted({one.totp_identifier for one in found.credentials if one.totp_identifier})
    folded = {one.strip().casefold() for one in expected}
    unmatched = [one for one in ours if one.strip().casefold() not in folded]
    receivable = {one.casefold() for one in ours}
    never = [one for one in expected if one.casefold() not in receivable and not _is_open(settings, one)]
    problems = []
    ahead = found.clock_ahead.total_seconds() if found.clock_ahead is not None else None
    if ahead is not None and abs(ahead) > CLOCK_SLACK.total_seconds():
        problems.append(
            f"the clocks differ: Skyvern's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours; set both by NTP,"
            " else codes of authenticators are wrong and expiries are too"
        )
    if expected:
        problems += [f"{one}: {_nearest(one, expected)}" for one in unmatched]
    problems += [
        f"{one}: a credential of Skyvern names it, but no mail can be for it here: add it to [identity] known" for one in never
    ]
    problems += [f"{one}: {SITELESS}" for one in _siteless(found)]
    return {
        "version": found.version,
        "clock_ahead_s": ahead,
        "expected": expected,
        "ours": ours,
        "unmatched": unmatched,
        "problems": problems,
    }


def _siteless(found: Account) -> list[str]:
    """The credentials that expect codes and do not say of which site."""
    return [f"credential {one.name or one.id}" for one in found.credentials if one.totp_identifier and not site_of(one.page)]


def _nearest(identifier: str, expected: list[str]) -> str:
    near = next((one for one in expected if canonical(one) == canonical(identifier)), None)
    hint = (
        f"Skyvern has the same mailbox as {near}; write it the same in both"
        if near
        else "a run must name it as its totp_identifier"
    )
    return f"none of Skyvern's credentials names it; {hint}"


def _is_open(settings: Settings, identifier: str) -> bool:
    """Whether a pattern lets mails for it through."""
    return IdentityPolicy(known=settings.identity.known).is_allowed(identifier)


def _print(report: dict[str, list[str] | str | float | None]) -> None:
    click.echo(f"key       good, Skyvern {report['version'] or '(it does not say its version)'}")
    ahead = report["clock_ahead_s"]
    click.echo(f"clock     {'Skyvern does not say' if not isinstance(ahead, float) else f'{ahead:+.0f} s'}")
    for title, name in (("expected", "expected"), ("ours", "ours")):
        values = report[name]
        click.echo(f"{title:9} {', '.join(values) if isinstance(values, list) and values else 'none'}")
    problems = report["problems"]
    for problem in problems if isinstance(problems, list) else ():
        note(f"problem: {problem}")


@skyvern.command("push-credential")
@config_option
@json_option
@click.argument("name")
@click.option("--username", required=True, help="The login's user name.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with the password (default: asked for, and not shown).",
)
@click.option("--identifier", help="The credential's totp_identifier too.")
@click.option("--as", "called", help="The credential's name in Skyvern (default: NAME).")
def push_credential(
    *,
    config: Path | None,
    name: str,
    username: str,
    password_file: Path | None,
    identifier: str | None,
    called: str | None,
    as_json: bool,
) -> None:
    """Store a login with an authenticator in Skyvern.

    NAME is a secret of `mailbridge totp`. It is stored among Skyvern's credentials, and the codes that Skyvern makes are compared
    with ours. If they differ, the credential is removed again: exit 1.
    """
    one = client(config)
    account = _account(_whole(one))
    stored = one.do(verbs.TOTP_SECRET, OneAuthenticator(name=name))
    authenticator = _authenticator(stored)
    password = _password(password_file)
    try:
        number = account.add(
            authenticator,
            name=called or name,
            username=username,
            password=password,
            identifier=identifier or stored.identifier,
        )
        is_same = account.is_same_code(number, authenticator)
        if not is_same:
            account.remove(number)
    except (SkyvernError, SecretError) as fault:
        _fail(fault)
    if not is_same:
        complain("Skyvern makes other codes of it than we do; taken out again. Are both clocks right?")
        raise SystemExit(Exit.GENERAL)
    click.echo(dumped({"credential_id": number, "is_same_code": True}) if as_json else f"{number}: stored, its codes are ours")


@skyvern.command("remove-key")
@config_option
@json_option
def remove_key(*, config: Path | None, as_json: bool) -> None:
    """Remove the API key that `mailbridge setup` added. A key in a file or the environment stays."""
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind=MAIN, name=MAIN))
    told = "the key is removed; a daemon that was started with it keeps it until it is restarted"
    click.echo(dumped({"removed": MAIN}) if as_json else told)


def _authenticator(stored: AuthenticatorSecret) -> Authenticator:
    return Authenticator(
        secret=Secret(stored.secret),
        algorithm=stored.algorithm,
        digits=stored.digits,
        period=stored.period,
        is_steam=stored.is_steam,
        issuer=stored.issuer,
        account=stored.account,
    )


def _password(path: Path | None) -> Secret:
    if path is None:
        return Secret(click.prompt("Password", hide_input=True, err=True, default="", show_default=False))
    try:
        return secret_file(path, is_mode_checked=True)
    except (ValueError, OSError) as fault:
        complain(unread(fault))
        raise SystemExit(Exit.PERMISSION) from None


def _whole(one: Client) -> Settings:
    """The settings with what was added, the key of `mailbridge setup` among it."""
    from mailbridge.app.alone import with_additions
    from mailbridge.config.problems import ConfigError
    from mailbridge.store import StoreError, StoreUnavailable

    try:
        return asyncio.run(with_additions(one.loaded.settings))
    except ConfigError as fault:
        fail(bad_config(fault))
    except (StoreError, StoreUnavailable) as fault:
        fail(Fault(kind=Kind.TRY_AGAIN, title=f"what was added cannot be read: {fault}"))


def _account(settings: Settings) -> SkyvernAccount:
    """The main target; a clean message and exit 78 without a key for it."""
    found = skyvern_account(settings)
    if isinstance(found, Fault):
        fail(found)
    return found


def _fail(fault: Exception) -> NoReturn:
    complain(str(fault))
    raise SystemExit(Exit.UNAVAILABLE) from None


def _configured(settings: Settings) -> list[str]:
    exact = [one for one in settings.identity.known if "*" not in one]
    return list(dict.fromkeys([*exact, *(entry.identifier for entry in settings.address if entry.identifier)]))


def _ours(one: Client, settings: Settings) -> list[str]:
    """What is configured, what mails have lately been for, and what authenticators answer for."""
    seen = [name for row in one.do(verbs.MAIL_LIST, MailList(limit=SEEN)).mails for name in row.identifiers]
    bound = [found.identifier for found in one.do(verbs.TOTP_LIST, Nothing()).authenticators if found.identifier]
    added = [str(entry.settings["identifier"]) for entry in entries(one, "address") if entry.settings.get("identifier")]
    every: dict[str, str] = {}
    for name in (*_configured(settings), *added, *seen, *bound):
        every.setdefault(name.casefold(), name)
    return list(every.values())
