"""The log's format: text for people, JSON for machines; one line an event, and no secret in any of them.

Each line has the name of its event (`mailbridge.log_events`); what varies travels as ``extra`` fields, so that identifiers can be hashed and values escaped in one place. The salt of the
hash is made at each start: hashes tell one identifier from another within a run, and tell nobody which it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Literal, TextIO

import msgspec

from mailbridge import log_events
from mailbridge.config.settings import LogSettings
from mailbridge.masks import Masks

log = logging.getLogger("mailbridge.faults")

QUIET = ("mail.log", "mailparser", "imapclient", "httpx", "httpcore", "uvicorn", "asyncio")
"""Libraries that may only warn: aiosmtpd's ``mail.log`` writes whole mails at DEBUG, mail-parser an attacker's octets."""

OWN = len(vars(logging.makeLogRecord({})))
"""How many attributes every record has; those of a line's own stand behind them."""

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event"}
IDENTIFIERS = frozenset({"identifier", "rcpt", "mail_from", "account"})
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that could end a line, move a terminal's cursor, change the reading direction, or cannot be written."""

PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
HASH_LENGTH = 10
ENCODER = msgspec.json.Encoder()
NUMBERS = (int, float)
Value = str | int | float
"""Types of a field; a bool is an int."""


class LogFormatter(logging.Formatter):
    """Formats a record with its fields. What ``masks`` knows is masked wherever it turns up: the second line of defence."""

    def __init__(self, *, form: Literal["text", "json", "journal"], is_hashed: bool) -> None:
        super().__init__()
        self._form = form
        self._salt = secrets.token_bytes(16) if is_hashed else None
        self.masks = Masks()

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = self._fields(record)
        event = str(getattr(record, "event", log_events.LIBRARY_WARNED))
        said = record.getMessage()
        message = "" if said == event else self._clean(said)
        if self._form == "json":
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
            row: dict[str, Value] = {"at": at, "level": record.levelname.lower(), "logger": record.name, "event": event}
            if message:
                row["message"] = message
            return _as_json(row | fields)
        head = f"{event}: {message}" if message else event
        tail = "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
        if self._form == "journal":
            return f"<{PRIORITY.get(record.levelno, 6)}>{head}{tail}"
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        return f"{at} {record.levelname.lower():7} {head}{tail}"

    def _fields(self, record: logging.LogRecord) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        texts: dict[str, str] = {}
        for name, value in islice(vars(record).items(), OWN, None):
            if value is None or value == "" or name in STANDARD:
                continue
            if isinstance(value, NUMBERS):
                fields[name] = value
            else:
                fields[name] = texts[name] = str(value)
        together = " ".join(texts.values())
        if self._clean(together) != together:  # one search a line in place of one a field: there is seldom anything to clean
            fields |= {name: self._clean(text) for name, text in texts.items()}
        for name in IDENTIFIERS & texts.keys() if self._salt is not None else ():
            fields[name] = ",".join(self._hash(part) for part in str(fields[name]).split(","))
        if record.exc_info and record.exc_info[0] is not None:
            fields["fault"] = whereabouts(record.exc_info[1])
        return fields

    def _hash(self, text: str) -> str:
        return hashlib.blake2b(text.casefold().encode(), key=self._salt or b"", digest_size=16).hexdigest()[:HASH_LENGTH]

    def _clean(self, text: str) -> str:
        return self.masks.masked(escaped(text))


def configure(settings: LogSettings, stream: TextIO, *, environ: Mapping[str, str] = os.environ) -> LogFormatter:
    """Write the log to ``stream``. Returns the formatter, for `LogFormatter.masks`."""
    form: Literal["text", "json", "journal"]
    if settings.format == "auto":
        form = "journal" if "JOURNAL_STREAM" in environ and not stream.isatty() else "text" if stream.isatty() else "json"
    else:
        form = settings.format
    formatter = LogFormatter(form=form, is_hashed=settings.identifiers == "hash")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("mailbridge").setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("mailparser", "python_multipart"):  # what they warn of is what strangers sent
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # what no line says need not be looked up
    logging._srcfile = None  # noqa: SLF001  (nor from where it was written: so the library's manual turns that off)
    logging.raiseExceptions = False  # a line that cannot be written is lost; its traceback would show what was in it
    return formatter


def adopt_unhandled() -> None:
    """Log uncaught exceptions, in threads and at the end of objects, and warnings, which Python would print with their text."""

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            log.error("a thread ended with an exception", exc_info=args.exc_value, extra={"event": log_events.FAULT_UNHANDLED})

    def of_object(args: sys.UnraisableHookArgs) -> None:
        log.error("an exception that could not be raised", exc_info=args.exc_value, extra={"event": log_events.FAULT_UNHANDLED})

    logging.captureWarnings(True)
    threading.excepthook = in_thread
    sys.unraisablehook = of_object


def escaped(text: str) -> str:
    """The text with its `CONTROL` characters written out, ``\\x1b`` or ``\\u202e``."""
    if text.isprintable():  # as nearly every text is, and none of these is
        return text
    return CONTROL.sub(lambda match: _written_out(ord(match.group())), text)


def _written_out(point: int) -> str:
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def whereabouts(error: BaseException | None) -> str:
    """Where an exception came from, without its message and locals, which may contain a mail's text."""
    if error is None:
        return ""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}:{code.co_name}")  # noqa: PTH119
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(frames[-6:])}"


def _as_json(row: Mapping[str, Value]) -> str:
    """One flat object on one line."""
    return ENCODER.encode(row).decode()


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=') else text
