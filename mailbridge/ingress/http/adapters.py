"""The providers for which a configuration has keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

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
AFTER_FAILURE = 10.0
LARGEST_CERTIFICATE = 65_536
MOST_CERTIFICATES = 16


def adapters_of(settings: IngestSettings) -> tuple[Adapter, ...]:
    """One adapter for each provider with a key. A new provider is a module and a line here."""
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
    """Certificates of Amazon SNS by their URL, each fetched once. `Ses` asks only for URLs on Amazon's own hosts.

    Anybody who knows a topic can name certificates that do not exist. So only one is fetched at a time, and after a failure none
    for a while.
    """

    def __init__(self, transport: httpx.BaseTransport | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._now = now
        self._kept: dict[str, bytes] = {}
        self._fetching = threading.Lock()
        self._not_before = float("-inf")

    def of(self, url: str) -> bytes:
        """The PEM at a URL. It blocks for up to FETCH_TIMEOUT seconds.

        Raises:
            OSError: it cannot be fetched, is too large, or the answer is a redirect or an error.
        """
        kept = self._kept.get(url)
        if kept is not None:
            return kept
        if not self._fetching.acquire(blocking=False):
            raise OSError("another one is being fetched")
        try:
            if self._now() < self._not_before:
                raise OSError("the last one could not be fetched")
            self._not_before = self._now() + AFTER_FAILURE
            fetched = self._fetched(url)
            self._not_before = float("-inf")
        finally:
            self._fetching.release()
        if len(self._kept) >= MOST_CERTIFICATES:
            self._kept.clear()
        self._kept[url] = fetched
        return fetched

    def _fetched(self, url: str) -> bytes:
        """Fetch the PEM. Raises OSError."""
        try:
            with (
                httpx.Client(transport=self._transport, timeout=FETCH_TIMEOUT, trust_env=False) as client,
                client.stream("GET", url) as answer,
            ):
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > LARGEST_CERTIFICATE:
                        raise OSError("is too large")
        except httpx.HTTPError as fault:
            raise OSError(f"{type(fault).__name__}") from None
        if answer.status_code != 200:
            raise OSError(f"answered {answer.status_code}")
        return body
