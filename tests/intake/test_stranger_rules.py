"""What is made of a mail's sender, rule by rule: whether a proof is worth looking for, who is known, what is held, what counts as bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbridge.config.settings import Strangers
from mailbridge.core.bound import Bound, Place
from mailbridge.core.delivery import Standing
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.secret import Secret
from mailbridge.intake.judgement import Kind
from mailbridge.intake.meaning import Understanding
from mailbridge.intake.strangers import Introduction, Meeting, NoContacts, introduce, invited, is_worth_a_proof
from mailbridge.trust import Proven
from mailbridge.trust.known import Acquaintance, Named
from tests.peers.contacts import Book

ANN, BOB = "ann@corp.example", "bob@corp.example"
ACME = "no-reply@acme.example"
CLAIMED = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
SIGNED = datetime(2026, 11, 25, 9, 57, tzinfo=UTC)
PROOF = Proven(by="dkim", detail="signed by acme.example", named=frozenset({ANN}), signed=frozenset({"from"}), dated_at=SIGNED)
KNOWN, FIRST_SEEN, ASIDE = Standing.KNOWN, Standing.FIRST_SEEN, Standing.ASIDE
KNOWS_ACME = Acquaintance(senders=("*@acme.example",))
NOTICE = "its List-Id is of a list of its sender's"


def understanding(sender: str = ACME, **more: Any) -> Understanding:
    """A code mail of a sender."""
    return Understanding(extraction=Extraction(verdict=Verdict.CODE), sender=sender, written_at=CLAIMED, **more)


def meeting(*identifiers: str, by: str = "token", proof: Proven | None = None, kind: Kind = "code", **mail: Any) -> Meeting:
    """A mail that has passed for Ann, or for these."""
    return Meeting(understood=understanding(**mail), kind=kind, identifiers=identifiers or (ANN,), by=by, proof=proof)


def introduced(
    one: Meeting, *, knows: Acquaintance | None = None, book: Book | None = None, strangers: Strangers = "codes"
) -> Introduction:
    """What is made of it."""
    return introduce(one, knows or Acquaintance(), book or Book(), strangers=strangers)


def allowed(sender: str, *identifiers: str) -> Acquaintance:
    """A sender that a person has allowed, for these identifiers alone."""
    return Acquaintance(named=(Named(sender=sender, identifiers=identifiers),))


@pytest.mark.parametrize(
    ("one", "knows", "book", "is_worth"),
    [
        (meeting(), Acquaintance(), Book(), False),
        (meeting(), KNOWS_ACME, Book(), True),
        (meeting(sender="a@evil.example"), KNOWS_ACME, Book(), False),
        (meeting(), Acquaintance(), Book(proven=frozenset({(ANN, "acme.example")})), True),
        (meeting(), Acquaintance(), Book(proven=frozenset({(ANN, "evil.example")})), False),
        (meeting(), Acquaintance(), Book(awaited=frozenset({ACME})), True),
        (meeting(sender="a@localhost"), Acquaintance(), Book(awaited=frozenset({"a@localhost"})), False),
        (meeting(sender=""), Acquaintance(), Book(awaited=frozenset({""})), False),
        (meeting(BOB, ANN), allowed("acme.example", ANN), Book(), True),
        (replace(meeting(), accept_from=("*@acme.example",)), Acquaintance(), Book(), True),
        (replace(meeting(), accept_from=("*@other.example",)), Acquaintance(), Book(), False),
        (replace(meeting(), sites=("https://www.acme.example/login",)), Acquaintance(), Book(), True),
        (meeting(ruled=("*@acme.example",)), Acquaintance(), Book(), True),
        (meeting(), Acquaintance(), Book(sites=frozenset({"acme.example"})), True),
        (meeting(), Acquaintance(), Book(polled=frozenset({"acme.example"})), True),
        (meeting(), Acquaintance(), Book(polled=frozenset({"other.example"})), False),
    ],
)
def test_a_proof_is_looked_for_where_it_would_change_something(
    one: Meeting, knows: Acquaintance, book: Book, is_worth: bool
) -> None:
    """Where the claimed sender is known for one of them, has proven himself before, or is waited for; never for one without a domain."""
    assert is_worth_a_proof(one, knows, book) is is_worth


def test_without_contacts_nobody_is_known() -> None:
    """Nothing was learned, nobody polls, has proven himself or is waited for; what is noted is forgotten."""
    one = NoContacts()
    one.note_proven(ANN, "acme.example")
    assert one.learned(ANN) == one.polling(ANN) == frozenset()
    assert not one.has_proven(ANN, "acme.example")
    assert not one.is_awaited(ANN, ACME)


def test_each_identifier_has_its_own_answer() -> None:
    """A sender that is known for one of them is a stranger to the next, in whatever order they come."""
    for identifiers in ((ANN, BOB), (BOB, ANN)):
        found = introduced(meeting(*identifiers, by="dkim", proof=PROOF), knows=allowed("acme.example", ANN))
        assert found.standings == {ANN: KNOWN, BOB: FIRST_SEEN}
        assert found.untagged == {BOB}
        assert found.failures == ()


@pytest.mark.parametrize(
    ("kind", "strangers", "standing", "word"),
    [
        ("code", "codes", FIRST_SEEN, ""),
        ("link", "codes", ASIDE, "a stranger's link is held: "),
        ("body", "codes", ASIDE, "a stranger's text is held: "),
        ("code", "hold", ASIDE, "a stranger's code is held: "),
        ("link", "all", FIRST_SEEN, ""),
        ("body", "all", FIRST_SEEN, ""),
    ],
)
def test_what_becomes_of_a_strangers_mail(kind: Kind, strangers: Strangers, standing: Standing, word: str) -> None:
    """By its kind and the setting; what is held says what it is, and the command that lets it through."""
    found = introduced(meeting(by="dkim", proof=PROOF, kind=kind), strangers=strangers)
    assert found.standings == {ANN: standing}
    assert [check for check, _ in found.failures] == (["stranger"] if word else [])
    (told,) = [why for _, why in found.failures] or [found.note.removeprefix("first seen: ")]
    assert told.startswith(f"{word}acme.example is not known for {ANN}; `mailbridge sender allow acme.example --for {ANN}`")


def test_who_has_proven_himself_before_is_told_only_where_he_does_not_now() -> None:
    """An unproven mail of a domain that proved itself before says so; a proven one is of somebody who is not known, no more."""
    book = Book(proven=frozenset({(ANN, "acme.example")}))
    assert introduced(meeting(), book=book).note == (
        f"first seen: acme.example has proven itself for {ANN} before, and this mail does not"
    )
    assert "is not known for" in introduced(meeting(by="dkim", proof=PROOF), book=book).note
    assert introduced(meeting()).note == "first seen: nothing proves that it is of acme.example"
    assert introduced(meeting(sender="")).note == "first seen: nothing proves that it is of anybody"


def test_a_copy_says_whose_mail_it_was() -> None:
    """A genuine mail to somebody else, sent on, says that, and which setting makes the mailbox one's own."""
    told = introduced(replace(meeting(), is_copy=True), knows=KNOWS_ACME).note
    assert "acme.example wrote it to somebody else" in told
    assert "[trust] accounts" in told


def test_an_address_that_asks_for_nothing_takes_a_strangers_run_and_link() -> None:
    """Where the operator asks for no proof, the address's run counts and a link goes, until the domain has proven itself once."""
    found = introduced(meeting(by="none", kind="link"))
    assert found.standings == {ANN: FIRST_SEEN}
    assert found.untagged == frozenset()
    found = introduced(meeting(by="none", kind="link"), book=Book(proven=frozenset({(ANN, "acme.example")})))
    assert found.standings == {ANN: ASIDE}
    assert found.untagged == {ANN}
    assert introduced(meeting(by="token")).untagged == {ANN}


def test_a_mail_was_written_when_its_proof_says() -> None:
    """The signed date counts; where nothing is proven, what the mail claims."""
    assert introduced(meeting(by="dkim", proof=PROOF)).written_at == SIGNED
    assert introduced(meeting()).written_at == CLAIMED
    assert invited(meeting(by="dkim", proof=PROOF), Acquaintance(), Book()).written_at == SIGNED
    assert invited(meeting(by="none"), Acquaintance(), Book()).written_at == CLAIMED


@pytest.mark.parametrize(
    ("one", "knows", "is_notice"),
    [
        (meeting(by="dkim", proof=PROOF, notice=NOTICE), KNOWS_ACME, True),
        (meeting(by="dkim", proof=PROOF, notice=NOTICE, kind="link"), KNOWS_ACME, True),
        (meeting(by="dkim", proof=PROOF, notice=NOTICE, kind="body"), KNOWS_ACME, False),
        (meeting(by="none", notice=NOTICE), KNOWS_ACME, False),
        (meeting(by="dkim", proof=PROOF, notice=NOTICE, sender="it@mail.corp.example"), KNOWS_ACME, False),
        (meeting(by="dkim", proof=PROOF, notice=NOTICE), Acquaintance(senders=(ACME,)), False),
        (meeting(by="dkim", proof=PROOF), KNOWS_ACME, False),
    ],
)
def test_what_a_platforms_notice_is(one: Meeting, knows: Acquaintance, is_notice: bool) -> None:
    """A code or link with the signs of one, where anything is asked, of another organization, whose very address nobody has listed."""
    for found in (introduced(one, knows=knows), invited(one, knows, Book())):
        assert [check for check, _ in found.failures if check == "platform"] == (["platform"] if is_notice else [])
        assert (ANN in found.standings) is not is_notice
        assert all(NOTICE in why for check, why in found.failures if check == "platform")


def test_a_notice_is_held_for_whom_it_was_not_listed() -> None:
    """Where its address is allowed for one identifier, that one gets it, in whatever order they come, and the other does not."""
    for identifiers in ((ANN, BOB), (BOB, ANN)):
        one = meeting(*identifiers, by="dkim", proof=PROOF, notice=NOTICE)
        found = introduced(one, knows=allowed(ACME, BOB))
        assert found.standings == {BOB: KNOWN}
        assert [check for check, _ in found.failures] == ["platform"]


@pytest.mark.parametrize(
    ("host", "place", "signed", "is_bound"),
    [
        ("acme.example", "body", (), True),
        ("login.acme.example", "body", (), True),
        ("other.example", "body", (), False),
        ("acme.example", "otp-token", ("otp-token",), True),
        ("acme.example", "otp-token", ("from",), False),
        ("acme.example", "one-time-code", ("otp-token",), False),
        ("other.example", "otp-token", ("otp-token",), False),
    ],
)
def test_a_bound_code_counts_for_its_proven_site(host: str, place: Place, signed: tuple[str, ...], is_bound: bool) -> None:
    """In the body or in a header that the proof covers, for the sender's own site; without a proof nothing is bound."""
    bound = Bound(code=Secret("777001"), host=host, place=place)
    proof = Proven(by="dkim", detail="", named=frozenset({ANN}), signed=frozenset(signed))
    for found in (
        introduced(meeting(by="dkim", proof=proof, bound=(bound,))),
        invited(meeting(by="dkim", proof=proof, bound=(bound,)), Acquaintance(), Book()),
    ):
        assert found.bound == (bound if is_bound else None)
    assert introduced(meeting(bound=(bound,))).bound is None


def test_a_sender_without_a_domain_binds_nothing() -> None:
    """No site is his, also none that has no registrable domain either."""
    bound = Bound(code=Secret("777001"), host="localhost", place="body")
    assert introduced(meeting(by="dkim", proof=PROOF, sender="a@localhost", bound=(bound,))).bound is None


def test_an_inbox_knows_whoever_has_proven_himself() -> None:
    """Its address was given to nobody else, so its one identifier gets it, under the domain that is proven, if any is."""
    found = invited(meeting(by="dkim", proof=PROOF), Acquaintance(), Book())
    assert (found.standings, found.domain, found.failures) == ({ANN: KNOWN}, "acme.example", ())
    found = invited(meeting(by="none"), Acquaintance(), Book())
    assert (found.standings, found.domain, found.failures) == ({ANN: KNOWN}, "", ())
