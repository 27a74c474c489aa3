"""What each provider posts becomes its mail and envelope; what is not proven, too old, cut off or another's is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.ingress.http.forward_email import ForwardEmail
from mailbridge.ingress.http.mailgun import Mailgun
from mailbridge.ingress.http.mime import Mime
from mailbridge.ingress.http.posted import Posted, Refused
from mailbridge.ingress.http.postmark import Postmark
from mailbridge.ingress.http.sendgrid import SendGrid
from mailbridge.ingress.http.ses import Ses
from tests.ingress.http import posts
from tests.ingress.http.posts import KEY, MAIL, NOW, PROVIDERS, RCPT, SENDER, Provider

STAMPED = [one for one in PROVIDERS if one.name in ("mailgun", "sendgrid", "ses")]


def _status(provider: Provider, posted: Posted) -> int:
    with pytest.raises(Refused) as refused:
        provider.adapter.take(posted, now=NOW)
    assert refused.value.title
    return refused.value.status


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
def test_a_post_is_its_mail_with_its_envelope(provider: Provider) -> None:
    """Octets, envelope recipient and sender are those of the provider's own fields."""
    delivery = provider.adapter.take(provider.post(MAIL, NOW), now=NOW)
    (mail,) = delivery.mails
    assert (mail.content, mail.rcpt_to, mail.mail_from) == (MAIL, (RCPT,), SENDER)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
def test_without_its_proof_a_post_is_refused(provider: Provider) -> None:
    """No signature and no password: 401, or 403 where there is no other answer."""
    posted = provider.post(MAIL, NOW)
    kept = {name: value for name, value in posted.headers.items() if name in ("content-type", "x-amz-sns-message-type")}
    bare = replace(posted, headers=kept)
    if provider.name == "mailgun":
        bare = replace(bare, body=posted.body.replace(b'name="signature"', b'name="signaturf"'))
    if provider.name == "ses":
        told = json.loads(posted.body) | {"Signature": ""}
        bare = replace(bare, body=json.dumps(told).encode())
    assert _status(provider, bare) in (401, 403)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_proof_with_one_changed_character_is_refused(provider: Provider, place: int) -> None:
    """Wherever it is changed: signature, password or the octets that they cover."""
    posted = provider.post(MAIL, NOW)
    field = {"postmark": "authorization", "cloudmailin": "authorization", "forwardemail": "x-webhook-signature"}.get(
        provider.name
    )
    field = field or ("x-twilio-email-event-webhook-signature" if provider.name == "sendgrid" else None)
    if field is not None:
        text = posted.headers[field]
        at = 12 + place % (len(text) - 14)
        changed = replace(
            posted, headers={**posted.headers, field: f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}"}
        )
    elif provider.name == "mailgun":
        at = posted.body.index(b'name="signature"') + 20 + place % 64
        changed = replace(
            posted, body=posted.body[:at] + (b"0" if posted.body[at : at + 1] != b"0" else b"1") + posted.body[at + 1 :]
        )
    else:
        told = json.loads(posted.body)
        text = told["Signature"]
        at = place % (len(text) - 4)
        told["Signature"] = f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}"
        changed = replace(posted, body=json.dumps(told).encode())
    assert _status(provider, changed) in (400, 401, 403)


@pytest.mark.parametrize("provider", STAMPED, ids=lambda one: one.name)
@pytest.mark.parametrize("age", [timedelta(hours=2), -timedelta(hours=2), timedelta(days=400)], ids=str)
def test_an_old_proof_is_refused(provider: Provider, age: timedelta) -> None:
    """And one from the future; within minutes it counts."""
    assert _status(provider, provider.post(MAIL, NOW - age)) in (401, 403)
    assert provider.adapter.take(provider.post(MAIL, NOW - timedelta(minutes=2)), now=NOW).mails


@pytest.mark.parametrize("provider", STAMPED, ids=lambda one: one.name)
def test_a_proof_names_itself_so_that_it_counts_once(provider: Provider) -> None:
    """The same post names the same proof, another post another one."""
    first = provider.adapter.take(provider.post(MAIL, NOW), now=NOW).once
    assert first
    assert first == provider.adapter.take(provider.post(MAIL, NOW), now=NOW).once or provider.name == "sendgrid"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_post_that_is_cut_off_is_refused(provider: Provider, share: float) -> None:
    """Never a traceback, never a half mail."""
    posted = provider.post(MAIL, NOW)
    cut = replace(posted, body=posted.body[: int(len(posted.body) * share)])
    assert 400 <= _status(provider, cut) < 500


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
@pytest.mark.parametrize("other", PROVIDERS, ids=lambda one: one.name)
def test_the_post_of_one_provider_is_none_of_another(provider: Provider, other: Provider) -> None:
    """Also where both were given the same key."""
    if provider.name == other.name:
        return
    with pytest.raises(Refused):
        other.adapter.take(provider.post(MAIL, NOW), now=NOW)


@pytest.mark.parametrize("is_multipart", [True, False], ids=["multipart", "url-encoded"])
def test_mailgun_posts_either_kind_of_form(is_multipart: bool) -> None:
    """With attachments multipart, without them url-encoded: the octets are the same."""
    mail = MAIL + bytes(range(128, 256)) + b"\r\n"
    delivery = Mailgun(key=KEY).take(posts.mailgun(mail, NOW, is_multipart=is_multipart), now=NOW)
    assert delivery.mails[0].content == mail


@pytest.mark.parametrize(
    ("posted", "hint"),
    [
        (posts.mailgun(MAIL, NOW, is_multipart=False).body.replace(b"body-mime", b"body-plain"), "/mime"),
        (posts.mailgun(MAIL, NOW, is_multipart=False).body.replace(b"body-mime", b"message-url"), "forward()"),
    ],
)
def test_mailgun_without_raw_mail_is_told_the_setting(posted: bytes, hint: str) -> None:
    """406, which Mailgun does not try again, with what to change."""
    with pytest.raises(Refused) as refused:
        Mailgun(key=KEY).take(posts.posted(posted, "application/x-www-form-urlencoded"), now=NOW)
    assert (refused.value.status, hint in refused.value.hint) == (406, True)


def test_postmark_without_raw_mail_is_told_the_setting() -> None:
    """403, which Postmark does not try again."""
    told = json.dumps({"OriginalRecipient": RCPT, "TextBody": "x"}).encode()
    with pytest.raises(Refused) as refused:
        Postmark(password=KEY).take(posts.posted(told, "application/json", authorization=posts.basic()), now=NOW)
    assert (refused.value.status, "raw email" in refused.value.hint) == (403, True)


def test_eight_bits_through_text_are_no_exact_octets() -> None:
    """What became text on the way may have changed: a failed signature proves nothing then. Base64 of SES keeps the octets."""
    mail = MAIL + "Grüße\r\n".encode()
    assert not Postmark(password=KEY).take(posts.postmark(mail, NOW), now=NOW).mails[0].is_exact
    assert not ForwardEmail(key=KEY).take(posts.forward_email(mail, NOW), now=NOW).mails[0].is_exact
    ses = Ses(topics=frozenset({posts.TOPIC}), certificate=posts.amazon).take(posts.ses(mail, NOW), now=NOW)
    assert (ses.mails[0].content, ses.mails[0].is_exact) == (mail, True)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        "https://bucket.s3.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.txt",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    """Only https, only SNS's own hosts, only a .pem: nothing else is even asked for."""
    told = json.loads(posts.ses(MAIL, NOW).body) | {"SigningCertURL": url}
    fetched: list[str] = []

    def fetch(place: str) -> bytes:
        fetched.append(place)
        return posts.amazon(posts.CERTIFICATE)

    with pytest.raises(Refused):
        Ses(topics=frozenset({posts.TOPIC}), certificate=fetch).take(
            posts.posted(json.dumps(told).encode(), "text/plain"), now=NOW
        )
    assert fetched == []


def test_another_topic_is_refused_though_its_signature_is_genuine() -> None:
    """Anybody has a topic of SNS."""
    with pytest.raises(Refused) as refused:
        Ses(topics=frozenset({"arn:aws:sns:eu-west-1:1:other"}), certificate=posts.amazon).take(posts.ses(MAIL, NOW), now=NOW)
    assert refused.value.status == 403


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_subscription_waits_for_a_person(version: str) -> None:
    """Nothing is fetched and nothing confirmed: its link is shown. Both versions of the signature count."""
    link = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    posted = posts.sns("x", NOW, kind="SubscriptionConfirmation", version=version, SubscribeURL=link, Token="t")
    delivery = Ses(topics=frozenset({posts.TOPIC}), certificate=posts.amazon).take(posted, now=NOW)
    assert (delivery.mails, delivery.link, posts.TOPIC in delivery.note) == ((), link, True)


def test_the_greeting_of_ses_is_no_mail() -> None:
    """ "Successfully validated SNS topic …" is told, and is no error."""
    posted = posts.sns("Successfully validated SNS topic for Amazon SES event publishing.", NOW)
    delivery = Ses(topics=frozenset({posts.TOPIC}), certificate=posts.amazon).take(posted, now=NOW)
    assert (delivery.mails, "greeting" in delivery.note) == ((), True)


@pytest.mark.parametrize(
    ("query", "kind", "status"),
    [
        ({}, "message/rfc822", 400),
        ({"rcpt": ("no address",)}, "message/rfc822", 400),
        ({"rcpt": (RCPT,), "from": ("a@b.example", "c@d.example")}, "message/rfc822", 400),
        ({"rcpt": (RCPT,), "to": ("x",)}, "message/rfc822", 400),
        ({"rcpt": (RCPT,)}, "text/plain", 415),
    ],
)
def test_a_raw_mail_needs_its_envelope(query: dict[str, tuple[str, ...]], kind: str, status: int) -> None:
    """rcpt is never taken from the To header; what is wrong is said with an example of a right call."""
    with pytest.raises(Refused) as refused:
        Mime().take(Posted(headers={"content-type": kind}, query=query, body=MAIL), now=NOW)
    assert (refused.value.status, "/ingest/mime?rcpt=" in refused.value.hint) == (status, True)


def test_a_raw_mail_may_have_several_recipients_and_a_null_sender() -> None:
    """rcpt may be repeated; from may be left out (RFC 5321 4.5.5)."""
    posted = Posted(headers={"content-type": "message/rfc822"}, query={"rcpt": (RCPT, "b@bridge.example")}, body=MAIL)
    (mail,) = Mime().take(posted, now=NOW).mails
    assert (mail.rcpt_to, mail.mail_from, mail.content) == ((RCPT, "b@bridge.example"), "", MAIL)


def test_sendgrid_with_key_and_password_needs_both() -> None:
    """A signature alone is not enough where a password is configured too."""
    both = SendGrid(key=posts.public_key(), password=KEY)
    posted = posts.sendgrid(MAIL, NOW)
    with pytest.raises(Refused):
        both.take(posted, now=NOW)
    assert both.take(replace(posted, headers={**posted.headers, "authorization": posts.basic()}), now=NOW).mails
