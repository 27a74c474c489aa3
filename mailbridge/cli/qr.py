"""A QR code in an image file, read by ZXing; an extra, since only a secret on a screen needs it."""

from __future__ import annotations

from pathlib import Path

from mailbridge.core.otpauth import SecretError

LARGEST = 50_000_000
"""Pixels that are looked at; a photo of a screen has 12 million."""


def read_qr(path: Path) -> str:
    """The text of the one QR code in an image.

    Raises:
        SecretError: the reader is not installed, this is no image, or there is not exactly one QR code in it.
    """
    try:
        import zxingcpp
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise SecretError(
            'reading QR codes needs two more packages: install again, as you installed it, with the extra: pip install ".[qr]"'
        ) from None
    try:
        with Image.open(path) as image:
            if image.width * image.height > LARGEST:
                raise SecretError(f"{path}: larger than {LARGEST} pixels")
            grey = image.convert("RGBA") if image.mode in ("P", "LA", "PA") else image.copy()
            if grey.mode == "RGBA":
                white = Image.new("RGBA", grey.size, "white")
                grey = Image.alpha_composite(white, grey)
            grey = grey.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise SecretError(f"{path}: not an image that can be read (PNG, JPEG, WebP …)") from None
    found = {one.text for one in zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))}
    if len(found) != 1:
        what = "no QR code" if not found else f"{len(found)} QR codes"
        raise SecretError(f"{path}: {what} in it; take a sharper picture of one")
    return found.pop()
