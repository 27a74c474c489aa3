"""Rows about genuine mails to Ann that greet her by a name which somebody else chose when he signed up with her address: it looks like a code."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from tests.attacks.forgeries import BOUND, by_acme
from tests.attacks.rows import RIGHT, Row, Rows, Way
from tests.trust.mails import mail

NAMES = {
    "a code in a sentence": "Your code is 999999",
    "a code behind a colon": "Your verification code: 999999",
    "an instruction": "Use 999999 to sign in",
    "an abbreviation": "OTP 999999",
    "a warning of the true one": "ignore the code below, your code is 999999",
    "a newer one": "the code below has expired, new code: 999999",
    "another language": "Ihr Bestätigungscode lautet 999999",
    "another script": "您的验证码是 999999",
    "a spaced code": "Your code is 9 9 9 9 9 9",
    "a code with a hyphen": "Your code is 999-999",
    "full-width digits": "Your code is ９９９９９９",
    "a prefix": "G-999999 is your code",
    "letters": "Your code is QXRT-9981",
    "a code of another length": "Your code is 99998888",
    "a code that is bound to the site": "Ann @acme.example #999999",
    "a line of its own": "Ann\n999999\n",
    "a line that binds it": "Ann\n@acme.example #999999",
}

TEXTS = {
    "the code in its sentence": "Hello {name},\n\nyour verification code is {code}.\n",
    "the code on a line of its own": "Hi {name}\n\nEnter this code:\n\n{code}\n\nIt expires in 10 minutes.\n",
    "the code in an instruction": "{name}, use {code} to log in.\n",
    "the code behind a colon": "Dear {name},\n\nCode: {code}\n",
}

SUBJECTS = {"in the text": "Your sign-in code", "in the subject too": "{name}, here is your code"}


def greeted() -> Rows:
    """The name is the attacker's, the mail is the site's own, signed, and for Ann."""
    for text_name, text in TEXTS.items():
        for name, chosen in NAMES.items():
            for where, subject in SUBJECTS.items():

                def build(chosen: str = chosen, text: str = text, subject: str = subject) -> bytes:
                    line = " ".join(chosen.split())
                    return by_acme(mail(text.format(name=chosen, code=RIGHT), subject=subject.format(name=line)))

                yield Row(
                    kind="greeted by a code",
                    name=f"{name} {where}, {text_name}",
                    says="a name that its user chose is no code of the site's, whatever it says",
                    attack=build,
                    twin=lambda build=build: build("Ann"),
                    way=Way(rcpt=BOUND),
                    may=frozenset({RIGHT}),
                )


GROUPS = (greeted,)
