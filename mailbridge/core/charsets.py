"""Octets to text by an allow-list: any Python codec can be named in a mail, and some of them never end.

``charset=punycode`` over 600 kB keeps a parser busy for half a minute (measured), so only what mail is really written in is
decoded as it says; everything else is read as UTF-8, or else as Windows-1252, and called a defect.
"""

from __future__ import annotations

import binascii
import re
from email.quoprimime import header_decode

ALIASES = {  # as names are looked up: lower case, "-" for "_"
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ansi-x3.4-1968": "ascii",
    "latin1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "cp1250": "windows-1250",
    "cp1251": "windows-1251",
    "cp1252": "windows-1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "ks-c-5601-1987": "cp949",
    "euc-kr": "cp949",
    "x-sjis": "cp932",
    "shift-jis": "cp932",
    "windows-31j": "cp932",
    "big5": "big5hkscs",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-2022-jp-1": "iso-2022-jp",
    "iso-2022-jp-2": "iso-2022-jp",
    "unicode-1-1-utf-8": "utf-8",
    "iso-8859-1": "windows-1252",
    "ascii": "ascii",
}
ALLOWED = frozenset(
    {
        "ascii",
        "utf-8",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "koi8-r",
        "koi8-u",
        "gb18030",
        "cp949",
        "cp932",
        "big5hkscs",
        "euc-jp",
        "iso-2022-jp",
        "iso-2022-kr",
        "tis-620",
        "windows-874",
        "macintosh",
        *(f"iso-8859-{n}" for n in range(1, 17) if n != 12),
        *(f"windows-125{n}" for n in range(9)),
    }
)
CODECS = {
    "windows-874": "cp874",
    "macintosh": "mac_roman",
    "iso-2022-jp": "iso2022_jp_ext",
    **{f"windows-125{n}": f"cp125{n}" for n in range(9)},
}
WIDE = frozenset({"gb18030", "cp949", "cp932", "big5hkscs", "iso-2022-jp", "euc-jp", "utf-16", "utf-16le", "utf-16be"})
"""Charsets of more than one octet a character: what is broken in them is still more than what UTF-8 or Windows-1252 would make."""

SURROGATES = re.compile("[\ud800-\udfff]")
ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?]{0,4096})\?=")
BETWEEN = re.compile(r"[ \t\r\n]+")
MAX_WORDS = 200


def decode(octets: bytes, charset: str) -> tuple[str, str | None]:
    """The text, and the defect's name if it was not written as it said: ``unknown-charset`` or ``bad-charset``."""
    name = charset.strip().strip("\"'").lower().replace("_", "-") if charset else "utf-8"
    name = ALIASES.get(name, name)
    defect = None
    if name not in ALLOWED:
        defect = "unknown-charset"
    else:
        try:
            return clean(octets.decode(CODECS.get(name, name))), None
        except (UnicodeDecodeError, LookupError):
            # A mail that says ASCII and writes UTF-8 is too common to be worth a word.
            defect = None if name == "ascii" and _is_utf8(octets) else "bad-charset"
            if name in WIDE and not _is_utf8(octets):
                return clean(octets.decode(CODECS.get(name, name), "replace")), defect
    try:
        return clean(octets.decode("utf-8")), defect
    except UnicodeDecodeError:
        return clean(_repaired(octets)), defect or "bad-charset"


def _repaired(octets: bytes) -> str:
    """UTF-8 with a broken octet here and there (a mail cut in the midst of a character, say), or else Windows-1252."""
    text = octets.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(1 for character in text if character > "\x7f") - broken
    return text if whole > broken else octets.decode("cp1252", "replace")


def clean(text: str) -> str:
    """Without lone surrogates, which no store and no wire can carry."""
    return text if text.isascii() else SURROGATES.sub("\ufffd", text)


def decode_header(value: str) -> tuple[str, str | None]:
    """A header value with its encoded words (RFC 2047) read, neighbours joined; never raises, and at most 200 of them."""
    if "=?" not in value:
        return clean(value), None
    pieces: list[str] = []
    defect: str | None = None
    pending = b""
    pending_charset = ""
    position = 0
    for number, match in enumerate(ENCODED_WORD.finditer(value)):
        if number >= MAX_WORDS:
            defect = "too-many-encoded-words"
            break
        gap = value[position : match.start()]
        is_joined = bool(pending_charset) and (not gap or BETWEEN.fullmatch(gap) is not None)
        if not (is_joined and match[1].lower() == pending_charset.lower()):
            if pending_charset:
                text, fault = decode(pending, pending_charset)
                pieces.append(text)
                defect = defect or fault
            if not is_joined:
                pieces.append(gap)
            pending, pending_charset = b"", match[1]
        octets = _word(match[2], match[3])
        if octets is None:
            defect = "bad-encoded-word"
            octets = _saved(match[3])
        pending += octets
        position = match.end()
    if pending_charset:
        text, fault = decode(pending, pending_charset)
        pieces.append(text)
        defect = defect or fault
    pieces.append(value[position:])
    return clean("".join(pieces)), defect


def _word(encoding: str, text: str) -> bytes | None:
    try:
        if encoding in "qQ":
            return header_decode(text).encode("latin-1", "replace")
        return binascii.a2b_base64(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None


def _saved(text: str) -> bytes:
    """What can be read of base64 that lost its end, or has something else in it."""
    kept = re.sub(r"[^A-Za-z0-9+/]", "", text.partition("=")[0])
    return binascii.a2b_base64(kept[: len(kept) - len(kept) % 4])


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
