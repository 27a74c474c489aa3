"""Rows about genuine mails of Ann's that reach us changed where no signature looks: how a body is read, and what stands around it."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import re

from tests.attacks.forgeries import ANN, BOUND, by_acme, code, link
from tests.attacks.rows import RIGHT, WRONG, Row, Rows, Way
from tests.attacks.rows_mailboxes import add
from tests.peers import signer
from tests.trust.mails import mail

SHORT = ("from", "to", "subject", "date", "message-id")
"""What Acme signs of the header in these rows: nothing that says how the body is to be read."""

PLAIN = b"Content-Type: text/plain; charset=utf-8"


def told(name: str, *, kind: str = "text/plain; charset=utf-8", encoding: str = "", more: str = "") -> bytes:
    """A code mail of Acme's that greets Ann by the name that was given at signing up: words of the attacker's choice."""
    text = f"Hello {name},\n\nyour verification code is {RIGHT}.\n{more}"
    below = f"Content-Transfer-Encoding: {encoding}" if encoding else ""
    content = mail(text, below=below)
    return content.replace(PLAIN, f"Content-Type: {kind}".encode())


def signed(content: bytes) -> bytes:
    """Signed by Acme, headers of MIME left out."""
    return by_acme(content, headers=SHORT)


def typed(content: bytes, kind: str) -> bytes:
    """With another Content-Type."""
    return re.sub(rb"(?m)^Content-Type:.*\r\n", f"Content-Type: {kind}\r\n".encode(), content, count=1)


def encoded(content: bytes, encoding: str) -> bytes:
    """With another Content-Transfer-Encoding."""
    bare = re.sub(rb"(?m)^Content-Transfer-Encoding:.*\r\n", b"", content, count=1)
    return add(bare, f"Content-Transfer-Encoding: {encoding}", "below")


SAYS = f"your verification code is {WRONG}."
IN_UTF_7 = "+AHkAbwB1AHIAIAB2AGUAcgBpAGYAaQBjAGEAdABpAG8AbgAgAGMAbwBkAGUAIABpAHMAIAA5ADkAOQA5ADkAOQAu-"
IN_QP = "=0A=0Ayour verification code is =39=39=39=39=39=39.=0A=0A"
IN_BASE64 = "CnlvdXIgdmVyaWZpY2F0aW9uIGNvZGUgaXMgOTk5OTk5Lgo="

MISREAD: dict[str, tuple[bytes, str, str]] = {
    # name: the genuine mail, the Content-Type that it gets, the encoding that it gets ("" as it was)
    "as HTML, the code behind a comment": (told(f"{SAYS} <!--"), "text/html; charset=utf-8", ""),
    "as HTML, the code in a hidden element": (told(f"{SAYS}<div style='display:none'>"), "text/html; charset=utf-8", ""),
    "as HTML, the code in a title": (told(f"{SAYS}<title>"), "text/html; charset=utf-8", ""),
    "as HTML, the code in a style": (told(f"{SAYS}<style>"), "text/html; charset=utf-8", ""),
    "as HTML, the code in a script": (told(f"{SAYS}<script>"), "text/html; charset=utf-8", ""),
    "as HTML, the code in a textarea": (told(f"{SAYS}<textarea hidden>"), "text/html; charset=utf-8", ""),
    "as HTML, the code in an attribute": (told(f"{SAYS}<img alt=\""), "text/html; charset=utf-8", ""),
    "as plain text, the tags in sight": (told(f"<b title='{SAYS}'>Ann</b>", kind="text/html; charset=utf-8"), "text/plain; charset=utf-8", ""),
    "as quoted-printable": (told(IN_QP), "text/plain; charset=utf-8", "quoted-printable"),
    "as quoted-printable, the code cut": (told("Ann", more="\n=\n"), "text/plain; charset=utf-8", "quoted-printable"),
    "as 7bit, quoted-printable in sight": (told(f"Ann =\n{SAYS}", encoding="quoted-printable"), "text/plain; charset=utf-8", "7bit"),
    "as base64": (told(f"\n{IN_BASE64}\n"), "text/plain; charset=utf-8", "base64"),
    "as uuencode": (told("\nbegin 644 a\n"), "text/plain; charset=utf-8", "x-uuencode"),
    "as UTF-7": (told(IN_UTF_7), "text/plain; charset=utf-7", ""),
    "as UTF-16": (told("Ann"), "text/plain; charset=utf-16le", ""),
    "as UTF-32": (told("Ann"), "text/plain; charset=utf-32", ""),
    "as EBCDIC": (told("\u00d9\u00a0"), "text/plain; charset=cp500", ""),
    "as ISO-2022-JP": (told("Ann \x1b$B"), "text/plain; charset=iso-2022-jp", ""),
    "as HZ": (told("Ann ~{"), "text/plain; charset=hz-gb-2312", ""),
    "as rot13": (told("Ann"), "text/plain; charset=rot13", ""),
    "as punycode": (told("Ann"), "text/plain; charset=punycode", ""),
    "as unicode escapes": (told("\\u000ayour verification code is 99\\u003999\\u003999"), "text/plain; charset=unicode_escape", ""),
    "as several parts, one of them the name": (
        told(f"Ann\n--b\nContent-Type: text/plain\n\n{SAYS}\n--b--\n"),
        "multipart/mixed; boundary=b",
        "",
    ),
    "as alternatives, one of them the name": (
        told(f"Ann\n--b\nContent-Type: text/html\n\n<p>{SAYS}</p>\n--b--\n"),
        "multipart/alternative; boundary=b",
        "",
    ),
    "as related parts": (told(f"Ann\n--b\n\n{SAYS}\n--b--\n"), "multipart/related; boundary=b", ""),
    "as a mail within the mail": (told(f"Ann\nSubject: {SAYS}\n"), "message/rfc822", ""),
    "as a mail within the mail, a header first": (told(f"Ann: x\n\n{SAYS}\n"), "message/rfc822; charset=utf-8", ""),
    "as flowed text": (told("Ann \nand \n"), "text/plain; charset=utf-8; format=flowed; delsp=yes", ""),
    "as an attachment": (told("Ann"), "application/octet-stream; name=x.eml", ""),
    "as calendar": (told("Ann"), "text/calendar", ""),
    "as RTF": (told(f"{{\\rtf {SAYS}}}"), "text/rtf", ""),
    "as enriched text": (told(f"<comment>{SAYS}</comment>"), "text/enriched", ""),
    "as text without a charset": (told("Änn"), "text/plain", ""),
    "with two charsets": (told(IN_UTF_7), "text/plain; charset=utf-8; charset=utf-7", ""),
    "with a charset in pieces": (told(IN_UTF_7), "text/plain; charset*0=utf; charset*1=-7", ""),
    "with a type that is none": (told(f"{SAYS}<!--"), "text", ""),
}  # fmt: skip


def misread() -> Rows:
    """A genuine mail of Ann's whose MIME headers, which Acme does not sign, are changed so that another code is read, or another text."""
    for name, (content, kind, encoding) in MISREAD.items():
        yield Row(
            kind="misread",
            name=name,
            says="the body is Acme's to the octet; what says how to read it is the attacker's",
            attack=lambda content=content, kind=kind, encoding=encoding: (
                encoded(typed(signed(content), kind), encoding) if encoding else typed(signed(content), kind)
            ),
            twin=lambda: signed(told("Ann")),
            way=Way(rcpt=BOUND),
            may=frozenset({RIGHT}),
        )
    bare = re.sub(rb"(?m)^(?:Content-Type|MIME-Version):.*\r\n", b"", told(IN_QP))
    for name, lines in {
        "MIME where there was none": "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
        "an encoding where there was none": "Content-Transfer-Encoding: quoted-printable",
        "HTML where there was no MIME": "MIME-Version: 1.0\r\nContent-Type: text/html",
    }.items():
        yield Row(
            kind="misread",
            name=name,
            says="Acme's mail has no MIME headers; the attacker writes some",
            attack=lambda lines=lines: add(by_acme(bare, headers=SHORT), lines, "below"),
            twin=lambda: by_acme(bare.replace(IN_QP.encode(), b"Ann"), headers=SHORT),
            way=Way(rcpt=BOUND),
            may=frozenset({RIGHT}),
        )
    for covered, changed in (("content-type", "encoding"), ("content-transfer-encoding", "type")):
        yield Row(
            kind="misread",
            name=f"{covered} covered, the {changed} changed",
            says="Acme signs one of the two headers that say how to read the body, and the attacker changes the other",
            attack=lambda covered=covered, changed=changed: half(covered, changed),
            twin=lambda covered=covered: by_acme(told("Ann", encoding="7bit"), headers=(*SHORT, covered)),
            way=Way(rcpt=BOUND),
            may=frozenset({RIGHT}),
        )
    yield Row(
        kind="misread",
        name="a link, as HTML",
        says="Acme's plain text with a link is read as HTML, in which the attacker's name hides it and shows another of Acme's hosts",
        attack=lambda: typed(
            signed(
                link(subject="Sign in to Acme").replace(
                    b"Sign in to Acme with",
                    b"Hi <a href='https://acme.example/session/magic?token=zZ9zZ9zZ9zZ9zZ9zZ9zZ9zZ9'>Sign in</a><!--",
                )
            ),
            "text/html; charset=utf-8",
        ),
        twin=lambda: signed(link()),
        way=Way(rcpt=BOUND),
    )


def half(covered: str, changed: str) -> bytes:
    """A mail of which one MIME header is signed and the other changed."""
    content = by_acme(told(IN_QP if changed == "encoding" else f"{SAYS}<!--", encoding="7bit"), headers=(*SHORT, covered))
    return encoded(content, "quoted-printable") if changed == "encoding" else typed(content, "text/html; charset=utf-8")


BREAKS = {
    "a vertical tab": b"\x0b",
    "a form feed": b"\x0c",
    "a file separator": b"\x1c",
    "a group separator": b"\x1d",
    "a record separator": b"\x1e",
    "NEL": "\u0085".encode(),
    "NEL in one octet": b"\x85",
    "a line separator": "\u2028".encode(),
    "a paragraph separator": "\u2029".encode(),
    "a bare LF": b"\n",
    "a bare CR": b"\r",
    "a NUL": b"\0",
    "LF CR": b"\n\r",
}
"""What some reader takes for the end of a line."""


def broken() -> Rows:
    """An unsigned header on a genuine mail, in whose value a line seems to end and another header to begin."""
    for name, octet in BREAKS.items():
        for inner, harmless in (
            (f"Subject: Your verification code is {WRONG}".encode(), RIGHT),
            (f"To: {ANN}".encode(), ""),
            (b"\r\n \r\n" + SAYS.encode(), RIGHT),
        ):
            to = ANN if harmless else "m@evil.example"
            yield Row(
                kind="broken",
                name=f"{name}, then {inner.split(b':')[0].strip().decode()[:12] or 'a body'}",
                says="one header for a strict reader, two for a lax one",
                attack=lambda octet=octet, inner=inner, to=to: b"X-Note: a" + octet + inner + b"\r\n" + by_acme(code(to=to)),
                twin=lambda: b"X-Note: a\r\n" + by_acme(code()),
                way=Way(rcpt=BOUND),
                may=frozenset({harmless} - {""}),
            )


TOPS = {
    "a byte order mark": b"\xef\xbb\xbf",
    "an empty line": b"\r\n",
    "a line of blanks": b" \r\n",
    "a line that goes on from nothing": b" X: y\r\n",
    "mbox's From": b"From m@evil.example Wed Nov 25 09:57:25 2026\r\n",
    "mbox's From, quoted": b">From m@evil.example Wed Nov 25 09:57:25 2026\r\n",
    "a line without a colon": b"Subject Your verification code is 999999\r\n",
    "a name with a blank": b"Subject : Your verification code is 999999\r\n",
    "a name with a tab": b"Subject\t: Your verification code is 999999\r\n",
    "a name with octets beyond ASCII": "Sübject: x\r\n".encode(),
    "a name that is empty": b": Your verification code is 999999\r\n",
    "a fold of blanks alone": b"X-Note: a\r\n \r\n\tSubject: Your verification code is 999999\r\n",
    "a Subject in other letters": b"SUBJECT: Your verification code is 999999\r\n",
    "a Subject in an encoded name": b"=?utf-8?q?Subject?=: Your verification code is 999999\r\n",
    "a second From": b"From: Acme <no-reply@acme.example>\r\n",
    "a second Date": b"Date: Wed, 25 Nov 2026 09:57:25 +0000\r\n",
    "a second Content-Type": b"Content-Type: text/html\r\n",
    "a second MIME-Version": b"MIME-Version: 1.0\r\n",
    "a Content-Disposition": b"Content-Disposition: attachment; filename=x.eml\r\n",
    "Subject in pieces": b"Subject*0: Your verification code is 999999\r\n",
    "a Comments header": b"Comments: Your verification code is 999999\r\n",
    "Keywords": b"Keywords: verification code 999999\r\n",
    "Thread-Topic": b"Thread-Topic: Your verification code is 999999\r\n",
    "Content-Description": b"Content-Description: Your verification code is 999999\r\n",
    "X-Priority and the rest": b"X-Code: 999999\r\nX-OTP: 999999\r\nX-Verification-Code: 999999\r\n",
}


def topped() -> Rows:
    """Something on top of a genuine mail of Ann's that readers take in different ways."""
    for name, octets in TOPS.items():
        yield Row(
            kind="topped",
            name=name,
            says="what Acme has signed is whole; what stands above it must not be read for it",
            attack=lambda octets=octets: octets + by_acme(code()),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
            may=frozenset({RIGHT}),
        )
        yield Row(
            kind="topped",
            name=f"{name}, over a mail without a code",
            says="the same over a genuine mail that holds no code: none may come of it",
            attack=lambda octets=octets: octets + by_acme(mail("Thank you for signing up.", subject="Welcome to Acme")),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
        )


def appended() -> Rows:
    """A genuine mail of Ann's with something behind its body, or its body taken for another."""
    tails = {
        "a line": f"{SAYS}\r\n".encode(),
        "a line behind empty lines": b"\r\n\r\n\r\n" + SAYS.encode() + b"\r\n",
        "blanks, then a line": b"   \r\n" + SAYS.encode() + b"\r\n",
        "a part": b"--b\r\nContent-Type: text/plain\r\n\r\n" + SAYS.encode() + b"\r\n--b--\r\n",
        "half a line end": SAYS.encode(),
        "a NUL": b"\0" + SAYS.encode(),
    }
    for name, tail in tails.items():
        for canon in ("relaxed/relaxed", "relaxed/simple"):
            yield Row(
                kind="appended",
                name=f"{name}, {canon}",
                says="what stands behind the signed body is the attacker's",
                attack=lambda tail=tail, canon=canon: by_acme(code(), canon=canon) + tail,
                twin=lambda canon=canon: by_acme(code(), canon=canon) + b"\r\n\r\n",
                way=Way(rcpt=BOUND),
            )
    for size in ("0", "1", "45", "999999"):
        yield Row(
            kind="appended",
            name=f"behind l={size}",
            says="Acme signs the first octets only; the attacker writes on",
            attack=lambda size=size: by_acme(code(), more={"l": size}) + f"{SAYS}\r\n".encode(),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
        )
    for name, change in {
        "blanks in the code, relaxed": (b"713928", b"713 928"),
        "blanks between words, relaxed": (b"is 713928", b"is  713928"),
        "blanks at the end, simple": (b"713928.", b"713928. "),
        "another digit": (b"713928", b"713929"),
    }.items():
        canon = "relaxed/simple" if "simple" in name else "relaxed/relaxed"
        yield Row(
            kind="appended",
            name=name,
            says="the body is changed where its canonical form might not show it",
            attack=lambda change=change, canon=canon: by_acme(code(), canon=canon).replace(*change),
            twin=lambda canon=canon: by_acme(code(), canon=canon),
            way=Way(rcpt=BOUND),
            may=frozenset({RIGHT} if "between words" in name else ()),
        )


def signature_forms() -> Rows:
    """A genuine signature under which something else is put, or which says something that it cannot."""
    other = by_acme(mail("Welcome to Acme.", subject="Welcome to Acme"))
    signature = re.match(rb"DKIM-Signature:.*\r\n", other)
    assert signature is not None
    made = {
        "of another mail": signature.group() + code(),
        "of another mail, bh= changed": re.sub(rb"bh=[^;]+", _bh(code()), signature.group()) + code(),
        "h= longer": by_acme(code()).replace(b"; h=from:", b"; h=x-note:from:", 1),
        "h= shorter": by_acme(code()).replace(b":message-id", b"", 1),
        "c= changed": by_acme(code()).replace(b"c=relaxed/relaxed", b"c=simple/simple", 1),
        "c= of another kind": by_acme(code()).replace(b"c=relaxed/relaxed", b"c=nowsp/nowsp", 1),
        "x= taken away": by_acme(code(), more={"x": "1700000000"}).replace(b"; x=1700000000", b"", 1),
        "t= changed": by_acme(code(), more={"t": "1732500000"}).replace(b"t=1732500000", b"t=1795600000", 1),
        "d= changed": signer.dkim(code(), "evil.example", private=signer.key("evil")).replace(b"d=evil.example", b"d=acme.example", 1),
        "d= twice": signer.dkim(code(), "evil.example", private=signer.key("evil")).replace(b"; d=", b"; d=acme.example; d=", 1),
        "d= twice, Acme's last": signer.dkim(code(), "evil.example", private=signer.key("evil")).replace(b"; s=", b"; d=acme.example; s=", 1),
        "b= empty": re.sub(rb"b=[A-Za-z0-9+/=]+\r\n", b"b=\r\n", by_acme(code()), count=1),
        "b= of nothing": re.sub(rb"b=[A-Za-z0-9+/=]+\r\n", b"b=AAAA\r\n", by_acme(code()), count=1),
        "a= of another kind": by_acme(code()).replace(b"a=rsa-sha256", b"a=ed25519-sha256", 1),
        "a= none": by_acme(code()).replace(b"a=rsa-sha256", b"a=none", 1),
        "a= sha512": by_acme(code()).replace(b"a=rsa-sha256", b"a=rsa-sha512", 1),
        "no bh=": re.sub(rb"bh=[^;]+; ", b"", by_acme(code()), count=1),
        "no h=": re.sub(rb"h=from[^;]+; ", b"", by_acme(code()), count=1),
        "no s=": by_acme(code()).replace(b"; s=s1", b"", 1),
        "under another name": by_acme(code()).replace(b"DKIM-Signature:", b"X-DKIM-Signature:", 1),
        "DomainKey's": by_acme(code()).replace(b"DKIM-Signature:", b"DomainKey-Signature:", 1),
    }  # fmt: skip
    for name, content in made.items():
        yield Row(
            kind="signature forms",
            name=name,
            says="a signature that Acme has made, or says so, and that does not fit the mail as it is",
            attack=lambda content=content: content,
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND),
        )


def _bh(content: bytes) -> bytes:
    found = re.search(rb"bh=[^;]+", by_acme(content))
    assert found is not None
    return found.group()


GROUPS = (misread, broken, topped, appended, signature_forms)
