"""What is staged, and what a person who knows the whole situation would name first; written before `why` was asked or read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.peers.daemon import free_port, wait_for
from tests.peers.faulty import Temper
from tests.peers.scripted_imap import ScriptedImap
from tests.staged.stage import ANN, BOB, DOMAINS, OPEN, OTP, Stage

CODE = "Hello,\r\n\r\nYour verification code is: 482913\r\n"
ADDRESS = f'[[address]]\nrcpt = "{OTP}"\nidentifier = "{ANN}"\n'
ONLY_ADDRESS = f"[domains]\naccept = []\n[identity]\nlearn_from_skyvern = false\n{ADDRESS}"
MAILBOX = '[[imap]]\nname = "corp"\nhost = "127.0.0.1"\nport = {imap}\ntls = "none"\nusername = "ann@corp.com"\npassword = "pw"\n'

FAILS = Temper(refuses=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """``first`` is what the first cause has to say (a pattern of its sentence and hint); ``asks`` the command's words."""

    name: str
    play: Callable[[Stage], None]
    first: str
    settings: str = OPEN
    temper: Temper | None = None
    asks: tuple[str, ...] = (ANN,)
    has_key: bool = True
    is_down: bool = False
    imap: str = ""
    """A scripted mailbox: "" none, "refuses" its password, "gone" nobody listens, "well" it works."""

    def is_first(self, text: str) -> bool:
        """Whether a sentence names the cause."""
        return re.search(self.first, text, re.IGNORECASE) is not None


def nothing(_: Stage) -> None:
    """Nobody sends anything."""


def one_code(here: Stage) -> None:
    """A mail with a code is taken, and settled."""
    assert here.send(CODE) == 250
    here.settled()


def one_tried(here: Stage) -> None:
    """A mail with a code is taken, and its push was tried in vain."""
    assert here.send(CODE) == 250
    here.tried()


def body(text: str, **more: object) -> Callable[[Stage], None]:
    """One mail with this text."""

    def play(here: Stage) -> None:
        assert here.send(text, **more) == 250  # type: ignore[arg-type]
        here.settled()

    return play


def mistyped(here: Stage) -> None:
    """The mail goes to an address with one wrong letter."""
    assert here.send(CODE, rcpt=OTP.replace("7f3k", "7f3x")) == 550


def no_code_then_two_codes(here: Stage) -> None:
    """First a newsletter, then a mail with two codes that look alike."""
    here.send("Our autumn offers are here. See you soon!", subject="News of the autumn")
    here.send(TWO_CODES)


def delivered_then_two_codes(here: Stage) -> None:
    """A code that arrives, and a newer mail of which nobody can say which code counts."""
    one_code(here)
    here.send(TWO_CODES)


def twice(here: Stage) -> None:
    """The same mail comes by two ways."""
    here.send(CODE, number="same")
    here.settled()
    here.send(CODE, number="same")


def two_codes_one_after_the_other(here: Stage) -> None:
    """The receiver fails for the first, works for the second."""
    here.send("Your verification code is: 111222")
    here.tried()
    here.receiver.temper.refuses = 0.0
    here.send("Your verification code is: 333444")
    here.settled()


def red_and_refused(here: Stage) -> None:
    """A mailbox does not work; a code came by SMTP, and the key was refused for it."""
    here.red()
    one_tried(here)


def red(here: Stage) -> None:
    """A mailbox does not work."""
    here.red()


def red_but_a_newsletter_came(here: Stage) -> None:
    """A mailbox does not work; by SMTP came a mail without a code."""
    here.red()
    here.send("Our autumn offers are here. See you soon!", subject="News of the autumn")


def expires_while_it_fails(here: Stage) -> None:
    """A code with a minute to live, and a receiver that is down until they are over."""
    here.send("Your verification code is: 482913\r\n\r\nIt is valid for 1 minute.")
    here.settled()


def for_somebody_else(here: Stage) -> None:
    """A code for Bob arrives."""
    here.send(CODE, to=BOB)
    here.settled()


def wrong_token(here: Stage) -> None:
    """A mail is posted by somebody whose token is none."""
    headers = {"Authorization": "Bearer nonsense", "Content-Type": "message/rfc822"}
    content = f"From: a@larch.example\r\nTo: {ANN}\r\nSubject: Code\r\n\r\n{CODE}".encode()
    assert here.post("/ingest/mime", params={"rcpt": OTP, "from": "a@larch.example"}, headers=headers, content=content) in (
        401,
        404,
    )


def old_then_asked_since(here: Stage) -> None:
    """A code arrives; what is asked is about the time after it."""
    one_code(here)
    came = datetime.now(UTC)
    wait_for(lambda: datetime.now(UTC) - came > timedelta(seconds=1), "another second: the moments of `--since` are whole ones")


def link(here: Stage) -> None:
    """A magic link of nobody who proved himself, to a host that is not the sender's."""
    text = "Sign in to Larch:\r\n\r\nhttps://login.attacker.example/magic?token=9f8e7d6c5b4a\r\n\r\nIt is valid for 10 minutes."
    assert here.send(text, subject="Your sign-in link") == 250


def bound_elsewhere(here: Stage) -> None:
    """The mail is written to Ann, but the address that it was forwarded to is Bob's."""
    assert here.send(CODE, to=ANN) == 250
    here.settled()


def of_a_run(here: Stage) -> None:
    """The code went to the address of one run alone."""
    local, _, domain = OTP.partition("@")
    assert here.send(CODE, rcpt=f"{local}+wr_5150@{domain}") == 250
    here.settled()


def held_then_fails(here: Stage) -> None:
    """One mail is held since its sender is not one of the address; a second, of the right sender, cannot be pushed."""
    assert here.send(CODE, sender="no-reply@birch.example") == 250
    assert here.send("Your verification code is: 771199", sender="no-reply@larch.example") == 250
    here.tried()


TWO_CODES = (
    "Two sign-ins were begun.\r\n\r\nYour verification code is: 482913\r\n\r\nYour verification code is: 771552\r\n\r\n"
    "Use the one for your device.\r\n"
)
ARCH = 'trust = "dkim"\n'
BOBS = OPEN + f'[[address]]\nrcpt = "{OTP}"\nidentifier = "{BOB}"\n'
ONLY_BOB = DOMAINS + '[identity]\nlearn_from_skyvern = false\nknown = ["bob@corp.com"]\n[trust]\ndefault = "none"\n'
FROM_LARCH = ONLY_ADDRESS + 'accept_from = ["larch.example"]\ntrust = "none"\n'

ARRIVED = r"delivered|accepted|took|taken|has (it|the code)"
NOTHING = r"nothing (at all )?(came|has come|arrived)|no mail (at all )?(came|has come|arrived|for)"

SITUATIONS = (
    Situation(name="nobody sends anything", play=nothing, settings=ONLY_ADDRESS, first=NOTHING),
    Situation(name="Skyvern answers 500", play=one_tried, temper=FAILS, first=r"500"),
    Situation(name="Skyvern is down", play=one_tried, is_down=True, first=r"refused|connect|reach|answer"),
    Situation(
        name="Skyvern refuses the key", play=one_tried, temper=Temper(refuses=1.0, status=403), first=r"403|refuse\w* (the|its) (API )?key"
    ),
    Situation(name="Skyvern says nothing", play=one_tried, temper=Temper(hangs=1.0), first=r"time|no answer|did not answer|in time"),
    Situation(name="Skyvern calls it a bad request", play=one_tried, temper=Temper(refuses=1.0, status=400), first=r"400"),
    Situation(name="the cloud wants credits", play=one_tried, temper=Temper(refuses=1.0, status=402), first=r"402|credit"),
    Situation(name="Skyvern's 200 is nonsense, and it has the code", play=one_code, temper=Temper(garbage=1.0), first=ARRIVED),
    Situation(name="a letter of the address is wrong", play=mistyped, settings=ONLY_ADDRESS, first=r"refused|not (one of )?ours|no such|550"),
    Situation(name="the mail proves nothing", play=body(CODE), settings=ONLY_ADDRESS + ARCH, first=r"held.*(pro|sign|DKIM)|not proven|proof|DKIM"),
    Situation(name="a newsletter", play=body("Our autumn offers are here.", subject="News"), first=r"no code"),
    Situation(
        name="a code in words that no rule has",
        play=body("Tell the assistant the phrase of today:\r\n\r\nblue horse at noon\r\n", subject="Signing in to Larch"),
        first=r"no code.*rule|rule.*no code|no code",
    ),
    Situation(name="two codes in one mail", play=body(TWO_CODES), first=r"ambiguous|several|more than one|two|which"),
    Situation(
        name="a code of an hour ago",
        play=body(CODE + "It is valid for 10 minutes.", age=timedelta(hours=1)),
        first=r"expired|too old|old|over",
    ),
    Situation(name="expires while Skyvern fails", play=expires_while_it_fails, temper=FAILS, first=r"expired|500"),
    Situation(name="the address is another's", play=bound_elsewhere, settings=BOBS, first=rf"{re.escape(BOB)}"),
    Situation(name="a name that is not known", play=body(CODE), settings=ONLY_BOB, first=r"not known|unknown|known"),
    Situation(
        name="the sender is not one of the address", play=body(CODE, sender="no-reply@birch.example"), settings=FROM_LARCH, first=r"sender|accept_from|birch"
    ),
    Situation(name="a link that proves nothing", play=link, settings=ONLY_ADDRESS + ARCH, first=r"link.*held"),
    Situation(name="codes go to the practice receiver", play=one_code, has_key=False, first=r"practice"),
    Situation(name="all is well", play=one_code, first=ARRIVED),
    Situation(name="the same mail twice", play=twice, first=ARRIVED),
    Situation(name="the second code arrived", play=two_codes_one_after_the_other, temper=FAILS, first=ARRIVED),
    Situation(name="a code of one run alone", play=of_a_run, settings=ONLY_ADDRESS + 'trust = "none"\n', first=r"wr_5150|run"),
    Situation(name="the mailbox refuses its password", play=red, settings=OPEN + MAILBOX, imap="refuses", first=r"mailbox|IMAP|corp|password"),
    Situation(name="the mailbox's server is gone", play=red, settings=OPEN + MAILBOX, imap="gone", first=r"mailbox|IMAP|corp\b"),
    Situation(name="the mailbox works, and is empty", play=nothing, settings=OPEN + MAILBOX, imap="well", first=NOTHING),
    Situation(
        name="the mailbox is red, and the key was refused for a mail by SMTP",
        play=red_and_refused, settings=OPEN + MAILBOX, imap="refuses", temper=Temper(refuses=1.0, status=403), first=r"403|refuse\w* (the|its) (API )?key",
    ),
    Situation(
        name="the mailbox is red, and a newsletter came by SMTP",
        play=red_but_a_newsletter_came, settings=OPEN + MAILBOX, imap="refuses", first=r"mailbox|IMAP|corp\b|password",
    ),
    Situation(name="a newsletter, then two codes in one mail", play=no_code_then_two_codes, first=r"ambiguous|several|more than one|two|which"),
    Situation(name="a code, then two codes in one mail", play=delivered_then_two_codes, first=r"ambiguous|several|more than one|two|which"),
    Situation(name="one is held, the newer one cannot be pushed", play=held_then_fails, settings=FROM_LARCH, temper=FAILS, first=r"500"),
    Situation(name="a code for Bob alone", play=for_somebody_else, first=NOTHING),
    Situation(name="a name with one letter more", play=one_code, asks=("anne@corp.com",), first=NOTHING),
    Situation(name="a post with a wrong token", play=wrong_token, settings=ONLY_ADDRESS, first=NOTHING + r"|token|401"),
    Situation(name="nothing since it was asked", play=old_then_asked_since, asks=(ANN, "--since", "0s"), first=NOTHING),
)  # fmt: skip


def mailbox_port(situation: Situation, server: ScriptedImap | None) -> int:
    """The port of its mailbox."""
    return server.port if server is not None else free_port()
