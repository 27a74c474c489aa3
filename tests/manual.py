"""Writes the man page and the page of commands from the commands themselves: `make man`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from mailbridge.cli import cli
from mailbridge.cli.exits import Exit

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "commands.md"
MAN = ROOT / "docs" / "mailbridge.1"
DESCRIPTION = "takes forwarded mails and pushes their codes to Skyvern"


def leaves(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that is listed, with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        elif command is not None and not command.hidden:
            yield " ".join((*path, name)), command


def _arguments(command: click.Command) -> str:
    context = click.Context(command)
    return " ".join(one.make_metavar(context) for one in command.params if isinstance(one, click.Argument))


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command)
    for one in command.params:
        if isinstance(one, click.Option) and (record := one.get_help_record(context)) is not None:
            yield record[0], " ".join(record[1].split())


def _about(command: click.Command) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", command.help or "")]


def page() -> str:
    """docs/commands.md."""
    lines = ["# Commands", ""]
    lines += [
        "This page lists every command for operators. `make man` writes it from the program. The option `--help` of a command says the same,"
    ]
    lines += ["and lists its options.", ""]
    lines += ["`--config PATH`, `--json`, `--set KEY=VALUE` and `--debug` may stand before a command or after it.", ""]
    lines += ["| command | what it does |", "|---|---|"]
    for name, command in leaves():
        words = f"mailbridge {name} {_arguments(command)}".strip().replace("|", "\\|")
        lines.append(f"| `{words}` | {_about(command)[0].replace('|', chr(92) + '|')} |")
    lines += ["", "## Output", ""]
    lines += [
        "A command prints its answer on standard output, and errors and remarks on standard error. With `--json` each line of both is one",
        'JSON object: `{"error": "…"}` is an error, `{"note": "…"}` a remark. Times are RFC 3339 in UTC. What does not exist is `null`.',
        "Without `--json` times are in the zone of this machine. Colours are used on a terminal only, and never with `NO_COLOR` or `--json`.",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| {one.value} | {one.meaning} |" for one in Exit]
    return "\n".join([*lines, ""])


def man() -> str:
    """The man page, in the macros of man(7)."""
    lines = ['.TH MAILBRIDGE 1 "" "mailbridge" "User Commands"', ".SH NAME", f"mailbridge \\- {DESCRIPTION}", ".SH SYNOPSIS"]
    lines += [".B mailbridge", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]", ".SH DESCRIPTION"]
    lines += [_roff("\n.PP\n".join(_about(cli))), ".SH OPTIONS", *_roff_options(cli), ".SH COMMANDS"]
    for name, command in leaves():
        lines += [f".SS {_roff(f'mailbridge {name} {_arguments(command)}'.strip())}", _roff("\n.PP\n".join(_about(command)))]
        lines += _roff_options(command)
    lines.append(".SH EXIT STATUS")
    for one in Exit:
        lines += [".TP", f".B {one.value}", _roff(one.meaning)]
    lines += [
        ".SH FILES",
        ".TP",
        ".I ~/.config/mailbridge/mailbridge.toml, /etc/mailbridge/mailbridge.toml",
        "The configuration.",
    ]
    lines += [".TP", ".I ~/.local/state/mailbridge, /var/lib/mailbridge", "Database, key and socket."]
    return "\n".join([*lines, ""])


def _roff_options(command: click.Command) -> list[str]:
    lines: list[str] = []
    for name, about in _options(command):
        lines += [".TP", f"\\fB{_roff(name)}\\fR", _roff(about)]
    return lines


def _roff(text: str) -> str:
    """Text as roff takes it: backslashes and hyphens written out, and no line that begins like a request of its own."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("…", "...")
    return re.sub(r"^(?!\.PP$)([.'])", r"\\&\1", plain, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    MAN.write_text(man(), encoding="utf-8")
