"""The documentation tells the truth: its commands, options, links, settings and pictures are the program's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from mailbridge.cli import COMMANDS, cli
from mailbridge.config.schema import schema
from mailbridge.core.queue import picture
from mailbridge.metrics import Metrics
from mailbridge.operator.faults import FAULTS
from mailbridge.operator.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
TARGET = re.compile(r"\bmake ([a-z0-9]+)")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _code(page: Path) -> str:
    """All that is set as code: blocks and spans, joined over line ends."""
    text = _text(page)
    spans = CODE.findall(re.sub(r"(?<!\n)\n(?!\n)", " ", FENCE.sub("", text)))
    return "\n".join([*(body for _, body in FENCE.findall(text)), *spans])


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: lower case, no punctuation, blanks to hyphens; a second one of a name has -1."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", _text(page)), re.MULTILINE):
        name = re.sub(r"[^\w -]", "", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).strip().lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
    return {f"{name}-{number}" if number else name for name, last in found.items() for number in range(last + 1)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links within the project name files that are there, and headings that stand in them; others are https."""
    for target in LINK.findall(_text(page)):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            there = page.parent / name if name else page
            assert there.exists(), target
            assert not anchor or there.suffix != ".md" or anchor in _anchors(there), target


def _calls(page: Path) -> Iterator[list[str]]:
    """The words after each ``mailbridge`` that is set as a command, up to a pipe or a redirection."""
    for line in _code(page).splitlines():
        words = line.split()
        for place, word in enumerate(words):
            rest = words[place + 1 :]
            if word.rpartition("/")[2] != "mailbridge" or not rest or rest[0] == "mailbridge":
                continue
            rest = rest[2:] if rest[0] == "--set" else rest
            end = next((number for number, one in enumerate(rest) if one in ("|", ">", ">>", "&&", "#")), len(rest))
            if end:
                yield rest[:end]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    """A command, its subcommand and each long option that a page shows are ones that the program has."""
    for name, *rest in _calls(page):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, f"{page.name}: mailbridge {name}"
        if isinstance(command, click.Group):
            command = command.commands.get(rest[0])
            assert command is not None, f"{page.name}: mailbridge {name} {rest[0]}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, f"{page.name}: mailbridge {name} {rest}"


def test_the_pages_show_commands_at_all() -> None:
    """The test above has something to look at."""
    assert {name for name, *_ in _calls(ROOT / "README.md")} >= {"send-test", "address", "gmail", "mail", "delivery", "serve"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists(page: Path) -> None:
    """Each TOML block is one that mailbridge, or a rule file, takes; each ``[section] key`` in the text is a setting."""
    known = schema()["properties"]
    for language, body in FENCE.findall(_text(page)):
        if language == "toml" and "[[rule]]" not in body:
            assert list(Draft202012Validator(schema()).iter_errors(tomllib.loads(body))) == []
    for section, key in re.findall(r"`\[([a-z]+)\] ([a-z_]+)", _text(page)):
        assert key in known[section]["properties"], f"{page.name}: [{section}] {key}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    """What a page tells to make, the Makefile knows."""
    targets = set(re.findall(r"^([a-z0-9]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    assert set(TARGET.findall(_code(page))) <= targets


def test_every_metric_that_is_named_exists() -> None:
    """Alerts that somebody copies from the page will find their metric."""
    metrics = Metrics()
    metrics.tls_expiry(datetime.now(UTC))
    rendered = metrics.render().decode()
    pages = "".join(_text(page) for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
    for name in set(re.findall(r"`(mailbridge_[a-z_]+)", pages)):
        assert name in rendered, name


def test_the_readme_opens_with_the_two_commands() -> None:
    """A stranger sees first what to type."""
    language, body = FENCE.findall(_text(ROOT / "README.md"))[0]
    assert language == "sh"
    assert [line.split("#")[0].strip() for line in body.splitlines()] == ["make run", "make test"]


def test_the_picture_of_a_delivery_is_the_table() -> None:
    """docs/flow.md shows the machine as it is."""
    assert picture() in _text(ROOT / "docs" / "flow.md")


def test_the_picture_of_the_house_is_what_the_imports_are_held_to() -> None:
    """docs/flow.md shows the floors of pyproject.toml, in their order, and every room of them."""
    contracts = tomllib.loads(_text(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    floors = next(one["layers"] for one in contracts if one["type"] == "layers")
    picture = re.search(r"```\n(cli .*?)```", _text(ROOT / "docs" / "flow.md"), re.DOTALL)
    assert picture is not None
    shown = [re.split(r" {2,}", line)[0].split(" · ") for line in picture[1].splitlines()]
    assert shown == [floor.split(" | ") for floor in floors if floor != "__main__"]


def test_every_library_is_there_for_a_reason() -> None:
    """docs/flow.md says of each dependency what it is for, and of nothing else."""
    wanted = {re.split(r"[<>=;]", one)[0] for one in tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["dependencies"]}
    section = _text(ROOT / "docs" / "flow.md").partition("## Which library for what")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z0-9, -]+) \| [^|]+ \|", section, re.MULTILINE)[1:]
    assert {name for row in rows for name in row.split(", ")} == wanted


def test_every_command_is_in_the_changelog() -> None:
    """What the program has is what was announced."""
    text = _text(ROOT / "CHANGELOG.md")
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


def test_the_operators_page_is_the_table_of_verbs() -> None:
    """docs/operator.md lists every verb with its route and role, and every kind of fault with what it means."""
    text = _text(ROOT / "docs" / "operator.md")
    for verb in VERBS:
        assert f"| {verb.about} | `{verb.method} {verb.path}` | {verb.role} |" in text, verb.name
    for kind, meaning in FAULTS.items():
        assert f"| `{kind}` | {meaning.status} | {meaning.exit_code} |" in text, kind
