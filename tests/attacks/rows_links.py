"""Rows about links: genuine mails whose link leads elsewhere for a browser than for a hasty reader, in plain text and in HTML."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from tests.attacks.forgeries import BOUND, TOKEN_BOUND, by_acme, by_evil
from tests.attacks.rows import Row, Rows, Way
from tests.attacks.rows_mailboxes import by_google
from tests.peers import signer
from tests.trust.mails import mail

PATH = "/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ"

ELSEWHERE = {
    "another host": "https://evil.example{path}",
    "another host, ours in the path": "https://evil.example/acme.example{path}",
    "another host, ours in the query": "https://evil.example{path}&u=https://acme.example",
    "another host, ours in the fragment": "https://evil.example{path}#@acme.example",
    "a host that goes on": "https://acme.example.evil.example{path}",
    "a host that ends so": "https://xacme.example{path}",
    "a host with a hyphen": "https://acme-example.evil.example{path}",
    "a user": "https://acme.example@evil.example{path}",
    "a user and a word": "https://acme.example:443@evil.example{path}",
    "a user that is escaped": "https://acme.example%40evil.example{path}",
    "a user with a slash that is escaped": "https://acme.example%2f@evil.example{path}",
    "a user with a backslash that is escaped": "https://acme.example%5c@evil.example{path}",
    "a user with a hash that is escaped": "https://acme.example%23@evil.example{path}",
    "a user with a question mark that is escaped": "https://acme.example%3f@evil.example{path}",
    "a user with an ampersand": "https://acme.example&@evil.example{path}",
    "a user with a semicolon": "https://acme.example;@evil.example{path}",
    "two users": "https://acme.example@acme.example@evil.example{path}",
    "a backslash before the author": "https://evil.example\\.acme.example{path}",
    "a backslash and a user": "https://evil.example\\@acme.example{path}",
    "two backslashes": "https:\\\\evil.example\\.acme.example{path}",
    "a backslash for a slash": "https:/\\evil.example/.acme.example{path}",
    "three slashes": "https:///evil.example{path}",
    "one slash": "https:/evil.example{path}",
    "no slash": "https:evil.example{path}",
    "no scheme": "//evil.example{path}",
    "a hash before the author": "https://evil.example#.acme.example{path}",
    "a question mark before the author": "https://evil.example?.acme.example{path}",
    "an escaped slash before the author": "https://evil.example%2f.acme.example{path}",
    "an escaped backslash before the author": "https://evil.example%5c.acme.example{path}",
    "an escaped hash before the author": "https://evil.example%23.acme.example{path}",
    "an escaped question mark before the author": "https://evil.example%3f.acme.example{path}",
    "an escaped at sign before the author": "https://evil.example%40.acme.example{path}",
    "an escaped colon before the author": "https://evil.example%3a.acme.example{path}",
    "an escaped dot": "https://acme.example%2eevil.example{path}",
    "an escaped NUL": "https://evil.example%00.acme.example{path}",
    "an escaped line end": "https://evil.example%0d%0a.acme.example{path}",
    "an escaped blank": "https://evil.example%20.acme.example{path}",
    "a semicolon before the author": "https://evil.example;.acme.example{path}",
    "a comma before the author": "https://evil.example,.acme.example{path}",
    "an underscore and the author": "https://evil_.acme.example.evil.example{path}",
    "a full-width dot": "https://acme.example．evil.example{path}",
    "an ideographic stop": "https://evil.example。acme.example.evil.example{path}",
    "a full-width slash": "https://evil.example／.acme.example{path}",
    "a full-width hash": "https://evil.example＃.acme.example{path}",
    "a full-width question mark": "https://evil.example？.acme.example{path}",
    "a full-width at sign": "https://acme.example＠evil.example{path}",
    "a sign that folds to a slash": "https://evil.example℀.acme.example{path}",
    "a sign that folds to a question mark": "https://evil.example⁇.acme.example{path}",
    "a soft hyphen": "https://evil.exam\u00adple{path}",
    "letters of two scripts": "https://аcme.example{path}",
    "letters of another script, escaped": "https://xn--cme-6cd.example{path}",
    "a letter with an accent": "https://acmé.example{path}",
    "letters that fold to ASCII": "https://ⓐcme.example.evil.example{path}",
    "a domain above the author": "https://example{path}",
    "an empty label": "https://.acme.example.evil.example{path}",
    "two dots": "https://evil.example..acme.example.evil.example{path}",
    "another port": "https://acme.example:8443{path}",
    "port 80": "https://acme.example:80{path}",
    "a port of nought": "https://acme.example:0{path}",
    "a port beyond": "https://acme.example:65979{path}",
    "a port of words": "https://acme.example:https{path}",
    "a port of full-width digits": "https://acme.example:４４３{path}",
    "http": "http://acme.example{path}",
    "ftp": "ftp://acme.example{path}",
    "an app's scheme": "acme://acme.example{path}",
    "the view of a source": "view-source:https://acme.example{path}",
    "a script": "javascript:location='https://evil.example{path}'//https://acme.example",
    "data": "data:text/html,https://acme.example{path}",
    "a blob": "blob:https://acme.example{path}",
    "an intent": "intent://acme.example{path}#Intent;scheme=https;end",
    "an address": "https://192.0.2.66{path}",
    "an address in one number": "https://3221225794{path}",
    "an address in hexadecimal digits": "https://0xc0.0.2.0x42{path}",
    "an address in octal digits": "https://0300.0.2.0102{path}",
    "a short address": "https://192.578{path}",
    "an address in full-width digits": "https://１９２.0.2.66{path}",
    "an address with a dot": "https://192.0.2.66.{path}",
    "this machine": "https://127.0.0.1{path}",
    "this machine, by name": "https://localhost{path}",
    "a cloud's own data": "https://169.254.169.254{path}",
    "an IPv6 address": "https://[2001:db8::66]{path}",
    "an IPv6 address that holds one of IPv4": "https://[::ffff:192.0.2.66]{path}",
    "an IPv6 address with a zone": "https://[fe80::1%25eth0]{path}",
    "brackets": "https://[acme.example]{path}",
    "half a bracket": "https://[acme.example{path}",
    "a redirect of a search engine": "https://www.google.com/url?q=https://acme.example{path}",
    "a shortener": "https://bit.ly/3xYzAbC?u=https://acme.example{path}",
}
"""What Acme has been made to write where its own link should stand: a name, a "return to", a page's address."""

WITHIN = ("the view of a source", "data", "a blob")
"""In plain text, Acme's own link may be read out of these: it is Acme's."""

HIDDEN = {
    "a tab in the host": "https://evil\t.example{path}",
    "a tab in the scheme": "ht\ttps://evil.example{path}",
    "a line end in the host": "https://ev\nil.example{path}",
    "a line end behind the author": "https://acme.example\n.evil.example{path}",
    "a tab behind the author": "https://acme.example\t.evil.example{path}",
    "a tab as an entity": "https://acme.example&Tab;.evil.example{path}",
    "a line end as an entity": "https://acme.example&NewLine;.evil.example{path}",
    "a slash as an entity": "https:&#47;&#47;evil.example&#47;.acme.example{path}",
    "a backslash as an entity": "https://evil.example&#92;.acme.example{path}",
    "a colon as an entity": "https&colon;//evil.example{path}",
    "an at sign as an entity": "https://acme.example&commat;evil.example{path}",
    "blanks in front": "  \t https://evil.example{path}",
    "a control character in front": "\x01https://evil.example{path}",
    "a soft hyphen as an entity": "https://acme.example&shy;.evil.example{path}",
    "a zero-width space as an entity": "https://acme.example&ZeroWidthSpace;.evil.example{path}",
}
"""What only an attribute can hold."""


def plain(url: str, **more: str) -> bytes:
    """A mail with a link to sign in, in plain text."""
    text = f"Sign in to Acme with this link:\n\n{url.format(path=PATH)}\n\nIt works once."
    return mail(text, **{"subject": "Sign in to Acme", **more})


def button(url: str, *, head: str = "", **more: str) -> bytes:
    """The same as HTML, with a button."""
    html = (
        f"<html><head>{head}</head><body><p>Sign in to Acme with this link. It works once.</p>"
        f'<a href="{url.format(path=PATH)}" style="background:#111;padding:9px">Sign in</a></body></html>'
    )
    content = mail(html, **{"subject": "Sign in to Acme", **more})
    return content.replace(b"Content-Type: text/plain", b"Content-Type: text/html")


def elsewhere() -> Rows:
    """A genuine mail of Acme's, in which a link leads elsewhere, or nowhere that is the same for everybody."""
    for name, url in ELSEWHERE.items():
        for form, made in (("plain", plain), ("HTML", button)):
            yield Row(
                kind="elsewhere",
                name=f"{name}, {form}",
                says="a link in Acme's genuine mail leads to somebody else's host, or to no host of Acme's for certain",
                attack=lambda made=made, url=url: by_acme(made(url)),
                twin=lambda made=made: by_acme(made("https://acme.example{path}")),
                way=Way(rcpt=BOUND),
                may=frozenset({f"https://acme.example{PATH}"} if name in WITHIN and form == "plain" else ()),
            )
    for name, url in HIDDEN.items():
        yield Row(
            kind="elsewhere",
            name=name,
            says="an attribute holds what a browser leaves out or reads as something else",
            attack=lambda url=url: by_acme(button(url)),
            twin=lambda: by_acme(button("https://acme.example{path}")),
            way=Way(rcpt=BOUND),
        )
    for name, head, url in (
        ("a base for relative links", '<base href="https://evil.example/">', PATH),
        ("a base for links without a scheme", '<base href="http://evil.example/">', "//acme.example{path}"),
        ("a base behind the author's name", '<base href="https://acme.example@evil.example/">', PATH),
        ("a page that leads on by itself", f'<meta http-equiv="refresh" content="0;url=https://evil.example{PATH}">', "#"),
    ):
        yield Row(
            kind="elsewhere",
            name=name,
            says="the page's head decides where its links lead",
            attack=lambda head=head, url=url: by_acme(button(url, head=head)),
            twin=lambda: by_acme(button("https://acme.example{path}")),
            way=Way(rcpt=BOUND),
        )


PLATFORMS = {
    "google.com": ("sites.google.com/view/m", "script.google.com/macros/s/m/exec", "docs.google.com/forms/d/m", "storage.googleapis.com/m", "drive.google.com/file/d/m", "translate.google.com/m", "groups.google.com/g/m", "firebasestorage.googleapis.com/m", "evil.web.app", "evil.appspot.com", "evil.translate.goog"),
    "github.com": ("evil.github.io", "gist.github.com/evil/m", "raw.githubusercontent.com/evil/m", "evil.github.dev"),
}  # fmt: skip
"""Hosts on which anybody may put a page, of platforms that send codes and links themselves."""


def platforms() -> Rows:
    """A genuine mail of a platform's whose link leads to what one of its users has put there."""
    for domain, hosts in PLATFORMS.items():
        sender = f"no-reply@{domain}"
        for host in hosts:
            yield Row(
                kind="platforms",
                name=f"{host} from {domain}",
                says="what users put on a platform is not the platform's: a link to it does not lead to the author",
                attack=lambda domain=domain, sender=sender, host=host: by(
                    domain, plain(f"https://{host}{{path}}", sender=sender)
                ),
                twin=lambda domain=domain, sender=sender: by(domain, plain(f"https://{domain}{{path}}", sender=sender)),
                way=Way(rcpt=BOUND),
            )
    for neighbour, own in (
        ("evil.github.io", "acme.github.io"),
        ("evil.vercel.app", "acme.vercel.app"),
        ("evil.co.uk", "acme.co.uk"),
        ("evil.pages.dev", "acme.pages.dev"),
        ("evil.s3.amazonaws.com", "acme.s3.amazonaws.com"),
        ("evil.公司.cn", "acme.公司.cn"),
    ):
        yield Row(
            kind="platforms",
            name=f"{neighbour} from {own}",
            says="two customers of one platform are strangers",
            attack=lambda neighbour=neighbour: by_acme(plain(f"https://{neighbour}{{path}}")),
            twin=lambda: by_acme(plain("https://acme.example{path}")),
            way=Way(rcpt=BOUND),
        )


def by(domain: str, content: bytes) -> bytes:
    """Signed by a platform."""
    if domain == "google.com":
        return by_google(content)
    return signer.dkim(content, domain, private=signer.key("google"))


def unproven() -> Rows:
    """A good link in a mail that nobody vouches for: an address alone is never enough for a link."""
    for rcpt in (BOUND, TOKEN_BOUND):
        for name, make in {
            "unsigned": lambda: plain("https://acme.example{path}"),
            "signed by the attacker": lambda: by_evil(plain("https://acme.example{path}")),
            "signed by the attacker as From, his link": lambda: by_evil(
                plain("https://acme.example{path}", sender="x@evil.example")
            ),
            "HTML": lambda: button("https://acme.example{path}"),
        }.items():
            yield Row(
                kind="unproven",
                name=f"{name}, to {rcpt}",
                says="a link to sign in at Acme, in a mail that Acme has not signed",
                attack=make,
                twin=lambda: by_acme(plain("https://acme.example{path}")),
                way=Way(rcpt=rcpt),
            )


GROUPS = (elsewhere, platforms, unproven)
