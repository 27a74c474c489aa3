"""What a shell offers after the tab key beside commands and options: rules, accounts, and the numbers of mails and deliveries.

The running daemon is asked over its socket, briefly; where anything fails, nothing is offered and nothing is said.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

PATIENCE = 0.2
"""Seconds that the daemon has for an answer: a person waits for the key."""

MOST = 50
ENOUGH = 200
"""Rows of which names are gathered."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def mails(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Numbers of the newest mails, with what they are."""
    rows = _asked(context, f"/api/v1/mail?limit={MOST}", "mails")
    return _offered(typed, ((str(row["id"]), f"{_found(row)} for {', '.join(row['identifiers']) or 'nobody'}") for row in rows))


def deliveries(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Numbers of the newest deliveries, with their state."""
    rows = _asked(context, f"/api/v1/deliveries?limit={MOST}", "deliveries")
    return _offered(typed, ((str(row["id"]), f"{row['state']}, for {row['identifier']}") for row in rows))


def tokens(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Numbers of the tokens."""
    return _offered(typed, ((str(row["id"]), str(row["name"])) for row in _asked(context, "/api/v1/tokens", "tokens")))


def authenticators(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of the authenticators."""
    rows = _asked(context, "/api/v1/authenticators", "authenticators")
    return _offered(typed, ((str(row["name"]), str(row["identifier"])) for row in rows))


def identifiers(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Identifiers that mails were for, or that addresses have."""
    names = [name for row in _asked(context, f"/api/v1/mail?limit={ENOUGH}", "mails") for name in row["identifiers"]]
    names += [row["settings"].get("identifier") or "" for row in _asked(context, "/api/v1/entries?kind=address", "entries")]
    return _offered(typed, ((name, "") for name in dict.fromkeys(names) if name))


def entries(kind: str) -> Completer:
    """Names of the tables of a kind that were added by command."""

    def names(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        rows = _asked(context, f"/api/v1/entries?kind={kind}", "entries")
        return _offered(typed, ((str(row["name"]), "") for row in rows if row["at"] is not None))

    return names


def accounts(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of the watched mailboxes: those of the file, and those that were added."""
    names = [(str(row["name"]), "") for row in _asked(context, "/api/v1/entries?kind=imap", "entries")]
    settings = _settings(context)
    names += [(one.label, one.username) for one in settings.imap] if settings is not None else []
    return _offered(typed, dict.fromkeys(names))


def rules(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of the rules, the operator's own and the shipped ones."""
    import tomllib

    from mailbridge.config.rulepack import own_rules, shipped_names, shipped_source
    from mailbridge.core.rule_error import RuleError

    settings = _settings(context)
    if settings is None:
        return []
    try:
        shipped = [shipped_source(name) for name in shipped_names(settings.rules) if "/wording/" not in name]
        sources = (*own_rules(settings), *shipped)
        found = [one for source in sources for one in tomllib.loads(source[1]).get("rule", ())]
    except (OSError, ValueError, RuleError):
        return []
    names = ((str(one.get("name", "")), "") for one in found if isinstance(one, dict))
    return _offered(typed, [("generic", "the extractor after the rules"), *names])


def _offered(typed: str, named: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    from mailbridge.cli.printing import visible

    return [
        CompletionItem(name, help=visible(about) or None)
        for name, about in named
        if name.startswith(typed) and name.isprintable() and name
    ]


def _found(row: Any) -> str:
    return "held" if row["held"] else str(row["verdict"])


def _settings(context: click.Context) -> Any:
    """The settings of the configuration that the line names; None if it has mistakes."""
    from mailbridge.config.load import load
    from mailbridge.config.problems import ConfigError

    named = context.params.get("config")
    try:
        return load(Path(named) if named else None, environ=os.environ, overrides={}, cwd=Path.cwd()).settings
    except (ConfigError, OSError):
        return None


def _asked(context: click.Context, target: str, key: str) -> list[Any]:
    """Rows of an answer of the daemon; none if it does not answer at once."""
    from mailbridge.cli.over_socket import OverSocket
    from mailbridge.store.places import socket_path_of

    settings = _settings(context)
    if settings is None:
        return []
    connection = OverSocket(socket_path_of(settings.store), timeout=PATIENCE)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        return list(found[key]) if answer.status == 200 else []
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return []
    finally:
        connection.close()
