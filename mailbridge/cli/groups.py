"""Groups of commands: help that is not cut, suggestions for typing errors, and options of every command before its name too."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from mailbridge.cli.faults import AS_JSON

ANYWHERE = {"--set": True, "--debug": False}
"""Options of the program itself, which may also stand after a command; whether each takes a value."""

EVERYWHERE = {"--config": True, "--json": False}
"""Options of every command, which may also stand before it."""

NOT_TEXT = re.compile(r"[\0\ud800-\udc7f\udd00-\udfff]")
"""What no shell hands over. Octets that are not UTF-8 come as U+DC80 to U+DCFF (PEP 383), and may name a file."""


class Group(click.Group):
    """A group whose help shows each command's whole sentence, and which suggests the command that was meant."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group.format_commands`, which cuts sentences."""
        rows = [(name, one) for name in self.list_commands(ctx) if (one := self.get_command(ctx, name)) and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=1_000)) for name, one in rows])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Group.parse_args`. A noun without its verb is answered with the verbs."""
        if not args and ctx.parent is not None and not ctx.resilient_parsing and not self.invoke_without_command:
            raise click.UsageError(f"{ctx.command_path} what? there are {', '.join(self.list_commands(ctx))}", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group.resolve_command`."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0].casefold(), self.list_commands(ctx), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no such command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


def arranged(root: click.Group, args: Sequence[str]) -> list[str]:
    """The typed words with each option where click expects it: those of the program before the command, those of commands
    after."""
    context = click.Context(root)
    own, rest = _taken(args, ANYWHERE)
    group: click.Group = root
    for place, word in enumerate(rest):
        if word == "--":
            break
        if word.startswith("-") or (place and rest[place - 1] in EVERYWHERE and EVERYWHERE[rest[place - 1]]):
            continue
        command = group.get_command(context, word)
        if isinstance(command, click.Group):
            group = command
            continue
        if command is not None:
            moved, before = _taken(rest[:place], EVERYWHERE)
            return [*own, *before, word, *moved, *rest[place + 1 :]]
        break
    return [*own, *rest]


def asks_for_json(args: Sequence[str]) -> bool:
    """Whether ``--json`` was typed."""
    until = list(args).index("--") if "--" in args else len(args)
    return "--json" in args[:until]


def _taken(args: Sequence[str], options: dict[str, bool]) -> tuple[list[str], list[str]]:
    """The options out of what was typed, with their values, and the rest; what follows ``--`` is left alone."""
    taken: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word.partition("=")[0] in options:
            taken.append(word)
            if options[word.partition("=")[0]] and "=" not in word and (value := next(words, None)) is not None:
                taken.append(value)
        else:
            rest.append(word)
    return taken, rest


class Root(Group):
    """The program itself."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """See `click.Command.main`."""
        typed = list(sys.argv[1:] if args is None else args)
        AS_JSON.set(asks_for_json(typed))
        if any(NOT_TEXT.search(one) for one in typed):
            raise click.UsageError("an argument holds a NUL, or half of a character")
        return super().main(typed, *more, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else arranged(self, args))
