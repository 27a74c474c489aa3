"""What the doctor cannot do from its own floor: the configuration as a start would take it, mailboxes, the certificate.

What only a probe needs is imported by it: most daemons never run one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mailbridge.app.preparation import file_problems
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import ImapSettings, Settings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import OneToken, Tokens, open_vault
from mailbridge.masks import Masks
from mailbridge.operator.doctor.finding import Served, Step
from mailbridge.operator.mailboxes import IDLE_FOR, Tried
from mailbridge.store import StoreError
from mailbridge.store.places import key_path_of, path_of


class LocalProbes:
    """Implements `operator.doctor.finding.Probes`. ``reread`` reads the configuration again, None where it cannot be."""

    def __init__(
        self, settings: Callable[[], Settings], *, reread: Callable[[], Settings] | None, masks: Masks | None = None
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._masks = masks or Masks()

    def places(self) -> tuple[Path, Path]:
        """See `Probes.places`."""
        store = self._settings().store
        return path_of(store), key_path_of(store)

    def problems(self) -> Sequence[str]:
        """See `Probes.problems`."""
        try:
            settings = self._reread() if self._reread is not None else self._settings()
        except ConfigError as fault:
            return [str(one) for one in fault.problems]
        return [str(one) for one in file_problems(settings)]

    def mailbox(self, label: str) -> Sequence[Step]:
        """See `Probes.mailbox`."""
        settings = self._settings()
        account = next((one for one in settings.imap if one.label == label), None)
        if account is None:
            return [Step(name="find", is_good=False, text="there is no such account any more")]
        return LocalMailboxProbes(settings.store, self._masks).tried(account, None, idle_for=IDLE_FOR, with_canary=False).steps

    def certificate(self) -> Served | None:
        """See `Probes.certificate`."""
        from cryptography import x509
        from cryptography.x509.oid import ExtensionOID

        settings = self._settings()
        smtp = settings.smtp
        own = path_of(settings.store).parent / "tls-cert.pem"
        path = smtp.tls_cert or own
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            return None
        names: tuple[str, ...] = ()
        with contextlib.suppress(x509.ExtensionNotFound):
            extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
            alternative = extension.value
            if isinstance(alternative, x509.SubjectAlternativeName):
                names = tuple(alternative.get_values_for_type(x509.DNSName))
        return Served(not_after=found.not_valid_after_utc, names=names, is_own=path == own)

    def stranger(self) -> str | None:
        """See `Probes.stranger`."""
        from mailbridge.app.installed import stranger

        return stranger()


class LocalMailboxProbes:
    """Implements `operator.mailboxes.MailboxProbes` by the watchers' own connection."""

    def __init__(self, store: StoreSettings, masks: Masks) -> None:
        self._store = store
        self._masks = masks

    def tried(self, settings: ImapSettings, token: Secret | None, *, idle_for: float, with_canary: bool) -> Tried:
        """See `MailboxProbes.tried`."""
        from mailbridge.ingress.imap.probe import probe
        from mailbridge.ingress.imap.trial import trial

        self._masks.guard_for_now(settings.password)
        fresh = None if token is None else OneToken(token, self._masks)
        vault: Tokens | None = fresh
        if settings.oauth is not None and vault is None:
            try:
                vault = open_vault(self._store, self._masks)
            except StoreError as fault:
                return Tried(steps=[Step(name="vault", is_good=False, text=str(fault))])
        steps = [
            Step(name=one.step, is_good=one.is_good, text=self._masks.masked(one.text))
            for one in probe(settings, vault, idle_for=idle_for, then=trial if with_canary else None)
        ]
        return Tried(steps=steps, token=None if fresh is None else fresh.token)

    def keep(self, label: str, token: Secret) -> None:
        """See `MailboxProbes.keep`."""
        open_vault(self._store, self._masks).write(label, token)

    def forget(self, label: str) -> None:
        """See `MailboxProbes.forget`."""
        with contextlib.suppress(StoreError):
            open_vault(self._store, self._masks).forget(label)

    def hint(self, preset: str | None) -> str:
        """See `MailboxProbes.hint`."""
        from mailbridge.ingress.imap.presets import OWN_SERVER, PRESETS

        return PRESETS[preset].hint if preset is not None else OWN_SERVER
