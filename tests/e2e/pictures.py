"""Puts the pictures that the tests of the page have left in a folder into docs/pictures, small: `make pictures`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conftest import ROOT

PICTURES = ROOT / "docs" / "pictures"
QUALITY = 60


def kept(folder: Path) -> int:
    """Write each picture as WebP. Returns the octets of all."""
    from PIL import Image

    total = 0
    for path in sorted(folder.glob("*.png")):
        target = PICTURES / f"{path.stem}.webp"
        with Image.open(path) as image:
            image.convert("RGB").save(target, "WEBP", quality=QUALITY, method=6)
        total += target.stat().st_size
    return total


if __name__ == "__main__":
    print(f"{kept(Path(sys.argv[1])):,} octets in {PICTURES}")
