"""Forms as octets: url-encoded and multipart/form-data. Each field stays as it was sent, without guessing its charset."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mailbridge.ingress.http.posted import Posted, Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_FIELDS = 500
PIECE = 1 << 20
MOST_NAME = 200


def read_form(posted: Posted) -> Mapping[str, bytes]:
    """The fields by name. If a name occurs twice, the last value counts.

    Raises:
        Refused: 415 for another type, 400 if it is not a form.
    """
    if posted.content_type == "application/x-www-form-urlencoded":
        return _url_encoded(posted.body)
    if posted.content_type == "multipart/form-data":
        return _multipart(posted)
    raise Refused(415, "the body must be a form (multipart/form-data, or url-encoded)")


def _url_encoded(body: bytes) -> Mapping[str, bytes]:
    pairs = body.split(b"&", MOST_FIELDS)
    if len(pairs) > MOST_FIELDS:
        raise Refused(400, f"the form has more than {MOST_FIELDS} fields")
    fields = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        fields[_unquoted(name).decode("utf-8", "replace")] = _unquoted(value)
    return fields


def _unquoted(text: bytes) -> bytes:
    """Decode piece by piece, so that a mail in a form is in memory twice and not three more times on the way."""
    made, start = io.BytesIO(), 0
    while start < len(text):
        end = start + PIECE
        end -= next((back for back in (1, 2) if text[end - back : end - back + 1] == b"%" and end < len(text)), 0)
        made.write(unquote_to_bytes(text[start:end].replace(b"+", b" ")))
        start = end
    return made.getvalue()


def _multipart(posted: Posted) -> Mapping[str, bytes]:
    _, options = parse_options_header(posted.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Refused(400, "the form names no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(posted.body)
        parser.finalize()
    except FormParserError:
        raise Refused(400, "the form is broken off or malformed") from None
    return parts.fields


class _Parts:
    """Collects the parts as the parser finds them. A part without a name is skipped."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}
        self._data: list[memoryview] = []
        self._header: list[bytes] = []
        self._value: list[bytes] = []
        self._name = ""
        self._count = 0

    def callbacks(self) -> MultipartCallbacks:
        """The functions that the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.append(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.append(data[start:end]),
            "on_header_end": self._end_of_header,
            "on_part_data": lambda data, start, end: self._data.append(memoryview(data)[start:end]),
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_FIELDS:
            raise Refused(400, f"the form has more than {MOST_FIELDS} fields")
        self._name, self._data, self._header, self._value = "", [], [], []

    def _end_of_header(self) -> None:
        if b"".join(self._header).strip().lower() == b"content-disposition":
            _, options = parse_options_header(b"".join(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")[:MOST_NAME]
        self._header, self._value = [], []

    def _end(self) -> None:
        if self._name:
            self.fields[self._name] = b"".join(self._data)
        self._data = []
