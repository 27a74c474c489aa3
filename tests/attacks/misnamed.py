"""Genuine mails of somebody who has an account under a name that shows another's mailbox, sent on to an address of that other.

The attacker is ``m@evil.example`` at a site that lets him choose his name, or lets him write his address in more than one way. What the
site sends is signed by the site, and what Google seals is sealed by Google: only for whom it was is a lie.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Iterator

from tests.attacks.forgeries import ANN, BOUND, CODES, TOKEN, TOKEN_BOUND, Attack, by_acme, by_evil, code, link, sealed
from tests.core.forged_addresses import FORGED
from tests.peers import signer
from tests.trust.mails import mail

TO = (
    "a quoted name",
    "a name",
    "a name that touches",
    "a name in square brackets",
    "a name of several words in quotes",
    "a name with escaped quotes",
    "a name with angles in quotes",
    "a name with angles",
    "a name with commas",
    "a name alone in a list",
    "a quoted local part",
    "a quoted local part in angles",
    "two at signs",
    "two at signs and a comment",
    "two at signs that touch a comment",
    "two at signs behind angles",
    "an underscore",
    "a letter",
    "a letter behind",
    "a longer domain behind a comment",
    "a comment behind",
    "a comment before",
    "a comment in the domain",
    "a group",
    "a group in quotes",
    "a route",
    "an encoded name",
    "an encoded comma",
    "an encoded name that is not",
    "an encoded list that is not",
    "an encoded list with blanks",
    "an encoded list that goes on",
    "an escaped at sign",
    "a quoted string that does not end",
    "an ideographic full stop",
    "a Cyrillic letter",
)
SEALED = (
    "a quoted name",
    "a name",
    "a quoted local part",
    "two at signs",
    "an underscore",
    "a comment behind",
    "a letter behind",
)
AUTHORS = (
    "a quoted name",
    "a name",
    "a quoted local part",
    "two at signs and a comment",
    "an underscore",
    "a group in quotes",
    "a route",
    "an encoded name",
)
BLOCK = (
    "---------- Forwarded message ---------\nFrom: Acme <no-reply@acme.example>\n"
    "Subject: Your sign-in code\nTo: {}\n\nYour verification code is 713928.\n"
)
GOOGLE = "X-Forwarded-For: m@gmail.com codes@bridge.example\nX-Forwarded-To: codes@bridge.example"


def every() -> Iterator[tuple[str, Attack]]:
    """The whole set by name."""
    for name in TO:
        form = FORGED[name]
        yield f"To: {name}", Attack(build=lambda form=form: by_acme(code(to=form)), rcpt=BOUND)
    for name in TO[:8]:
        form = FORGED[name]
        yield f"To: {name}, a link", Attack(build=lambda form=form: by_acme(link(to=form)), rcpt=TOKEN_BOUND)
        yield (
            f"Cc: {name}",
            Attack(
                build=lambda form=form: by_acme(
                    code(to="m@evil.example", below=f"Cc: {form}"), headers=("from", "to", "cc", "subject", "date")
                ),
                rcpt=BOUND,
            ),
        )
        yield (
            f"To and every stamp: {name}",
            Attack(build=lambda form=form: _stamped(form) + by_acme(code(to=form)), rcpt=CODES),
        )
    for name in SEALED:
        form = FORGED[name]
        yield (
            f"Delivered-To under Google's seal: {name}",
            Attack(
                build=lambda form=form: sealed(
                    f"Delivered-To: {form}\r\n".encode() + code(to="undisclosed-recipients:;"), "google.com", private="google"
                ),
                rcpt=BOUND,
            ),
        )
        yield (
            f"To under Google's seal: {name}",
            Attack(
                build=lambda form=form: sealed(
                    code(to=form, above=f"{GOOGLE}\nDelivered-To: m@gmail.com"), "google.com", private="google"
                ),
                rcpt=BOUND,
            ),
        )
    for name in AUTHORS:
        form = FORGED[name]
        yield f"From: {name}", Attack(build=lambda form=form: by_evil(code(sender=form, to="x@evil.example")), rcpt=BOUND)
        yield (
            f"forwarded by hand: {name}",
            Attack(
                build=lambda form=form: by_evil(
                    mail(BLOCK.format(form), sender="m@evil.example", to=TOKEN, subject="Fwd: Your sign-in code")
                ),
                rcpt=TOKEN,
            ),
        )
    yield (
        "forwarded by hand: a name, from whom it shows",
        Attack(
            build=lambda: by_evil(
                mail(BLOCK.format("m@evil.example"), sender=f'"{ANN}" <m@evil.example>', to=TOKEN, subject="Fwd: Your code")
            ),
            rcpt=TOKEN,
        ),
    )


def _stamped(form: str) -> bytes:
    """Every stamp with that in it, above the genuine mail."""
    lines = (
        f"X-Forwarded-For: {form} codes@bridge.example",
        f"Delivered-To: {form}",
        f"X-Original-To: {form}",
        f"Resent-From: {form}",
        f"X-MS-Exchange-ForwardingLoop: {form};0b1f",
        f"X-Yahoo-Forwarded: from {form} to codes@bridge.example",
        f"Received: from a by b for {form}; Wed, 25 Nov 2026 09:57:25 +0000",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


CONFIRMATIONS = {
    "a Workspace of that name": (
        "(#239314020) ann@gmail.com Forwarding Confirmation - Receive Mail from m@evil.example",
        "m@evil.example",
    ),
    "a quoted name": (
        'Gmail Forwarding Confirmation - Receive Mail from "ann@gmail.com" m@gmail.com',
        '"ann@gmail.com" m@gmail.com',
    ),
    "a name": ("Gmail Forwarding Confirmation - Receive Mail from m@gmail.com", "ann@gmail.com <m@gmail.com>"),
    "a quoted local part": (
        'Gmail Forwarding Confirmation - Receive Mail from "ann@gmail.com"@evil.example',
        '"ann@gmail.com"@evil.example',
    ),
    "an underscore": (
        "Gmail Forwarding Confirmation - Receive Mail from ann@gmail.com_x.evil.example",
        "ann@gmail.com_x.evil.example",
    ),
    "a letter": (
        "Gmail Forwarding Confirmation - Receive Mail from ann@gmail.com\u00e9.evil.example",
        "ann@gmail.com\u00e9.evil.example",
    ),
    "a longer domain": (
        "Gmail Forwarding Confirmation - Receive Mail from ann@gmail.com.evil.example",
        "ann@gmail.com.evil.example",
    ),
    "a longer local part": ("Gmail Forwarding Confirmation - Receive Mail from !ann@gmail.com", "!ann@gmail.com"),
}
"""Subject, and who asks in the text, of Google's own questions about an account that shows the listed one."""


def question(name: str) -> bytes:
    """One of these, signed by Google."""
    subject, asker = CONFIRMATIONS[name]
    content = mail(
        f"{asker} has requested to automatically forward mail to your email address\n{CODES}.\n\n"
        "https://mail-settings.google.com/mail/vf-%5BANGjdJ-x%5D-misnamed\n\nThanks for using Gmail!",
        sender="Gmail Team <forwarding-noreply@google.com>",
        to=CODES,
        subject=subject,
        above="X-Google-Address-Confirmation: abcdefghijklmnopqrstuvwxyz1",
    )
    return signer.dkim(content, "google.com", private=signer.key("google"))
