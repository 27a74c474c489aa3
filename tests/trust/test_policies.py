"""The grammar of a sender policy: what each term means, and that nothing is repaired."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailbridge.trust.policies import MAX_TERMS, Malformed, Mechanism, Policy, is_policy, parse


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("v=spf1", True),
        ("V=SpF1 -all", True),
        ("v=spf1 ", True),
        ("v=spf10 -all", False),
        ("v=spf1\t-all", False),
        ("v=spf1;-all", False),
        ("v=spf2 -all", False),
        ("x=spf1 -all", False),
        (" v=spf1", False),
        ("v=spf", False),
        ("", False),
    ],
)
def test_what_is_a_policy_at_all(record: str, expected: bool) -> None:
    """The version, in any case, and then nothing or a blank."""
    assert is_policy(record) is expected


def one(term: str) -> Mechanism:
    """The only mechanism of a record."""
    policy = parse(f"v=spf1 {term}")
    (found,) = policy.mechanisms
    assert policy.redirect is None
    return found


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("all", Mechanism(kind="all", result="pass")),
        ("+ALL", Mechanism(kind="all", result="pass")),
        ("-all", Mechanism(kind="all", result="fail")),
        ("~All", Mechanism(kind="all", result="softfail")),
        ("?all", Mechanism(kind="all", result="neutral")),
        ("a", Mechanism(kind="a", result="pass", domain="", four=32, six=128)),
        ("A:x.Example.", Mechanism(kind="a", result="pass", domain="x.Example.", four=32, six=128)),
        ("a/0", Mechanism(kind="a", result="pass", domain="", four=0, six=128)),
        ("a/24", Mechanism(kind="a", result="pass", domain="", four=24, six=128)),
        ("a//64", Mechanism(kind="a", result="pass", domain="", four=32, six=64)),
        ("a:x.example//0", Mechanism(kind="a", result="pass", domain="x.example", four=32, six=0)),
        ("mx:x.example/32//128", Mechanism(kind="mx", result="pass", domain="x.example", four=32, six=128)),
        ("mx", Mechanism(kind="mx", result="pass", domain="", four=32, six=128)),
        ("a:a/b.example", Mechanism(kind="a", result="pass", domain="a/b.example", four=32, six=128)),
        ("ptr", Mechanism(kind="ptr", result="pass")),
        ("PTR:x.example", Mechanism(kind="ptr", result="pass", domain="x.example")),
        ("include:_x.example", Mechanism(kind="include", result="pass", domain="_x.example")),
        ("-exists:%{ir}.%{v}._spf.%{d2}", Mechanism(kind="exists", result="fail", domain="%{ir}.%{v}._spf.%{d2}")),
        ("exists:%{d}", Mechanism(kind="exists", result="pass", domain="%{d}")),
        ("exists:%{D1r+-}.x%%%_%-.a-b", Mechanism(kind="exists", result="pass", domain="%{D1r+-}.x%%%_%-.a-b")),
        ("ip4:192.0.2.1", Mechanism(kind="ip4", result="pass", network=ip_network("192.0.2.1/32"))),
        ("ip4:192.0.2.1/24", Mechanism(kind="ip4", result="pass", network=ip_network("192.0.2.0/24"))),
        ("ip4:192.0.2.1/0", Mechanism(kind="ip4", result="pass", network=ip_network("0.0.0.0/0"))),
        ("IP6:2001:DB8::1/32", Mechanism(kind="ip6", result="pass", network=ip_network("2001:db8::/32"))),
        ("ip6:::1", Mechanism(kind="ip6", result="pass", network=ip_network("::1/128"))),
    ],
)
def test_a_mechanism(term: str, expected: Mechanism) -> None:
    """Kind and result in any case, the domain as it stands, lengths where they are said."""
    assert one(term) == expected


@pytest.mark.parametrize(
    "term",
    [
        "include/x.example", "exists/x.example", "ptr/x.example", "a/x.example", "ip4/192.0.2.1", "ip6/2001:db8::1", "all/0", "all:",
        "a:x.example/24/64", "a:x.example///64", "a/", "a//", "a:x.example/24//", "mx:x.example/00", "a:.example.1", "a:x.-a", "a:x.a-",
        "a:x..", "a:x", "a:%{d", "a:%{}", "a:%{d}x", "a:%", "a:%{d-1}", "a:%{p1000}.x", "exists:%{t}.x", "ip4:0192.0.2.1", "ip4:192.0.2.1/a",
        "ip4:192.0.2.1//32", "ip6:2001:db8::1%1", "ip6:2001:db8::/-1", "redirect=%{x}", "exp=%{d}x", "x=%{c}", "=x", "b", "al", "alll",
    ],
)  # fmt: skip
def test_what_is_no_term(term: str) -> None:
    """Each of these makes the whole record no policy."""
    for record in (f"v=spf1 {term}", f"v=spf1 +all {term}", f"v=spf1 {term} +all"):
        with pytest.raises(Malformed):
            parse(record)


def test_modifiers() -> None:
    """``redirect`` in any case is kept, ``exp`` and unknown ones are read and dropped, and none of the two may stand twice."""
    assert parse("v=spf1 a Redirect=_x.example exp=%{d} x-y.z_1=%{i}/c:d EXP2= ") == Policy(
        mechanisms=(one("a"),), redirect="_x.example"
    )
    for twice in ("redirect=a.example REDIRECT=b.example", "exp=a.example Exp=a.example"):
        with pytest.raises(Malformed):
            parse(f"v=spf1 {twice}")
    assert parse("v=spf1 x=1 x=1").mechanisms == ()
    assert parse("v=spf1").mechanisms == ()
    assert parse("v=spf1   a    -all  ").mechanisms == (one("a"), one("-all"))


def test_a_record_without_end_is_no_policy() -> None:
    """More terms than anybody publishes are not read."""
    assert len(parse("v=spf1 " + "a " * MAX_TERMS).mechanisms) == MAX_TERMS == 500
    with pytest.raises(Malformed):
        parse("v=spf1 " + "a " * (MAX_TERMS + 1))
