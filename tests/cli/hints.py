"""Commands in a hint, read as the program would read them: nothing of them is run."""

from __future__ import annotations

import re
import shlex

import click

from mailbridge.cli import cli

COMMAND = re.compile(r"\bmailbridge ([a-z][^;,:>`]*)")


def wrong_commands(hint: str) -> list[str]:
    """What the program would say to each command of a hint that it does not take."""
    return [f"{words}: {told}" for words in COMMAND.findall(hint) if (told := _refusal(shlex.split(words)))]


def _refusal(words: list[str]) -> str:
    command: click.Command = cli
    context = click.Context(command, info_name="mailbridge")
    try:
        while isinstance(command, click.Group):
            found = command.get_command(context, words[0]) if words else None
            if found is None:
                return "no such command"
            command, words = found, words[1:]
        command.make_context(command.name, words, parent=context)
    except click.ClickException as fault:
        return fault.format_message()
    return ""
