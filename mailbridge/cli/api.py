"""The running daemon's API as the commands beside it ask it: by HTTP, so that whoever waits is known to wait.

On the daemon's own machine no token has to be given: who can open its database may read every code anyway, so a token for this one
question is put there and taken out again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx

from mailbridge.cli.exits import Exit
from mailbridge.cli.listener import reachable
from mailbridge.cli.options import load_or_exit
from mailbridge.cli.stored import visit
from mailbridge.config.settings import Settings
from mailbridge.core.token import RANDOM, token_digest, token_text

TOKEN = "MAILBRIDGE_TOKEN"  # noqa: S105  (the name of a variable)

url_option: Callable[[Any], Any] = click.option(
    "--url",
    metavar="URL",
    help="A daemon elsewhere, such as https://codes.example.com; its token in $MAILBRIDGE_TOKEN or a file.",
)
token_option: Callable[[Any], Any] = click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A file that holds the bearer token."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Where the daemon is asked, and with what token."""

    url: str
    token: str

    def ask(self, path: str, params: Mapping[str, str], *, patience: float = 10.0) -> Any:
        """The answer's JSON; a clean message and exit where there is none."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        try:
            with httpx.Client(base_url=self.url, trust_env=False, timeout=patience) as client:
                answer = client.get(path, params=dict(params), headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as fault:
            click.echo(f"mailbridge: no answer from {self.url}: {type(fault).__name__}; is `mailbridge serve` running?", err=True)
            raise SystemExit(Exit.UNAVAILABLE) from None
        if answer.status_code == 200:
            with contextlib.suppress(ValueError):
                return answer.json()
        click.echo(f"mailbridge: {self.url} answered {answer.status_code}: {_title(answer)}", err=True)
        raise SystemExit(EXITS.get(answer.status_code, Exit.UNAVAILABLE))


EXITS = {
    400: Exit.USAGE,
    401: Exit.PERMISSION,
    403: Exit.PERMISSION,
    404: Exit.NOT_FOUND,
    429: Exit.TRY_AGAIN,
    503: Exit.TRY_AGAIN,
}


@contextmanager
def daemon(
    config: Path | None, *, url: str | None, token_file: Path | None, identifiers: tuple[str, ...], lasting: float
) -> Iterator[Daemon]:
    """The daemon of the configuration, or the one at ``url``, with a token that may read ``identifiers`` for so many seconds."""
    settings = load_or_exit(config).settings
    given = token_file.read_text(encoding="utf-8", errors="replace").strip() if token_file else os.environ.get(TOKEN, "").strip()
    if not given and settings.http.token is not None:
        given = settings.http.token.reveal()
    where = url.rstrip("/") if url else own_url(settings)
    if given:
        yield Daemon(url=where, token=given)
        return
    if url:
        click.echo(f"mailbridge: a token is needed for {url}: --token-file, or ${TOKEN}", err=True)
        raise SystemExit(Exit.USAGE)
    text = token_text(os.urandom(RANDOM))
    until = datetime.now(UTC) + timedelta(seconds=lasting + 60)
    made = visit(
        config,
        lambda store: store.entries.add_token(token_digest(text), name="cli", identifiers=identifiers, expires_at=until),
    )
    try:
        yield Daemon(url=where, token=text)
    finally:
        visit(config, lambda store: store.entries.remove_token(made.id))


def own_url(settings: Settings) -> str:
    """Where the daemon of these settings listens, as this machine reaches it."""
    return f"http://{reachable(settings.http.listen)}"


def _title(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["title"])
    except (ValueError, KeyError, TypeError):
        return "no mailbridge there?"
