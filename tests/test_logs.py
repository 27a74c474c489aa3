"""The log: one line an event, nothing in it that could be a secret or could move a terminal."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbridge import log_events
from mailbridge.config.settings import LogSettings
from mailbridge.core.secret import Secret
from mailbridge.logs import LogFormatter, configure, whereabouts

log = logging.getLogger("mailbridge.test")
ROOT = Path(__file__).parents[1]


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    kept, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers[:] = kept
    root.setLevel(level)
    logging.raiseExceptions = raising


def _started(
    *, stream: io.StringIO | None = None, environ: dict[str, str] | None = None, **settings: Any
) -> tuple[io.StringIO, LogFormatter]:
    stream = stream if stream is not None else io.StringIO()
    return stream, configure(LogSettings(**settings), stream, environ=environ or {})


def _row(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    row: dict[str, Any] = json.loads(line)
    return row


def test_json_is_one_object_a_line() -> None:
    """Time in UTC, level, logger, event, and the fields; what is empty is left out."""
    stream, _ = _started(format="json")
    log.info(
        "mail.stored",
        extra={"event": "mail.stored", "outcome": "code", "mail": 7, "rule": "github", "reason": "", "nothing": None},
    )
    row = _row(stream)
    assert row.pop("at").endswith("Z")
    assert row == {
        "level": "info",
        "logger": "mailbridge.test",
        "event": "mail.stored",
        "outcome": "code",
        "mail": 7,
        "rule": "github",
    }


def test_json_reads_every_field_back_as_it_was() -> None:
    """Numbers and truths stay what they are, and a text is quoted, whatever letters it has."""
    stream, _ = _started(format="json")
    fields = {"share": 0.5, "is_on": True, "is_off": False, "count": 3, "text": 'a "b" \\ é \N{PARTY POPPER}', "none": 0}
    log.info("%s", 'said "so"', extra=fields)
    row = _row(stream)
    assert {name: row[name] for name in fields} == fields
    assert [type(row[name]) for name in fields] == [type(value) for value in fields.values()]
    assert row["message"] == 'said "so"'


def test_the_form_follows_the_place() -> None:
    """`auto`: text on a terminal, the journal's prefix under systemd, JSON else; a setting goes before that."""
    for stream, environ, begins in (
        (io.StringIO(), {}, "{"),
        (io.StringIO(), {"JOURNAL_STREAM": "8:1"}, "<4>"),
        (Terminal(), {"JOURNAL_STREAM": "8:1"}, ""),
    ):
        _started(stream=stream, environ=environ)
        log.warning("attention", extra={"count": 1})
        line = stream.getvalue()
        assert line.startswith(begins)
        assert line.endswith((": attention count=1\n", '"count":1}\n'))
    stream, _ = _started(stream=Terminal(), format="json")
    log.warning("attention")
    assert _row(stream)["message"] == "attention"


@pytest.mark.parametrize("name", ["identifier", "rcpt", "mail_from", "account"])
def test_whose_it_is_is_a_hash(name: str) -> None:
    """The same for the same identifier within a run, case aside; another one after a restart; never the address."""
    stream, _ = _started(format="json")
    log.info("one", extra={name: "Ann@corp.example"})
    log.info("two", extra={name: "ann@corp.example,bob@corp.example"})
    one, two = (json.loads(line)[name] for line in stream.getvalue().splitlines())
    assert two.split(",")[0] == one
    assert len(two.split(",")) == 2
    assert "corp.example" not in stream.getvalue()
    later, _ = _started(format="json")
    log.info("one", extra={name: "Ann@corp.example"})
    assert _row(later)[name] != one


def test_identifiers_are_plain_where_that_is_wanted() -> None:
    """`identifiers = "plain"`."""
    stream, _ = _started(format="json", identifiers="plain")
    log.info("one", extra={"identifier": "ann@corp.example"})
    assert _row(stream)["identifier"] == "ann@corp.example"


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "text", ["a\nlevel=error forged", "a\r\nb", "\x1b[2Jgone", "a\x00b", "a\x9bb", "a\u2028b", "\u202eabc", "\ud800", "a\x85b"]
)
def test_nothing_can_end_a_line_or_move_a_terminal(text: str, form: str) -> None:
    """Control characters, line and paragraph separators, turned text and halves of characters are escaped, in event and field."""
    stream, _ = _started(format=form)
    log.warning("subject %s", text, extra={"reason": text})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert len(written.splitlines()) == 1
    assert not any(letter in written[:-1] for letter in text if not letter.isalnum() and letter not in " =[]")
    written.encode("utf-8")


def test_a_secret_is_a_mask_wherever_it_turns_up() -> None:
    """As an argument by its type, as plain text where it is guarded."""
    stream, talk = _started(format="json")
    talk.masks.guard(Secret("sk-live-123456"))
    log.error("key %s", Secret("482913"), extra={"code": Secret("482913"), "reason": "Authorization: sk-live-123456 refused"})
    assert "482913" not in stream.getvalue()
    assert "sk-live" not in stream.getvalue()
    assert _row(stream)["reason"] == "Authorization: *** refused"


def test_an_exception_is_where_it_came_from_and_not_its_words() -> None:
    """File, line and function of the way down; its text, its locals and its traceback stay out."""

    def deep(code: str) -> None:
        raise ValueError(f"cannot parse {code}")

    stream, _ = _started(format="json")
    try:
        deep("482913")
    except ValueError as fault:
        log.exception("it failed")
        assert whereabouts(fault).startswith("ValueError at test_logs.py:")
    assert "482913" not in stream.getvalue()
    assert _row(stream)["fault"].endswith(":deep")


@pytest.mark.parametrize("name", ["mail.log", "mailparser", "httpx", "httpcore.http11", "uvicorn.access", "asyncio"])
def test_libraries_may_only_warn(name: str) -> None:
    """At the most talkative level too: aiosmtpd would write whole mails, httpx addresses."""
    stream, _ = _started(format="json", level="debug")
    logging.getLogger(name).debug("482913")
    logging.getLogger(name).info("482913")
    assert stream.getvalue() == ""
    log.debug("ours")
    assert _row(stream)["message"] == "ours"


def test_a_line_that_cannot_be_written_is_lost_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    """A log that went away neither stops the daemon nor shows on another stream what the line held."""
    stream, _ = _started(format="json")
    stream.close()
    log.error("code 482913")
    assert capfd.readouterr().err == ""


def test_a_text_line_quotes_what_has_blanks() -> None:
    """Fields can be told apart by a program: name=value, quoted where it needs to be."""
    stream, _ = _started(format="text")
    log.info(
        "nothing to push", extra={"event": "mail.stored", "outcome": "none", "reason": 'nothing "in" it', "rule": "a", "mail": 3}
    )
    assert (
        stream.getvalue()
        .rstrip("\n")
        .endswith('mail.stored: nothing to push outcome=none reason="nothing \\"in\\" it" rule=a mail=3')
    )


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((ROOT / "mailbridge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "log":
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_line_has_an_event_of_the_module() -> None:
    """Each call names a constant of `log_events`, each constant is used, and no two of them have one name."""
    names = {name: value for name, value in vars(log_events).items() if name.isupper()}
    used = {"LIBRARY_WARNED"}
    for where, call in _log_calls():
        found = re.search(r"'event': log_events\.([A-Z_]+)", ast.unparse(call))
        assert found is not None, where
        used.add(found[1])
    assert used == names.keys()
    assert len(set(names.values())) == len(names)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", value) for value in names.values())


def test_a_line_of_a_library_has_an_event_too() -> None:
    """Whatever has no event of its own is grouped under one name, with its text beside it."""
    stream, _ = _started(format="json")
    logging.getLogger("httpx").warning("slow")
    row = _row(stream)
    assert (row["event"], row["message"], row["logger"]) == ("library.warned", "slow", "httpx")
