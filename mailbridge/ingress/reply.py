"""SMTP replies (RFC 5321 4.2) with enhanced status codes (RFC 3463)."""

from __future__ import annotations

from typing import assert_never

from mailbridge.core.dataclass import dataclass
from mailbridge.intake.answer import Answer, Deferred, Full, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """2xx means done, 4xx try again, 5xx never."""

    code: int
    enhanced: str
    text: str

    @property
    def is_success(self) -> bool:
        """Whether we have accepted responsibility for the mail."""
        return 200 <= self.code < 300

    def encode(self) -> bytes:
        """One line, with its end."""
        return f"{self.code} {self.enhanced} {self.text}\r\n".encode("ascii")

    def naming(self, mail_id: int) -> Reply:
        """The same reply with the number under which the mail is stored."""
        return Reply(code=self.code, enhanced=self.enhanced, text=f"{self.text} {mail_id}")


QUEUED = Reply(code=250, enhanced="2.0.0", text="OK: queued as")
OUR_FAULT = Reply(code=451, enhanced="4.3.0", text="Temporary failure on our side, try again")
UNPROVEN_YET = Reply(code=451, enhanced="4.4.3", text="DNS does not answer, try again")
TOO_MUCH = Reply(code=451, enhanced="4.7.1", text="Too much mail at once, try again later")
FULL = Reply(code=452, enhanced="4.3.1", text="No room at the moment, try again")
UNKNOWN_USER = Reply(code=550, enhanced="5.1.1", text="No such recipient here")
TOO_MANY_RECIPIENTS = Reply(code=452, enhanced="4.5.3", text="Too many recipients, send the rest separately")
TOO_BIG = Reply(code=552, enhanced="5.3.4", text="Message larger than the limit")
BUSY = Reply(code=421, enhanced="4.7.0", text="Too many connections, try again later")
TIMED_OUT = Reply(code=421, enhanced="4.4.2", text="Took too long, closing")
GOING_DOWN = Reply(code=421, enhanced="4.3.2", text="Going down, try again")
OUR_FAULT_CLOSING = Reply(code=421, enhanced="4.3.0", text="Temporary failure on our side, closing")
TOO_MANY_COMMANDS = Reply(code=421, enhanced="4.7.0", text="Too many commands without a mail, closing")
TOO_MANY_ERRORS = Reply(code=421, enhanced="4.7.0", text="Too many errors, closing")
BAD_MAIL_FROM = Reply(code=501, enhanced="5.1.7", text="Syntax: MAIL FROM:<address>")
BAD_RCPT_TO = Reply(code=501, enhanced="5.1.3", text="Syntax: RCPT TO:<address>")
NOT_ASCII = Reply(code=553, enhanced="5.6.7", text="Address with letters beyond ASCII without SMTPUTF8")
BAD_PARAMETER = Reply(code=555, enhanced="5.5.4", text="Parameter not recognized")
BAD_SEQUENCE = Reply(code=503, enhanced="5.5.1", text="Bad sequence of commands")
BAD_SYNTAX = Reply(code=501, enhanced="5.5.4", text="Syntax error in arguments")
NOT_VERIFIED = Reply(code=252, enhanced="2.1.5", text="Not looked up: send the mail and see")
HELP = Reply(
    code=214, enhanced="2.0.0", text="RFC 5321, or RFC 2033 for LMTP; commands: EHLO MAIL RCPT DATA RSET NOOP STARTTLS QUIT"
)
UNKNOWN_COMMAND = Reply(code=500, enhanced="5.5.2", text="Command not recognized")
NOT_OFFERED = Reply(code=502, enhanced="5.5.1", text="Command not offered")
LINE_TOO_LONG = Reply(code=500, enhanced="5.5.2", text="Command line too long, closing")
TLS_UNAVAILABLE = Reply(code=454, enhanced="4.7.0", text="TLS not available")


def reply_to(answer: Answer) -> Reply:
    """The SMTP reply for an answer of the intake."""
    match answer:
        case Stored():
            return QUEUED.naming(answer.receipt.mail_id)
        case Deferred(why="proof"):
            return UNPROVEN_YET
        case Deferred():
            return OUR_FAULT
        case Full():
            return FULL
        case _:
            assert_never(answer)
