"""The fields of a form and its uploaded files, within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from urllib.parse import parse_qs

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mailbridge.web.limits import body_of

MOST_FORM = 2_097_152
"""Octets of a form; the largest contains a mail to try a rule with."""

MOST_FIELDS = 2_000

UPLOADS: Mapping[str, int] = MappingProxyType({"totp.add": 12_582_912})
"""Paths (by the names of `entrance.PATHS`) that take a file, and the octets of it: the photo of a screen that a phone makes."""

Form = dict[str, list[str]]


async def form_of(request: Request, name: str) -> tuple[Form, dict[str, bytes]]:
    """The fields of a form, each with its values, and its files by their fields; a field without a file is not among them.

    Raises:
        HTTPException: it is too large, or no form.
    """
    kind = request.headers.get("content-type", "")
    if name in UPLOADS and kind.startswith("multipart/form-data"):
        octets = await body_of(request, most=MOST_FORM + UPLOADS[name])
        return await _parts(request, octets)
    octets = await body_of(request, most=MOST_FORM)
    if not kind.startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "a form is sent as application/x-www-form-urlencoded")
    try:
        text = octets.decode("ascii")
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, encoding="utf-8", errors="strict"), {}
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


def one_of(form: Mapping[str, list[str]], name: str) -> str:
    """The first value of a field; "" if it is absent."""
    return next(iter(form.get(name, ())), "")


class _InMemory(MultiPartParser):
    """A picture may contain a secret, so none is written to a temporary file."""

    spool_max_size = MOST_FORM + max(UPLOADS.values())


async def _parts(request: Request, octets: bytes) -> tuple[Form, dict[str, bytes]]:
    """The parts of a multipart/form-data body (RFC 7578)."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield octets

    try:
        found = await _InMemory(request.headers, stream(), max_files=1, max_fields=MOST_FIELDS, max_part_size=MOST_FORM).parse()
    except (MultiPartException, KeyError, ValueError):
        raise HTTPException(400, "the form cannot be read") from None
    form: Form = {}
    files: dict[str, bytes] = {}
    for name, value in found.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            await value.close()
            if content:
                files[name] = content
        else:
            form.setdefault(name, []).append(value)
    return form, files
