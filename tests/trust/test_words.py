"""What a mailbox's server says, and when it says nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust import Finding, Proven, Unproven, authres, raw
from tests.peers import signer
from tests.trust.mails import mail

SENDER = "no-reply@acme.example"
AR = "Authentication-Results: "
DMARC = AR + "mx.mailbox.example; spf=fail; dmarc=pass (p=none) header.from=acme.example"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_the_mailboxs_own_server_is_believed() -> None:
    """The topmost Authentication-Results of a named server proves by DMARC, or by a signature of From's domain."""
    for line in (
        DMARC,
        AR + "mx.mailbox.example 1; dkim=pass header.d=acme.example",
        AR + "mx.mailbox.example; dkim=pass header.i=@acme.example",
    ):
        found = authres.check(raw.read(mail(above=line)), sender=SENDER, servers={"mx.mailbox.example"}, now=NOW)
        assert isinstance(found, Proven), line


@pytest.mark.parametrize(
    "above",
    [
        "",
        AR + "mx.evil.example; dmarc=pass header.from=acme.example",
        AR + "mx.evil.example; x=y\n" + DMARC,
        AR + "mx.mailbox.example; dmarc=fail header.from=acme.example\n" + DMARC,
        AR + "mx.mailbox.example; dmarc=pass header.from=evil.example",
        AR + "mx.mailbox.example; dmarc=pass",
        AR + "mx.mailbox.example; dkim=pass header.d=evil.example",
        AR + "mx.mailbox.example; dkim=fail header.d=acme.example",
        AR + "mx.mailbox.example; spf=fail (dmarc=pass header.from=acme.example)",
        AR + "mx.mailbox.example; xdkim=pass header.d=acme.example",
        AR + "mx.mailbox.example; spf=fail (a ( b ) dmarc=pass header.from=acme.example ( c ))",
        AR + 'mx.mailbox.example; spf=fail smtp.mailfrom="; dmarc=pass header.from=acme.example"@evil.example',
        AR + "(mx.mailbox.example) mx.evil.example; dmarc=pass header.from=acme.example",
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example_x.evil.example",
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example@evil.example",
        AR + "mx.mailbox.example; dmarc=pass header.from=acme.example\u00e9.evil.example",
        AR + "mx.mailbox.example; dmarc=pass smtp.mailfrom=header.from=acme.example",
        AR + "mx.mailbox.example; dkim=pass header.d=acme.example_x.evil.example",
        AR + "mx.mailbox.example; dkim=pass header.i=@acme.example_x.evil.example",
        AR + "mx.mailbox.example; dkim=pass header.i=x@acme.example@evil.example",
        AR + "mx.mailbox.example; dkim=pass smtp.mailfrom=header.d=acme.example",
    ],
)
def test_other_results_are_not_believed(above: str) -> None:
    """Results of another server, of another domain, below the topmost, or in a comment prove nothing."""
    found = authres.check(raw.read(mail(above=above)), sender=SENDER, servers={"mx.mailbox.example"}, now=NOW)
    assert isinstance(found, Unproven)


def whom(content: bytes) -> frozenset[str]:
    """Whom a mail that the mailbox's server found genuine was for, beside the author."""
    found = authres.check(raw.read(content), sender=SENDER, servers={"mx.mailbox.example"}, now=datetime.now(UTC))
    assert isinstance(found, Proven), found
    return found.named - {SENDER}


def test_a_mailboxs_server_says_who_wrote_never_for_whom() -> None:
    """Whom a fetched mail was for is said by signed headers, by headers that came straight from the author, or by the server's stamp."""
    ann, box = {"ann@corp.example"}, {"box@mailbox.example"}
    top = b"Authentication-Results: mx.mailbox.example; %sdmarc=pass header.from=acme.example\r\n"
    stamp = b"Delivered-To: box@mailbox.example\r\n"
    short = ("from", "subject", "date")

    def by_acme(**more: str) -> bytes:
        return signer.dkim(mail(**more), "acme.example")

    silent = signer.dkim(mail(), "acme.example", headers=short)
    assert whom(top % b"" + by_acme()) == ann
    assert whom(stamp + top % b"" + by_acme()) == ann  # what the author says leaves no room for the server's word
    assert whom(top % b"" + b"Cc: box@mailbox.example\r\n" + by_acme()) == ann
    assert whom(top % b"" + silent) == set()
    assert whom(stamp + top % b"" + silent) == box
    assert whom(b"X-Original-To: box@mailbox.example\r\n" + top % b"" + silent) == box
    assert whom(top % b"" + stamp + silent) == set()
    assert whom(stamp + top % b"" + by_acme(to="undisclosed-recipients:;")) == box
    assert whom(stamp + b"Message-ID: <x@y.example>\r\n" + top % b"" + silent.replace(b"Message-ID", b"X-Id")) == set()
    assert whom(top % b"" + signer.dkim(silent, "acme.example")) == set()  # which of the two was found genuine is not said
    assert whom(top % b"" + mail()) == ann  # not signed: so it was SPF that passed
    assert whom(top % b"spf=fail smtp.mailfrom=evil.example; " + mail()) == set()
    assert whom(top % b"spf=pass smtp.mailfrom=b@bounce.acme.example; " + silent) == ann
    for spf in (
        b"spf=pass smtp.mailfrom=evil.example; ",
        b"spf=neutral; ",
        b"spf=pass smtp.mailfrom=b@notacme.example; ",
        b"x=y; ",
    ):
        assert whom(top % spf + silent) == set()
    both = b"spf=pass smtp.mailfrom=acme.example; spf=fail smtp.mailfrom=evil.example; "
    assert whom(top % both + silent) == set()


def read(content: bytes, sender: str = SENDER, servers: set[str] | None = None) -> Finding:
    """What is said of a mail, by a server that is named in capitals."""
    return authres.check(raw.read(content), sender=sender, servers=servers or {"MX.Mailbox.example"}, now=datetime.now(UTC))


@pytest.mark.parametrize(
    "line",
    ["From", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "DKIM-Signature", "Reply-To", "Sender"],
)
def test_results_that_stand_below_an_authors_line_are_not_on_top(line: str) -> None:
    """A server that puts its results anywhere else leaves what is above them to anybody."""
    results = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    silent = signer.dkim(mail(), "acme.example", headers=("from", "subject"))
    for stamp in (b"Delivered-To", b"X-Original-To", b"X-Delivered-To"):
        on_top = read(stamp + b": box@mailbox.example\r\n" + results + silent)
        assert isinstance(on_top, Proven)
        assert on_top.covers("box@mailbox.example")
    own = re.search(rb"(?m)^%s: .*\r\n" % line.encode(), silent)
    moved, rest = (own[0], silent.replace(own[0], b"", 1)) if own else (f"{line}: x@y.example\r\n".encode(), silent)
    found = read(b"Delivered-To: box@mailbox.example\r\n" + moved + results + rest)
    assert isinstance(found, Proven)
    assert not found.covers("box@mailbox.example")


def test_results_in_capitals_and_several() -> None:
    """Names, verdicts and domains are the same in any case; of several properties each has to be the author's."""
    top = "Authentication-Results: Mx.MAILBOX.example; "
    for results, is_good in (
        ("DMARC=Pass header.from=ACME.example", True),
        ("DKIM=PASS header.d=Acme.Example", True),
        ("dmarc=pass header.from=acme.example header.from=evil.example", False),
        ("dkim=pass header.d=evil.example header.d=acme.example", False),
    ):
        found = read(f"{top}{results}\r\n".encode() + mail(), sender="No-Reply@Acme.example")
        assert isinstance(found, Proven) is is_good, results
    results = "SPF=Pass SMTP.MailFrom=B@ACME.example; dmarc=pass header.from=acme.example"
    silent = signer.dkim(mail(), "acme.example", headers=("from", "subject"))
    found = read(f"{top}{results}\r\n".encode() + silent)
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example")
    plain = read(f"{top}spf=pass; dmarc=pass header.from=acme.example\r\n".encode() + mail())
    assert isinstance(plain, Proven)
    assert plain.covers("ann@corp.example")
    unsaid = read(f"{top}dkim=pass header.d=acme.example\r\n".encode() + mail())
    assert isinstance(unsaid, Proven)
    assert not unsaid.covers("ann@corp.example")  # the signature that is meant is not there
    assert isinstance(read(b"Authentication-Results: \r\n" + mail()), Unproven)
    for spf in ("spf=fail; ", "spf=fail smtp.mailfrom=acme.example; ", "spf=temperror; "):
        found = read(f"{top}{spf}dmarc=pass header.from=acme.example\r\n".encode() + mail())
        assert isinstance(found, Proven)
        assert not found.covers("ann@corp.example"), spf


def test_results_need_one_author_and_one_reading() -> None:
    """Without exactly one author, or with a header twice, the server's word is about nobody knows what."""
    top = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    assert isinstance(read(top + mail()), Proven)
    assert isinstance(read(top + mail(), sender=""), Unproven)
    assert isinstance(read(top + b"Subject: another\r\n" + mail()), Unproven)
    assert isinstance(read(top + mail().replace(b"Date:", b"Date\n:")), Unproven)


def test_whose_word_the_form_of_a_fetched_body_is() -> None:
    """The author's where each of his signatures covers both headers; nobody's where he has signed nothing."""
    top = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    form = ("from", "to", "subject", "content-type", "content-transfer-encoding")
    content = mail(below="Content-Transfer-Encoding: 8bit")
    for signed, expected in (
        (signer.dkim(content, "acme.example", headers=form), True),
        (signer.dkim(content, "acme.example", headers=form[:4]), False),
        (signer.dkim(content, "acme.example", headers=("from", "to", "subject", "content-transfer-encoding")), False),
        (signer.dkim(content, "acme.example", headers=("from", "subject", "content-type", "content-transfer-encoding")), True),
        (signer.dkim(signer.dkim(content, "acme.example", headers=form), "acme.example", headers=form[:3]), False),
        (signer.dkim(signer.dkim(content, "acme.example", headers=form), "esp.example", headers=form[:3]), True),
        (content, False),
    ):
        found = read(top + signed)
        assert isinstance(found, Proven)
        assert found.is_form_signed is expected


def test_what_a_mailboxs_server_found_genuine_may_be_too_old() -> None:
    """A genuine mail of last week that somebody sends again is no proof, by its signature's time or by its Date."""
    top = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    for more in ({"t": "1600000000"}, {"t": None}, {"x": "1600000000"}):
        content = top + signer.dkim(mail(), "mail.acme.example", more=more)
        found = authres.check(
            raw.read(content), sender=SENDER, servers={"mx.mailbox.example"}, now=datetime.now(UTC) + timedelta(days=9)
        )
        assert isinstance(found, Unproven), more


def judged(results: str, content: bytes, *, above: bytes = b"") -> Proven | Unproven:
    """What the results of the mailbox's server are worth over a mail."""
    top = f"Authentication-Results: mx.mailbox.example; {results}\r\n".encode()
    return authres.check(raw.read(above + top + content), sender=SENDER, servers={"mx.mailbox.example"}, now=datetime.now(UTC))


def test_what_a_signature_leaves_open_is_no_ground() -> None:
    """l=, or a Subject that is not covered: somebody may have written the code, unless the mail came straight from its author."""
    dmarc, direct = (
        "dmarc=pass header.from=acme.example",
        "spf=pass smtp.mailfrom=acme.example; dmarc=pass header.from=acme.example",
    )
    appended = signer.dkim(mail(), "acme.example", more={"l": "0"})
    renamed = signer.dkim(mail(), "mail.acme.example", headers=("from", "to", "date"))
    for content, why in ((appended, "l="), (renamed, "Subject")):
        for results in (
            dmarc,
            "dkim=pass header.d=acme.example",
            f"spf=pass smtp.mailfrom=evil.example; {dmarc}",
            f"spf=pass; {dmarc}",
        ):
            found = judged(results, content)
            assert isinstance(found, Unproven)
            assert why in found.why
        assert isinstance(judged(direct, content), Proven)


def test_a_method_begins_its_result() -> None:
    """Within another method's result it is that one's word; a signer's domain goes before whom it signs for, and all of them are his."""
    stamp = b"Delivered-To: box@mailbox.example\r\n"
    for results in (
        "auth=pass smtp.auth=x dmarc=pass header.from=acme.example",
        "dkim=pass header.d=evil.example header.i=@acme.example",
        "dkim=pass header.i=@acme.example header.d=evil.example",
        "dkim=pass header.d=acme.example header.d=evil.example",
        "dkim=pass header.i=@acme.example header.i=@evil.example",
        "dkim=pass",
    ):
        assert isinstance(judged(results, mail(), above=stamp), Unproven), results
    for results in (
        "dkim=pass header.i=x@mail.acme.example header.d=acme.example",
        " DKIM = pass header.d=ACME.example",
        "dkim=pass header.i=@ACME.example",
    ):
        assert isinstance(judged(results, mail(), above=stamp), Proven), results


def test_a_stamp_is_sure_where_the_mail_came_straight() -> None:
    """Of several that the author names, the one that his server delivered to; of a mail that was sent on, none."""
    two = signer.dkim(mail(to="box@mailbox.example, m@evil.example"), "acme.example")
    stamp = b"Delivered-To: box@mailbox.example\r\n"
    dmarc, direct = (
        "dmarc=pass header.from=acme.example",
        "spf=pass smtp.mailfrom=acme.example; dmarc=pass header.from=acme.example",
    )
    sent_on, straight = judged(dmarc, two, above=stamp), judged(direct, two, above=stamp)
    assert isinstance(sent_on, Proven)
    assert isinstance(straight, Proven)
    assert sent_on.sure == {SENDER}
    assert straight.sure == {SENDER, "box@mailbox.example"}
    assert sent_on.written == straight.written == {"box@mailbox.example", "m@evil.example"}
    other = judged(direct, two, above=b"Delivered-To: third@mailbox.example\r\n")
    assert isinstance(other, Proven)
    assert other.sure == {SENDER}
    unread = judged(dmarc, signer.dkim(mail(to='"x"@evil.example'), "acme.example"), above=stamp)
    assert isinstance(unread, Proven)
    assert unread.written == {""}
    assert unread.sure == unread.named == {SENDER}
    for to in ("undisclosed-recipients:;", "Undisclosed recipients", ""):
        blank = judged(dmarc, signer.dkim(mail(to=to), "acme.example"), above=stamp)
        assert isinstance(blank, Proven)
        assert not blank.written
        assert blank.sure == {SENDER, "box@mailbox.example"}


def test_case_means_nothing_in_results() -> None:
    """Names of servers, methods, verdicts and domains are read in any case; all that is named must be the author's."""
    stamp = b"Delivered-To: box@mailbox.example\r\n"
    top = b"Authentication-Results: MX.Mailbox.Example; DMARC=Pass Header.From=ACME.example\r\n"
    for servers in ({"mx.mailbox.example"}, {"MX.mailbox.EXAMPLE"}):
        found = authres.check(raw.read(stamp + top + mail()), sender=SENDER.upper(), servers=servers, now=datetime.now(UTC))
        assert isinstance(found, Proven)
    two = "dmarc=pass header.from=acme.example header.from=evil.example"
    assert isinstance(judged(two, mail(), above=stamp), Unproven)


def test_a_mail_without_an_author_or_in_doubt_has_no_results() -> None:
    """Whatever its server found: nobody knows whose words they are about."""
    dmarc = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    usual = {"servers": {"mx.mailbox.example"}, "now": datetime.now(UTC)}
    found = authres.check(raw.read(dmarc + mail()), sender="", **usual)  # type: ignore[arg-type]
    assert isinstance(found, Unproven)
    assert "one From" in found.why
    found = authres.check(raw.read(b"Subject: x\r\n" + dmarc + mail()), sender=SENDER, **usual)  # type: ignore[arg-type]
    assert isinstance(found, Unproven)
    assert "subject more than once" in found.why


@pytest.mark.parametrize(
    "name",
    ["from", "to", "cc", "subject", "date", "message-id", "mime-version", "content-type", "dkim-signature", "reply-to", "sender"],
)
def test_what_stands_below_an_authors_line_is_no_stamp(name: str) -> None:
    """Where a line of the author's stands above the results, the server does not put them on top, and stamps there are anybody's."""
    content = signer.dkim(mail(to="undisclosed-recipients:;"), "acme.example")
    line = f"{name}: x\r\n".encode()
    above = b"Delivered-To: box@mailbox.example\r\n"
    bare = re.sub(rb"(?im)^" + name.encode() + rb":.*\r\n", b"", content)
    head = b"Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example\r\n"
    mails = {True: raw.read(above + head + content), False: raw.read(line + above + head + bare)}
    for is_stamp, one in mails.items():
        assert authres.stamped_accounts(one) == ({"box@mailbox.example"} if is_stamp else set())


def test_who_says_how_the_body_is_read() -> None:
    """The author, where each of his signatures covers both headers that say so; where there is none, nobody."""
    form = ("from", "to", "subject", "date", "content-type", "content-transfer-encoding")
    dmarc = "dmarc=pass header.from=acme.example"
    content = mail(below="Content-Transfer-Encoding: 7bit")
    full = signer.dkim(content, "acme.example", headers=form)
    half = signer.dkim(full, "acme.example", headers=form[:-1])
    for one, is_signed in (
        (full, True),
        (half, False),
        (content, False),
        (signer.dkim(content, "acme.example", headers=form[:4]), False),
    ):
        found = judged(dmarc, one)
        assert isinstance(found, Proven)
        assert found.is_form_signed is is_signed


def test_an_unsigned_mail_came_straight_where_dmarc_passed() -> None:
    """By nothing but SPF, which the server need not name; a result that speaks against it, or another envelope, is one."""
    ann = {"ann@corp.example"}
    for results, named in (
        ("dmarc=pass header.from=acme.example", ann),
        ("spf=pass; dmarc=pass header.from=acme.example", ann),
        ("spf=PASS; dmarc=pass header.from=acme.example", ann),
        ("spf=pass SMTP.MailFrom=evil.example; dmarc=pass header.from=acme.example", set()),
        ("SPF=Pass SMTP.MailFrom=b@ACME.example; dmarc=pass header.from=acme.example", ann),
        ("spf=softfail; dmarc=pass header.from=acme.example", set()),
        ("spf=pass smtp.mailfrom=evil.example; dmarc=pass header.from=acme.example", set()),
        ("dkim=pass header.d=acme.example", set()),
    ):
        found = judged(results, mail())
        assert isinstance(found, Proven)
        assert found.named - {SENDER} == named, results
