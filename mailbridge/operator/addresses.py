"""Recipients of ours, as an operator asks for one: the first that there is, or that of an identifier."""

from __future__ import annotations

from mailbridge.config.settings import Settings
from mailbridge.operator.asks import Ask, MaybeText
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import Shape


class OwnAddress(Ask, frozen=True, kw_only=True):
    """Whose address is asked for; "" for the first one."""

    identifier: MaybeText = ""


class Rcpt(Shape, frozen=True, kw_only=True):
    """A recipient of ours."""

    rcpt: str


class Addresses:
    """The verbs of recipients; adding and removing them is a matter of entries."""

    def __init__(self, *, configuration: Configuration) -> None:
        self._configuration = configuration

    async def own(self, ask: OwnAddress) -> Rcpt | Fault:
        """The address that mail for an identifier is to be sent to, or the first address of ours."""
        found = own_recipient(self._configuration.now, ask.identifier.strip())
        return found if isinstance(found, Fault) else Rcpt(rcpt=found)


def own_recipient(settings: Settings, identifier: str = "") -> str | Fault:
    """A recipient that is ours. For an identifier: the address that is bound to it, else one that is bound to nobody, else one at a
    domain of ours. Never an address of somebody else's."""
    folded = identifier.casefold()
    bound = [one.rcpt for one in settings.address if folded and (one.identifier or "").casefold() == folded]
    free = [one.rcpt for one in settings.address if not folded or one.identifier is None]
    at_domain = [f"codes@{domain}" for domain in settings.domains.accept]
    for rcpt in (*bound, *free, *at_domain):
        return rcpt
    if not folded:
        return Fault(
            kind=Kind.BAD_CONFIG, title="no recipient is configured: `mailbridge address add` adds one, or name one with --rcpt"
        )
    return Fault(
        kind=Kind.NOT_FOUND, title=f"no address takes mail for {identifier}: `mailbridge address add --for {identifier}` adds one"
    )
