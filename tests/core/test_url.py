"""URLs are read as a browser reads them, and what readers may read differently is named."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.url import ambiguity, ascii_host, host_of, read

READINGS = {
    "https://acme.example/x": "acme.example",
    "HTTPS://ACME.EXAMPLE/x": "acme.example",
    "https://acme.example": "acme.example",
    "https://acme.example?x=1": "acme.example",
    "https://acme.example#x": "acme.example",
    "https:acme.example/x": "acme.example",
    "https:/acme.example/x": "acme.example",
    "https:////acme.example/x": "acme.example",
    "https:\\\\acme.example\\x": "acme.example",
    "https://evil.example\\.acme.example/x": "evil.example",
    "https://evil.example\\@acme.example/x": "evil.example",
    "https://acme.example@evil.example/x": "evil.example",
    "https://a:b@acme.example@evil.example/x": "evil.example",
    "https://acme.example%40evil.example/x": "",
    "https://acme.example%2fevil.example/x": "",
    "https://%61cme.example/x": "acme.example",
    "ht\ttps://ac\nme.exam\rple/x": "acme.example",
    " \x01https://acme.example/x\x1f ": "acme.example",
    "https://acme。example/x": "acme.example",
    "https://ａｃｍｅ．ｅｘａｍｐｌｅ/x": "acme.example",
    "https://ac\u00adme.example/x": "acme.example",
    "https://bücher.example/x": "xn--bcher-kva.example",
    "https://BÜCHER.example/x": "xn--bcher-kva.example",
    "https://faß.example/x": "xn--fa-hia.example",
    "https://acme.example./x": "acme.example.",
    "https://2130706433/x": "127.0.0.1",
    "https://0x7f.1/x": "127.0.0.1",
    "https://0177.0.0.1/x": "127.0.0.1",
    "https://127.1/x": "127.0.0.1",
    "https://①②⑦.0.0.1/x": "127.0.0.1",
    "https://[::ffff:127.0.0.1]/x": "[::ffff:7f00:1]",
    "https://acme.example.1/x": "",
    "https://ac me.example/x": "",
    "https://[bad/x": "",
    "https://acme.example:99999/x": "",
    "https:///": "",
    "https://\ud800.example/x": "",
    "javascript:alert(1)": "",
    "file://acme.example/x": "",
    "mailto:a@acme.example": "",
    "//acme.example/x": "",
    "acme.example": "",
    "": "",
    f"https://acme.example/{'x' * 9_000}": "",
}


@pytest.mark.parametrize("text", READINGS)
def test_a_url_is_read_as_a_browser_reads_it(text: str) -> None:
    """The host that a browser goes to, or none; as the URL Standard has it."""
    assert host_of(text) == READINGS[text]


def test_the_parts_of_a_url() -> None:
    """Scheme, host and port in their own form, path, query and fragment without their marks."""
    url = read("HTTPS://u:p@ACME.example:8443/a/../b c?d=é#f")
    assert url is not None
    assert (url.scheme, url.host, url.port, url.path, url.query, url.fragment) == (
        "https",
        "acme.example",
        "8443",
        "/b%20c",
        "d=%C3%A9",
        "f",
    )
    assert url.has_user
    assert not url.is_address
    assert url.rest == "/b%20c?d=%C3%A9#f"
    assert "acme" in repr(url)
    assert "b%20c" not in repr(url)


def test_a_relative_url_is_read_from_its_page() -> None:
    """As a redirect is followed."""
    for text, href in {
        "/b": "https://acme.example/b",
        "//evil.example/b": "https://evil.example/b",
        "/\\evil.example": "https://evil.example/",
        "https://evil.example": "https://evil.example/",
        "?c": "https://acme.example/a/?c",
    }.items():
        found = read(text, base="https://acme.example/a/")
        assert found is not None
        assert found.href == href
    assert read("javascript:x", base="https://acme.example/") is None


CLEAR = [
    "https://acme.example/x?token=1#y",
    "https://acme.example",
    "https://acme.example:443/x",
    "http://acme.example:80/x",
    "HTTPS://Login.Acme.Example/x",
    "https://acme.example?email=ann@corp.example&token=1",
    "https://acme.example/a/@b?c=d@e",
    "https://r3---sn-x_y.acme.example/x",
    "https://bücher.example/bestätigen?ticket=ü",
    "https://xn--bcher-kva.example/x",
    "https://日本語.example/x",
    "https://abc日本.example/x",
    "https://пример.рф/x",
    "https://сосед.example/x",
    "https://xn--fa-hia.example/x",
    "https://acme.example/{a}|b^c`d'e",
]


@pytest.mark.parametrize("text", CLEAR)
def test_what_everybody_reads_alike_is_clear(text: str) -> None:
    """Case, the default port, letters of one script, and odd characters behind the host make nobody read another host."""
    url = read(text)
    assert url is not None
    assert ambiguity(url) == ""


UNCLEAR = {
    "https://evil.example\\.acme.example/x": "backslash",
    "https://acme.example\\@evil.example/x": "backslash",
    "https://acme.example/a\\b": "backslash",
    "https:\\\\acme.example/x": "backslash",
    "https:/\\acme.example/x": "backslash",
    "https:acme.example/x": "two slashes",
    "https:/acme.example/x": "two slashes",
    "https:///acme.example/x": "two slashes",
    "https:////acme.example/x": "two slashes",
    "https://ac\tme.example/x": "blanks",
    "https://acme.example/x\ny": "blanks",
    "\x01https://acme.example/x": "blanks",
    " https://acme.example/x": "blanks",
    "https://acme.example/x ": "blanks",
    "https://acme.example/x\x7f": "blanks",
    "https://acme.example/x\xa0": "blanks",
    "https://ac\u00adme.example/x": "not seen",
    "https://ac\u200bme.example/x": "not seen",
    "https://acme.example/x\u202ey": "not seen",
    "https://acme.example/\ufeffx": "not seen",
    "https://acme.example/\u3000x": "not seen",
    "https://acme.example/\u2066x": "not seen",
    "https://user@acme.example/x": "user",
    "https://@acme.example/x": "user",
    "https://:@acme.example/x": "user",
    "https://a:b@acme.example/x": "user",
    "https://evil.example@acme.example/x": "user",
    "https://acme.example?@evil.example/x": "@ right behind",
    "https://acme.example#@evil.example/x": "@ right behind",
    "https://acme.example:8443/x": "port",
    "https://acme.example:80/x": "port",
    "https://acme.example:/x": "port",
    "https://acme.example:0443/x": "port",
    "http://acme.example:443/x": "port",
    "https://%61cme.example/x": "escaped",
    "https://acme%2eexample/x": "escaped",
    "https://evil.example%E3%80%82acme.example/x": "escaped",
    "https://127.0.0.1/x": "IP address",
    "https://127.1/x": "IP address",
    "https://2130706433/x": "IP address",
    "https://0x7f000001/x": "IP address",
    "https://0x7f.0.0.1/x": "IP address",
    "https://0177.0.0.01/x": "IP address",
    "https://017700000001/x": "IP address",
    "https://１２７.0.0.1/x": "IP address",
    "https://①②⑦.0.0.1/x": "IP address",
    "https://127.0.0.1./x": "IP address",
    "https://[::1]/x": "IP address",
    "https://[::ffff:127.0.0.1]/x": "IP address",
    "https://acme。example/x": "written otherwise",
    "https://acme．example/x": "written otherwise",
    "https://acme｡example/x": "written otherwise",
    "https://ａcme.example/x": "written otherwise",
    "https://𝐚cme.example/x": "written otherwise",
    "https://ⓐcme.example/x": "written otherwise",
    "https://acme.exampﬁe/x": "written otherwise",
    "https://ſacme.example/x": "written otherwise",
    "https://bu\u0308cher.example/x": "written otherwise",
    "https://straße.example/x": "written otherwise",
    "https://βόλος.example/x": "written otherwise",
    "https://acme.example./x": "empty label",
    "https://acme..example/x": "empty label",
    "https://.acme.example/x": "empty label",
    "https://acme;.example/x": "character that no host",
    "https://evil.example&amp;.acme.example/x": "character that no host",
    "https://evil.example,acme.example/x": "character that no host",
    "https://evil.example!.acme.example/x": "character that no host",
    'https://evil.example".acme.example/x': "character that no host",
    "https://evil.example{}.acme.example/x": "character that no host",
    "https://evil.example~.acme.example/x": "character that no host",
    "https://evil.example=.acme.example/x": "character that no host",
    "https://evil.example*.acme.example/x": "character that no host",
    "https://-acme.example/x": "character that no host",
    "https://acme-.example/x": "character that no host",
    f"https://{'a' * 64}.example/x": "longer",
    f"https://{'a.' * 130}example/x": "longer",
    "https://evil.example╱.acme.example/x": "taken for another",
    "https://evil.example⁄x.acme.example/x": "taken for another",
    "https://аcme.example/x": "taken for another",
    "https://acmе.example/x": "taken for another",
    "https://αcme.example/x": "taken for another",
    "https://асе.example/x": "taken for another",
    "https://xn--cme-5cd.example/x": "taken for another",
    "https://xn--a.example/x": "taken for another",
    "https://xn--.example/x": "character that no host",
    "https://xn--1ch.example/x": "taken for another",
    "https://xn--ls8h.example/x": "taken for another",
    "https://acme.example/a/../b": "upwards",
    "https://acme.example/a/./b": "upwards",
    "https://acme.example/a/%2e%2E/b": "upwards",
    "https://acme.example/..": "upwards",
}


@pytest.mark.parametrize("text", UNCLEAR)
def test_what_may_be_read_in_two_ways_is_named(text: str) -> None:
    """A plain reason for each, without the rest of the link in it."""
    url = read(text)
    assert url is not None
    assert UNCLEAR[text] in ambiguity(url)
    assert "/x" not in ambiguity(url)


PIECES = (
    "acme.example evil.example . .. / // \\ @ : ? # %2f %40 :443 :8443 xn-- bücher é ß \u200b 。 １ 127.0.0.1 0x7f [::1] a - _ ; & ="
    " token https:// http: ﬁ а \t"
)


@given(st.lists(st.sampled_from(PIECES.split(" ")), max_size=12).map("".join))
def test_what_is_clear_has_one_host_for_every_reader(rest: str) -> None:
    """A URL that is called clear has the same host for urllib as for a browser."""
    text = f"https://{rest}"
    url = read(text)
    if url is not None and not ambiguity(url):
        parts = urlsplit(text)
        assert ascii_host(parts.hostname or "") == url.host
        assert parts.port in (None, 443)
        assert parts.username is None


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    """Total: whatever the text, there is an answer."""
    for one in (text, f"https://{text}", f"https://acme.example/{text}"):
        url = read(one)
        if url is not None:
            ambiguity(url)
        assert isinstance(host_of(one), str)
    assert isinstance(ascii_host(text), str)
