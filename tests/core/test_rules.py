"""Rules: read, proved by their own examples, and refused with file, line, rule and reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.mail import Message
from mailbridge.core.rules import Rule, RuleError, RuleSet, bare, load
from mailbridge.core.text import page_from_plain

GOOD = """[[rule]]
name = "acme"
from = ["*@acme.example"]
pattern = 'gate (?P<code>\\d{4})'
lifetime = "5m"
accepts = [{ text = "gate 4821", value = "4821" }]
rejects = ["door 4821"]
"""


def message(text: str, sender: str = "a@acme.example") -> Message:
    """A mail of one plain part."""
    return Message(sender=sender, subject="s", plain=page_from_plain(text))


def test_the_first_rule_that_finds_something_wins() -> None:
    """Rules are tried in order, and one that finds nothing lets the next try."""
    rules = load(
        [("a.toml", GOOD), ("b.toml", GOOD.replace("door", "hall").replace('"acme"', '"other"').replace("gate", "door"))]
    )
    found = rules.match(message("door 1234"))
    assert found is not None
    assert (found.rule.name, found.value.reveal(), found.rule.lifetime) == ("other", "1234", timedelta(minutes=5))


def test_a_rule_leaves_other_senders_alone() -> None:
    """A rule with ``from`` concerns only its senders."""
    assert load([("a.toml", GOOD)]).match(message("gate 4821", sender="a@elsewhere.example")) is None


def test_an_earlier_file_replaces_a_rule_of_the_same_name() -> None:
    """The operator's rule stands in the place of the shipped one of that name."""
    rules = load([("mine.toml", GOOD), ("shipped.toml", GOOD)])
    assert [rule.origin for rule in rules.rules] == ["mine.toml:1"]


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        ("(?P<code>", "(", "named group"),
        ("\\d{4})'", "\\d{4})(?=x)'", "re2 refuses"),
        ('rejects = ["door 4821"]', 'rejects = ["door 1", "gate 4821"]', "rejects[1] matches"),
        ("gate 4821", "door 4821", "accepts[0] does not match"),
        ('value = "4821"', 'value = "9999"', "accepts[0] finds something else"),
        ('"5m"', '"5 minutes"', "lifetime"),
        ("lifetime", "lifetimes", "lifetimes: unknown key"),
    ],
)
def test_a_mistake_names_file_line_rule_and_reason(was: str, becomes: str, reason: str) -> None:
    """What is wrong in a rule is told with the place where it stands."""
    with pytest.raises(RuleError) as caught:
        load([("config/rules.toml", "\n" + GOOD.replace(was, becomes, 1))])
    assert caught.value.problems[0].startswith("config/rules.toml:2: rule 'acme': ")
    assert reason in caught.value.problems[0]


def test_every_mistake_is_told_at_once() -> None:
    """Two broken rules in two files make two lines."""
    broken = GOOD.replace("(?P<code>", "(")
    with pytest.raises(RuleError) as caught:
        load([("a.toml", broken), ("b.toml", broken)])
    assert [line.split(":")[0] for line in caught.value.problems] == ["a.toml", "b.toml"]


LINK_RULE = """[[rule]]
name = "link"
pattern = '(?P<link>https?:[^\\s]+)'
link_hosts = ["login.acme.example", "*.bücher.example"]
accepts = [{ text = "https://login.acme.example/x", value = "https://login.acme.example/x" }]
"""


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("https://login.acme.example/x", True),
        ("https://LOGIN.acme.example/x", True),
        ("https://app.bücher.example/x", True),
        ("https://app.xn--bcher-kva.example/x", True),
        ("https://bücher.example/x", False),
        ("https://acme.example/x", False),
        ("https://evil.example\\.login.acme.example/x", False),
        ("https://login.acme.example\\.evil.example/x", False),
        ("https://login.acme.example@evil.example/x", False),
        ("https://a@login.acme.example/x", False),
        ("https://login.acme.example:8443/x", False),
        ("https://evil.example%2f.login.acme.example/x", False),
        ("https://login。acme.example/x", False),
    ],
)
def test_the_hosts_of_a_rule_are_read_as_a_browser_reads_them(url: str, is_found: bool) -> None:
    """A link that leads to no listed host, or that readers may read differently, is not found by the rule."""
    (rule,) = load([("a.toml", LINK_RULE)]).rules
    assert (rule.find(f"Sign in: {url}") is not None) is is_found


@pytest.mark.parametrize(("shown", "value"), [("482 913", "482913"), ("482-913", "482913"), ("7K4-91Q", "7K4-91Q")])
def test_grouping_goes_from_digits_only(shown: str, value: str) -> None:
    """A field wants digits without their grouping, and other codes as they are shown."""
    assert bare(shown) == value


SOURCES = list(rule_sources(RuleSettings()))
SHIPPED = load(SOURCES).rules


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda one: one.name)
def test_a_shipped_rule_says_whose_it_is_and_what_it_adds(rule: Rule) -> None:
    """A shipped rule has senders, a source with an address, what it adds, a version, and examples on both sides."""
    assert rule.senders
    assert all(sender not in ("", "*") for sender in rule.senders)
    assert "https://" in rule.source
    assert rule.adds
    assert rule.version >= 1
    assert rule.accepts
    assert rule.rejects


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda one: one.name)
def test_a_shipped_rule_adds_something(rule: Rule) -> None:
    """Without the rule some example of its own gives another value, or no lifetime."""
    generic = load([(name, text) for name, text in SOURCES if "/wording/" in name])

    def told(rules: RuleSet, text: str) -> tuple[str | None, timedelta | None]:
        mail = Message(sender=rule.senders[0].replace("*", "x"), plain=page_from_plain(text))
        found = extract(mail, rules=rules, now=datetime(2026, 5, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))
        return (found.value.reveal() if found.value and found.verdict.is_pushed else None), found.lifetime

    assert any(told(load(SOURCES), text) != told(generic, text) for text, _ in rule.accepts)
