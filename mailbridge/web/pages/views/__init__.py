"""One function for each path of the page: it uses the verbs and names the template for their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from mailbridge.web.pages.asking import Answer, Asked
from mailbridge.web.pages.views import again, codes, deliveries, mailboxes, mails, now, people, rules, setup, tools

View = Callable[[Asked], Awaitable[Answer]]

VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "now": now.now,
        "again": again.again,
        "mail.list": mails.find,
        "mail.show": mails.show,
        "mail.text": mails.masked,
        "mail.reveal": mails.reveal,
        "mail.release": mails.release,
        "mail.replay": mails.replay,
        "mail.confirm": mails.confirm,
        "mail.raw": mails.raw,
        "code.list": codes.find,
        "code.reveal": codes.reveal,
        "waiting": codes.waiting,
        "delivery.list": deliveries.find,
        "delivery.show": deliveries.show,
        "delivery.retry": deliveries.retry,
        "target.test": deliveries.test,
        "why": tools.why,
        "doctor": tools.doctor,
        "doctor.run": tools.doctor_run,
        "setup": setup.setup,
        "setup.look": setup.look,
        "setup.answer": setup.answer,
        "setup.test": setup.test,
        "setup.filter": setup.filter_file,
        "setup.reveal": setup.reveal,
        "setup.forget": setup.forget,
        "mailbox.list": mailboxes.find,
        "mailbox.add": mailboxes.add,
        "mailbox.test": mailboxes.test,
        "mailbox.remove": mailboxes.remove,
        "sender.list": people.senders,
        "sender.add": people.add_sender,
        "sender.remove": people.remove_sender,
        "totp.list": people.authenticators,
        "totp.add": people.add_authenticator,
        "totp.code": people.authenticator_code,
        "totp.bind": people.bind_authenticator,
        "totp.remove": people.remove_authenticator,
        "rule.list": rules.find,
        "rule.try": rules.attempt,
        "rule.add": rules.add,
        "rule.remove": rules.remove,
        "search": mails.search,
        "session.list": people.sessions,
        "session.remove": people.end_session,
    }
)
"""By the names of `entrance.PATHS`."""
