"""The providers that a configuration has keys for."""

from __future__ import annotations

import httpx

from mailbridge.config.settings import IngestSettings
from mailbridge.ingress.http.cloudmailin import CloudMailin
from mailbridge.ingress.http.forward_email import ForwardEmail
from mailbridge.ingress.http.mailgun import Mailgun
from mailbridge.ingress.http.posted import Adapter
from mailbridge.ingress.http.postmark import Postmark
from mailbridge.ingress.http.sendgrid import SendGrid
from mailbridge.ingress.http.ses import Ses

FETCH_TIMEOUT = 5.0
LARGEST_CERTIFICATE = 65_536
MOST_CERTIFICATES = 16


def adapters_of(settings: IngestSettings) -> tuple[Adapter, ...]:
    """One for each provider with a key; a new provider is its module and a line here."""
    found: list[Adapter] = []
    if settings.mailgun_key is not None:
        found.append(Mailgun(key=settings.mailgun_key))
    if settings.postmark_password is not None:
        found.append(Postmark(password=settings.postmark_password))
    if settings.cloudmailin_password is not None:
        found.append(CloudMailin(password=settings.cloudmailin_password))
    if settings.forwardemail_key is not None:
        found.append(ForwardEmail(key=settings.forwardemail_key))
    if settings.sendgrid_key or settings.sendgrid_password is not None:
        found.append(SendGrid(key=settings.sendgrid_key, password=settings.sendgrid_password))
    if settings.ses_topics:
        found.append(Ses(topics=frozenset(settings.ses_topics), certificate=Certificates().of))
    return tuple(found)


class Certificates:
    """Certificates of Amazon SNS by their URL, each fetched once. `Ses` asks only for URLs on Amazon's own hosts."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._transport = transport
        self._kept: dict[str, bytes] = {}

    def of(self, url: str) -> bytes:
        """The PEM at an URL. It blocks for up to FETCH_TIMEOUT seconds.

        Raises:
            OSError: it cannot be fetched, is too large, or the answer is a redirect or an error.
        """
        if url not in self._kept:
            try:
                with httpx.Client(transport=self._transport, timeout=FETCH_TIMEOUT, trust_env=False) as client:
                    answer = client.get(url)
            except httpx.HTTPError as fault:
                raise OSError(f"{type(fault).__name__}") from None
            if answer.status_code != 200 or len(answer.content) > LARGEST_CERTIFICATE:
                raise OSError(f"answered {answer.status_code}")
            if len(self._kept) >= MOST_CERTIFICATES:
                self._kept.clear()
            self._kept[url] = answer.content
        return self._kept[url]
