"""The steps of a setup as a table: what is answered and seen makes which step current, and what it asks, does or waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_shape

from mailbridge.core.secret import Secret
from mailbridge.operator.setup.answers import PARSERS, Mistake, address_of_skyvern, key, public
from mailbridge.operator.setup.plan import Facts, Level, Posting, Seen, Way, identifier_of
from mailbridge.operator.setup.posting import HIDDEN, SERVICES
from mailbridge.operator.setup.progress import Progress, restored, stored
from mailbridge.operator.setup.records import UNKNOWN, wanted
from mailbridge.operator.setup.steps import is_world, planned
from mailbridge.operator.shapes import ProviderShape

START = "2026-11-29T02:00:00.000Z"
ANN = "ann@corp.com"
GOOD = Seen(is_good=True, text="well")
BAD = Seen(is_good=False, text="not well", hint="fix it")
KEYED = Facts(has_key=True, skyvern=GOOD)


def progress(**answers: str) -> Progress:
    """A setup with these answers."""
    return Progress(began_at=START, answers=answers)


GMAIL = {"way": "gmail", "for": ANN, "sites": "", "domain": "bridge.example.com"}
OPEN = replace(KEYED, way=Way(listeners=("0.0.0.0:25",)))
OURS = replace(OPEN, way=replace(OPEN.way, rcpt="otp-1@bridge.example.com"))
PUBLISHED = replace(OURS, way=replace(OURS.way, records=GOOD))
REACHED = replace(PUBLISHED, way=replace(PUBLISHED.way, port=GOOD))
ASKED = replace(REACHED, way=replace(REACHED.way, asks=(7, ANN)))
BOX = {"way": "mailbox", "username": "ann@gmail.com"}
GOOGLE = ProviderShape(
    name="Google", preset="gmail", host="", oauth="google", takes_password=True, hint="an app password", by="domain"
)
MICROSOFT = replace_shape(GOOGLE, name="Microsoft", preset="outlook", oauth="microsoft", takes_password=False, by="mx")
PROTON = replace_shape(GOOGLE, name="Proton", preset="proton", oauth="")
OWN = replace_shape(GOOGLE, name="imap.corp.com", preset="", host="imap.corp.com", oauth="", by="name")
LMTP = {**GMAIL, "way": "lmtp"}
SERVED = replace(KEYED, way=Way(lmtp=("127.0.0.1:2424",)))

HTTP = {"way": "http", "for": ANN, "sites": "", "url": "https://bridge.example.com", "domain": "bridge.example.com"}
BOUND = replace(KEYED, way=Way(rcpt="otp-1@bridge.example.com"))
SET = replace(BOUND, way=replace(BOUND.way, posting=Posting(is_proven=True, secret=Secret("s3cret-of-ann"))))
URL_KNOWN = replace(KEYED, way=Way(posting=Posting(url="https://bridge.example.com")))

ROWS: tuple[tuple[str, dict[str, str], Facts, str, Level, str], ...] = (
    ("nothing yet", {}, Facts(), "skyvern", Level.ASK, "ask key"),
    ("only practice", {"skyvern": "practice"}, Facts(), "way", Level.ASK, "ask way"),
    ("a key that is refused", {}, replace(KEYED, skyvern=BAD), "skyvern", Level.FAILED, "ask key"),
    ("a key, no way", {}, KEYED, "way", Level.ASK, "ask way"),
    ("a way that another release knew", {"way": "pigeon"}, KEYED, "way", Level.ASK, "ask way"),
    ("gmail, for whom", {"way": "gmail"}, KEYED, "for", Level.ASK, "ask for"),
    ("gmail, which sites", {"way": "gmail", "for": ANN}, KEYED, "for", Level.ASK, "ask sites"),
    ("gmail, which domain", {"way": "gmail", "for": ANN, "sites": ""}, KEYED, "domain", Level.ASK, "ask domain"),
    (
        "gmail, one of two domains",
        {"way": "gmail", "for": ANN, "sites": ""},
        replace(KEYED, domains=("a.example", "b.example")),
        "domain",
        Level.ASK,
        "ask domain",
    ),
    (
        "gmail, the only domain",
        {"way": "gmail", "for": ANN, "sites": ""},
        replace(KEYED, domains=("a.example",)),
        "listener",
        Level.WAIT,
        "wants file",
    ),
    (
        "gmail, a listener for nobody",
        GMAIL,
        replace(KEYED, way=Way(listeners=("127.0.0.1:2525",))),
        "listener",
        Level.WAIT,
        "wants file",
    ),
    ("gmail, a file that waits for a restart", {**GMAIL, "file": "/x"}, KEYED, "listener", Level.WAIT, ""),
    ("gmail, no address", GMAIL, OPEN, "address", Level.WAIT, "act address"),
    ("gmail, no records", GMAIL, OURS, "dns", Level.WAIT, ""),
    ("gmail, wrong records", GMAIL, replace(OURS, way=replace(OURS.way, records=BAD)), "dns", Level.WAIT, ""),
    ("gmail, port 25", GMAIL, PUBLISHED, "port-25", Level.WAIT, ""),
    ("gmail, no question yet", GMAIL, REACHED, "forwarding", Level.WAIT, ""),
    ("gmail, a question that proves DNS and port", GMAIL, replace(OURS, way=ASKED.way), "forwarding", Level.WAIT, "act confirm"),
    ("gmail, the account that was named asks", GMAIL, ASKED, "forwarding", Level.WAIT, "act confirm"),
    (
        "gmail, another account asks",
        GMAIL,
        replace(ASKED, way=replace(ASKED.way, asks=(7, "eve@evil.example"))),
        "forwarding",
        Level.ASK,
        "ask allow",
    ),
    (
        "gmail, nobody is named",
        GMAIL,
        replace(ASKED, way=replace(ASKED.way, asks=(7, ""))),
        "forwarding",
        Level.ASK,
        "ask allow",
    ),
    (
        "gmail, another account that was allowed",
        {**GMAIL, "allow": "yes:7"},
        replace(ASKED, way=replace(ASKED.way, asks=(7, "ann@home.example"))),
        "forwarding",
        Level.WAIT,
        "act confirm",
    ),
    (
        "gmail, a yes to one question is none to the next",
        {**GMAIL, "allow": "yes:7"},
        replace(ASKED, way=replace(ASKED.way, asks=(8, "eve@evil.example"))),
        "forwarding",
        Level.ASK,
        "ask allow",
    ),
    (
        "gmail, another account that was refused",
        {**GMAIL, "allow": "no:7"},
        replace(ASKED, way=replace(ASKED.way, asks=(7, "eve@evil.example"))),
        "forwarding",
        Level.WAIT,
        "",
    ),
    ("mailbox, which", {"way": "mailbox"}, KEYED, "mailbox", Level.ASK, "ask username"),
    ("mailbox of a provider", BOX, replace(KEYED, provider=GOOGLE), "mailbox", Level.ASK, "ask password"),
    ("mailbox on a server that DNS knows", BOX, replace(KEYED, provider=OWN), "mailbox", Level.ASK, "ask password"),
    ("mailbox elsewhere", {**BOX, "username": ANN}, KEYED, "mailbox", Level.ASK, "ask host"),
    (
        "mailbox elsewhere, its server known",
        {**BOX, "username": ANN, "host": "imap.corp.com"},
        KEYED,
        "mailbox",
        Level.ASK,
        "ask password",
    ),
    (
        "mailbox without passwords",
        {**BOX, "username": ANN},
        replace(KEYED, provider=MICROSOFT),
        "mailbox",
        Level.FAILED,
        "ask username",
    ),
    (
        "mailbox behind a bridge",
        {**BOX, "username": ANN},
        replace(KEYED, provider=PROTON),
        "mailbox",
        Level.FAILED,
        "ask username",
    ),
    (
        "mailbox of a provider, by a server that was named",
        {**BOX, "username": ANN, "host": "imap.corp.com"},
        replace(KEYED, provider=MICROSOFT),
        "mailbox",
        Level.ASK,
        "ask password",
    ),
    ("mailbox that is not well", BOX, replace(KEYED, way=Way(mailbox=BAD)), "mailbox", Level.WAIT, ""),
    ("mailbox that is watched", BOX, replace(KEYED, way=Way(mailbox=GOOD)), "mail", Level.WAIT, ""),
    ("mailbox, a mail that is held", BOX, replace(KEYED, way=Way(mailbox=GOOD), mail=BAD), "mail", Level.WAIT, ""),
    ("lmtp, no listener", LMTP, KEYED, "listener", Level.WAIT, "wants file"),
    ("lmtp, no address", LMTP, SERVED, "address", Level.WAIT, "act address"),
    ("lmtp, no mail", LMTP, replace(SERVED, way=replace(SERVED.way, rcpt="otp-1@bridge.example.com")), "mail", Level.WAIT, ""),
    ("http, which service", {"way": "http"}, KEYED, "service", Level.ASK, "ask service"),
    (
        "http, a service that another release knew",
        {"way": "http", "service": "pigeon"},
        KEYED,
        "service",
        Level.ASK,
        "ask service",
    ),
    ("http, for whom", {"way": "http", "service": "mailgun"}, KEYED, "for", Level.ASK, "ask for"),
    (
        "http, where it is reached",
        {"way": "http", "service": "mailgun", "for": ANN, "sites": ""},
        KEYED,
        "url",
        Level.ASK,
        "ask url",
    ),
    (
        "http, where it is reached as configured",
        {"way": "http", "service": "text", "for": ANN, "sites": ""},
        URL_KNOWN,
        "proof",
        Level.WAIT,
        "act proof",
    ),
    ("http, no address", {**HTTP, "service": "cloudflare"}, KEYED, "address", Level.WAIT, "act address"),
    ("http, the service's own address", {**HTTP, "service": "postmark"}, KEYED, "domain", Level.ASK, "ask rcpt"),
    ("http, a secret of ours", {**HTTP, "service": "cloudflare"}, BOUND, "proof", Level.WAIT, "act proof"),
    ("http, the service's key", {**HTTP, "service": "mailgun"}, BOUND, "proof", Level.ASK, "ask service-key"),
    ("http, a topic", {**HTTP, "service": "ses"}, BOUND, "proof", Level.ASK, "ask topic"),
    ("http, a topic that was named", {**HTTP, "service": "ses", "topic": "arn"}, BOUND, "proof", Level.WAIT, "act proof"),
    ("http, no mail", {**HTTP, "service": "cloudflare"}, SET, "mail", Level.WAIT, ""),
    ("http, a token and no text", {**HTTP, "service": "zap", "token": "3"}, SET, "mail", Level.WAIT, ""),
    ("a trial", {"skyvern": "practice", "way": "try"}, Facts(), "mail", Level.WAIT, "wants test"),
    ("a trial that failed", {"skyvern": "practice", "way": "try", "test": "not delivered"}, Facts(), "mail", Level.FAILED, ""),
)


@pytest.mark.parametrize(
    ("answers", "facts", "current", "level", "then"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_is_current(answers: dict[str, str], facts: Facts, current: str, level: Level, then: str) -> None:
    """The first step that is not done, how it stands, and what comes of it; a step that waits says for what."""
    plan = planned(progress(**answers), facts)
    step = plan.current
    assert step is not None
    made = [f"ask {step.question.name}"] if step.question else []
    made += [f"act {step.act}"] if step.act else []
    made += [f"wants {step.wants}"] if step.wants else []
    assert (step.name, step.level, " ".join(made)) == (current, level, then)
    assert step.question or step.text
    after = plan.steps[plan.steps.index(step) + 1 :]
    assert {one.level for one in after} <= {Level.LATER, Level.DONE}
    assert not any(one.question or one.act or one.wants for one in after)


@pytest.mark.parametrize(
    ("answers", "facts"),
    [
        ({**GMAIL, "filter": "/x.xml"}, replace(ASKED, mail=GOOD)),
        (BOX, replace(KEYED, way=Way(mailbox=GOOD), mail=GOOD)),
        (LMTP, replace(SERVED, way=replace(SERVED.way, rcpt="otp-1@bridge.example.com"), mail=GOOD)),
        ({**HTTP, "service": "sendgrid"}, replace(SET, mail=GOOD)),
        ({"skyvern": "practice", "way": "try"}, Facts(mail=GOOD)),
    ],
)
def test_everything_is_done(answers: dict[str, str], facts: Facts) -> None:
    """Once a mail has come nothing is left, and the last step names the identifier for the run."""
    plan = planned(progress(**answers), facts)
    assert plan.current is None
    assert identifier_of(progress(**answers)) in plan.steps[-1].text
    assert bool(plan.steps[-1].lines) is facts.has_key


@pytest.mark.parametrize("service", list(SERVICES))
def test_what_to_set_at_a_service_is_told_whole(service: str) -> None:
    """Each line has its values; a secret that is to be set there is among them, hidden where it may not be shown, and gone once mail came."""
    answers = {**HTTP, "service": service, "rcpt": "otp-1@bridge.example.com", "topic": "arn", "token": "3"}
    shown = {step.name: step for step in planned(progress(**answers), SET).steps}["proof"]
    text = "\n".join(shown.lines)
    assert shown.level is Level.DONE
    assert ("s3cret-of-ann" in text) is (SERVICES[service].proof in ("made", "token"))
    assert "https://" in text
    assert "{{" not in text
    hidden = replace(SET, way=replace(SET.way, posting=Posting(is_proven=True)))
    masked = "\n".join({step.name: step for step in planned(progress(**answers), hidden).steps}["proof"].lines)
    assert "s3cret-of-ann" not in masked
    assert (HIDDEN in masked) is (SERVICES[service].proof in ("made", "token"))
    after = {step.name: step for step in planned(progress(**answers), replace(SET, mail=GOOD)).steps}["proof"]
    assert (after.level, after.lines) == (Level.DONE, ())


@pytest.mark.parametrize(
    ("sites", "wants", "named"),
    [
        ("github.com", "", "#create-filter/from=github.com , Create filter"),
        ("", "filter", "#settings/filters , Import filters, /x.xml, "),
    ],
)
def test_a_filter_is_a_link_where_sites_are_named_else_a_file(sites: str, wants: str, named: str) -> None:
    """The last wait says what to open, and each click there."""
    answers = {**GMAIL, "sites": sites}
    seen = replace(OURS, way=replace(ASKED.way, rcpt=OURS.way.rcpt))
    said = Progress(began_at=START, answers=answers, seen={"forwarding": "allowed"})
    assert {one.name: one for one in planned(said, seen).steps}["filter"].wants == wants
    step = planned(said.answered("filter", "/x.xml"), seen).current
    assert step is not None
    assert step.name == "mail"
    assert named in step.hint


def test_what_was_seen_to_work_stays_green() -> None:
    """A step that worked once is not asked about again, whatever a later look fails to see."""
    seen = {"dns": "there", "port-25": "answers", "forwarding": "allowed", "mail": "mail 3"}
    before = Progress(began_at=START, answers={**GMAIL, "filter": "/x"}, seen=seen)
    assert planned(before, OURS).current is None


def test_progress_survives_the_store() -> None:
    """What is stored is read again; what another release wrote is nothing."""
    one = progress(**GMAIL).having_done("a file", START).having_seen({"dns": "there"})
    assert restored(stored(one)) == one
    assert restored({"something": "else"}) is None


TAKEN: tuple[tuple[str, str, str], ...] = (
    ("way", "1", "mailbox"),
    ("way", " GMAIL ", "gmail"),
    ("for", " ann@corp.com ", "ann@corp.com"),
    ("for", "Ann's phone", "Ann's phone"),
    ("for", "+15551234", "+15551234"),
    ("sites", "https://www.github.com/login, slack.com", "github.com slack.com"),
    ("sites", "noreply@github.com github.com github.com", "noreply@github.com github.com"),
    ("sites", "", ""),
    ("domain", "Bridge.Example.COM.", "bridge.example.com"),
    ("username", "ann@corp.com", "ann@corp.com"),
    ("host", "IMAP.corp.com:993", "imap.corp.com:993"),
    ("host", "localhost", "localhost"),
    ("allow", "Y", "yes"),
    ("way", "4", "http"),
    ("service", "1", "cloudflare"),
    ("service", "Zap", "zap"),
    ("url", " https://bridge.example.com/ ", "https://bridge.example.com"),
    ("url", "https://example.com/bridge", "https://example.com/bridge"),
    ("url", "http://192.168.1.7:8025", "http://192.168.1.7:8025"),
    ("rcpt", "a1b2c3@inbound.postmarkapp.com", "a1b2c3@inbound.postmarkapp.com"),
    ("topic", "arn:aws:sns:eu-west-1:123456789012:mail", "arn:aws:sns:eu-west-1:123456789012:mail"),
    ("allow", "no", "no"),
    ("skyvern", "http://localhost:8000/", "http://localhost:8000"),
)

REFUSED: tuple[tuple[str, str], ...] = (
    ("way", "0"),
    ("way", "6"),
    ("way", "²"),
    ("way", "pigeon"),
    ("way", "1" * 4400),
    ("for", ""),
    ("for", "ann@"),
    ("for", "ann\x00"),
    ("for", "a" * 321),
    ("sites", "github"),
    ("sites", "http://["),
    ("sites", " ".join(f"s{number}.example" for number in range(51))),
    ("domain", "ann@corp.com"),
    ("domain", "https://corp.com"),
    ("domain", "192.0.2.7"),
    ("domain", "corp"),
    ("domain", "bücher.example"),
    ("username", "ann"),
    ("host", "imap.corp.com:0"),
    ("host", "imap.corp.com:99999"),
    ("host", "imap corp"),
    ("host", ""),
    ("allow", "perhaps"),
    ("skyvern", "localhost:8000"),
    ("skyvern", "http://localhost:99999"),
    ("file", "\n"),
    ("service", "10"),
    ("service", "hermes"),
    ("url", "bridge.example.com"),
    ("url", "http://bridge.example.com"),
    ("url", "https://ann:pw@bridge.example.com"),
    ("url", "https://bridge.example.com/?x=1"),
    ("url", "https://bridge.example.com/a b"),
    ("url", "https://["),
    ("rcpt", "postmark"),
    ("topic", "arn:aws:sns:mail"),
)


@pytest.mark.parametrize(("name", "typed", "kept"), TAKEN)
def test_answers_that_are_taken(name: str, typed: str, kept: str) -> None:
    """What is meant is kept in one form."""
    assert PARSERS[name](typed) == kept


@pytest.mark.parametrize(("name", "typed"), REFUSED)
def test_answers_that_are_refused(name: str, typed: str) -> None:
    """One sentence on one line says what is wrong."""
    with pytest.raises(Mistake) as told:
        PARSERS[name](typed)
    assert 10 < len(str(told.value)) < 5_000
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("typed", ['"sk-secret"', "x-api-key: sk-secret", "sk secret", "sk-secret\x07"])
def test_a_key_that_cannot_be_one_is_not_repeated(typed: str) -> None:
    """The complaint holds nothing of it."""
    with pytest.raises(Mistake) as told:
        key(typed)
    assert "secret" not in str(told.value)
    assert key(" sk-secret\n") == "sk-secret"
    assert address_of_skyvern("https://skyvern.corp.com") == "https://skyvern.corp.com"


def test_a_name_that_only_this_network_knows_is_nothing_for_gmail() -> None:
    """Behind a mail server of one's own it is good."""
    assert PARSERS["domain"]("corp.local") == "corp.local"
    with pytest.raises(Mistake, match="Gmail cannot send there"):
        public("corp.local")


def test_records_in_both_forms() -> None:
    """Zone lines end names in a dot; a panel wants the host below its domain, @ for the domain itself, and the dot at the target."""
    records = wanted("bridge.example.com", ("192.0.2.7", "2001:db8::7"))
    assert [one.zone() for one in records] == [
        "bridge.example.com. 3600 IN A 192.0.2.7",
        "bridge.example.com. 3600 IN AAAA 2001:db8::7",
        "bridge.example.com. 3600 IN MX 10 bridge.example.com.",
    ]
    assert [one.panel("example.com") for one in records] == [
        "host bridge   type A   value 192.0.2.7",
        "host bridge   type AAAA   value 2001:db8::7",
        "host bridge   type MX   value bridge.example.com.   priority 10",
    ]
    assert [one.panel("example.com") for one in wanted("example.com", ())] == [
        f"host @   type A   value {UNKNOWN}",
        "host @   type MX   value example.com.   priority 10",
    ]


@pytest.mark.parametrize(
    ("listener", "is_one"),
    [
        ("0.0.0.0:25", True),
        ("[::]:25", True),
        ("192.0.2.7:2525", True),
        ("127.0.0.1:25", False),
        ("[::1]:25", False),
        ("localhost:25", False),
        ("unix:/run/x", False),
    ],
)
def test_which_listener_the_world_reaches(listener: str, is_one: bool) -> None:
    """Loopback and sockets of the file system are for this machine alone."""
    assert is_world(listener) is is_one
