"""Posts as the providers make them, by their own documentation: fields, proofs and types, with keys made here."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mailbridge.core.secret import Secret
from mailbridge.ingress.http.cloudmailin import CloudMailin
from mailbridge.ingress.http.forward_email import ForwardEmail
from mailbridge.ingress.http.mailgun import Mailgun
from mailbridge.ingress.http.posted import Adapter, Posted
from mailbridge.ingress.http.postmark import Postmark
from mailbridge.ingress.http.sendgrid import SIGNATURE, TIMESTAMP, SendGrid
from mailbridge.ingress.http.ses import Ses

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
RCPT, SENDER = "otp-7f3k9q@bridge.example", "bounce@shop.example"
MAIL = b"From: no-reply@shop.example\r\nTo: ann@corp.com\r\nSubject: Your code\r\n\r\nYour code is 482913\r\n"
KEY = Secret("key-of-the-provider")
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"


@dataclass(frozen=True, slots=True)
class Provider:
    """An adapter, and a post of it with a mail, at a moment. ``proof`` names what a thief would change or leave out."""

    adapter: Adapter
    post: Callable[[bytes, datetime], Posted]

    @property
    def name(self) -> str:
        return self.adapter.name


def posted(body: bytes, content_type: str, **headers: str) -> Posted:
    """A request with these headers; ``_`` in a name stands for ``-``."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Posted(headers={"content-type": content_type, **given}, query={}, body=body)


def multipart(fields: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form and its type."""
    parts = [
        b'--xYz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--xYz--\r\n", "multipart/form-data; boundary=xYz"


def basic(password: str = "key-of-the-provider") -> str:
    """The header that a URL with a password makes."""
    return "Basic " + base64.b64encode(f"any:{password}".encode()).decode()


def mailgun(mail: bytes, at: datetime, *, token: str = "t" * 50, is_multipart: bool = True) -> Posted:
    stamp = str(int(at.timestamp()))
    signature = hmac.new(KEY.reveal().encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
    fields = {
        "recipient": RCPT.encode(),
        "sender": SENDER.encode(),
        "subject": b"Your code",
        "body-mime": mail,
        "timestamp": stamp.encode(),
        "token": token.encode(),
        "signature": signature.encode(),
    }
    if is_multipart:
        return posted(*multipart(fields))
    return posted(urlencode(fields).encode(), "application/x-www-form-urlencoded")


def postmark(mail: bytes, at: datetime) -> Posted:
    del at
    told = {
        "MessageID": "22c74902-a0c1-4511-804f-341342852c90",
        "OriginalRecipient": RCPT,
        "Headers": [{"Name": "Return-Path", "Value": f"<{SENDER}>"}],
        "RawEmail": mail.decode(),
        "TextBody": "Your code is 482913",
    }
    return posted(json.dumps(told).encode(), "application/json", authorization=basic())


def cloudmailin(mail: bytes, at: datetime) -> Posted:
    del at
    body, kind = multipart({"envelope[to]": RCPT.encode(), "envelope[from]": SENDER.encode(), "message": mail})
    return posted(body, kind, authorization=basic())


def forward_email(mail: bytes, at: datetime) -> Posted:
    del at
    told = {"raw": mail.decode(), "recipients": [RCPT], "session": {"recipient": RCPT, "sender": SENDER, "remotePort": 25}}
    body = json.dumps(told).encode()
    mac = hmac.new(KEY.reveal().encode(), body, hashlib.sha256).hexdigest()
    return posted(body, "application/json", x_webhook_signature=mac)


@functools.cache
def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def sendgrid(mail: bytes, at: datetime) -> Posted:
    body, kind = multipart({"email": mail, "envelope": json.dumps({"to": [RCPT], "from": SENDER}).encode(), "charsets": b"{}"})
    stamp = str(int(at.timestamp()))
    signed = _p256().sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return Posted(
        headers={"content-type": kind, SIGNATURE: base64.b64encode(signed).decode(), TIMESTAMP: stamp}, query={}, body=body
    )


@functools.cache
def _amazon() -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    return key, made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def sns(message: str, at: datetime, *, kind: str = "Notification", version: str = "2", **more: str) -> Posted:
    """A message of SNS with its signature."""
    told = {
        "Type": kind,
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **more,
    }
    names = ["Message", "MessageId", *(["SubscribeURL"] if kind != "Notification" else []), "Timestamp"]
    names += [*(["Token"] if kind != "Notification" else []), "TopicArn", "Type"]
    text = "".join(f"{name}\n{told[name]}\n" for name in names).encode()
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()
    told["Signature"] = base64.b64encode(_amazon()[0].sign(text, padding.PKCS1v15(), digest)).decode()
    return posted(json.dumps(told).encode(), "text/plain; charset=UTF-8", x_amz_sns_message_type=kind)


def ses(mail: bytes, at: datetime) -> Posted:
    received = {
        "notificationType": "Received",
        "content": base64.b64encode(mail).decode(),
        "mail": {"source": SENDER, "destination": [RCPT, "bob@corp.com"]},
        "receipt": {"recipients": [RCPT], "dkimVerdict": {"status": "PASS"}, "action": {"type": "SNS", "encoding": "BASE64"}},
    }
    return sns(json.dumps(received), at)


def public_key() -> str:
    """SendGrid's, as its page shows it."""
    return base64.b64encode(_p256().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def amazon(url: str) -> bytes:
    """The certificate at an URL of Amazon's. Raises OSError for another URL."""
    if url != CERTIFICATE:
        raise OSError
    return _amazon()[1]


PROVIDERS = (
    Provider(Mailgun(key=KEY), mailgun),
    Provider(Postmark(password=KEY), postmark),
    Provider(CloudMailin(password=KEY), cloudmailin),
    Provider(ForwardEmail(key=KEY), forward_email),
    Provider(SendGrid(key=public_key()), sendgrid),
    Provider(Ses(topics=frozenset({TOPIC}), certificate=amazon), ses),
)
