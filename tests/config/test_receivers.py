"""Targets and notices that cannot work are refused with their key, and never with what is secret in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.app.preparation import file_problems
from mailbridge.config.load import examine, load

WHSEC = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
HOOK = f'[[target]]\nname = "x"\nkind = "webhook"\nsecret = "{WHSEC}"\n'
API = '[[target]]\nname = "x"\nkind = "http"\n'
URL = 'url = "https://hooks.example/a-secret-path"\n'

MISTAKES = {
    "no url": (HOOK, "[[target]] url: target 'x' needs url or url_file"),
    "no secret": ('[[target]]\nname = "x"\nkind = "webhook"\n' + URL, "needs secret or secret_file"),
    "foreign key": (HOOK + URL + 'base_url = "http://x"\n', "base_url: has no meaning with kind = 'webhook'"),
    "foreign code": (API + URL + 'raw = "x"\ninclude_code = true\n', "include_code: has no meaning with kind = 'http'"),
    "template in a webhook": (HOOK + URL + 'json = { a = "b" }\n', "json: has no meaning with kind = 'webhook'"),
    "url of a skyvern": ('[[target]]\nname = "x"\napi_key = "k"\n' + URL, "url: has no meaning with kind = 'skyvern'"),
    "event": (HOOK + URL + 'events = ["mail.lost"]\n', "'mail.lost' is not an event; the events are code.received"),
    "no event": (HOOK + URL + "events = []\n", "events: is empty"),
    "nobody": (HOOK + URL + "identifiers = []\n", "identifiers: must name an identifier"),
    "old alone": (API + URL + f'raw = "x"\nold_secret = "{WHSEC}"\n', "old_secret: has no meaning without secret"),
    "no body": (API + URL, "needs what is sent: json, form or raw"),
    "two bodies": (API + URL + 'raw = "x"\njson = {}\n', "raw: json is there too; keep one"),
    "body of a GET": (API + URL + 'method = "GET"\nraw = "x"\n', "raw: has no meaning with GET"),
    "value": (API + URL + 'raw = "{cod}"\n', "{cod} is no value"),
    "brace": (API + URL + 'raw = "{ x"\n', "alone means nothing; write it twice"),
    "header's value": (API + URL + 'raw = "x"\nheaders = ["X: {cod}"]\n', "{cod} is no value"),
    "date": (API + URL + "json = { a = 2026-01-01 }\n", "holds a date"),
    "method": (API + URL + 'raw = "x"\nmethod = "TRACE"\n', "must be one of POST, PUT, PATCH, GET, DELETE"),
    "notice without": ('[[notify]]\nname = "n"\nkind = "ntfy"\n', "notice 'n' needs topic"),
    "notice of another kind": ('[[notify]]\nname = "n"\nkind = "slack"\n' + URL + 'topic = "t"\n', "topic: has no meaning"),
    "code in a notice": ('[[notify]]\nname = "n"\nkind = "http"\n' + URL + 'raw = "{code}"\n', "may show a code"),
    "twice": (('[[notify]]\nname = "n"\nkind = "slack"\n' + URL) * 2, "'n' is listed twice"),
    "priority": ('[[notify]]\nname = "n"\nkind = "ntfy"\ntopic = "t"\npriority = 11\n', "between 0 and 10"),
    "beat": ('[heartbeat]\nurl = "https://x.example/"\nevery = "1s"\n', "[heartbeat] every: must be between 5s and 1d"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_key(name: str, tmp_path: Path) -> None:
    """One problem for one mistake."""
    text, wanted = MISTAKES[name]
    config = tmp_path / "mailbridge.toml"
    config.write_text(text, encoding="utf-8")
    _, problems = examine(config, environ={}, cwd=tmp_path)
    assert [wanted in str(one) for one in problems] == [True], problems
    assert not any("a-secret-path" in str(one) or WHSEC in str(one) for one in problems)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HOOK + 'url = "ftp://hooks.example/a-secret-path"\n', "url: must begin with https://"),
        (HOOK + 'url = "https://u:p@hooks.example/a-secret-path"\n', "url: must hold no user"),
        (HOOK.replace(WHSEC, "whsec_short") + URL, "secret: must be whsec_"),
        (
            HOOK + 'url = "http://hooks.example/a-secret-path"\nallow_private = false\n',
            "url: http:// leads to private addresses alone",
        ),
        (API + URL + 'raw = "x"\nheaders = ["a-secret-path"]\n', "headers: must be lines like"),
        (HOOK + 'url = "http://127.0.0.1:8025/a-secret-path"\n', "is this daemon's own address"),
        ('[[notify]]\nname = "n"\nkind = "slack"\nurl = "x"\n', "url: must begin"),
        ('[heartbeat]\nurl = "x"\n', "url: must begin"),
    ],
)
def test_what_only_the_parts_can_tell_is_told_too(text: str, wanted: str, tmp_path: Path) -> None:
    """By check-config, a start and a reload alike; nothing is asked over the network."""
    config = tmp_path / "mailbridge.toml"
    config.write_text(text, encoding="utf-8")
    problems = list(file_problems(load(config, environ={}, cwd=tmp_path).settings))
    assert [wanted in str(one) for one in problems] == [True], problems
    assert not any("a-secret-path" in str(one) for one in problems)


def test_several_secrets_stand_in_a_file_one_a_line(tmp_path: Path) -> None:
    """``headers_file``, as ``[pull] keys_file``."""
    headers = tmp_path / "headers"
    headers.write_text("X-One: 1\n\nX-Two: 2\n", encoding="utf-8")
    headers.chmod(0o600)
    config = tmp_path / "mailbridge.toml"
    config.write_text(HOOK + URL + 'headers_file = "headers"\n', encoding="utf-8")
    (target,) = load(config, environ={}, cwd=tmp_path).settings.target
    assert [one.reveal() for one in target.headers] == ["X-One: 1", "X-Two: 2"]


def test_a_raw_template_may_have_several_lines(tmp_path: Path) -> None:
    """Other texts may not."""
    config = tmp_path / "mailbridge.toml"
    config.write_text(API + URL + 'raw = """\n<a>\n{code}\n</a>\n"""\n', encoding="utf-8")
    (target,) = load(config, environ={}, cwd=tmp_path).settings.target
    assert target.raw == "<a>\n{code}\n</a>\n"
