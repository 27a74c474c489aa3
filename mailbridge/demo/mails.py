"""The mails of the tour: written for it, in the shapes in which forwarded 2FA mails arrive."""

from __future__ import annotations

from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr

from mailbridge.core.dataclass import dataclass

HOME = "mailbridge.localhost"
BRIDGE = f"codes@{HOME}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One mail of the tour: who it was first sent to, by whom, and what it says. With ``to`` it is sent to us, not forwarded."""

    title: str
    account: str
    sender: str
    subject: str
    text: str | None = None
    html: str | None = None
    rcpt: str = BRIDGE
    to: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def mail_from(self) -> str:
        """Gmail's envelope for automatic forwards: the account, ``+caf_=``, and our address with ``=`` for ``@``."""
        local, _, domain = self.account.partition("@")
        if not domain:  # a phone number or a name, which forwards nothing
            return parseaddr(self.sender)[1]
        return f"{local}+caf_={self.rcpt.replace('@', '=')}@{domain}"

    @property
    def run(self) -> str | None:
        """The run that the address names after its ``+``."""
        return self.rcpt.partition("@")[0].partition("+")[2] or None

    def build(self, now: datetime) -> bytes:
        """The mail as a Gmail filter forwards it, ready for DATA."""
        mail = EmailMessage(policy=policy.SMTP)
        if self.to is None:
            mail["X-Forwarded-To"] = self.rcpt
            mail["X-Forwarded-For"] = f"{self.account} {self.rcpt}"
            mail["Delivered-To"] = self.account
        mail["From"] = self.sender
        mail["To"] = self.to or self.account
        mail["Subject"] = self.subject
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = make_msgid(domain=HOME)
        for name, value in self.headers:
            mail[name] = value
        if self.text is not None:
            mail.set_content(self.text)
            if self.html is not None:
                mail.add_alternative(self.html, subtype="html")
        elif self.html is not None:
            mail.set_content(self.html, subtype="html")
        return mail.as_bytes()


def plain_code(
    code: str, *, account: str = "ann@example.com", shop: str = "Larch Bank", host: str = "larch.example", rcpt: str = BRIDGE
) -> Sample:
    """The everyday case: a sentence, a number, a lifetime, a footer full of other numbers."""
    return Sample(
        title="code in plain text",
        account=account,
        rcpt=rcpt,
        sender=f"{shop} <no-reply@{host}>",
        subject=f"Your {shop} sign-in code",
        text=f"Hello,\n\nyour sign-in code is:\n\n{code}\n\nIt expires in 10 minutes. Nobody at {shop} will ever ask for it.\n\n"
        f"{shop}, 48 Harbour Street, 90210 Seaside. Call 1-800-555-0199. (c) 2026\n",
    )


def for_a_run(code: str, run: str) -> Sample:
    """A code for one run of the agent only: the address that it was forwarded to says which."""
    return Sample(
        title="for one run, by a tagged address",
        account="hal@example.com",
        rcpt=f"codes+{run}@{HOME}",
        sender="Osier <security@osier.example>",
        subject="Osier security code",
        text=f"Hi Hal,\n\n{code} is your Osier security code. It works for 10 minutes.\n",
    )


def digit_cells(code: str) -> Sample:
    """HTML only, one digit a table cell, colours and a postal code around it."""
    cells = "".join(f'<td style="font-size:28px;padding:6px;background:#f4f4f4">{digit}</td>' for digit in code)
    return Sample(
        title="HTML, a digit a cell",
        account="bo@example.com",
        sender="Quillwork <accounts@quillwork.example>",
        subject="Confirm it is you",
        html="<html><head><style>.f{color:#202123}</style></head><body><p>Enter this verification code to continue:</p>"
        f'<table role="presentation"><tr>{cells}</tr></table><p>The code is valid for 5 minutes.</p>'
        '<p class="f">Quillwork GmbH, Lindenweg 12, 10115 Berlin</p></body></html>',
    )


def letters_and_digits(code: str) -> Sample:
    """A grouped code of letters and digits, in German."""
    return Sample(
        title="letters and digits, in German",
        account="cleo@example.com",
        sender="Nordlicht Konto <konto@nordlicht.example>",
        subject="Ihr Bestätigungscode",
        text=f"Guten Tag,\n\nIhr Bestätigungscode lautet: {code}\n\nEr ist 10 Minuten gültig.\n\nIhr Nordlicht-Team\n",
    )


def magic_link(url: str) -> Sample:
    """A sign-in link among the usual others."""
    return Sample(
        title="magic link",
        account="dan@example.com",
        sender="Tern <hello@tern.example>",
        subject="Sign in to Tern",
        html=f'<html><body><a href="https://tern.example/"><img src="https://tern.example/logo.png" alt="Tern"></a>'
        f'<p>Click the button to sign in. The link works once and expires in 15 minutes.</p><p><a href="{url}" '
        'style="background:#0b57d0;color:#ffffff;padding:12px 24px">Sign in to Tern</a></p><p><a '
        'href="https://tern.example/help">Help</a> <a href="https://tern.example/unsubscribe?u=81920">Unsubscribe</a></p></body></html>',
    )


def receipt() -> Sample:
    """Full of numbers, and no code among them."""
    return Sample(
        title="a receipt: no code in it",
        account="ann@example.com",
        sender="Fern & Co <orders@fern.example>",
        subject="Your order 4471902 is on its way",
        text="Thank you!\n\nOrder number: 4471902\nTracking number: 00340434161094015902\nTotal: 48.20 EUR\n\n"
        "Delivery on 24 November 2026 between 14:00 and 16:00.\nFern & Co, 20095 Hamburg, +49 40 5550199\n",
    )


def confirmation(account: str) -> Sample:
    """What Gmail sends first, when somebody asks it to forward to us."""
    token = "vf-%5BANGjdJ-demo-demo-demo-demo-demo%5D-demo-demo-demo"  # noqa: S105  (a made-up path, no secret)
    return Sample(
        title="Gmail's forwarding confirmation",
        account=account,
        sender="Gmail Team <forwarding-noreply@google.com>",
        subject=f"(Gmail Forwarding Confirmation - Receive Mail from {account}",
        text=f"{account} has requested to automatically forward mail to your email address {BRIDGE}.\n\n"
        f"To allow it, please open the link below:\n\nhttps://mail-settings.google.com/mail/{token}\n",
        to=BRIDGE,
        headers=(("X-Google-Address-Confirmation", "demo-demo-demo-demo-demo-1"),),
    )
