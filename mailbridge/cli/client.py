"""The client of the operator API: every command that looks at mails, codes or settings asks here, and opens no database itself.

A running daemon is asked over its unix socket. Where none runs, the same verbs are done in this process, over the database: reading
opens it for reading, changing takes the daemon's lock, and both are said on standard error. A daemon that is just starting is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import pwd
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.options import load_or_exit
from mailbridge.cli.over_socket import OverSocket
from mailbridge.config.load import Loaded
from mailbridge.core.complaints import plainly
from mailbridge.net.listening import connect_private
from mailbridge.operator.asks import Ask, asked
from mailbridge.operator.faults import Fault, Kind, fault_of
from mailbridge.operator.shapes import Shape
from mailbridge.operator.verbs import By, Verb

A = TypeVar("A", bound=Ask)
G = TypeVar("G", bound=Shape)

TOKEN = "MAILBRIDGE_TOKEN"  # noqa: S105  (the name of a variable)
PATIENCE = 30.0
STARTING = 10.0
"""Seconds for which a daemon that is starting is waited for."""

LOOK_AGAIN = 0.05
GOOD = (200, 201, 204)


class Client:
    """Asks the daemon of one configuration. Every fault is one message on standard error and an exit code (`operator.faults`)."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._is_told = False

    def do(self, verb: Verb[A, G], ask: A) -> G:
        """What a verb answers."""
        found = self.attempt(verb, ask)
        if isinstance(found, Fault):
            fail(found)
        return found

    def attempt(self, verb: Verb[A, G], ask: A) -> G | Fault:
        """The same for a caller that handles the fault itself."""
        values = {name: value for name, value in msgspec.to_builtins(ask).items() if value is not None}
        if (refused := _unfit(verb, values)) is not None:
            return refused
        socket_path = _daemon_of(self.loaded)
        if socket_path is None:
            return self._alone(verb, ask)
        path = verb.path
        if "{id}" in path:
            path = path.replace("{id}", str(values.pop("id")))
        if verb.method == "GET":
            status, found = _asked(socket_path, "GET", f"{path}?{urlencode(_query(values), doseq=True)}")
        else:
            key = {"Idempotency-Key": secrets.token_urlsafe(24)} if verb.is_change else {}
            status, found = _asked(socket_path, "POST", path, json.dumps(values).encode(), key, patience=verb.patience)
        if status != 200:
            return fault_of(status, found)
        return msgspec.convert(found, verb.gives)

    def get(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        patience: float = PATIENCE,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer of a route for agents, which only a daemon has; None if it is empty (204)."""
        socket_path = _daemon_of(self.loaded)
        if socket_path is None:
            fail(Fault(kind=Kind.NO_DAEMON, title="no daemon is running with this configuration; `mailbridge serve` starts it"))
        octets = None if body is None else json.dumps(body).encode()
        target = f"{path}?{urlencode(params)}" if params else path
        status, found = _asked(socket_path, method, target, octets, patience=patience)
        if status not in GOOD:
            fail(fault_of(status, found))
        return found

    @property
    def is_daemon(self) -> bool:
        """Whether a daemon answers."""
        return _daemon_of(self.loaded) is not None

    @property
    def has_database(self) -> bool:
        """Whether there is a database at all."""
        from mailbridge.store.places import is_postgres, path_of

        store = self.loaded.settings.store
        return is_postgres(store) or path_of(store).exists()

    def _alone(self, verb: Verb[A, G], ask: A) -> G | Fault:
        from mailbridge.app.alone import alone
        from mailbridge.config.problems import ConfigError
        from mailbridge.operator.entries import bad_config
        from mailbridge.store import StoreError, StoreInUse, StoreUnavailable
        from mailbridge.store.places import is_postgres, label, path_of

        settings = self.loaded.settings
        if verb.needs_daemon:
            return Fault(kind=Kind.NO_DAEMON, title="no daemon is running with this configuration; `mailbridge serve` starts it")
        database = path_of(settings.store)
        if not self.has_database and not verb.name.endswith(".add"):
            return Fault(
                kind=Kind.NO_DAEMON,
                title=f"{database}: no daemon is running, and there is no database; has it run with this configuration?",
            )
        if not self._is_told:
            how = "changed" if verb.is_change else "read"
            note(f"no daemon is running here; {label(settings.store)} is {how} by this command itself")
            self._is_told = True

        async def work() -> G | Fault:
            async with alone(settings, is_change=verb.is_change) as operator:
                return await verb.run(operator, ask, By(name=who()))

        try:
            return asyncio.run(work())
        except ConfigError as fault:
            return bad_config(fault)
        except StoreInUse as fault:
            return Fault(kind=Kind.TRY_AGAIN, title=str(fault))
        except (StoreError, StoreUnavailable) as fault:
            kind = Kind.NO_DAEMON if is_postgres(settings.store) else _kind_of(database)
            return Fault(kind=kind, title=str(fault))


def _unfit(verb: Verb[Any, Any], values: Mapping[str, Any]) -> Fault | None:
    """Refuse what the daemon would refuse, before any person is asked: the same with a daemon and without one."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
        asked(verb.asks, values, is_text=False)
    except UnicodeEncodeError:
        return Fault(kind=Kind.BAD_REQUEST, title="what was typed is not UTF-8 text")
    except ValueError as fault:
        return Fault(kind=Kind.BAD_REQUEST, title=plainly(fault))
    return None


def client(config: Path | None) -> Client:
    """The client of a configuration. Prints the mistakes and exits with 78 if the configuration cannot be read."""
    return Client(load_or_exit(config))


def who() -> str:
    """The name of this user, or the number if there is no name (in a container)."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def fail(fault: Fault) -> NoReturn:
    """Tell a fault and leave with its exit code: one line, or one for each of several mistakes."""
    for line in fault.problems or (fault.title,):
        complain(line, kind=str(fault.kind))
    raise SystemExit(fault.meaning.exit_code)


def _kind_of(database: Path) -> Kind:
    """A database that this user may not open is a matter of permission."""
    return Kind.NO_DAEMON if os.access(database, os.R_OK | os.W_OK) else Kind.FORBIDDEN


def _daemon_of(loaded: Loaded) -> Path | None:
    """The socket of the daemon, once it answers; None if none runs. Exit 77 if it is another user's, 75 if it does not finish
    its start."""
    from mailbridge.store.places import is_postgres, socket_path_of
    from mailbridge.store.sqlite import is_in_use

    path = socket_path_of(loaded.settings.store)
    until = time.monotonic() + STARTING
    is_told = False
    while True:
        try:
            connect_private(path, timeout=PATIENCE).close()
            return path
        except PermissionError:
            fail(_not_yours(path))
        except OSError as fault:
            if not isinstance(fault, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
                fail(Fault(kind=Kind.NO_DAEMON, title=f"{path}: {fault.strerror or type(fault).__name__}"))
        try:
            if is_postgres(loaded.settings.store) or not is_in_use(loaded.settings.store):
                return None
        except NotADirectoryError:
            return None
        except PermissionError:
            fail(_not_yours(path))
        if time.monotonic() >= until:
            what = f"a daemon has the database and does not answer at {path}: it is starting or stopping, or a command is at work; try again"
            fail(Fault(kind=Kind.TRY_AGAIN, title=what))
        if not is_told:
            click.echo("mailbridge: the daemon is starting; waiting for it", err=True)
            is_told = True
        time.sleep(LOOK_AGAIN)


def _not_yours(path: Path) -> Fault:
    """The socket, or the folder that it lies in, is another user's."""
    place, owner = path, ""
    while place != place.parent:
        with contextlib.suppress(OSError):
            owner = _name_of(place.lstat().st_uid)
            break
        place = place.parent
    what = f"{path}: no permission: the daemon's socket is for {owner or 'its own user'}; run this as that user, or as root"
    return Fault(kind=Kind.FORBIDDEN, title=what)


def _name_of(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _asked(
    path: Path,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    patience: float = PATIENCE,
) -> tuple[int, Any]:
    """Status and JSON of an answer. If the answer was lost, a request that is safe to repeat, or has a key, is sent once more."""
    for is_last in (False, True):
        connection = OverSocket(path, timeout=patience)
        try:
            connection.request(method, target, body=body, headers={"Accept": "application/json", **(headers or {})})
            answer = connection.getresponse()
            octets = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            if is_last or (method != "GET" and not headers):
                why = f"the daemon at {path} broke off: {type(fault).__name__}; try again"
                return 503, Fault(kind=Kind.TRY_AGAIN, title=why).as_problem()
            time.sleep(LOOK_AGAIN)
            continue
        finally:
            connection.close()
        try:
            return answer.status, json.loads(octets)
        except ValueError:
            return answer.status, None
    raise AssertionError("unreachable")


def _query(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a query writes them; what says nothing is left out."""
    words = {True: "true", False: "false"}
    return {
        name: words[value] if isinstance(value, bool) else value for name, value in values.items() if value not in ("", [], ())
    }


@contextmanager
def agent(config: Path | None, *, url: str | None, token_file: Path | None) -> Iterator[Agent]:
    """Whoever asks the routes for agents: the daemon of the configuration by its socket, or one at ``url`` with a token."""
    if url is None:
        yield Agent(client=client(config))
        return
    yield Agent(url=url.rstrip("/"), token=token_for(url, token_file, config))


def token_for(url: str, token_file: Path | None, config: Path | None) -> str:
    """The bearer token for a daemon at ``url``: from the file, the environment, or `[http]`. Exit 2 if there is none."""
    given = token_file.read_text(encoding="utf-8", errors="replace").strip() if token_file else os.environ.get(TOKEN, "").strip()
    if not given:
        settings = load_or_exit(config).settings
        given = settings.http.token.reveal() if settings.http.token is not None else ""
    if not given:
        complain(f"a token is needed for {url}: --token-file, or ${TOKEN}")
        raise SystemExit(Exit.USAGE)
    return given


class Agent:
    """Asks the routes for agents."""

    def __init__(self, *, client: Client | None = None, url: str = "", token: str = "") -> None:
        self._client = client
        self._url = url
        self._token = token

    def ask(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        patience: float = PATIENCE,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer's JSON, None if it is empty (204). Prints one message and exits if there is no answer."""
        if self._client is not None:
            return self._client.get(path, params, patience=patience, method=method, body=body)
        import httpx

        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            with httpx.Client(base_url=self._url, trust_env=False, timeout=patience) as far:
                answer = far.request(method, path, params=dict(params), headers=headers, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as trouble:
            what = f"no answer from {self._url}: {type(trouble).__name__}; is `mailbridge serve` running?"
            fail(Fault(kind=Kind.NO_DAEMON, title=what))
        found: Any = None
        with contextlib.suppress(ValueError):
            found = answer.json()
        if answer.status_code == 204 or (answer.status_code in GOOD and found is not None):
            return found
        fault = fault_of(answer.status_code, found)
        title = fault.title if isinstance(found, dict) else "no mailbridge there?"
        fail(Fault(kind=fault.kind, title=f"{self._url} answered {answer.status_code}: {title}"))
