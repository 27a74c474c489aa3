"""*Again*: the form that needed a fresher login, shown before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mailbridge.core.secret import MASK
from mailbridge.web.pages.asking import Answer, Asked, Go, Page
from mailbridge.web.pages.words import text

SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "address": "mailbox.address",
        "server": "mailbox.host",
        "username": "mailbox.username",
        "identifier": "totp.identifier",
        "sender": "sender.name",
        "name": "totp.name",
        "password": "mailbox.password",
        "secret": "totp.secret",
        "picture": "totp.picture",
        "rule": "rule.text",
        "mail": "rule.mail",
        "value": "again.typed",
    }
)
"""Fields that a person types, by their names, with the words that stand beside them; what else a form brings is not told."""

DEEDS: Mapping[str, str] = MappingProxyType(
    {
        "totp.add": "again.totp.add",
        "totp.bind": "again.totp.bind",
        "totp.remove": "again.totp.remove",
        "mail.confirm": "again.mail.confirm",
        "mail.release": "again.mail.release",
        "sender.add": "again.sender.add",
        "sender.remove": "again.sender.remove",
        "rule.add": "again.rule.add",
        "rule.remove": "again.rule.remove",
        "session.remove": "again.session.remove",
        "mailbox.add": "again.mailbox.add",
        "mailbox.remove": "again.mailbox.remove",
        "setup.answer": "again.setup.answer",
    }
)
"""What each form does, in words; another one is only called a form."""

PLAIN = frozenset({"address", "server", "username", "identifier", "sender", "name"})
"""The fields without a secret; of the others only that they are kept."""


async def again(asked: Asked) -> Answer:
    """The kept form with the button that sends it; the first page if nothing is kept."""
    kept = asked.kept
    if kept is None:
        return Go(path="/")
    fields: Sequence[tuple[str, str]] = [
        (text(SHOWN[name]), one if name in PLAIN else MASK)
        for name, one in [
            *((name, value) for name, values in kept.form.items() for value in values),
            *dict.fromkeys(kept.files, MASK).items(),
        ]
        if name in SHOWN and one.strip() and not (name == "name" and kept.name.startswith("setup."))
    ]
    return Page(template="again.html", values={"what": DEEDS.get(kept.name, "again.other"), "fields": fields})
