"""Extraction rules: TOML that people read, patterns that re2 runs, and examples that prove them at load."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from fnmatch import translate
from typing import Any

import re2

from mailbridge.core import wording
from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Message
from mailbridge.core.rule_error import RuleError
from mailbridge.core.secret import Secret
from mailbridge.core.url import ambiguity, ascii_host, read
from mailbridge.core.wording import Language, Wording

__all__ = ["Match", "Rule", "RuleError", "RuleSet", "bare", "is_host_allowed", "load", "searchable"]

WORDING = "/wording/"
"""What stands in the name of a file that holds the words of a language in place of rules."""

KEYS = frozenset(
    {
        "name",
        "from",
        "subject",
        "to",
        "pattern",
        "lifetime",
        "link_hosts",
        "accepts",
        "rejects",
        "source",
        "adds",
        "version",
    }
)
TEXT_LIMIT = 200_000
LONGEST_NAME = 200
LARGEST_VERSION = 1_000_000_000
DURATION = re.compile(r"(\d{1,4})(s|m|h)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, compiled. Empty tuples match everything; ``from`` and ``to`` are patterns with ``*``. ``table`` is it as it was written."""

    name: str
    origin: str
    pattern_text: str
    pattern: re2._Regexp
    group: int
    is_link: bool
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    subject: re2._Regexp | None = None
    lifetime: timedelta | None = None
    link_hosts: tuple[str, ...] = ()
    accepts: tuple[tuple[str, str], ...] = ()
    rejects: tuple[str, ...] = ()
    source: str = ""
    adds: str = ""
    version: int = 1
    table: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def find(self, text: str) -> tuple[str, int, int] | None:
        """What the group holds in a text, and where it stands."""
        found = self.pattern.search(text[:TEXT_LIMIT])
        if found is None or found.group(self.group) is None:
            return None
        value = found.group(self.group)
        if self.is_link and not self._is_host_allowed(value):
            return None
        return value, found.start(self.group), found.end(self.group)

    def concerns(self, message: Message) -> bool:
        """Whether sender, recipient and subject are this rule's."""
        if self.senders and not _matches(message.sender, self.senders):
            return False
        if self.recipients and not any(_matches(address, self.recipients) for address in message.to):
            return False
        return self.subject is None or self.subject.search(message.subject) is not None

    def _is_host_allowed(self, url: str) -> bool:
        if not self.link_hosts:
            return True
        found = read(url)
        return found is not None and not ambiguity(found) and is_host_allowed(found.host, self.link_hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a rule found in a mail."""

    rule: Rule
    value: Secret
    displayed: Secret
    is_link: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """All rules in order of precedence, and the words of languages."""

    rules: tuple[Rule, ...]
    wording: Wording

    def match(self, message: Message) -> Match | None:
        """The first rule that concerns the mail and finds something in it."""
        text: str | None = None
        for rule in self.rules:
            if not rule.concerns(message):
                continue
            if text is None:
                text = searchable(message)
            found = rule.find(text)
            if found is not None:
                shown = found[0]
                value = shown if rule.is_link else bare(shown)
                return Match(rule=rule, value=Secret(value), displayed=Secret(shown), is_link=rule.is_link)
        return None


def searchable(message: Message) -> str:
    """The text that patterns run over: subject, plain text, visible HTML, and the addresses of links, a line each."""
    parts = [message.subject]
    for page in (message.plain, message.html):
        if page is not None:
            parts += [page.text, *(link.url for link in page.links)]
    return "\n".join(parts)[:TEXT_LIMIT]


def bare(shown: str) -> str:
    """What a site's field wants of a code as it is shown: grouping of digits removed, everything else as it is."""
    stripped = re.sub(r"[\s\u00a0\u2009\u202f]", "", shown)
    digits = re.sub(r"[-–‐‑.]", "", stripped)
    return digits if digits.isdigit() else stripped


def load(sources: Iterable[tuple[str, str]]) -> RuleSet:
    """Compile rule files given as (name, text); one in a folder ``wording`` gives the words of a language.

    Raises:
        RuleError: every mistake in every file, each with file, line, rule and reason.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    languages: list[Language] = []
    names: dict[str, str] = {}
    for origin, text in sources:
        try:
            if WORDING in origin:
                languages.append(wording.read_language(origin, text))
                continue
            content = tomllib.loads(text)
        except wording.WordingError as fault:
            problems += fault.problems
            continue
        except (tomllib.TOMLDecodeError, ValueError) as fault:
            problems.append(f"{origin}: {fault}")
            continue
        for entry, line in zip(_entries(content, origin, problems), _lines(text), strict=False):
            place = origin if origin.startswith("[[") else f"{origin}:{line}"  # a table of the configuration has no file here
            rule = _Reader(origin=place, entry=entry, problems=problems).read()
            if rule is None:
                continue
            if rule.name in names:
                if names[rule.name] == origin:
                    problems.append(f"{place}: rule {rule.name!r}: the name is used twice")
                continue  # an earlier file has a rule of this name: it replaces the later one
            names[rule.name] = origin
            rules.append(rule)
    if problems:
        raise RuleError(problems)
    return RuleSet(rules=tuple(rules), wording=wording.compiled(languages))


def _entries(content: dict[str, Any], origin: str, problems: list[str]) -> list[dict[str, Any]]:
    unknown = set(content) - {"rule"}
    if unknown:
        problems.append(f"{origin}: {', '.join(sorted(unknown))}: unknown; a rules file holds [[rule]] tables")
    entries = content.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.append(f"{origin}: rule must be a list of tables: [[rule]]")
        return []
    return entries


def _lines(text: str) -> list[int]:
    found = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[rule]]")]
    return found or [1] * 1_000


class _Reader:
    """Reads one ``[[rule]]`` and gathers what is wrong with it."""

    def __init__(self, *, origin: str, entry: dict[str, Any], problems: list[str]) -> None:
        self._origin = origin
        self._entry = entry
        self._problems = problems
        name = entry.get("name")
        self._name = name[:LONGEST_NAME] if isinstance(name, str) else "?"
        self._count = len(problems)

    def read(self) -> Rule | None:
        """The rule, or None with its problems noted."""
        entry = self._entry
        for key in sorted(set(entry) - KEYS):
            self._complain(f"{key}: unknown key; known are {', '.join(sorted(KEYS))}")
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip():
            self._complain("needs a name")
        elif len(name) > LONGEST_NAME or not name.isprintable():
            self._complain(f"name must have {LONGEST_NAME} characters at most, all of them printable")
        pattern = self._pattern("pattern", is_needed=True)
        group, is_link = self._group(pattern)
        rule = None
        if pattern is not None and len(self._problems) == self._count:
            rule = Rule(
                name=str(entry["name"]),
                origin=self._origin,
                pattern_text=str(entry["pattern"]),
                pattern=pattern,
                group=group,
                is_link=is_link,
                senders=self._texts("from"),
                recipients=self._texts("to"),
                subject=self._pattern("subject", is_needed=False),
                lifetime=self._lifetime(),
                link_hosts=self._texts("link_hosts"),
                accepts=self._accepts(),
                rejects=self._texts("rejects"),
                source=self._text("source"),
                adds=self._text("adds"),
                version=self._version(),
                table=entry,
            )
            self._prove(rule)
        return rule if len(self._problems) == self._count else None

    def _complain(self, what: str) -> None:
        self._problems.append(f"{self._origin}: rule {self._name!r}: {what}")

    def _pattern(self, key: str, *, is_needed: bool) -> re2._Regexp | None:
        text = self._entry.get(key)
        if text is None:
            if is_needed:
                self._complain(f"needs a {key}")
            return None
        if not isinstance(text, str):
            self._complain(f"{key} must be a text")
            return None
        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile(text, options)
        except re2.error as fault:
            reason = fault.args[0].decode("utf-8", "replace") if fault.args and isinstance(fault.args[0], bytes) else fault
            self._complain(f"{key}: re2 refuses it: {reason} (no lookaround, no backreferences)")
            return None

    def _group(self, pattern: re2._Regexp | None) -> tuple[int, bool]:
        if pattern is None:
            return 0, False
        groups = pattern.groupindex
        if ("code" in groups) == ("link" in groups):
            self._complain("the pattern needs one named group: (?P<code>…) or (?P<link>…)")
            return 0, False
        return groups.get("code") or groups["link"], "link" in groups

    def _text(self, key: str) -> str:
        value = self._entry.get(key, "")
        if not isinstance(value, str):
            self._complain(f"{key} must be a text")
            return ""
        return value

    def _version(self) -> int:
        value = self._entry.get("version", 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_VERSION:
            self._complain(f"version must be a whole number of at most {LARGEST_VERSION:,}")
            return 1
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._entry.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self._complain(f"{key} must be a text or a list of texts")
            return ()
        return tuple(listed)

    def _lifetime(self) -> timedelta | None:
        value = self._entry.get("lifetime")
        if value is None:
            return None
        found = DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self._complain("lifetime must be like 10m, 90s or 1h")
            return None
        return timedelta(**{UNITS[found[2]]: int(found[1])})

    def _accepts(self) -> tuple[tuple[str, str], ...]:
        """Pairs of text and the value to be found in it: ``accepts = [{ text = "…", value = "…" }]``."""
        value = self._entry.get("accepts", [])
        if not isinstance(value, list) or not value:
            self._complain("needs accepts: at least one { text = …, value = … } that proves it")
            return ()
        pairs = []
        for number, one in enumerate(value):
            is_pair = isinstance(one, dict) and set(one) == {"text", "value"} and all(isinstance(v, str) for v in one.values())
            if is_pair:
                pairs.append((one["text"], one["value"]))
            else:
                self._complain(f"accepts[{number}] must be {{ text = …, value = … }}")
        return tuple(pairs)

    def _prove(self, rule: Rule) -> None:
        for problem in prove(rule):
            self._complain(problem)


def prove(rule: Rule) -> list[str]:
    """Run a rule against its own examples; every one that comes out wrong is a line."""
    problems = []
    for number, (text, value) in enumerate(rule.accepts):
        found = rule.find(text)
        if found is None:
            problems.append(f"accepts[{number}] does not match")
        elif value not in (found[0], bare(found[0])):
            problems.append(f"accepts[{number}] finds something else than its value")
    problems += [f"rejects[{number}] matches" for number, text in enumerate(rule.rejects) if rule.find(text) is not None]
    return problems


def is_host_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host (lower-case ASCII, as `url.read` gives it) is listed: itself, or as a subdomain of a ``*.`` entry.

    Entries may be written with letters beyond ASCII.
    """
    for entry in allowed:
        name = ascii_host(entry.removeprefix("*."))
        if name and (host.endswith(f".{name}") if entry.startswith("*.") else host == name):
            return True
    return False


def _matches(address: str, patterns: Sequence[str]) -> bool:
    return bool(patterns) and _pattern(tuple(patterns)).match(address.casefold()) is not None


@functools.cache
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Patterns with ``*`` as one, compiled once: the library remembers 256, and an operator may have more rules."""
    return re.compile("|".join(translate(pattern.casefold()) for pattern in patterns))
