"""What can go wrong between a caller and mailbridge. No message holds a code or a token."""

from __future__ import annotations

from mailbridge_client.answers import Why


class MailbridgeError(Exception):
    """Everything that this package raises of its own. ``status`` is the HTTP status of the answer, None where there was none."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BadRequest(MailbridgeError):  # noqa: N818  (a name of the trade)
    """mailbridge does not take the request as it is (400, 409, 422): the message says which parameter."""


class NotAllowed(MailbridgeError):  # noqa: N818  (a name of the trade)
    """The token is missing, unknown or expired (401), or not for this identifier or request (403)."""


class UnknownIdentifier(MailbridgeError):  # noqa: N818  (a name of the trade)
    """No code can ever come for this identifier, or there is no such inbox (404)."""


class Unreachable(MailbridgeError):  # noqa: N818  (a name of the trade)
    """No usable answer within the time: no connection, or only 429 and 5xx. Each was tried again."""


class CodeTimeout(MailbridgeError, TimeoutError):  # noqa: N818  (a name of the trade)
    """mailbridge was asked to the end of the time, and nothing came.

    ``why``: what mailbridge says about it; None where it gave no answer to that.
    """

    def __init__(self, *, identifier: str, what: str, timeout: float, why: Why | None = None) -> None:
        self.identifier = identifier
        self.what = what
        self.timeout = timeout
        self.why = why
        first = why.causes[0] if why is not None and why.causes else None
        reason = "" if first is None else f": {first.text}" + (f" ({first.hint})" if first.hint else "")
        super().__init__(f"no {what} for {identifier} within {timeout:g} s{reason}")
