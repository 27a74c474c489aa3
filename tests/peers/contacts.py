"""Contacts that a test writes down itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from mailbridge.intake.strangers import NoContacts


@dataclass
class Book(NoContacts):
    """Implements `Contacts`. ``sites`` are those of anybody's credentials, ``polled`` those of runs that poll, ``proven`` pairs of
    identifier and domain that proved itself before, ``awaited`` senders whom somebody waits for by name; ``noted`` is what it was told.
    """

    sites: frozenset[str] = frozenset()
    polled: frozenset[str] = frozenset()
    proven: frozenset[tuple[str, str]] = frozenset()
    awaited: frozenset[str] = frozenset()
    noted: list[tuple[str, str]] = field(default_factory=list)

    def learned(self, identifier: str) -> frozenset[str]:
        """See `Contacts.learned`."""
        return self.sites

    def polling(self, identifier: str) -> frozenset[str]:
        """See `Contacts.polling`."""
        return self.polled

    def has_proven(self, identifier: str, domain: str) -> bool:
        """See `Contacts.has_proven`."""
        return (identifier, domain) in self.proven

    def is_awaited(self, identifier: str, sender: str) -> bool:
        """See `Contacts.is_awaited`."""
        return sender in self.awaited

    def note_proven(self, identifier: str, domain: str) -> None:
        """See `Contacts.note_proven`."""
        self.noted.append((identifier, domain))
