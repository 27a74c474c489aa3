"""Who is known for an identifier, as a table: by what, and by what not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailbridge.trust.known import SOURCES, Acquaintance, Named, Question, domain_of, names_somebody, site_of

ANN = "ann@corp.example"
ASKED = Question(sender="no-reply@mail.acme.example", identifier=ANN)
TENANT = replace(ASKED, sender="no-reply@acme.okta.com")
MAILBOX = replace(ASKED, sender="bob@yahoo.com")
ACME = frozenset({"acme.example"})


@pytest.mark.parametrize(
    ("one", "question", "by"),
    [
        (Acquaintance(), ASKED, ""),
        (Acquaintance(senders=("*",)), ASKED, ""),
        (Acquaintance(senders=("*@*",)), ASKED, ""),
        (Acquaintance(senders=("*@*.example",)), ASKED, ""),
        (Acquaintance(senders=("*@mail.acme.example",)), ASKED, "[trust] senders"),
        (Acquaintance(senders=("*@*.acme.example",)), ASKED, "[trust] senders"),
        (Acquaintance(senders=("*@acme.example",)), ASKED, ""),
        (Acquaintance(), replace(ASKED, accept_from=("NO-REPLY@mail.acme.example",)), "accept_from of its address"),
        (Acquaintance(), replace(ASKED, ruled=("*@mail.acme.example",)), "a rule"),
        (Acquaintance(named=(Named(sender="acme.example"),)), ASKED, "`mailbridge sender allow`"),
        (Acquaintance(named=(Named(sender="acme.example", identifiers=("ben@corp.example",)),)), ASKED, ""),
        (
            Acquaintance(named=(Named(sender="acme.example", identifiers=("*@corp.example",)),)),
            ASKED,
            "`mailbridge sender allow`",
        ),
        (Acquaintance(named=(Named(sender="a@acme.example"),)), ASKED, ""),
        (Acquaintance(), replace(ASKED, sites=("https://app.acme.example/login",)), "[[address]] site"),
        (Acquaintance(), replace(ASKED, learned=ACME), "the site of a Skyvern credential"),
        (Acquaintance(), replace(ASKED, polling=ACME), "the site of the run that polls"),
        (Acquaintance(), replace(ASKED, learned=frozenset({"acme.co.uk", "acme-example.com"})), ""),
        (
            Acquaintance(mailing={"acme.co.uk": ACME}),
            replace(ASKED, learned=frozenset({"acme.co.uk"})),
            "the site of a Skyvern credential",
        ),
        (
            Acquaintance(mailing={"acme.example": frozenset({"acme.co.uk"})}),
            replace(ASKED, learned=frozenset({"acme.co.uk"})),
            "",
        ),
        (
            Acquaintance(senders=("*@mail.acme.example",), named=(Named(sender="acme.example", is_allowed=False),)),
            ASKED,
            "",
        ),
        (
            Acquaintance(
                named=(Named(sender="acme.example", is_allowed=False), Named(sender="acme.example", identifiers=(ANN,)))
            ),
            ASKED,
            "`mailbridge sender allow`",
        ),
        (
            Acquaintance(named=(Named(sender="acme.example"), Named(sender="no-reply@mail.acme.example", is_allowed=False))),
            ASKED,
            "",
        ),
        (Acquaintance(), replace(TENANT, learned=frozenset({"acme.okta.com"})), "the site of a Skyvern credential"),
        (Acquaintance(), replace(TENANT, learned=frozenset({"evil.okta.com"})), ""),
        (Acquaintance(), replace(TENANT, learned=frozenset({"okta.com"})), ""),
        (Acquaintance(), replace(TENANT, sites=("evil.okta.com",)), ""),
        (
            Acquaintance(),
            replace(TENANT, sender="no-reply@okta.com", learned=frozenset({"acme.okta.com"})),
            "the site of a Skyvern credential",
        ),
        (Acquaintance(named=(Named(sender="acme.okta.com"),)), TENANT, "`mailbridge sender allow`"),
        (Acquaintance(named=(Named(sender="evil.okta.com"),)), TENANT, ""),
        (Acquaintance(named=(Named(sender="okta.com"),)), TENANT, "`mailbridge sender allow`"),
        (Acquaintance(), replace(MAILBOX, learned=frozenset({"yahoo.com"})), ""),
        (Acquaintance(), replace(MAILBOX, polling=frozenset({"yahoo.com"})), ""),
        (Acquaintance(named=(Named(sender="bob@yahoo.com"),)), MAILBOX, "`mailbridge sender allow`"),
        (Acquaintance(named=(Named(sender="eve@yahoo.com"),)), MAILBOX, ""),
        (Acquaintance(named=(Named(sender="yahoo.com"),)), MAILBOX, "`mailbridge sender allow`"),
        (
            Acquaintance(mailing={"okta.com": frozenset({"acme.example"})}),
            replace(ASKED, learned=frozenset({"acme.okta.com"})),
            "the site of a Skyvern credential",
        ),
    ],
)
def test_who_is_known_and_by_what(one: Acquaintance, question: Question, by: str) -> None:
    """The registrable domain is compared; a forbidden sender is known by nothing, and what is said more exactly counts."""
    assert one.by(question) == by


def test_every_source_has_a_row() -> None:
    """No way to be known is left out of the table above."""
    rows = test_who_is_known_and_by_what.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[2] for row in rows} - {""} == {source for source, _ in SOURCES}


@pytest.mark.parametrize(
    ("typed", "site"),
    [
        ("https://www.acme.example/login?x=1", "acme.example"),
        ("acme.example", "acme.example"),
        ("App.Acme.co.uk:8443/x", "acme.co.uk"),
        ("//acme.example/x", "acme.example"),
        ("https://ann:pw@acme.example/", "acme.example"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://a.github.io", "a.github.io"),
        ("https://acme.okta.com/app", "acme.okta.com"),
        ("https://login.okta.com/", "okta.com"),
        ("https://evil.example\\@acme.example/", "evil.example"),
        ("https://a@b@acme.example/", "acme.example"),
        ("not a url, 12", ""),
        ("", ""),
        ("co.uk", ""),
        ("http://192.0.2.1/login", ""),
        ("http://[2001:db8::1]/", ""),
        ("localhost", ""),
        ("{{ site }}", ""),
    ],
)
def test_a_site_is_read_from_what_people_enter(typed: str, site: str) -> None:
    """With or without a scheme; what has no host of somebody's is no site, and no error."""
    assert site_of(typed) == site


def test_only_an_exact_address_is_listed_exactly() -> None:
    """A domain or a pattern names no address, whoever of it writes."""
    one = Acquaintance(senders=("*@mail.acme.example",), named=(Named(sender="acme.example"),))
    assert not one.lists_exactly(ASKED)
    assert one.lists_exactly(replace(ASKED, accept_from=("no-reply@mail.acme.example",)))
    assert replace(one, named=(Named(sender="no-reply@mail.acme.example"),)).lists_exactly(ASKED)


def test_an_address_without_a_domain_of_somebodys_has_none() -> None:
    """A suffix, a literal and nothing at all are nobody's."""
    assert [domain_of(one) for one in ("a@co.uk", "a@[192.0.2.1]", "", "a@b")] == ["", "", "", ""]


def test_case_makes_no_difference() -> None:
    """Senders and identifiers are written as people like."""
    loud = replace(MAILBOX, sender="Bob@Yahoo.com", identifier="Ann@Corp.example")
    one = Acquaintance(named=(Named(sender="BOB@yahoo.COM", identifiers=("ben@corp.example", "ANN@corp.example")),))
    assert one.by(loud)
    assert one.lists_exactly(loud)
    assert Acquaintance(senders=("BOB@yahoo.com",)).lists_exactly(loud)
    assert Acquaintance(senders=("*@MAIL.acme.example",)).by(replace(ASKED, sender="No-Reply@mail.Acme.example"))
    assert domain_of("Bob@Yahoo.com") == "bob@yahoo.com"


@pytest.mark.parametrize(
    ("named", "is_known"),
    [
        ((Named(sender="other.example", is_allowed=False),), True),
        ((Named(sender="acme.example", is_allowed=False), Named(sender="no-reply@mail.acme.example")), True),
        ((Named(sender="acme.example"), Named(sender="acme.example", is_allowed=False)), False),
        ((Named(sender="acme.example", is_allowed=False, identifiers=("ben@corp.example",)),), True),
    ],
)
def test_what_is_forbidden_more_exactly_counts(named: tuple[Named, ...], is_known: bool) -> None:
    """Of a listed sender: a word about somebody else changes nothing, and of two that are as exact the forbidding one holds."""
    assert bool(Acquaintance(senders=("*@mail.acme.example",), named=named).by(ASKED)) is is_known


def test_a_forbidden_address_or_another_identifiers_is_not_listed_exactly() -> None:
    """Only what is allowed for this identifier lists an address."""
    own = Named(sender="no-reply@mail.acme.example")
    for named in (replace(own, is_allowed=False), replace(own, identifiers=("ben@corp.example",))):
        assert not Acquaintance(named=(named,)).lists_exactly(ASKED)


def test_a_suffix_that_is_named_is_for_nobody() -> None:
    """Nobody has registered it, and who writes from there is no acquaintance."""
    assert not Named(sender="co.uk").concerns("a@co.uk", ANN)
    assert Acquaintance().mailing_for(["localhost"]) == ("localhost",)
    assert [names_somebody(one) for one in ("acme.example", "*@*acme.example", "*@acme.example")] == [False, False, True]


@pytest.mark.parametrize(
    ("typed", "site"),
    [
        ("acme.example is good", ""),
        (" acme.example ", "acme.example"),
        ("acme.nosuchdomain", ""),
        ("acme.okta.com.", "acme.okta.com"),
        (f"https://{'a' * 1_500}@acme.example/", "acme.example"),
        (f"https://{'a' * 3_000}@acme.example/", ""),
    ],
)
def test_a_site_is_one_host_that_can_exist(typed: str, site: str) -> None:
    """Blanks around it are nothing, words beside it make it none, and it is looked for at the begin of the text."""
    assert site_of(typed) == site
