"""Gmail's question whether it may forward here: recognised in every form, never pushed, and no link shown that is not Google's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailbridge.core.confirmation import Confirmation, gmail_confirmation, is_genuine
from mailbridge.core.extraction import Verdict
from mailbridge.core.parse import parse
from mailbridge.intake.parser_config import ParserConfig
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request

BRIDGE = "codes@bridge.example"
LINK = "https://mail-settings.google.com/mail/vf-%5BANGjdJ-made-up-made-up%5D-made-up_made-up"
CANCEL = LINK.replace("/vf-", "/uf-")
SENDER = "Gmail Team <forwarding-noreply@google.com>"
TEXT = (
    "{asker} has requested to automatically forward mail to your email\naddress {bridge}.\n{code}\nTo allow {asker} to do so, "
    "please click the link below to confirm the request:\n\n{link}\n\nIf you accidentally clicked the link, click this one to "
    "cancel:\n\n{cancel}\n\nTo learn more, visit: http://support.google.com/mail/bin/answer.py?answer=184973\n"
)


def mail(
    *,
    subject: str = "(Gmail Forwarding Confirmation - Receive Mail from gus@gmail.com",
    sender: str = SENDER,
    link: str = LINK,
    code: str = "",
    html: str | None = None,
    cte: str | None = None,
    header: str | None = "made-up-made-up-made-up-123",
    asker: str = "gus@gmail.com",
) -> bytes:
    """A confirmation in the words of the English ones, made for this test."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = BRIDGE
    message["Subject"] = subject
    if header is not None:
        message["X-Google-Address-Confirmation"] = header
    text = TEXT.format(asker=asker, bridge=BRIDGE, code=code, link=link, cancel=CANCEL)
    if html is not None:
        message.set_content(html, subtype="html")
    else:
        message.set_content(text, cte=cte)
    return message.as_bytes()


def confirmed(content: bytes, mail_from: str = "forwarding-noreply@google.com") -> Confirmation | None:
    """What a mail confirms."""
    return gmail_confirmation(parse(content), mail_from)


def understood(content: bytes, mail_from: str = "forwarding-noreply@google.com") -> Understanding:
    """What a mail means to a bridge that takes everything for its domain."""
    request = Request(content=content, rcpt_to=(BRIDGE,), mail_from=mail_from, now=datetime.now(UTC))
    return Understander(ParserConfig(domains=("bridge.example",)))(request)


@pytest.mark.parametrize("cte", ["7bit", "quoted-printable", "base64"])
@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("(Gmail Forwarding Confirmation - Receive Mail from gus@gmail.com", None),
        ("Gmail Forwarding Confirmation – receive emails from gus@gmail.com", None),
        ("(#99427480) Gmail Forwarding Confirmation - Receive Mail from gus@gmail.com", "99427480"),
        ("(#239314020) Larch Forwarding Confirmation - Receive Mail from gus@gmail.com", "239314020"),
        ("Confirmación de reenvío de Gmail: recibir correo de gus@gmail.com", None),
        ("Gmail 转发确认 - 从 gus@gmail.com 接收邮件", None),
        ("whatever they will call it", None),
    ],
)
def test_every_form_is_recognised(subject: str, code: str | None, cte: str) -> None:
    """By sender and header, in any language, brand and encoding, with the older form's number, and with who asks."""
    words = f"Confirmation code: {code}" if code else ""
    assert confirmed(mail(subject=subject, code=words, cte=cte)) == Confirmation(link=LINK, code=code, requester="gus@gmail.com")


def test_it_is_never_pushed() -> None:
    """Neither its number nor its link is a code, whoever it is for; the link stands ready for a person."""
    found = understood(mail(code="Confirmation code: 99427480"))
    assert found.extraction.verdict is Verdict.CONFIRMATION
    assert not found.extraction.verdict.is_pushed
    assert found.extraction.value is not None
    assert found.extraction.value.reveal() == LINK
    assert found.body is None


@pytest.mark.parametrize(
    ("sender", "mail_from", "header", "is_one"),
    [
        (SENDER, "forwarding-noreply@google.com", "token", True),
        (SENDER, "forwarding-noreply@google.com", None, True),
        (SENDER, "", None, True),
        ("x@evil.example", "forwarding-noreply@google.com", None, True),
        ("x@evil.example", "x@evil.example", "token", True),
        ("Gmail Team <no-reply@larch.example>", "no-reply@larch.example", None, False),
        ("forwarding-noreply@google.com.evil.example", "x@evil.example", None, False),
    ],
)
def test_sender_or_header_make_it_one(sender: str, mail_from: str, header: str | None, is_one: bool) -> None:
    """Either is enough to hold the mail back; the words of the subject are not."""
    assert (confirmed(mail(sender=sender, header=header), mail_from) is not None) is is_one


EVIL = [
    "http://mail-settings.google.com/mail/vf-abc",
    "https://mail-settings.google.com.evil.example/mail/vf-abc",
    "https://evil.example/mail/vf-abc",
    "https://evil.example/?u=https://mail-settings.google.com/mail/vf-abc",
    "https://mail-settings.google.com@evil.example/mail/vf-abc",
    "https://user:pw@mail-settings.google.com/mail/vf-abc",
    "https://mail-settings.google.com:8443/mail/vf-abc",
    "https://mail-settings.google.com:443@evil.example/mail/vf-abc",
    "https://mail-settings.google.com\\@evil.example/mail/vf-abc",
    "https://mail-settings.google.com\\.evil.example/mail/vf-abc",
    "https://mail-settings.goog1e.com/mail/vf-abc",
    "https://mail-settings.gооgle.com/mail/vf-abc",
    "https://mail-settings.google.com%2eevil.example/mail/vf-abc",
    "https://MAIL-settings.google.com.evil.example/mail/vf-abc",
    "https://mail-settings.google.com/mail/uf-abc",
    "https://mail-settings.google.com/mail/vf-abc/../uf-abc",
    "https://mail-settings.google.com/mail/vf-abc/%2e%2E/uf-abc",
    "https://mail-settings.google.com/mail/vf-abc/..%2fuf-abc",
    "https://mail-settings.google.com/url?q=https://evil.example/mail/vf-abc",
    "https://mail-settings.google.com//evil.example/mail/vf-abc",
    "https://sites.google.com/mail/vf-abc",
    "https://google.com/mail/vf-abc",
    "https://[::1]/mail/vf-abc",
    "https://mail-settings.google.com:x/mail/vf-abc",
    "",
]


@pytest.mark.parametrize("url", EVIL)
def test_a_link_that_is_not_googles_is_never_shown(url: str) -> None:
    """Look-alike hosts, users, ports, other paths and the link that cancels: the mail is held, without a link."""
    assert not is_genuine(url)
    for content, expected in (
        (mail(link=url), None),
        (mail(html=f"<p>{url}</p>"), None),
        (mail(html=f'<p><a href="{url}">confirm</a></p>'), None),
        (mail(html=f'<p><a href="{url}">{LINK}</a></p>'), LINK),
    ):
        found = confirmed(content)
        assert found is not None
        assert found.link == expected


@pytest.mark.parametrize("url", [f"javascript:{LINK}", f"{LINK}\u202eabc", f"{LINK}\x1b[2J", f"{LINK}\u200b"])
def test_what_stands_around_a_genuine_link_is_not_shown(url: str) -> None:
    """What cannot be part of a link is cut off before it reaches somebody's terminal."""
    assert not is_genuine(url)
    found = confirmed(mail(link=url))
    assert found is not None
    assert found.link in (None, LINK, f"{LINK}abc")


@pytest.mark.parametrize("host", ["mail-settings.google.com", "mail.google.com", "isolated.mail.google.com"])
def test_googles_own_hosts_are_shown(host: str) -> None:
    """Every host that the link has been seen to lead to."""
    url = f"https://{host}/mail/vf-%5Babc%5D-def_ghi"
    assert is_genuine(url)
    assert confirmed(mail(link=url)) == Confirmation(link=url, requester="gus@gmail.com")


@pytest.mark.parametrize("written", ["{}.", "({})", "<{}>", "*{}*", "{},"])
def test_a_sentence_around_the_link_is_not_part_of_it(written: str) -> None:
    """Punctuation that follows the link in a text is left out."""
    found = confirmed(mail(link=written.format(LINK)))
    assert found is not None
    assert found.link == LINK


def test_the_first_genuine_link_wins_over_evil_ones() -> None:
    """An evil link beside the genuine one is passed over."""
    found = confirmed(mail(link=f"https://evil.example/mail/vf-abc\n\n{LINK}"))
    assert found is not None
    assert found.link == LINK


def test_a_confirmation_says_nothing_of_its_link_by_accident() -> None:
    """The link lets anybody forward mail here: it is in no repr, and in no reason; nor is the address of who asks, for it is logged."""
    content = mail(code="Confirmation code: 99427480")
    assert "vf-" not in repr(confirmed(content))
    assert "99427480" not in repr(confirmed(content))
    assert "vf-" not in understood(content).extraction.reason
    assert "gus" not in understood(content).extraction.reason


def test_every_known_form_in_the_collection(shared: Path) -> None:
    """Each confirmation of the collection beside the project is recognised, and shows its genuine link or none."""
    rows = [json.loads(line) for line in (shared / "eml" / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["file"].startswith("confirm-")]
    assert len(rows) >= 6
    for one in rows:
        content = (shared / "eml" / one["file"]).read_bytes()
        found = confirmed(content)
        assert found is not None, one["file"]
        assert found.link == one.get("confirm_link"), one["file"]
        assert found.code == one.get("confirm_code"), one["file"]
        assert found.requester == one["original_recipient"], one["file"]
        assert not understood(content).extraction.verdict.is_pushed


TWO = {
    "a Workspace that is called so": (
        "(#239314020) {ann} Forwarding Confirmation - Receive Mail from {m}",
        "Thanks for using {ann}!",
    ),
    "a Workspace that is called so, in the text": (
        "Gmail Forwarding Confirmation - Receive Mail from {m}",
        "Thanks for using {ann}!",
    ),
    "a Workspace that is called so, in the subject": ("({ann} Forwarding Confirmation - Receive Mail from {m}", ""),
    "a name in quotes": ('Gmail Forwarding Confirmation - Receive Mail from "{ann}" {m}', ""),
    "a name before angles": ("Gmail Forwarding Confirmation - Receive Mail from {ann} <{m}>", ""),
    "a name behind": ("Gmail Forwarding Confirmation - Receive Mail from {m} ({ann})", ""),
    "a quoted local part": ('Gmail Forwarding Confirmation - Receive Mail from "{ann}"@evil.example', ""),
    "two at signs": ("Gmail Forwarding Confirmation - Receive Mail from {ann}@evil.example", ""),
    "an underscore": ("Gmail Forwarding Confirmation - Receive Mail from {ann}_x.evil.example", ""),
    "a letter": ("Gmail Forwarding Confirmation - Receive Mail from {ann}\u00e9.evil.example", ""),
    "a dot of another script": ("Gmail Forwarding Confirmation - Receive Mail from {ann}\u3002evil.example", ""),
    "a mark that is part of it": ("Gmail Forwarding Confirmation - Receive Mail from !{ann}", "{m}"),
    "a brace that is part of it": ("Gmail Forwarding Confirmation - Receive Mail from {{{ann}", "{m}"),
    "words that touch": ("Gmail Forwarding Confirmation:{ann} {m}", ""),
    "a link to it": ("Gmail Forwarding Confirmation - Receive Mail from {m}", "mailto:{ann}"),
}


@pytest.mark.parametrize("name", TWO)
def test_of_two_accounts_none_is_the_one_who_asks(name: str) -> None:
    """Whoever asks chooses words of Google's mail: where it names two accounts, or half of one, it waits for a person, link and all."""
    subject, more = (text.format(ann="gus@gmail.com", m="m@evil.example") for text in TWO[name])
    found = confirmed(mail(subject=subject, code=more, asker="m@evil.example"))
    assert found is not None
    assert (found.link, found.requester) == (LINK, None)


@pytest.mark.parametrize("written", ["{}", "<{}>", "({})", "\u201c{}\u201d", "{}.", "{},", "{}\u3002", "\uff08{}\uff09", "{}:"])
def test_who_asks_is_read_from_a_sentence(written: str) -> None:
    """Punctuation around the account is none of it, nor are our own address and Google's."""
    subject = f"Gmail Forwarding Confirmation - Receive Mail from {written.format('gus@gmail.com')}"
    found = confirmed(mail(subject=subject, code="forwarding-noreply@google.com, Codes@Bridge.example; Gus@gmail.com"))
    assert found == Confirmation(link=LINK, requester="gus@gmail.com")


@pytest.mark.parametrize(
    "asker", ["!gus@gmail.com", "{gus@gmail.com", "'gus@gmail.com", "x.gus@gmail.com", "gus@gmail.com.evil.example"]
)
def test_a_longer_mailbox_is_not_the_one_inside_it(asker: str) -> None:
    """What may begin or go on in a mailbox is part of it, and no punctuation around another."""
    found = confirmed(mail(subject=f"Gmail Forwarding Confirmation - Receive Mail from {asker}", asker=asker))
    assert found is not None
    assert found.requester == asker
