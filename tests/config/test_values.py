"""How durations, sizes and addresses are written, and that what we write can be read again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbridge.config.values import duration, listen, size, written_duration

DURATIONS = {
    "500ms": 0.5, "90s": 90, "10m": 600, "1h30m": 5400, "30d": 2_592_000, "1.5s": 1.5, "0s": 0,
}  # fmt: skip
SIZES = {"25MiB": 26_214_400, "25MB": 25_000_000, "500kB": 500_000, "1024": 1024, "1 GiB": 1 << 30, "64k": 64_000}


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_read(text: str) -> None:
    """Numbers with units, together or alone."""
    assert duration(text) == timedelta(seconds=DURATIONS[text])


@pytest.mark.parametrize("value", ["", "10", "ten", "-1s", "1w", "1s ", True, None, [], "99999d", "1 h"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A bare text number, an unknown unit, another type, or more than ten years; a blank at the end is forgiven."""
    if value == "1s ":
        assert duration(value) == timedelta(seconds=1)
        return
    with pytest.raises(ValueError, match="must be a duration"):
        duration(value)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.5, 1, 60, 90, 3600, 5400, 86400, 864_000, 2_592_000])
def test_a_duration_that_is_written_reads_as_itself(seconds: float) -> None:
    """`config show` and the schema print what the file would take."""
    value = timedelta(seconds=seconds)
    assert duration(written_duration(value)) == value


@pytest.mark.parametrize("text", SIZES)
def test_a_size_is_read(text: str) -> None:
    """kB is a thousand, KiB is 1,024."""
    assert size(text) == SIZES[text]


@pytest.mark.parametrize("value", ["", "big", "-1", "1TB", True, 1.5, None])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A word, a fraction, a sign, or a unit nobody needs."""
    with pytest.raises(ValueError, match="must be a size"):
        size(value)


@pytest.mark.parametrize("text", ["127.0.0.1:25", "0.0.0.0:0", "[::1]:25", "[::]:2525", "unix:/run/x.sock"])
def test_an_address_is_taken(text: str) -> None:
    """IPv4, bracketed IPv6, and a path."""
    assert listen(text) == text


def test_localhost_is_an_address() -> None:
    """It is the loopback of IPv4, whatever a resolver would say."""
    assert listen("localhost:25") == "127.0.0.1:25"


@pytest.mark.parametrize(
    "text", ["", "25", "mail.example:25", "::1:25", "[127.0.0.1]:25", "127.0.0.1:99999", "127.0.0.1:x", "unix:x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A name, IPv6 without brackets, a port out of range, a path that is relative."""
    with pytest.raises(ValueError, match="must be host:port"):
        listen(text)
