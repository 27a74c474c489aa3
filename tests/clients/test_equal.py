"""The three clients have the same functions, options, answers and faults, each under its language's names."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
from pathlib import Path

import pytest

import mailbridge_client
from mailbridge_client import AsyncInbox, AsyncMailbridge, Inbox, Mailbridge, MailbridgeError
from tests.clients.kinds import SOURCE

OWN_OF_PYTHON = {"close", "repr"}
"""Connections that somebody has to close; `fetch` keeps its own."""

NAMES = {"inbox": "withInbox"}
"""Where the two languages have different means: a context manager, and a function that is handed the inbox."""

ASKED = """
import * as all from "mailbridge-2fa-client";
const names = (kind) => Object.getOwnPropertyNames(kind.prototype).filter((name) => name !== "constructor");
console.log(JSON.stringify({ all: Object.keys(all), Mailbridge: names(all.Mailbridge), Inbox: names(all.Inbox) }));
"""


def camel(name: str) -> str:
    """A name of Python's as TypeScript writes it."""
    head, *rest = name.split("_")
    return head + "".join(one.capitalize() for one in rest)


def functions(kind: type) -> dict[str, inspect.Signature]:
    """The public methods of a class, and its constructor."""
    found = {name: one for name, one in vars(kind).items() if inspect.isfunction(one) and not name.startswith("_")}
    return {name: inspect.signature(one) for name, one in {**found, "__init__": kind.__init__}.items()}  # type: ignore[misc]


@pytest.mark.parametrize(("blocking", "waiting"), [(Mailbridge, AsyncMailbridge), (Inbox, AsyncInbox)])
def test_sync_and_async_are_equal(blocking: type, waiting: type) -> None:
    """The same names with the same parameters and defaults, and the same words about them."""
    one, two = functions(blocking), functions(waiting)
    assert one.keys() == two.keys()
    for name in one:
        shapes = [[(each.name, each.kind, each.default) for each in found[name].parameters.values()] for found in (one, two)]
        assert shapes[0] == shapes[1], name
        docs = [inspect.getdoc(getattr(kind, name)) or "" for kind in (blocking, waiting)]
        assert docs[0] == docs[1].replace("AsyncMailbridge", "Mailbridge"), name


def interface(name: str) -> set[str]:
    """The members of an interface, or of a class that holds values, of the TypeScript source."""
    source = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "src").glob("*.ts"))
    (body,) = re.findall(
        rf"^(?:export )?(?:interface|class) {name}(?: extends \w+)? {{\n(.*?)^}}", source, re.MULTILINE | re.DOTALL
    )
    return set(re.findall(r"^  (?:readonly )?(\w+)\??: ", body, re.MULTILINE))


@pytest.mark.parametrize("name", ["Code", "Expectation", "Cause", "Why", "InboxInfo"])
def test_answers_have_the_same_members(name: str) -> None:
    """A value of Python's and the one of the same name of TypeScript's."""
    members = {camel(one.name) for one in dataclasses.fields(getattr(mailbridge_client, name))}
    assert interface(name) | ({"value"} if name == "Code" else set()) == members


@pytest.mark.parametrize(
    ("name", "method"), [("WaitOptions", "wait_for_code"), ("WaitOptions", "wait_for_link"), ("InboxOptions", "create_inbox")]
)
def test_functions_have_the_same_options(name: str, method: str) -> None:
    """TypeScript's can be given up besides, which asyncio does by itself."""
    taken = set(inspect.signature(getattr(Mailbridge, method)).parameters) - {"self", "identifier"}
    assert interface(name) - {"signal"} == {camel(one) for one in taken}


@pytest.mark.parametrize("method", ["wait_for_code", "wait_for_link"])
def test_an_inbox_has_the_same_options(method: str) -> None:
    """Its waits take those of the client's but for the moment, which is the inbox's beginning, and the run."""
    taken = set(inspect.signature(getattr(Inbox, method)).parameters) - {"self"}
    left_out = {"since", "run"}
    assert interface("WaitOptions") - {"signal"} - left_out == {camel(one) for one in taken}
    source = (SOURCE / "src" / "client.ts").read_text(encoding="utf-8")
    (names,) = re.findall(rf"async {camel(method)}\(options: Omit<WaitOptions, ([^>]*)> = {{}}\)", source)
    assert set(re.findall(r'"(\w+)"', names)) == left_out


@pytest.mark.e2e
def test_typescript_has_the_same_functions_and_faults(typescript: Path) -> None:
    """What the built package has for its users."""
    (typescript / "names.mjs").write_text(ASKED, encoding="utf-8")
    done = subprocess.run(["node", "names.mjs"], cwd=typescript, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for kind in (Mailbridge, Inbox):
        public = {name for name in vars(kind) if not name.startswith("_")} - OWN_OF_PYTHON
        own = {"url"} if kind is Mailbridge else set()
        assert set(found[kind.__name__]) - own == {NAMES.get(name, camel(name)) for name in public}
    faults = [name for name, one in vars(mailbridge_client).items() if isinstance(one, type) and issubclass(one, MailbridgeError)]
    assert {*faults, "Mailbridge", "Inbox"} == set(found["all"])
