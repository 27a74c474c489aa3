"""Whatever is typed for whatever argument: an answer or one clear message, never a traceback and never "a bug in mailbridge"."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailbridge.cli import COMMANDS, cli
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import ended

LASTING = {"serve", "demo", "oauth", "doctor", "top", "setup"}
"""They listen, wait for a browser, or ask the world."""

UNBOUNDED = {"--wait", "--follow", "--timeout", "--seconds", "--idle", "--completion"}
"""Options that let a command wait for as long as they say."""


def _leaves(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = [
    (path, command)
    for path, command in _leaves(cli, ())
    if path[0] not in LASTING and path[:2] != ("session", "password")  # which asks at the terminal
]
NASTY = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            " ",
            "-",
            "--",
            ".",
            "..",
            "/",
            "/dev/null",
            "0",
            "-1",
            "1",
            "99999999999999999999999",
            "-99999999999999999999999",
            "1e999",
            "nan",
            "inf",
            "1_000",
            "١٢٣",
            "+49 170 1234567",
            "Ann Müller",
            "ann@corp.example",
            "ANN@CORP.EXAMPLE",
            "*",
            "a\nb",
            "a\r\nb",
            "a\x1b[31mb",
            "\ud800",
            "\udc80x",
            "x" * 5_000,
            "確認",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2026-13-45",
            "99999999999999999999d",
            "1h30m",
            "http://[",
            "http://127.0.0.1:1/x",
            "127.0.0.1:99999999",
            "127.0.0.1:²",
            ":",
            "[::1",
            "null",
            "true",
            "JBSWY3DPEHPK3PXP",
            "otpauth://totp/x?secret=",
            "otpauth-migration://offline?data=%%%",
            "folder",
            "mail.eml",
            "~nobody/x",
            "%s{}$HOME`id`",
        ]
    ),
)


def _words(path: tuple[str, ...], command: click.Command) -> st.SearchStrategy[list[str]]:
    """A command with some of its options, each with whatever value, and with whatever arguments."""
    options: list[st.SearchStrategy[list[str]]] = []
    arguments: list[st.SearchStrategy[list[str]]] = []
    for one in command.params:
        if isinstance(one, click.Argument):
            most = 3 if one.nargs == -1 else 1
            arguments.append(st.lists(NASTY, min_size=0 if not one.required else 1, max_size=most))
        elif isinstance(one, click.Option) and not set(one.opts) & UNBOUNDED:
            name = max(one.opts, key=len)
            if one.is_flag:
                options.append(st.sampled_from([[], [name]]))
            else:
                options.append(st.one_of(st.just([]), st.tuples(st.just(name), NASTY).map(list)))
    parts = st.tuples(*options, *arguments)
    return parts.map(lambda found: [*path, *(word for part in found for word in part)])


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_any_argument_gets_an_answer_or_a_message(
    path: tuple[str, ...], command: click.Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every option and argument of every command; a failure says why in lines of its own, whatever was typed."""
    (here / "folder").mkdir()
    (here / "mail.eml").write_text("Subject: hello\n\nYour code is 123456\n")
    monkeypatch.setattr("mailbridge.cli.client.STARTING", 0.0)

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(_words(path, command))
    def tried(words: list[str]) -> None:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b""), encoding="utf-8"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = ended(lambda: cli.main(words, standalone_mode=False, prog_name="mailbridge"))
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else 0
        err.seek(0)
        said = err.read()
        assert code != Exit.BUG, (words, said)
        assert code in set(Exit), (words, code)
        assert "Traceback" not in said, (words, said)
        assert code == Exit.OK or said.strip() or "--json" in words or path[0] in ("check-config", "skyvern"), (words, code)
        assert all(one.startswith(("mailbridge: ", "{")) or not one.strip() for one in said.splitlines() if code), (words, said)

    tried()


def test_every_command_is_tried() -> None:
    """None is left out but those that last."""
    assert {path[0] for path, _ in LEAVES} | LASTING >= set(COMMANDS)
