"""`gmail filter`: a feed that Gmail imports, with conditions that can match."""

from __future__ import annotations

import re
import tomllib
from xml.etree import ElementTree as ET

from mailbridge.config.rulepack import shipped_names, shipped_source
from mailbridge.config.settings import RuleSettings
from mailbridge.operator.gmail import LONGEST, link
from mailbridge.operator.phrases import sign_in_phrases
from tests.cli.running import Run

ATOM = "{http://www.w3.org/2005/Atom}"
MOST_FILTERS = 20
"""How many filters of an account may forward, as Gmail's help says."""

APPS = "{http://schemas.google.com/apps/2006}"


def _filters(feed: str) -> list[dict[str, str]]:
    """The properties of each filter in a feed."""
    root = ET.fromstring(feed)
    assert root.tag == f"{ATOM}feed"
    entries = root.findall(f"{ATOM}entry")
    assert all(entry.find(f"{ATOM}category").attrib == {"term": "filter"} for entry in entries)  # type: ignore[union-attr]
    return [{one.attrib["name"]: one.attrib["value"] for one in entry.findall(f"{APPS}property")} for entry in entries]


def test_senders_become_one_condition(run: Run) -> None:
    """Each --from once, joined as Gmail joins them; forwarded, and kept out of spam, where nothing is forwarded."""
    done = run(
        "gmail",
        "filter",
        "--forward-to",
        "otp@bridge.example",
        "--from",
        "a@b.example",
        "--from",
        "c.example",
        "--from",
        "c.example",
    )
    assert done.code == 0
    assert _filters(done.out) == [
        {"from": "a@b.example OR c.example", "forwardTo": "otp@bridge.example", "shouldNeverSpam": "true"}
    ]


def test_words_are_quoted_and_escaped(run: Run) -> None:
    """Several words are a phrase; what XML would take for its own is escaped; subject and words are filters of their own."""
    done = run("gmail", "filter", "--forward-to", "o@b.example", "--subject", "sign in & go", "--words", "<code>", "--archive")
    assert [(one.get("subject"), one.get("hasTheWord"), one["shouldArchive"]) for one in _filters(done.out)] == [
        ('"sign in & go"', None, "true"),
        (None, "<code>", "true"),
    ]


def test_a_long_list_makes_several_filters(run: Run) -> None:
    """Gmail takes an overlong condition and never matches it, so none is longer than the limit, and no sender is lost."""
    senders = [f"no-reply@shop-{number}.example" for number in range(200)]
    done = run("gmail", "filter", "--forward-to", "o@b.example", *(part for one in senders for part in ("--from", one)))
    conditions = [one["from"] for one in _filters(done.out)]
    assert len(conditions) > 1
    assert all(len(one) <= LONGEST for one in conditions)
    assert " OR ".join(conditions).split(" OR ") == senders


def test_without_conditions_it_asks_for_what_codes_say_in_every_language(run: Run) -> None:
    """Filters for sign-in mails of every sender, to the first configured recipient; no more than Gmail forwards by."""
    found = _filters(run("gmail", "filter").out)
    assert {one["forwardTo"] for one in found} == {"codes@mailbridge.localhost"}
    asked = " OR ".join(one["hasTheWord"] for one in found)
    for phrase in (
        '"verification code"',
        "sicherheitscode",
        '"code de vérification"',
        "認証コード",
        '"код подтверждения"',
        '"verifikacijski kod"',
    ):
        assert phrase in asked.split(" OR ")
    assert len(found) <= MOST_FILTERS
    assert all(len(one["hasTheWord"]) <= LONGEST for one in found)


def test_every_language_has_a_phrase_that_its_proof_or_its_list_has() -> None:
    """No phrase has a mark of the wording files, and no language is left out."""
    phrases = set(sign_in_phrases())
    assert not [one for one in phrases if set(one) & set("*~")]
    for name in shipped_names(RuleSettings(builtin=False)):
        code = tomllib.loads(shipped_source(name)[1])["code"]
        stems = [
            re.escape(one.lstrip("*")).replace(r"\~", r"\S*").replace(r"\*", r"\S*") for one in code["words"] + code["generic"]
        ]
        assert any(re.fullmatch(stem, phrase, re.IGNORECASE) for stem in stems for phrase in phrases), name


def test_a_target_that_is_no_address_is_refused(run: Run) -> None:
    """Exit 2 and a line."""
    done = run("gmail", "filter", "--forward-to", "nobody")
    assert (done.code, done.out) == (2, "")
    assert "'nobody' is not a mail address" in done.err


def test_few_senders_are_a_link_too() -> None:
    """Gmail's own form with them filled in; none is for any sender, or for more than one condition holds."""
    form = "https://mail.google.com/mail/u/0/#create-filter/from="
    assert link(["github.com", "*@slack.com"]) == f"{form}github.com%20OR%20slack.com"
    assert link(["a+b@corp.com"]) == f"{form}a%2Bb%40corp.com"
    assert link([]) == link(["*"]) == ""
    assert link([f"no-reply@shop-{number}.example" for number in range(200)]) == ""
