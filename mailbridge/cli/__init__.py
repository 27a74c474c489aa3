"""What people type. Each command is imported only when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from mailbridge import __version__
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import AS_JSON, DEBUG, complain, ended, leave_quietly
from mailbridge.cli.groups import Root

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("mailbridge.cli.serve:serve", "Run the daemon: receive mail, push codes to Skyvern."),
    "setup": ("mailbridge.cli.setup:setup", "Set mailbridge up: it asks, checks each step, and continues later."),
    "demo": ("mailbridge.cli.demo:demo", "Send example mails through a complete mailbridge on this machine."),
    "check-config": ("mailbridge.cli.config:check_config", "Check configuration, rules, certificates and keys."),
    "config": ("mailbridge.cli.config:config_group", "Show the configuration in force, what was added, or the schema."),
    "reload": ("mailbridge.cli.config:reload_command", "Tell the daemon to read its configuration again."),
    "address": ("mailbridge.cli.address:address_group", "Addresses at which mail is taken: add, list, remove."),
    "sender": ("mailbridge.cli.sender:sender_group", "Known and forbidden senders: allow, forbid, list, remove."),
    "target": ("mailbridge.cli.target:target_group", "Further receivers of codes: add, list, test, remove."),
    "ingest": ("mailbridge.cli.ingest:ingest_group", "Services that post mail over HTTP: list, remove."),
    "notify": ("mailbridge.cli.notify:notify_group", "Notices to a person: add, list, test, remove."),
    "extract": ("mailbridge.cli.extract:extract", "Show what would be pushed for mail files, and why; push nothing."),
    "rule": ("mailbridge.cli.rule:rules", "Extraction rules: list, test, try, propose, add, remove."),
    "mail": ("mailbridge.cli.mail:mail", "Mails: list, show, release, replay, import, remove."),
    "delivery": ("mailbridge.cli.delivery:delivery", "Deliveries: list, show, retry."),
    "code": ("mailbridge.cli.code:code", "Valid codes: list, take the newest, wait for the next."),
    "inbox": ("mailbridge.cli.inbox:inbox", "Throw-away inboxes for agents and tests, one JSON object each."),
    "mcp": ("mailbridge.cli.mcp:mcp", "Serve the tools for agents (MCP) on standard input and output."),
    "top": ("mailbridge.cli.top:top", "Show live: new mails, who waits, mailboxes, outbox."),
    "doctor": ("mailbridge.cli.doctor:doctor", "Check everything that can be wrong, and name the fix."),
    "why": ("mailbridge.cli.why:why", "Say why no code came for an identifier, and what to do."),
    "totp": ("mailbridge.cli.totp:totp", "Authenticator secrets and their codes."),
    "token": ("mailbridge.cli.token:token", "Bearer tokens for agents, viewers and operators."),
    "login": ("mailbridge.cli.login:login", "Print a link that logs a browser in to the page."),
    "session": ("mailbridge.cli.login:session", "Who is logged in to the page: list, remove, password."),
    "skyvern": (
        "mailbridge.cli.skyvern:skyvern",
        "Skyvern: its totp_url, a check of its key and credentials.",
    ),
    "key": ("mailbridge.cli.key:key", "Change the key that codes and mails are encrypted with."),
    "backup": ("mailbridge.cli.backup:backup", "Copy the database to a file, while the daemon runs."),
    "restore": ("mailbridge.cli.backup:restore", "Restore a copy of the database; no old code is pushed."),
    "migrate": ("mailbridge.cli.migrate:migrate", "Move everything to another database: SQLite or PostgreSQL."),
    "send-test": ("mailbridge.cli.send_test:send_test", "Send a mail with a made-up code, and show each step."),
    "gmail": ("mailbridge.cli.gmail:gmail", "Forwarding from Gmail: the confirmation and the filter."),
    "imap": ("mailbridge.cli.imap:imap", "Watched mailboxes: add, list, test, status, remove."),
    "oauth": ("mailbridge.cli.oauth:oauth", "Get the permission to read a mailbox of Google or Microsoft."),
    "healthcheck": ("mailbridge.cli.healthcheck:healthcheck", "Ask the running daemon whether it takes mail."),
    "completion": ("mailbridge.cli.completion:completion", "Print shell completion for bash, zsh or fish."),
    "version": ("mailbridge.cli.completion:version", "Print the version."),
}

ALIASES = {"deliver": "delivery", "codes": "code", "rules": "rule"}
"""Names of release 0.1, which are understood for one release more and not listed."""


class LazyGroup(Root):
    """A group whose commands are named here and imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        named = ALIASES.get(cmd_name, cmd_name)
        if named not in COMMANDS:
            return None
        module, _, name = COMMANDS[named][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A closed output is noticed here, before click reports it as a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise SystemExit(leave_quietly()) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise SystemExit(Exit.INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


def _set(_: click.Context, __: click.Parameter, said: tuple[str, ...]) -> tuple[str, ...]:
    for one in said:
        if "." not in one.partition("=")[0] or "=" not in one:
            raise click.BadParameter(f"{one.partition('=')[0]!r}: write section.key=value, such as smtp.listen=127.0.0.1:2526")
    return said


def _debug(_: click.Context, __: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        os.environ[DEBUG] = "1"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="To try it: `mailbridge demo`. To run the daemon: `mailbridge serve`.",
)
@click.option(
    "--set", "settings", multiple=True, callback=_set, metavar="KEY=VALUE", help="A setting, before environment and file."
)
@click.option("--config", metavar="PATH", expose_value=False, help="The configuration file, for any command.")
@click.option("--json", is_flag=True, expose_value=False, help="Output and errors as JSON, one object a line, for any command.")
@click.option(
    "--debug", is_flag=True, callback=_debug, expose_value=False, help="Show the traceback of a bug; it may hold secrets."
)
@click.version_option(__version__, prog_name="mailbridge")
@click.pass_context
def cli(ctx: click.Context, settings: tuple[str, ...]) -> None:  # noqa: ARG001  (read by `options`)
    """Receive forwarded sign-in mails, find the codes in them, and give the codes to the agents that wait for them.

    Options of the program may stand before or after the command. Colours are left out where the output is not a terminal, and with NO_COLOR.
    """
    if AS_JSON.get() or os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> NoReturn:
    """The entry point. A mistake of the user's is one message; only a bug shows where it is."""
    sys.exit(ended(lambda: cli.main(standalone_mode=False, prog_name="mailbridge")))
