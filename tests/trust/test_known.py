"""Who is known for an identifier, as a table: by what, and by what not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailbridge.trust.known import SOURCES, Acquaintance, Named, Question, domain_of, site_of

ANN = "ann@corp.example"
ASKED = Question(sender="no-reply@mail.acme.example", identifier=ANN)
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
