"""For people who write rules: where a rule matches in a mail, and a first rule proposed from a mail."""

from __future__ import annotations

import json
import re

from mailbridge.core.dataclass import dataclass
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.mail import Message
from mailbridge.core.rules import Rule, searchable
from mailbridge.core.url import host_of

CONTEXT = 60
MAX_HEAD = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one rule makes of one mail. ``before``, ``found`` and ``after`` are the text around the match, in clear.

    ``reason`` says why nothing was found; it is "" where something was.
    """

    rule: str
    concerns: bool
    found: str | None = None
    start: int = 0
    end: int = 0
    before: str = ""
    after: str = ""
    reason: str = ""


def trial(rule: Rule, message: Message) -> Trial:
    """Run one rule against one mail, and say where it matches or why it does not."""
    if not rule.concerns(message):
        return Trial(rule=rule.name, concerns=False, reason="from, to or subject is another's")
    text = searchable(message)
    found = rule.find(text)
    if found is None:
        reason = "the pattern finds nothing, or its link leads to a host that is not allowed"
        return Trial(rule=rule.name, concerns=True, reason=reason)
    value, start, end = found
    return Trial(
        rule=rule.name,
        concerns=True,
        found=value,
        start=start,
        end=end,
        before=text[max(0, start - CONTEXT) : start],
        after=text[end : end + CONTEXT],
    )


def proposal(message: Message, extraction: Extraction) -> str | None:
    """A rule in TOML for mails like this one, made of what was found in it; None where nothing was.

    The examples carry a made-up value of the same shape in place of the real one.
    """
    if extraction.displayed is None or extraction.verdict not in (Verdict.CODE, Verdict.LINK, Verdict.AMBIGUOUS, Verdict.EXPIRED):
        return None
    shown = extraction.displayed.reveal()
    is_link = shown.startswith(("http://", "https://"))
    text = searchable(message)
    place = text.find(shown)
    head = text[:place].rpartition("\n")[2][-MAX_HEAD:] if place >= 0 else ""
    if is_link:
        host = host_of(shown)
        written = re.split(r"[/?#:]", shown.partition("//")[2], maxsplit=1)[0]
        pattern = rf"(?P<link>https?://{re.escape(written)}/\S+)"
        sample = f"https://{written}/sign-in?token=example"
        accepts = (sample, sample)
    else:
        sample = _same_shape(shown)
        label = re.sub(r"\d+", lambda match: f"[0-9]{{{len(match.group())}}}", _escaped(head.lstrip()))
        pattern = f"{label}(?P<code>{_shape_pattern(shown)})" if label else f"(?m)^(?P<code>{_shape_pattern(shown)})$"
        accepts = (re.sub(r"\d", "1", head.lstrip()) + sample, sample)
    lines = [
        "[[rule]]",
        f"name = {_quoted(_name(message.sender))}",
        *([f"from = [{_quoted('*@' + message.sender.rpartition('@')[2])}]"] if "@" in message.sender else []),
        f"pattern = {_quoted(pattern)}",
        *([f"lifetime = {_quoted(f'{int(extraction.lifetime.total_seconds())}s')}"] if extraction.lifetime else []),
        *([f"link_hosts = [{_quoted(host)}]"] if is_link else []),
        f"accepts = [{{ text = {_quoted(accepts[0])}, value = {_quoted(accepts[1])} }}]",
        'rejects = ["Order number 12"]',
    ]
    return "\n".join(lines) + "\n"


def _name(sender: str) -> str:
    domain = sender.rpartition("@")[2]
    return re.sub(r"[^a-z0-9]+", "-", domain.rpartition(".")[0].lower()).strip("-") or "new-rule"


def _quoted(text: str) -> str:
    """A TOML basic string: what JSON writes is one, less the control character DEL."""
    return json.dumps(text.replace("\x7f", ""), ensure_ascii=False)


def _escaped(text: str) -> str:
    """Literal for re2, and short: only what has a meaning there is escaped."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", lambda match: "\\" + match.group(), text)


def _shape_pattern(shown: str) -> str:
    """A pattern for everything of the shape of a code: digits for digits, letters for letters, marks as they stand."""
    parts = []
    for match in re.finditer(r"\d+|[A-Za-z]+|[^A-Za-z\d]+", shown):
        run = match.group()
        if run[0].isdigit():
            parts.append(rf"\d{{{len(run)}}}")
        elif run.isascii() and run.isalpha():
            parts.append(f"[A-Za-z0-9]{{{len(run)}}}")
        else:
            parts.append(_escaped(run))
    if re.search(r"[A-Za-z]\d|\d[A-Za-z]", shown) and shown.isalnum():
        return f"[A-Za-z0-9]{{{len(shown)}}}"
    return "".join(parts)


def _same_shape(shown: str) -> str:
    digits = iter("482913" * 8)
    return "".join(next(digits) if c.isdigit() else ("K" if c.isupper() else "k") if c.isalpha() else c for c in shown)
