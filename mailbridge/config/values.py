"""How values are written: durations, sizes, addresses, secrets. Each reader says what it expects if it gets something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec

from mailbridge.config.settings import OCTETS, ExampleSettings
from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.secret import Secret

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SIZE = re.compile(r"(\d+)\s*([kKmMgG]?)(i?)[bB]?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = timedelta(days=3650)


def duration(value: object) -> timedelta:
    """``"10m"``, ``"1h30m"``, ``"500ms"``, or a number of seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a duration such as 10m, 90s or 500ms")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        text = value.strip()
        parts = DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError("must be a duration such as 10m, 90s or 500ms")
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise ValueError("must be a duration between 0 and 10 years")
    return timedelta(seconds=seconds)


def written(name: str, value: object) -> object:
    """A setting (``section.key``) as it is written in the file: durations as ``10m``, sizes as ``25MiB``, secrets masked."""
    if isinstance(value, timedelta):
        return written_duration(value)
    if name in OCTETS and isinstance(value, int) and value and value % 1_048_576 == 0:
        return f"{value // 1_048_576}MiB"
    if isinstance(value, Path | Secret):
        return str(value)
    if isinstance(value, ExampleSettings):
        return msgspec.to_builtins(value)
    return [written(name, one) for one in value] if isinstance(value, tuple) else value


def written_duration(value: timedelta) -> str:
    """The shortest spelling in one unit: ``10m``, ``90s``, ``500ms``, ``30d``."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds and milliseconds % length == 0 and (unit != "d" or milliseconds > length):
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def size(value: object) -> int:
    """``"25MB"`` (10^6), ``"25MiB"`` (2^20), or a number of octets. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value < 1 << 63:
        return value
    found = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a size such as 25MiB, 500kB or a number of octets")
    power = " kmg".index(found[2].lower() or " ")
    return int(found[1]) * int((1024 if found[3] else 1000) ** power)


def listen(value: str, *, is_unix_allowed: bool = True) -> str:
    """``host:port`` with a numeric host, ``[v6]:port``, or ``unix:/path``. Raises ValueError."""
    wanted = "must be host:port such as 127.0.0.1:2525, [::1]:2525" + (" or unix:/run/x.sock" if is_unix_allowed else "")
    if value.startswith("unix:"):
        if not is_unix_allowed or not value.removeprefix("unix:").startswith("/"):
            raise ValueError(wanted)
        return value
    host, _, port = value.rpartition(":")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError(wanted) from None
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed != (address.version == 6) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(wanted)
    return f"{host}:{port}"


def secret_file(path: Path, *, is_mode_checked: bool) -> Secret:
    """A secret from a file, without blanks and line ends around it. Raises ValueError or OSError; neither contains the secret."""
    if is_mode_checked and path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others: chmod 600 {path}")
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return Secret(text)


def proof_mistakes(listed: object) -> Iterator[str]:
    """What is wrong with a list of proofs (``trust``). The type checks each single word."""
    if not isinstance(listed, tuple):
        return
    if not listed:
        yield 'must name a proof; "none" asks for nothing'
    elif "none" in listed and len(listed) > 1:
        yield '"none" asks for nothing; beside it no other proof has a meaning'


def shortened(text: str) -> str:
    """A value as a message quotes it: whole, or only its beginning if it is longer than a line."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def sender_pattern(text: str) -> str | None:
    """A sender as people write it, as a pattern with ``*``: an address, a pattern, or a domain. A domain (``github.com``,
    ``@github.com``) means every address of exactly that domain. None if it is none of these."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    if text == "*" or (local == "*" and domain == "*"):
        return "*"
    if not local:
        local = "*"
    is_bare = local == "*" and not text.startswith("*@")
    plain = domain.removeprefix("*.")
    if is_bare and ("*" in plain or "." not in plain):
        return None
    if plain != "*" and parse_mailbox(f"x@{plain.replace('*', 'x')}") is None:
        return None
    return f"{local}@{domain}" if parse_mailbox(f"{local.replace('*', 'x')}@x.example") is not None else None


SENDERS = "must be an address, a domain such as github.com, or a pattern such as *@github.com"


def host_mistake(text: str) -> str:
    """What is wrong with a site; "" if nothing is. A site is a host such as github.com, or the address of a page of it."""
    host = re.sub(r"^[a-z][a-z0-9+.-]*://", "", text.strip().lower()).partition("/")[0]
    host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    is_host = "." in host and parse_mailbox(f"x@{host}") is not None
    return "" if is_host else f"{text!r} is not a site such as github.com"


STRANGERS = {
    "codes": "codes of unknown senders are pushed and marked as first seen, but held while a code of a known sender is valid; their links are held",
    "hold": "nothing of unknown senders is pushed",
    "all": "codes and links of unknown senders are pushed and marked as first seen, but held while a code of a known sender is valid",
}
"""What `[trust] strangers` means."""


def strangers_meaning(strangers: str, *, is_practice: bool) -> str:
    """What the setting means with a real key, in a sentence."""
    meaning = f'strangers = "{strangers}": {STRANGERS[strangers]}'
    return f"practice: nothing leaves this machine. With a Skyvern key: {meaning}" if is_practice else meaning
