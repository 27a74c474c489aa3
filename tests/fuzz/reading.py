"""Reads one mail as a worker does, in this process, with an alarm for the one that takes too long."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType

import msgspec

from mailbridge.config.rulepack import rule_texts
from mailbridge.config.settings import IdentitySettings, RuleSettings, Settings
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request, decoder, encoder

ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LIMIT = 2.0
"""Seconds of processor time, so that a busy machine is not taken for a slow mail; a worker is killed after as many of a clock's."""


class TooSlow(BaseException):
    """Read for longer than the limit. No Exception, so that nothing on the way takes it for a fault of the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of one mail. ``fault`` is None, or what went wrong and where."""

    seconds: float
    understanding: Understanding | None
    fault: str | None = None


def reader() -> Callable[[bytes], Reading]:
    """A function that reads mails: parse, resolve, extract, and over the wire and back; with its limit in seconds."""
    settings = Settings(
        rules=RuleSettings(fallback="push-body", lifetime=timedelta(minutes=10)),
        identity=IdentitySettings(known=("*", "ann@corp.example"), own_domains=("bridge.example",)),
    )
    understand = Understander(parser_config_of(settings, rules=rule_texts(settings.rules)))
    encode, decode = encoder(), decoder(Understanding)
    signal.signal(signal.SIGPROF, _alarm)

    def read(content: bytes) -> Reading:
        request = Request(
            content=content[:1_048_576], rcpt_to=("codes@bridge.example",), mail_from="a+caf_=b=c@d.example", now=ARRIVED
        )
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        try:
            understanding = decode.decode(encode.encode(understand(request)))
        except TooSlow as fault:
            return Reading(seconds=time.process_time() - began, understanding=None, fault=f"too slow in {_where(fault)}")
        except (Exception, msgspec.MsgspecError) as fault:
            return Reading(seconds=time.process_time() - began, understanding=None, fault=f"{fault!r} in {_where(fault)}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return Reading(seconds=time.process_time() - began, understanding=understanding)

    return read


def _alarm(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def _where(fault: BaseException) -> str:
    steps = []
    trace = fault.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        steps.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return " > ".join(step for step in steps if not step.startswith("reading.py"))
