"""`setup`: the steps of `operator.setup` in a terminal: it asks, shows what turns green, and waits for what others have to do.

Everything it knows is with the daemon. What it does itself is what only the person's own machine can: it reads keys from files, and
writes a configuration file where there is none, which it has the daemon read, and the filter for Gmail.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import NoReturn

import click
from msgspec import to_builtins

from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import dumped, local, visible
from mailbridge.cli.secret import unread
from mailbridge.config.places import new_file
from mailbridge.config.values import secret_file
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.gmail import FilterAsk
from mailbridge.operator.setup.answers import WAYS
from mailbridge.operator.setup.posting import SERVICES
from mailbridge.operator.setup.verb import QuestionShape, SetupAnswer, SetupState, StepShape
from mailbridge.sinks.skyvern import api_key_from_credentials_file

LOOK_EVERY = 1.0
"""Seconds between two looks at what is waited for."""

CREDENTIALS = (".skyvern/credentials.toml", "skyvern/.skyvern/credentials.toml", "../skyvern/.skyvern/credentials.toml")
"""Where Skyvern's own key lies, seen from the folder in which people stand; and the same in their home."""

MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "wait": ("…", "yellow"), "ask": ("?", "cyan")}
GOES_ON = "everything done so far is kept; run `mailbridge setup` again to continue here"


@click.command()
@config_option
@json_option
@click.option("--yes", "is_quiet", is_flag=True, help="Ask nothing; a missing answer is an error (exit 2).")
@click.option("--show", is_flag=True, help="Only show the steps and everything that setup has done.")
@click.option("--again", is_flag=True, help="Begin again, for another person; keep what was added.")
@click.option("--way", type=click.Choice(list(WAYS)), help="How mail comes.")
@click.option("--for", "identifier", metavar="IDENTIFIER", help="Whose codes: Skyvern's totp_identifier.")
@click.option("--site", "sites", multiple=True, metavar="SITE", help="Take codes from this site only; several allowed.")
@click.option("--domain", metavar="DOMAIN", help="The domain whose mail comes here.")
@click.option("--mailbox", metavar="ADDRESS", help="With --way mailbox: its address.")
@click.option("--server", metavar="HOST[:PORT]", help="Its IMAP server, where the provider is not known.")
@click.option("--password-file", type=click.Path(path_type=Path), help="A file with its password.")
@click.option(
    "--service",
    type=click.Choice(list(SERVICES)),
    metavar="NAME",
    help=f"With --way http, the service that posts the mails:  {', '.join(SERVICES)}.",
)
@click.option("--url", "bridge", metavar="URL", help="The public https address of this daemon.")
@click.option("--inbound", metavar="ADDRESS", help="The address that Postmark or CloudMailin gave you.")
@click.option("--topic", metavar="ARN", help="Amazon's topic.")
@click.option("--service-key-file", type=click.Path(path_type=Path), help="A file with the key of Mailgun or Forward Email.")
@click.option("--skyvern", "url", metavar="URL", help="A Skyvern of your own.")
@click.option("--key-file", type=click.Path(path_type=Path), help="A file with its API key, or its credentials.toml.")
@click.option("--practice", is_flag=True, help="Use no Skyvern: codes go to the practice receiver.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for others (default: for ever; with --yes: 0).")
def setup(
    *, config: Path | None, as_json: bool, show: bool, again: bool, is_quiet: bool, timeout: float | None, **given: object
) -> None:
    """Set mailbridge up: ask for Skyvern and for the way mail comes, and check each step.

    The daemon must be running. After an interruption call it again: it
    continues, and repeats nothing that is done. Exit 75: it waits for something.
    """
    one = client(config)
    if show:
        _show(one.do(verbs.SETUP_SHOW, Nothing()), as_json=as_json)
        return
    limit = timeout if timeout is not None else 0.0 if is_quiet else float("inf")
    talk = _Talk(one=one, is_quiet=is_quiet, limit=limit, keys=list(_keys(one)))
    try:
        if not one.is_daemon:
            talk.wait_for_daemon()
        if again:
            one.do(verbs.SETUP_FORGET, Nothing())
        state = talk.walk(_answers(given))
    except (click.exceptions.Abort, KeyboardInterrupt):
        note(GOES_ON)
        raise SystemExit(Exit.INTERRUPTED) from None
    if as_json:
        click.echo(dumped(to_builtins(state)))


def _answers(given: dict[str, object]) -> Iterator[SetupAnswer]:
    """What flags say, in the order in which it can be taken; secrets last, since they are tried at once."""
    named = (
        ("skyvern", "url"),
        ("way", "way"),
        ("service", "service"),
        ("for", "identifier"),
        ("domain", "domain"),
        ("username", "mailbox"),
        ("host", "server"),
        ("url", "bridge"),
        ("rcpt", "inbound"),
        ("topic", "topic"),
    )
    for name, flag in named:
        value = given.get(flag)
        if value:
            yield SetupAnswer(name=name, value=str(value))
    sites = given.get("sites")
    if isinstance(sites, tuple) and sites:
        yield SetupAnswer(name="sites", value=" ".join(map(str, sites)))
    if given.get("practice"):
        yield SetupAnswer(name="key", value="")
    key_file = given.get("key_file")
    if isinstance(key_file, Path):
        yield SetupAnswer(name="key", value=_key_in(key_file).reveal())
    for name, flag in (("password", "password_file"), ("service-key", "service_key_file")):
        path = given.get(flag)
        if isinstance(path, Path):
            yield SetupAnswer(name=name, value=_secret(path).reveal())


def _keys(one: Client) -> Iterator[tuple[str, Secret]]:
    """Keys that need no typing, each with where it is from: the configuration, the environment, Skyvern's own files."""
    known = one.loaded.settings.skyvern
    if known.api_key is not None:
        yield str(one.loaded.origins.get("skyvern.api_key", "the configuration")), known.api_key
    for path in (*map(Path, CREDENTIALS), Path.home() / CREDENTIALS[0]):
        try:
            yield str(path), api_key_from_credentials_file(path)
        except (OSError, ValueError):
            continue


def _key_in(path: Path) -> Secret:
    """The key in a file that holds nothing else, or in Skyvern's own."""
    if path.suffix != ".toml":
        return _secret(path)
    try:
        return api_key_from_credentials_file(path)
    except (OSError, ValueError) as fault:
        fail(Fault(kind=Kind.BAD_CONFIG, title=unread(fault)))


def _secret(path: Path) -> Secret:
    try:
        return secret_file(path, is_mode_checked=True)
    except (OSError, ValueError) as fault:
        fail(Fault(kind=Kind.BAD_CONFIG, title=unread(fault)))


@dataclass(slots=True, kw_only=True)
class _Talk:
    """One conversation. ``keys`` are tried before a key is asked for; ``limit`` is how many seconds others are waited for."""

    one: Client
    is_quiet: bool
    limit: float
    keys: list[tuple[str, Secret]]
    until: float = 0.0
    told: dict[str, str] = field(default_factory=dict)
    cannot: set[str] = field(default_factory=set)

    def wait_for_daemon(self) -> None:
        """Say what starts one, and wait for it."""
        click.echo(
            "mailbridge: no daemon is running; start it in another terminal: `mailbridge serve` (in a clone: `make run`)",
            err=True,
        )
        self._begin_waiting()
        while not self.one.is_daemon:
            self._wait("the daemon", Exit.UNAVAILABLE)

    def walk(self, answers: Iterator[SetupAnswer]) -> SetupState:
        """Every step, until all are done. Exit 75 where something is waited for longer than allowed, 2 where a flag is missing."""
        state = self.one.do(verbs.SETUP_GO, Nothing())
        for answer in answers:
            found = self.one.attempt(verbs.SETUP_ANSWER, answer)
            if isinstance(found, Fault):
                self._refused(answer, found)
            else:
                state = found
        self._begin_waiting()
        while (current := self._current(state)) is not None:
            is_to_write = current.wants == "file" and "file" not in self.cannot
            if not is_to_write:  # what is written here is told when it is done, not as something to do
                self._tell(state)
            if state.question is not None and state.question.name == "key" and self.keys:
                state = self._with_key(state)
            elif state.question is not None:
                state = self._asked(state, state.question)
            elif current.wants and current.wants not in self.cannot:
                state = self._do(state, current)
            else:
                self._wait(f"{current.title}: {current.text}", Exit.TRY_AGAIN)
                state = self._look(state)
                continue
            self._begin_waiting()
        self._tell(state)
        return state

    @staticmethod
    def _refused(answer: SetupAnswer, fault: Fault) -> NoReturn:
        """An answer of a flag that cannot be taken is a mistake in the call."""
        if fault.kind is Kind.REFUSED:
            raise click.UsageError(f"{FLAGS.get(answer.name, answer.name)}: {fault.title}")
        fail(fault)

    @staticmethod
    def _current(state: SetupState) -> StepShape | None:
        return next((one for one in state.steps if one.name == state.current), None)

    def _begin_waiting(self) -> None:
        self.until = time.monotonic() + self.limit

    def _wait(self, what: str, code: Exit) -> None:
        if time.monotonic() >= self.until:
            note(f"waiting for {what}; {GOES_ON}")
            raise SystemExit(code)
        time.sleep(LOOK_EVERY)

    def _look(self, state: SetupState) -> SetupState:
        """The state as it is now; the same as before while the daemon is being restarted."""
        found = self.one.attempt(verbs.SETUP_GO, Nothing())
        if not isinstance(found, Fault):
            return found
        if found.kind not in (Kind.NO_DAEMON, Kind.TRY_AGAIN):
            fail(found)
        return state

    def _tell(self, state: SetupState) -> None:
        """Each step when it is done, and what is to be done for the current one, once each."""
        for step in state.steps:
            is_current = step.name == state.current and step.level in ("wait", "failed")
            text = f"{step.level} {step.text} {step.hint} {step.lines}"
            if (step.level != "done" and not is_current) or self.told.get(step.name) == text:
                continue
            self.told[step.name] = text
            mark, colour = MARKS[step.level]
            click.echo(f" {click.style(mark, fg=colour)} {step.title:14} {visible(step.text)}")
            for line in step.lines:
                click.echo(f"     {visible(line)}")
            if step.hint:
                click.echo(f"   → {visible(step.hint)}")

    def _with_key(self, state: SetupState) -> SetupState:
        origin, key = self.keys.pop(0)
        found = self.one.attempt(verbs.SETUP_ANSWER, SetupAnswer(name="key", value=key.reveal()))
        if isinstance(found, Fault):
            complain(f"the key of {origin}: {found.title}")
            return self._look(state)
        click.echo(visible(f"   the key of {origin} is taken"))
        return found

    def _asked(self, state: SetupState, question: QuestionShape) -> SetupState:
        if self.is_quiet:
            return self._by_default(question)
        widest = max((len(word) for word, _ in question.choices), default=0)
        for number, (word, meaning) in enumerate(question.choices, start=1):
            click.echo(f"   {number} {word:{widest}} {meaning}")
        value = click.prompt(f" ? {visible(question.text)}", default="", show_default=False, hide_input=question.is_secret)
        found = self.one.attempt(verbs.SETUP_ANSWER, SetupAnswer(name=question.name, value=value[:1000]))
        if not isinstance(found, Fault):
            return found
        if found.kind not in (Kind.REFUSED, Kind.BAD_REQUEST, Kind.BAD_CONFIG, Kind.EXISTS):
            fail(found)
        click.echo(f"   {click.style('✗', fg='red')} {visible(found.title)}", err=True)
        return self._look(state)

    def _by_default(self, question: QuestionShape) -> SetupState:
        """Without a person: what has a harmless default takes it; all else has to be a flag."""
        if question.default is None or question.is_secret:
            raise click.UsageError(f"{FLAGS.get(question.name, question.name)} is missing: {question.text}")
        return self.one.do(verbs.SETUP_ANSWER, SetupAnswer(name=question.name, value=""))

    def _do(self, state: SetupState, step: StepShape) -> SetupState:
        match step.wants:
            case "file":
                done = _written(self.one, step.file)
            case "filter":
                done = _filter(self.one, state.identifier)
            case _:
                done = self._test(state.identifier)
        if not done:
            self.cannot.add(step.wants)
            return state
        if step.wants == "file":
            self.one.attempt(verbs.RELOAD, Nothing())  # where it may not listen there, the step says to restart it
        return self.one.do(verbs.SETUP_ANSWER, SetupAnswer(name=step.wants, value=done))

    def _test(self, identifier: str) -> str:
        from mailbridge.cli.send_test import send_test

        try:
            click.get_current_context().invoke(send_test, config=self.one.loaded.path, account=identifier, yes=True)
        except SystemExit as ended:
            return "sent" if ended.code == 0 else "not delivered"
        return "sent"


FLAGS = {
    "key": "--key-file or --practice",
    "way": "--way",
    "for": "--for",
    "domain": "--domain",
    "username": "--mailbox",
    "host": "--server",
    "password": "--password-file",
    "service": "--service",
    "url": "--url",
    "rcpt": "--inbound",
    "topic": "--topic",
    "service-key": "--service-key-file",
    "allow": "a person's yes (`mailbridge gmail confirm`)",
}
"""The flag that answers a question."""


def _written(one: Client, text: str) -> str:
    """The path of the configuration file that was written, for this user alone; "" where there is one already, or none can be made."""
    path = new_file(os.environ)
    if one.loaded.path is not None:
        return ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
            stream.write(f"# Written once by `mailbridge setup`. Every key: config/mailbridge.toml of the project.\n{text}")
    except OSError:
        return ""
    return str(path)


def _filter(one: Client, identifier: str) -> str:
    """The file with the filter for an identifier, or the command that prints it where none can be written here."""
    found = one.do(verbs.GMAIL_FILTER, FilterAsk(identifier=identifier))
    path = Path(f"mailFilters-{re.sub(r'[^a-z0-9.-]+', '-', identifier.casefold())[:60]}.xml").absolute()
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
            stream.write(found.xml)
    except OSError:
        return f"`mailbridge gmail filter --for {identifier}`"
    return str(path)


def _show(state: SetupState, *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped(to_builtins(state)))
        return
    for step in state.steps:
        mark, colour = MARKS.get(step.level, (" ", "white"))
        click.echo(f" {click.style(mark, fg=colour)} {step.title:14} {visible(step.text)}".rstrip())
    click.echo("setup has done:" if state.did else "setup has done nothing yet")
    for one in state.did:
        click.echo(f"   {local(one.at)}  {visible(one.text)}")
    if state.current is not None:
        click.echo("run `mailbridge setup` to continue", err=not sys.stdout.isatty())
