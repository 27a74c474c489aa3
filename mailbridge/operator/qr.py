"""QR codes in pictures, read by ZXing: the library is an extra, since only a secret on a screen needs it.

A picture may be a bomb. The daemon looks at none itself: `in_worker` has a worker process do it, which can be killed.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from mailbridge.core.mail import Envelope
from mailbridge.core.otpauth import SecretError
from mailbridge.intake.meaning import ReaderUnavailable
from mailbridge.intake.pool import parser_pool
from mailbridge.intake.worker_protocol import Request
from mailbridge.operator.faults import Fault, Kind

LARGEST = 50_000_000
"""Pixels that are looked at; a photo of a screen has 12 million."""

TOO_LARGE = f"larger than {LARGEST:,} pixels; cut the picture down to the QR code"
TIMEOUT = timedelta(seconds=15)
INSTALL = 'reading QR codes needs two more packages: install again, as you installed it, with the extra: pip install ".[qr]"'


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found: the text of the one QR code, or why there is none."""

    text: str = ""
    why: str = ""


def is_installed() -> bool:
    """Whether there is a reader. Nothing is loaded."""
    return all(importlib.util.find_spec(name) is not None for name in ("zxingcpp", "PIL"))


def qr_text(content: bytes) -> str:
    """The text of the one QR code in a picture.

    Raises:
        SecretError: the reader is not installed, this is no picture, or there is not exactly one QR code in it.
    """
    try:
        import zxingcpp
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise SecretError(INSTALL) from None
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST:
                raise SecretError(TOO_LARGE)
            grey = image.convert("RGBA") if image.mode in ("P", "LA", "PA") else image.copy()
            if grey.mode == "RGBA":
                white = Image.new("RGBA", grey.size, "white")
                grey = Image.alpha_composite(white, grey)
            grey = grey.convert("L")
    except (SecretError, Image.DecompressionBombError):
        raise SecretError(TOO_LARGE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise SecretError("not an image that can be read (PNG, JPEG, WebP …)") from None
    found = {one.text for one in zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))}
    if len(found) != 1:
        what = "no QR code" if not found else f"{len(found)} QR codes"
        raise SecretError(f"{what} in it; take a sharper picture of one")
    return found.pop()


async def in_worker(content: bytes) -> str | Fault:
    """The text of the one QR code in a picture that may be anything."""
    if not is_installed():
        return Fault(kind=Kind.REFUSED, title=INSTALL)
    target = "mailbridge.operator.qr:build"
    try:
        async with parser_pool(target=target, answer=Read, config=b"", workers=1, timeout=TIMEOUT) as pool:
            found = await pool.understand(
                Envelope(mail_from="", rcpt_to=(), content=content, received_at=datetime.now(UTC), ingress="http")
            )
    except (OSError, TimeoutError, ReaderUnavailable) as fault:
        return Fault(kind=Kind.TRY_AGAIN, title=f"no worker starts: {type(fault).__name__}; try again")
    if found is None:
        return Fault(kind=Kind.REFUSED, title="the picture could not be read in time; take a smaller one")
    return Fault(kind=Kind.REFUSED, title=found.why) if found.why else found.text


def build(_: bytes) -> Callable[[Request], Read]:
    """Makes what answers each picture, in the worker."""

    def read(request: Request) -> Read:
        try:
            return Read(text=qr_text(request.content))
        except SecretError as fault:
            return Read(why=str(fault))

    return read
