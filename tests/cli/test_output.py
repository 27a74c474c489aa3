"""How commands look: help within 80 columns, tables with headers, colours on a terminal alone, and the manual that is generated of them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mailbridge.app.daemon import AT_START
from mailbridge.cli import cli
from mailbridge.cli.exits import Exit
from mailbridge.cli.printing import Column, Row, Table, local, sentence
from mailbridge.config.keys import FIELDS
from mailbridge.operator.faults import FAULTS
from tests.cli.running import PATIENCE, PLAIN, PROGRAM, Daemon, Run, environment, serving
from tests.manual import MAN, PAGE, leaves, man, page

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b["


def _every() -> list[list[str]]:
    """Every command and group."""
    names = [name.split() for name, _ in leaves()]
    return [[], *{tuple(name[:1]): name[:1] for name in names}.values(), *(name for name in names if len(name) > 1)]


@pytest.mark.parametrize("words", _every(), ids=" ".join)
def test_help_fits_into_eighty_columns_and_is_not_cut(words: list[str]) -> None:
    """No line is longer, and no sentence ends in dots."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, [*words, "--help"])
    assert done.exit_code == 0
    assert [line for line in done.output.splitlines() if len(line) > 80] == []
    assert "..." not in done.output.replace("]...", "").replace("...]", "")


def test_a_groups_help_has_the_whole_sentence_of_each_command() -> None:
    """Joined over its lines, each first sentence is there."""
    for group in ("mail", "delivery", "code", "skyvern", "totp", "rule", "config", "gmail"):
        text = " ".join(CliRunner().invoke(cli, [group, "--help"]).output.split())
        for name, command in leaves():
            if name.startswith(f"{group} "):
                assert " ".join((command.help or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".") in text, name


def test_the_generated_pages_are_up_to_date() -> None:
    """docs/commands.md and the man page are what `make man` would write now."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert MAN.read_text(encoding="utf-8") == man()


def test_the_table_of_exit_codes_has_every_code_that_a_fault_ends_with() -> None:
    """Each code once, with its meaning; those of the operator's faults are among them."""
    text = PAGE.read_text(encoding="utf-8")
    assert [int(one) for one in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == [one.value for one in Exit]
    assert {one.exit_code for one in FAULTS.values()} <= set(Exit)


def test_the_manual_says_what_needs_a_restart() -> None:
    """The sections at the top of config/mailbridge.toml are those that a reload leaves, and the others are those that it takes up."""
    text = (ROOT / "config" / "mailbridge.toml").read_text(encoding="utf-8")
    reloaded, _, restarted = text.partition("# `mailbridge reload`")[2].partition("\n\n")[0].partition("These need a restart")
    assert set(re.findall(r"\[+([a-z]+)\]+", restarted)) == set(AT_START)
    assert set(re.findall(r"\[+([a-z]+)\]+", reloaded)) == set(FIELDS) - set(AT_START)


def test_options_may_stand_before_or_after_the_command(run: Run, here: Path) -> None:
    """`--json`, `--config` and `--set`: the same answer from wherever they stand."""
    (here / "a.toml").write_text('[log]\nlevel = "error"\n')
    for words in (
        ("--json", "--config", "a.toml", "--set", "smtp.max_per_ip=7", "config", "show"),
        ("config", "--json", "--config=a.toml", "show", "--set=smtp.max_per_ip=7"),
        ("config", "show", "--set", "smtp.max_per_ip=7", "--config", "a.toml", "--json"),
    ):
        (row,) = run(*words).rows
        assert row["settings"]["log"]["level"] == "error"
        assert row["settings"]["smtp"]["max_per_ip"] == 7


def test_what_follows_two_dashes_is_no_option(run: Run, here: Path) -> None:
    """`--` ends the options, so that a mail may be called --json."""
    (here / "--json").write_text("Subject: x\n\nYour code is 123456\n")
    done = run("extract", "--", "--json")
    assert done.code == 0
    assert done.out.startswith("--json: ")


def test_sentences_and_moments() -> None:
    """A reason begins with a capital and ends with a full stop; a moment has this machine's zone, and the year where it is another."""
    assert sentence("no code was found") == "No code was found."
    assert sentence("ann@corp.example is unknown") == "ann@corp.example is unknown."
    assert sentence("") == ""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert re.fullmatch(r"\d\d \w{3} \d\d:\d\d:\d\d \S+", local(stamp))
    assert " 2019 " in local("2019-05-05T12:00:00Z")
    assert local(None) == ""


def test_a_pipe_gets_whole_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cut where the output is no terminal."""
    table = Table(Column(title="A", width=3), Column(title="B", width=3))
    table.add(Row(cells=["x" * 50, "y" * 200], details=["z" * 300]))
    head, row, detail = capsys.readouterr().out.splitlines()
    assert head.split() == ["A", "B"]
    assert row.split() == ["x" * 50, "y" * 200]
    assert detail.strip() == "z" * 300


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A daemon with a mail whose every word is long."""
    with serving(tmp_path_factory.mktemp("full")) as one:
        long = PLAIN.replace("ann@example.com", f"{'long' * 14}@{'wide.' * 10}example")
        for content in (PLAIN % ("first", "482913"), long % ("second", "482914"), "Subject: hello\n\nnothing\n"):
            subprocess.run(
                [*PROGRAM, "mail", "import", "-"], input=content.encode(), cwd=one.folder, env=environment(one.folder), check=True
            )
        yield one


def _in_a_terminal(folder: Path, *words: str, **extra: str) -> str:
    """What a command prints to a terminal of 80 columns."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment(folder, COLUMNS="80", TERM="xterm-256color", **extra),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    said = b""
    while True:
        try:
            part = os.read(primary, 65_536)
        except OSError:
            break
        if not part:
            break
        said += part
    process.wait(PATIENCE)
    os.close(primary)
    return said.decode()


LISTS = (("mail", "list"), ("delivery", "list"), ("code", "list"), ("code", "given"), ("address", "list"), ("token", "list"))


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_lists_fit_into_a_terminal_of_eighty_columns(words: tuple[str, ...], full: Daemon) -> None:
    """Whatever the mails hold, no line of a list is longer."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", _in_a_terminal(full.folder, *words))
    assert [line for line in plain.splitlines() if len(line) > 80] == []


def test_colours_are_for_terminals(full: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there are some; with NO_COLOR, with --json and in a pipe none."""
    assert ESCAPE in _in_a_terminal(full.folder, "mail", "list")
    assert ESCAPE not in _in_a_terminal(full.folder, "mail", "list", NO_COLOR="1")
    assert ESCAPE not in _in_a_terminal(full.folder, "mail", "list", "--json")
    monkeypatch.chdir(full.folder)
    monkeypatch.setenv("HOME", str(full.folder))
    assert ESCAPE not in run("mail", "list").out


def test_lists_have_headers_and_empty_ones_say_so(full: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line names the columns; an empty list is nothing on standard output and a line on standard error."""
    monkeypatch.chdir(full.folder)
    monkeypatch.setenv("HOME", str(full.folder))
    assert run("mail", "list").out.splitlines()[0].split() == ["MAIL", "RECEIVED", "FOUND", "FOR"]
    assert run("delivery", "list").out.splitlines()[0].split() == ["NUMBER", "RECEIVED", "STATE", "FOR"]
    for words in (("token", "list"), ("totp", "list"), ("delivery", "list", "--state", "dead"), ("mail", "list", "--for", "x")):
        done = run(*words)
        assert (done.code, done.out, len(done.err.splitlines())) == (0, "", 1), words


def test_top_shows_the_daemon(full: Daemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outbox, who waits, and what happened; as JSON one object; never a code. On a terminal it goes on until Ctrl-C."""
    monkeypatch.chdir(full.folder)
    monkeypatch.setenv("HOME", str(full.folder))
    done = run("top", "--once")
    assert done.code == 0, done.err
    assert {"Outbox", "Waiting for a code", "What happened"} <= {line.strip() for line in done.out.splitlines()}
    assert "482913" not in done.out
    (row,) = run("top", "--once", "--json").rows
    assert row["status"]["level"] == "degraded"
    assert "stored" in {line["event"] for line in row["lines"]}


def test_rich_is_imported_by_top_alone(tmp_path: Path) -> None:
    """Help and lists start without it."""
    program = (
        "import sys; from mailbridge.cli import cli; import mailbridge.cli.top, mailbridge.cli.mail; print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "False\n"


def _completed(folder: Path, line: str) -> list[str]:
    words = line.split(" ")
    env = environment(
        folder, _MAILBRIDGE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), PYTHONWARNINGS="ignore"
    )
    program = "from mailbridge.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [one.partition(",")[2] for one in done.stdout.splitlines() if one]


def test_completion_offers_what_there_is(full: Daemon) -> None:
    """Rules, mails, deliveries and identifiers, by the daemon's socket."""
    assert {"generic", "steam-guard"} <= set(_completed(full.folder, "mailbridge rule try "))
    assert {"1", "2"} <= set(_completed(full.folder, "mailbridge mail show "))
    assert "1" in _completed(full.folder, "mailbridge delivery show ")
    assert _completed(full.folder, "mailbridge why ann") == ["ann@example.com"]


def test_completion_is_silent_where_nobody_answers(tmp_path: Path) -> None:
    """No daemon, or a configuration with mistakes: nothing is offered, nothing is said."""
    assert _completed(tmp_path, "mailbridge mail show ") == []
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mailbridge.toml").write_text("[smtp\n")
    assert _completed(tmp_path, "mailbridge delivery show ") == []


def test_errors_are_json_where_json_is_asked_for(run: Run, here: Path) -> None:
    """Of the command line, of the configuration, and of the daemon; standard output stays empty."""
    (here / "bad.toml").write_text("[smtp]\nlisen = []\nhostname = 'a b'\n")
    for words, count in (
        (("mail", "shwo", "--json"), 1),
        (("mail", "list", "--json"), 1),
        (("mail", "list", "--json", "--config", "bad.toml"), 2),
    ):
        done = run(*words)
        assert done.out == ""
        assert len([json.loads(line)["error"] for line in done.err.splitlines()]) == count


def test_every_command_but_those_that_last_has_json() -> None:
    """`--json` is an option of each."""
    without = {name for name, command in leaves() if "--json" not in {option for one in command.params for option in one.opts}}
    assert without == {"serve", "completion", "mcp"}


def test_the_program_ends_by_its_own_table() -> None:
    """No command leaves with a number that the table does not have."""
    used = {
        one for path in (ROOT / "mailbridge" / "cli").glob("*.py") for one in re.findall(r"Exit\.([A-Z_]+)", path.read_text())
    }
    assert used <= {one.name for one in Exit}
    assert not [path for path in (ROOT / "mailbridge" / "cli").glob("*.py") if re.search(r"SystemExit\(\d", path.read_text())]


def test_names_of_options_are_lower_case_words() -> None:
    """As a shell user expects them."""
    for name, command in leaves():
        for one in command.params:
            if isinstance(one, click.Option):
                assert all(re.fullmatch(r"--?[a-z-]+", option) for option in one.opts), name
