"""A known secret is a mask in every form in which it may turn up, and nothing else is."""

from __future__ import annotations

import base64
import json
import threading
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.secret import MASK, Secret
from mailbridge.ingress.imap.modes import Mode
from mailbridge.masks import MOST_PASSING, Masks

PASSWORDS = [
    "hunter2!",
    "sk-live-0123456789abcdef",
    'p"a\\s/s+w=o r&d%',
    "pässwört-日本",
    "a" * 60 + "Z9" * 40,
    "corr3ct horse/battery+staple==",
]


def masks(*secrets: str | bytes) -> Masks:
    """Masks that know these."""
    made = Masks()
    made.guard(*(Secret(one) if isinstance(one, str) else one for one in secrets))
    return made


def written(secret: str) -> list[str]:
    """The lines in which libraries and servers write a secret."""
    raw = secret.encode()
    plain = base64.b64encode(b"\0ann@corp.example\0" + raw).decode()
    basic = base64.b64encode(b"ann:" + raw).decode()
    bearer = base64.b64encode(f"user=ann\x01auth=Bearer {secret}\x01\x01".encode()).decode()
    return [
        secret,
        f"Authorization: Bearer {secret}",
        f"x-api-key={secret}&x=1",
        f"A1 AUTHENTICATE PLAIN {plain}",
        f"AUTH LOGIN\r\n{base64.b64encode(raw).decode()}",
        f"Authorization: Basic {basic}",
        f"AUTH XOAUTH2 {bearer}",
        base64.urlsafe_b64encode(b"xy" + raw).decode(),
        f"https://ann:{quote(secret, safe='')}@mail.example/?{urlencode({'token': secret})}",
        f"https://mail.example/{quote(secret)}?t={quote_plus(secret)}",
        quote(secret, safe="").lower(),
        quote(base64.b64encode(raw).decode(), safe=""),
        json.dumps({"password": secret}),
        json.dumps({"password": secret}, ensure_ascii=False),
        repr({"password": secret}),
        repr(raw),
        f"b{raw!r}",
        'A1 LOGIN ann "{}"'.format(secret.replace("\\", "\\\\").replace('"', '\\"')),
        f"cannot log in with {secret.upper()}",
    ]


@pytest.mark.parametrize("secret", PASSWORDS)
def test_every_form_is_masked(secret: str) -> None:
    """In clear, in Base64 behind a user's name, escaped for URLs, JSON, Python and IMAP, in another case."""
    known = masks(secret, "another-one-of-them")
    for line in written(secret):
        told = known.masked(line)
        assert "***" in told, line
        for form in (
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            base64.b64encode(secret.encode()).decode().rstrip("="),
        ):
            assert form[:12].lower() not in told.lower(), (line, told)


def test_a_key_of_octets_is_masked() -> None:
    """As hexadecimals, in Base64 and as Python writes it."""
    key = bytes(range(200, 232))
    for line in (key.hex(), key.hex().upper(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode(), repr(key)):
        assert masks(key).masked(f"key {line} end") in ("key *** end", "key b'***' end")


def test_what_is_around_a_secret_stays() -> None:
    """The rest of a line is as it was, halves of characters aside, which cannot be written anyway."""
    known = masks("hunter2!", "sk-live-0123456789")
    assert (
        known.masked("user ann, password hunter2!, key sk-live-0123456789: refused") == "user ann, password ***, key ***: refused"
    )
    assert known.masked("nothing of it: hunter, sk-live, 0123456789") == "nothing of it: hunter, sk-live, 0123456789"
    assert known.masked("") == ""
    assert known.masked("\ud800 hunter2! ü") == "\\ud800 *** ü"
    assert Masks().masked("hunter2!") == "hunter2!"


def test_a_member_of_an_enumeration_is_masked_as_its_text() -> None:
    """A status holds words of a fixed set beside texts, and may give each to the mask."""
    known = masks("connecting")
    assert known.masked(Mode.CONNECTING) == MASK
    assert type(known.masked(Mode.IDLE)) is str


def test_what_is_too_short_is_no_mask() -> None:
    """A PIN of five digits would take half of the log away, and tell by that which it is."""
    assert masks("12345", "").masked("port 12345, mail 12345") == "port 12345, mail 12345"
    assert masks("123456").masked("123456") == "***"


def test_secrets_for_a_while_give_way_and_others_stay() -> None:
    """Of tokens that are renewed the newest are known; what the configuration has is known for good."""
    known = masks("password-for-good")
    known.guard_for_now(*(Secret(f"access-token-{number:04}") for number in range(MOST_PASSING + 10)))
    assert known.masked("password-for-good") == "***"
    assert known.masked(f"access-token-{MOST_PASSING + 9:04}") == "***"
    assert known.masked("access-token-0000") == "access-token-0000"
    known.guard_for_now(Secret(f"access-token-{20:04}"), Secret("a-new-one"))
    assert known.masked("access-token-0020 a-new-one") == "*** ***"


def test_it_is_safe_from_many_threads() -> None:
    """Whoever adds while others read: what was added is masked at once."""
    known = Masks()
    faults: list[str] = []

    def work(name: int) -> None:
        for number in range(50):
            known.guard(Secret(f"secret-{name}-{number}-x"))
            if "secret" in known.masked(f"secret-{name}-{number}-x"):
                faults.append(f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


@given(st.text(min_size=6, max_size=80), st.text(max_size=20), st.text(max_size=20))
def test_any_secret_is_masked_anywhere(secret: str, before: str, behind: str) -> None:
    """Whatever it is made of, and whatever stands around it."""
    known = masks(secret)
    if secret.isascii() and secret.isprintable():
        told = known.masked(f"{before}{secret}{behind}")
        assert secret not in told
        encoded = base64.b64encode(f"{before}{secret}{behind}".encode("utf-8", "replace")).decode()
        assert "***" in known.masked(encoded)
    else:
        known.masked(f"{before}{secret}{behind}")
