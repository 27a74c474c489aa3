"""Amazon SES by SNS: a signed notification with the mail in it, from a topic that the configuration names.

A valid signature only says "some topic of SNS", which can be anybody's. Only the named topic makes it ours. The certificate is
fetched from Amazon's own hosts and kept by the caller (`certificate`). The subscription is never confirmed automatically; its
link is shown to the operator.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused

HOST = re.compile(r"sns\.[a-z]{2}(?:-[a-z]+){1,3}-\d\.amazonaws\.com(?:\.cn)?")
CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
OLDEST = timedelta(hours=1)
"""SNS tries again for up to an hour. An older notification is a replay."""

LARGEST = 1 << 20
"""Octets. SNS accepts 256 KiB a message, and SES mails of 150 KB. JSON inside JSON makes them larger."""

SIGNED = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class _Notification(msgspec.Struct):
    Type: str
    MessageId: str
    TopicArn: str
    Message: str
    Timestamp: str
    SignatureVersion: str
    Signature: str
    SigningCertURL: str
    Subject: str | None = None
    SubscribeURL: str | None = None
    Token: str | None = None


class _Action(msgspec.Struct):
    type: str = ""
    encoding: str = "UTF8"


class _Receipt(msgspec.Struct):
    recipients: list[str] = []
    action: _Action = msgspec.field(default_factory=_Action)


class _Mail(msgspec.Struct):
    source: str = ""


class _Received(msgspec.Struct):
    kind: str = msgspec.field(default="", name="notificationType")
    content: str = ""
    mail: _Mail = msgspec.field(default_factory=_Mail)
    receipt: _Receipt = msgspec.field(default_factory=_Receipt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ses:
    """``topics`` are the ARNs that may post. ``certificate`` returns the PEM of an allowed URL, and raises OSError if it
    cannot."""

    topics: frozenset[str]
    certificate: Callable[[str], bytes]
    name: str = "ses"
    unknown_recipient: int = 200

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`."""
        if len(posted.body) > LARGEST:
            raise Refused(413, "SNS sends no message of this size")
        try:
            told = msgspec.json.decode(posted.body, type=_Notification)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "this is not a message of SNS", "raw message delivery must be off for the subscription") from None
        if told.TopicArn not in self.topics:
            raise Refused(403, "the topic is not one of [ingest] ses_topics", "add its ARN there, if it is yours")
        if posted.headers.get("x-amz-sns-message-type", told.Type) != told.Type:
            raise Refused(403, "the headers and the message name different types")
        self._must_be_signed(told)
        _must_be_recent(told, now)
        if told.Type == "SubscriptionConfirmation":
            return Delivery(note=f"Amazon SNS asks whether the topic {told.TopicArn} may post here", link=told.SubscribeURL or "")
        if told.Type != "Notification":
            return Delivery(note=f"Amazon SNS says {told.Type[:40]} for {told.TopicArn}")
        return _mail_of(told)

    def _must_be_signed(self, told: _Notification) -> None:
        if not _is_amazons(told.SigningCertURL):
            raise Refused(403, "the certificate is not one of Amazon SNS")
        digest = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(told.SignatureVersion)  # noqa: S303  (Amazon's version 1)
        if digest is None:
            raise Refused(403, "the version of the signature is not known")
        try:
            pem = self.certificate(told.SigningCertURL)
        except OSError:
            raise Refused(503, "the certificate of Amazon SNS cannot be fetched now") from None
        try:
            key = load_pem_x509_certificate(pem).public_key()
            if not isinstance(key, rsa.RSAPublicKey):
                raise InvalidSignature
            key.verify(base64.b64decode(told.Signature, validate=True), _signed(told), padding.PKCS1v15(), digest)
        except (ValueError, InvalidSignature):
            raise Refused(403, "the signature is not that of Amazon SNS") from None


def _is_amazons(text: str) -> bool:
    """Whether Amazon SNS keeps certificates at this URL. The host decides whose signature counts."""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        return False
    is_bare = url.netloc == host and not url.query and not url.fragment
    return url.scheme == "https" and is_bare and bool(HOST.fullmatch(host)) and bool(CERTIFICATE.fullmatch(url.path))


def _signed(told: _Notification) -> bytes:
    """The text that SNS signs: names and values in alphabetical order, those that this type has."""
    is_notification = told.Type == "Notification"
    left_out = {"SubscribeURL", "Token"} if is_notification else {"Subject"}
    lines = []
    for name in SIGNED:
        value = getattr(told, name)
        if name not in left_out and value is not None:
            lines.append(f"{name}\n{value}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


def _must_be_recent(told: _Notification, now: datetime) -> None:
    try:
        at = datetime.fromisoformat(told.Timestamp)
        age = now - at
    except (ValueError, TypeError):
        raise Refused(403, "the timestamp cannot be read") from None
    if not -OLDEST <= age <= OLDEST:
        raise Refused(403, "the message is older than an hour")


def _mail_of(told: _Notification) -> Delivery:
    try:
        received = msgspec.json.decode(told.Message, type=_Received)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Delivery(note="Amazon SNS sent a greeting, not a mail")
    if received.kind != "Received":
        return Delivery(note=f"Amazon SES says {received.kind[:40]}: not a mail")
    if not received.content:
        hint = "use an SNS action with Base64 in the receipt rule; an S3 action has no mail in it"
        raise Refused(400, "the notification has no mail in it", hint)
    is_base64 = received.receipt.action.encoding.upper() == "BASE64"
    try:
        octets = (
            base64.b64decode(received.content, validate=True) if is_base64 else received.content.encode("utf-8", "surrogatepass")
        )
    except binascii.Error:
        raise Refused(400, "the mail is not Base64") from None
    mail = Brought(
        mail_from=received.mail.source,
        rcpt_to=tuple(received.receipt.recipients),
        content=octets,
        is_exact=is_base64 or octets.isascii(),
    )
    return Delivery(mails=(mail,), once=f"sns {told.MessageId[:100]}")
