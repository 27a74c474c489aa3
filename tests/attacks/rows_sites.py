"""Rows about a site's own genuine mails to Ann that hold no code of the site's: what they say of one is a stranger's, whom the site shows.

The site writes of what its users have done, and shows what they call themselves and their projects, what they comment, and the files
that they have sent. All of it is signed by the site.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.attacks.forgeries import ANN, BOUND, CODES, by_acme, code, link
from tests.attacks.rows import RIGHT, WRONG, Row, Rows, Way
from tests.attacks.rows_copies import SHORT
from tests.attacks.rows_keys import USUAL, ago, dated
from tests.peers import signer
from tests.trust.mails import mail

SAYS = f"Your verification code is {WRONG}."

NAMES = {
    "a sentence": f"Your code is {WRONG}",
    "a label": f"Your verification code: {WRONG}",
    "an abbreviation": f"OTP {WRONG}",
    "one word": f"Code {WRONG}",
    "the other way round": f"{WRONG} is your code",
    "a login code": f"Login code {WRONG}",
    "with the site's name": f"Acme verification code {WRONG}",
    "German": f"Ihr Code lautet {WRONG}",
    "French": f"Votre code est {WRONG}",
    "a spaced code": "Your code is 999 999",
    "with a hyphen": "Your code is 999-999",
    "letters and digits": "Your code is QX7K2M",
}
"""What a stranger calls himself, or whatever he may name."""

TEXTS: dict[str, tuple[str, str]] = {
    "an invitation, in quotation marks": ('Your invitation from "{n}"', 'Hi Ann,\n\n"{n}" has invited you to join Acme.\n\nAccept it in your account.\n'),
    "an invitation": ("{n} invited you to a project", "Hello,\n\n{n} (m@evil.example) invited you to collaborate on Roadmap.\n\nOpen Acme to accept.\n"),
    "a project's member": ("Welcome to the project {n}", "Hello Ann,\n\nyou are now a member of the project {n}.\n\nThe Acme team\n"),
    "a group's member": ("You were added to {n}", "Hello Ann,\n\nMallory added you to the group {n}.\n\nThe Acme team\n"),
    "a comment": ("New comment", "Hello Ann,\n\nMallory wrote:\n\n{n}\n\nReply on Acme.\n"),
    "a message": ("New message", "You have a new message from Mallory:\n\n    {n}\n\nAnswer in the app.\n"),
    "a shared file": ("A file was shared", 'Mallory shared the file "{n}.pdf" with you.\n'),
    "a payment's note": ("Payment received", "You received 1.00 EUR from Mallory.\n\nNote: {n}\n\nAcme Pay\n"),
    "a ticket": ("Ticket updated", "Ticket: {n}\n\nStatus: open\n\nAcme support\n"),
    "a welcome": ("Welcome to Acme", "Welcome, {n}!\n\nYour account is ready.\n"),
    "a sign-up": ("Thank you for signing up, {n}", "Dear {n},\n\nthank you for signing up.\n"),
    "a new device": ("New device", "Hello Ann,\n\na new device signed in to your account:\n\nDevice: {n}\nPlace: Berlin\n\nIf this was you there is nothing to do.\n"),
    "an event": ("Calendar: {n}", "Event: {n}\nWhen: Friday\nWhere: online\n"),
    "a form": ("Form answered", "Your form got an answer.\n\nName: {n}\nEmail: m@evil.example\n"),
    "a review": ("Review", 'Your customer wrote a review:\n\n"{n}"\n\nMallory, 5 stars\n'),
    "a reminder": ("Reminder", "You asked us to remind you of:\n{n}\n\nAcme\n"),
    "a renamed workspace": ("Workspace renamed", "The workspace was renamed to {n} by Mallory.\n"),
    "a digest": ("Weekly digest", "This week on Acme:\n\n- {n}\n- Roadmap\n- Budget\n"),
    "a changed password": ("Password changed", "Hello {n},\n\nthe password of your account was changed.\n"),
    "a message's subject": ("{n}", "Mallory sent you a message on Acme. Open the app to read it.\n"),
    "a request": ("A request", 'Mallory asks for access to "{n}".\n\nAllow it in your settings.\n'),
}  # fmt: skip


def chosen() -> Rows:
    """A mail of the site's about something else, in which a stranger's words are all that speaks of a code."""
    for text_name, (subject, text) in TEXTS.items():
        for name, words in NAMES.items():
            yield Row(
                kind="words of a stranger's choice",
                name=f"{name} in {text_name}",
                says="the site tells what a user has done, and shows the name or the words that he has chosen",
                attack=lambda subject=subject, text=text, words=words: by_acme(
                    mail(text.format(n=words), subject=subject.format(n=words))
                ),
                twin=lambda: by_acme(code()),
                way=Way(rcpt=BOUND),
            )


def several(parts: Iterable[tuple[str, str]], kind: str = "multipart/mixed", headers: tuple[str, ...] = signer.USUAL) -> bytes:
    """A mail of several parts, each with its headers and its text, signed by Acme."""
    head = mail("", subject="A file for you").partition(b"\r\n\r\n")[0]
    head = head.replace(b"text/plain; charset=utf-8", f'{kind}; boundary="b0"'.encode())
    body = "".join(f"--b0\r\n{headers}\r\n\r\n{text}\r\n" for headers, text in parts)
    text = body.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    return by_acme(head + b"\r\n\r\n" + text + b"--b0--\r\n", headers=headers)


PLAIN, PAGE = "Content-Type: text/plain; charset=utf-8", "Content-Type: text/html; charset=utf-8"
OWN = {
    "plain text": (PLAIN, "A customer has sent you a file."),
    "HTML": (PAGE, "<p>A customer has sent you a file.</p>"),
    "a code of its own": (PLAIN, f"Your verification code is {RIGHT}."),
}
FILES = {
    "inline, with a name": (f"{PLAIN}; name=note.txt\r\nContent-Disposition: inline; filename=note.txt", SAYS),
    "inline, without a name": (f"{PLAIN}\r\nContent-Disposition: inline", SAYS),
    "inline, its name in pieces": (f"{PLAIN}\r\nContent-Disposition: inline; filename*0=no; filename*1=te.txt", SAYS),
    "with a name of a type": (f"{PLAIN}; name=note.txt", SAYS),
    "without anything": (PLAIN, SAYS),
    "without a header": ("X-None: 1", SAYS),
    "a page, inline": (f"{PAGE}\r\nContent-Disposition: inline; filename=note.html", f"<p>{SAYS}</p>"),
    "a page with a Content-ID, inline": (f"{PAGE}\r\nContent-ID: <a@b>\r\nContent-Disposition: inline", f"<p>{SAYS}</p>"),
    "a number alone": (f"{PLAIN}; name=note.txt\r\nContent-Disposition: inline; filename=note.txt", f"Your code:\r\n\r\n{WRONG}"),
    "a line that binds it": (f"{PLAIN}\r\nContent-Disposition: inline; filename=n.txt", f"{SAYS}\r\n\r\n@acme.example #{WRONG}"),
    "a mail": ("Content-Type: message/rfc822", f"From: a@acme.example\r\nSubject: Your code\r\n\r\n{SAYS}"),
    "a mail as a file": ('Content-Type: application/octet-stream; name="a.eml"', f"From: a@acme.example\r\nSubject: Code\r\n\r\n{SAYS}"),
    "a mail in a mail": (
        "Content-Type: message/rfc822",
        f"From: a@acme.example\r\nSubject: x\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@acme.example\r\nSubject: Code\r\n\r\n{SAYS}",
    ),
    "attached": (f"{PLAIN}\r\nContent-Disposition: attachment; filename=note.txt", SAYS),
}  # fmt: skip


def files() -> Rows:
    """A file that a stranger has sent to a help desk, which sends it on to Ann in its own mail."""
    for own_name, own in OWN.items():
        for name, file in FILES.items():
            for kind in ("multipart/mixed", "multipart/related"):
                yield Row(
                    kind="files of a stranger",
                    name=f"{name}, behind {own_name}, in {kind}",
                    says="the site has written the first part, and answers for no file behind it",
                    attack=lambda own=own, file=file, kind=kind: several((own, file), kind),
                    twin=lambda kind=kind: several(((PLAIN, f"Your verification code is {RIGHT}."),), kind),
                    way=Way(rcpt=BOUND),
                    may=frozenset({RIGHT}),
                )


def retyped() -> Rows:
    """The same, where the site does not sign Content-Type: the parts are made a choice of one body on the way."""
    for name, file in FILES.items():
        if file[0].startswith(("Content-Type: message", "Content-Type: application")) or name == "attached":
            continue
        yield Row(
            kind="files of a stranger",
            name=f"{name}, as a choice",
            says="a file beside the site's text, which an unsigned header makes a form of that text",
            attack=lambda file=file: several((OWN["plain text"], file), headers=SHORT).replace(
                b"multipart/mixed", b"multipart/alternative", 1
            ),
            twin=lambda: by_acme(code(), headers=SHORT),
            way=Way(rcpt=BOUND),
        )


def disagreeing() -> Rows:
    """The last line binds another code to the site than the mail has named: it is a stranger's name at the end."""
    for name, text in {
        "a sentence": f"Your verification code is {RIGHT}.",
        "a label": f"Code: {RIGHT}",
        "a line of its own": f"Enter this code to sign in:\n\n{RIGHT}",
        "an instruction": f"Use {RIGHT} to sign in.",
        "letters": "Your verification code is QX7-K2M.",
    }.items():
        for line_name, line in {
            "the site": f"@acme.example #{WRONG}",
            "a host of the site": f"@login.acme.example #{WRONG}",
            "the site, with a frame": f"@acme.example #{WRONG} @pay.acme.example",
            "behind a word": f"For Ann\n@acme.example #{WRONG}",
        }.items():
            yield Row(
                kind="last lines",
                name=f"{name}, then {line_name}",
                says="two values, one of them in words and one in the last line: nobody knows which is the site's",
                attack=lambda text=text, line=line: by_acme(mail(f"{text}\n\n{line}\n")),
                twin=lambda text=text: by_acme(mail(f"{text}\n")),
                way=Way(rcpt=BOUND),
                may=frozenset({RIGHT, "QX7-K2M"}),
            )


NOW = int(time.time())


def outlived() -> Rows:
    """A genuine code of Ann's that somebody has kept for longer than it lives, and sends on to her again."""
    fresh = {"t=": lambda: by_acme(code()), "Date": lambda: by_acme(dated(ago(0)), headers=USUAL, more={"t": None})}
    for minutes in (20, 60, 180, 720, 1_400):
        at, when = str(NOW - 60 * minutes), ago(60 * minutes)
        for rcpt in (BOUND, CODES):
            for name, attack in {
                "t=": lambda at=at: by_acme(code(), more={"t": at}),
                "t= and Date": lambda at=at, when=when: by_acme(dated(when), headers=USUAL, more={"t": at}),
                "Date": lambda when=when: by_acme(dated(when), headers=USUAL, more={"t": None}),
            }.items():
                yield Row(
                    kind="outlived",
                    name=f"{minutes} minutes by {name}, to {rcpt}",
                    says="signed longer ago than a code lives, and sent again",
                    attack=attack,
                    twin=fresh[name[:4].strip()] if name == "Date" else fresh["t="],
                    way=Way(rcpt=rcpt),
                )
    for minutes in (20, 720):
        yield Row(
            kind="outlived",
            name=f"a link, {minutes} minutes",
            says="a link to sign in that somebody has kept, and sends again",
            attack=lambda minutes=minutes: by_acme(link(to=ANN), more={"t": str(NOW - 60 * minutes)}),
            twin=lambda: by_acme(link(to=ANN)),
            way=Way(rcpt=BOUND),
        )


GROUPS = (chosen, files, retyped, disagreeing, outlived)
