"""What only the machine can tell of a configuration, and everything that is read from disk for it.

Start, reload and ``check-config`` make the same preparation, so that none of them accepts what another refuses. It changes nothing:
what a first start makes (keys, certificate, database) is checked to be possible here and made later.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import BESIDE, HttpSettings, IngestSettings, Settings
from mailbridge.config.stores import SQLITE
from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Settings that can work on this machine, with what was read for them. ``rules`` are the operator's own, as (file name, TOML text)."""

    settings: Settings
    rules: tuple[tuple[str, str], ...] = field(repr=False)


def prepare(settings: Settings) -> Prepared:
    """Read and try everything that the settings name; blocking, some 0.1 s with rules of the operator's own.

    Raises:
        ConfigError: every mistake at once.
    """
    problems = list(file_problems(settings))
    if problems:
        raise ConfigError(tuple(problems))
    from mailbridge.config.rulepack import own_rules

    return Prepared(settings=settings, rules=own_rules(settings))


def file_problems(settings: Settings) -> Iterator[Problem]:
    """Rules, certificate, mailboxes, addresses of targets, keys, and the folder of the database."""
    yield from _foreign_addresses(settings)
    yield from _rules(settings)
    yield from _certificate(settings)
    yield from _mailboxes(settings)
    yield from _targets(settings)
    yield from _receivers(settings)
    yield from _store(settings)


def listener_problems(settings: Settings, *, handed: Collection[str] = ()) -> Iterator[Problem]:
    """Listeners that could not be opened now; those of the kinds in ``handed`` come from systemd and are open already."""
    from mailbridge.net.listening import ListenError, bind

    addresses = [*settings.smtp.listen] if "smtp" not in handed else []
    addresses += settings.smtp.lmtp if "lmtp" not in handed else ()
    addresses.append(settings.http.listen)
    if settings.skyvern.api_key is None and settings.skyvern.credentials_file is None:
        addresses.append(settings.practice.listen)
    for address in addresses:
        try:
            bind(address).close()
        except ListenError as fault:
            yield Problem(where="", what=str(fault), is_permission=fault.exit_code == 77)
        else:
            if address.startswith("unix:"):
                with contextlib.suppress(OSError):
                    Path(address.removeprefix("unix:")).unlink()


def without_a_way_in(settings: Settings) -> Iterator[Problem]:
    """Settings, with what was added by command, under which no mail can ever come in. The daemon starts with them all the same: what
    is missing can be added while it runs."""
    has_listener = bool(settings.smtp.listen or settings.smtp.lmtp) or settings.ingest != IngestSettings()
    if not has_listener and not settings.imap:
        what = "nothing can ever come in: [smtp] listen and lmtp are empty, and there is no [[imap]] and no [ingest]; set one of them"
        yield Problem(where="", what=what)
    elif not settings.imap and not settings.address and not settings.domains.accept:
        what = (
            "nothing can ever come in: [domains] accept is empty, and there is no [[address]]; `mailbridge address add` adds one"
        )
        yield Problem(where="", what=what)


def _foreign_addresses(settings: Settings) -> Iterator[Problem]:
    """Listeners at an address that this machine does not have, or at a socket whose folder is not there. Ports that are taken, and
    those that systemd hands over, are the start's own business."""
    from mailbridge.net.listening import ListenError, bind

    listened = [("[smtp] listen", one) for one in settings.smtp.listen] + [("[smtp] lmtp", one) for one in settings.smtp.lmtp]
    listened.append(("[http] listen", settings.http.listen))
    if settings.skyvern.api_key is None and settings.skyvern.credentials_file is None:
        listened.append(("[practice] listen", settings.practice.listen))
    for where, address in listened:
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix:"))
            if not path.parent.is_dir():
                yield Problem(where=where, what=f"{path.parent}: no such folder; make it, or choose another place for the socket")
            elif path.exists() and not path.is_socket():
                yield Problem(where=where, what=f"{path} exists and is not a socket; move it away, or choose another place")
            continue
        try:
            bind(f"{address.rpartition(':')[0]}:0").close()
        except ListenError as fault:
            yield Problem(where=where, what=str(fault).replace(":0:", f":{address.rpartition(':')[2]}:", 1))


def _rules(settings: Settings) -> Iterator[Problem]:
    """The operator's rules, before and among the shipped ones. Those alone are proven by our own tests, and cost 0.1 s."""
    if not settings.rules.paths and not settings.rule:
        return
    from mailbridge.config.rulepack import every_rule
    from mailbridge.core.rule_error import RuleError
    from mailbridge.core.rules import load as load_rules

    try:
        load_rules(every_rule(settings))
    except RuleError as fault:
        for problem in fault.problems:
            yield Problem(where="", what=problem)


def _certificate(settings: Settings) -> Iterator[Problem]:
    from mailbridge.ingress.tls import Certificate, Pair, TlsError

    if not settings.smtp.tls or settings.smtp.tls_cert is None or settings.smtp.tls_key is None:
        return
    pair = Pair(cert=settings.smtp.tls_cert, key=settings.smtp.tls_key)
    unreadable = [path for path in (pair.cert, pair.key) if path.exists() and not os.access(path, os.R_OK)]
    for path in unreadable:
        yield Problem(where="[smtp] tls", what=f"{path}: no permission to read it", is_permission=True)
    if not unreadable:
        try:
            Certificate(pair)
        except TlsError as fault:
            yield Problem(where="[smtp] tls", what=str(fault))


def _mailboxes(settings: Settings) -> Iterator[Problem]:
    """The certificate authorities and key files of watched accounts."""
    if not settings.imap:
        return
    from mailbridge.ingress.imap.faults import MailboxFault
    from mailbridge.ingress.imap.presets import Contexts

    for account in settings.imap:
        key_file = account.oauth.key_file if account.oauth is not None else None
        for path in (account.tls_ca, key_file):
            if path is not None and path.exists() and not os.access(path, os.R_OK):
                yield Problem(where=f"[[imap]] {account.label}", what=f"{path}: no permission to read it", is_permission=True)
        try:
            Contexts().of(account)
        except MailboxFault as fault:
            yield Problem(where=f"[[imap]] {account.label}", what=str(fault))
        if key_file is not None and not key_file.exists():
            yield Problem(where=f"[[imap]] {account.label}", what=f"key_file {key_file}: no such file")
    if SQLITE.fullmatch(settings.store.url) and any(account.oauth is not None for account in settings.imap):
        yield from _token_vault(settings)


def _token_vault(settings: Settings) -> Iterator[Problem]:
    """The key of the folder that keeps OAuth tokens, where there is one already; a first login makes it."""
    from mailbridge.ingress.imap.vault import check_vault
    from mailbridge.store import StoreError

    try:
        check_vault(settings.store)
    except StoreError as fault:
        yield Problem(where="[[imap]] oauth", what=str(fault))


def _targets(settings: Settings) -> Iterator[Problem]:
    from mailbridge.sinks.skyvern import api_key_from_credentials_file, endpoint

    named = [("[skyvern]", settings.skyvern.base_url)]
    named += [(f"[[target]] {target.name}", target.base_url) for target in settings.target if target.kind == "skyvern"]
    for name, url in named:
        try:
            if url.startswith(("http://", "https://")):  # else it is a mistake that the configuration itself tells
                endpoint(url)
        except ValueError as fault:
            yield Problem(where=f"{name} base_url", what=str(fault))
    for name, url in named:
        if _is_ourselves(url, settings.http):
            what = "is this daemon's own address, where codes come in and do not go out; name Skyvern's"
            yield Problem(where=f"{name} base_url", what=what)
    path = settings.skyvern.credentials_file
    if path is not None and settings.skyvern.api_key is None:
        try:
            api_key_from_credentials_file(path)
        except ValueError as fault:
            yield Problem(where="[skyvern] credentials_file", what=str(fault))
        except OSError as fault:
            what, is_permission = f"{path}: cannot be read: {fault.strerror}", isinstance(fault, PermissionError)
            yield Problem(where="[skyvern] credentials_file", what=what, is_permission=is_permission)


def _receivers(settings: Settings) -> Iterator[Problem]:
    """Webhooks, HTTP targets, notices and the heartbeat: their addresses, headers and secrets."""
    if not settings.target and not settings.notify and settings.heartbeat.url is None:
        return
    from mailbridge.app.receivers import heartbeat_of, notice_of, receiver_of

    made: list[tuple[str, Callable[[], object]]] = []
    made += [(f"[[target]] {one.name}", partial(receiver_of, one)) for one in settings.target if one.kind in BESIDE]
    made += [(f"[[notify]] {one.name}", partial(notice_of, one, page=settings.http.public_url)) for one in settings.notify]
    made += [("[heartbeat]", partial(heartbeat_of, settings.heartbeat))]
    for where, make in made:
        try:
            make()
        except ValueError as fault:
            yield Problem(where=where, what=str(fault))
    for one in settings.target:
        if one.url is not None and _is_ourselves(one.url.reveal(), settings.http):
            yield Problem(
                where=f"[[target]] {one.name}", what="url: is this daemon's own address, where codes come in and do not go out"
            )


def _is_ourselves(url: str, http: HttpSettings) -> bool:
    """Whether a target is our own listener, which takes codes under Skyvern's path too: a code would go round for ever."""
    try:
        target, public = urlsplit(url), urlsplit(http.public_url)
        ports = {"http": 80, "https": 443}
        place = (target.hostname, target.port or ports.get(target.scheme))
        if public.hostname and place == (public.hostname, public.port or ports.get(public.scheme)):
            return True
        host, _, port = http.listen.rpartition(":")
        is_local = target.hostname in ("localhost", host.strip("[]")) or _is_loopback(target.hostname or "")
        return is_local and port.isdigit() and int(port) == place[1] != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _store(settings: Settings) -> Iterator[Problem]:
    """The folder (or the nearest one above it that is there), the database in it, and the key that it needs."""
    from mailbridge.store import StoreError
    from mailbridge.store.cipher import read_key
    from mailbridge.store.places import is_postgres, key_path_of, path_of

    if not is_postgres(settings.store) and not SQLITE.fullmatch(settings.store.url):
        return
    database = path_of(settings.store)
    folder = next((place for place in database.absolute().parents if os.path.lexists(place)), Path("/"))
    if not folder.is_dir():
        yield Problem(where="[store] url", what=f"{folder} is no folder")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Problem(where="[store] url", what=f"{folder}: this user may not write there", is_permission=True)
        return
    if database.exists() and not os.access(database, os.R_OK | os.W_OK):
        yield Problem(where="[store] url", what=f"{database}: this user may not read and write it", is_permission=True)
        return
    key = key_path_of(settings.store)
    if database.exists() or key.exists():
        if key.exists() and not os.access(key, os.R_OK):
            yield Problem(where="[store] key_file", what=f"{key}: this user may not read it", is_permission=True)
            return
        try:
            read_key(key, is_made=False)
        except StoreError as fault:
            yield Problem(where="[store] key_file", what=str(fault))
