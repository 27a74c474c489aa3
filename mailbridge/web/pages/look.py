"""How a mail or a delivery looks: a mark, a word and a tone for its state, and the reason in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from mailbridge.core.dataclass import dataclass
from mailbridge.operator.shapes import DeliveryShape, MailShape

UNPROVEN = ("none:", "practice:")
"""How the gate's result begins if no proof was needed."""

LINKED = "https://"

CODED = frozenset({"code", "link", "ambiguous", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """``mark`` is an icon, ``word`` a key of the words, ``tone`` a colour beside them. ``why`` is the program's own sentence."""

    mark: str
    word: str
    tone: str
    why: str = ""
    took: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A mail in a list."""

    mail: MailShape
    state: State

    @property
    def is_proven(self) -> bool:
        """Whether it was let through because something proves who sent it."""
        return is_proven(self.mail)

    @property
    def has_code(self) -> bool:
        """Whether the mail has a code or link to mask."""
        return self.mail.verdict in CODED


def is_proven(mail: MailShape) -> bool:
    """Whether it was let through because something proves who sent it, and not only because nothing was asked."""
    return bool(mail.trust) and not mail.held and not mail.trust.startswith(UNPROVEN)


def asks_by_link(mail: MailShape) -> bool:
    """Whether it is the question of a service that posts mails here, which a person answers by opening its link."""
    return mail.ingress == "http" and not mail.rcpt_to and (mail.confirm_link or "").startswith(LINKED)


DELIVERY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "dead": ("s-bad", "bad"),
        "expired": ("s-bad", "bad"),
        "pending": ("s-move", "wait"),
        "in_flight": ("s-move", ""),
        "delivered": ("s-good", "good"),
        "superseded": ("s-none", ""),
    }
)
"""The mark and the tone of a delivery's state; the first that any of a mail's deliveries has is the mail's."""


def delivery_state(one: DeliveryShape) -> State:
    """How one delivery is."""
    mark, tone = DELIVERY[one.state]
    is_good = one.state == "delivered"
    return State(
        mark=mark,
        word=f"state.{one.state}",
        tone=tone,
        why="" if is_good else one.reason,
        took=(one.received_at, one.final_at) if is_good and one.final_at else None,
    )


def mail_state(mail: MailShape, deliveries: Iterable[DeliveryShape], *, is_released: bool = False) -> State:
    """How a mail is: as its deliveries are, or why there are none."""
    found = {one.state: one for one in deliveries}
    is_replaced = set(found) == {"superseded"}
    for name in DELIVERY:
        if name in found and not (mail.held and is_replaced):
            return delivery_state(found[name])
    if mail.held:
        if is_released:
            return State(mark="s-good", word="state.released", tone="good")
        return State(mark="s-held", word="state.held", tone="wait", why="; ".join(mail.held) or mail.reason)
    if mail.verdict == "confirmation":
        return State(mark="s-held", word="state.confirmation", tone="wait", why=mail.reason or mail.trust)
    if mail.verdict in ("ambiguous", "unreadable"):
        return State(mark="s-held", word=f"state.{mail.verdict}", tone="wait", why=mail.reason)
    if mail.verdict == "none":
        return State(mark="s-none", word="state.none", tone="", why=mail.reason)
    if mail.verdict == "expired":
        return State(mark="s-bad", word="state.too_old", tone="bad", why=mail.reason)
    return State(mark="s-none", word="state.not_pushed", tone="", why=mail.reason)


def rows_of(mails: Sequence[MailShape], deliveries: Iterable[DeliveryShape]) -> list[Row]:
    """Mails with their states, which their deliveries decide."""
    by_mail: dict[int, list[DeliveryShape]] = {}
    for one in deliveries:
        by_mail.setdefault(one.mail, []).append(one)
    released = {mail.origin for mail in mails if mail.origin}
    return [Row(mail=mail, state=mail_state(mail, by_mail.get(mail.id, ()), is_released=mail.id in released)) for mail in mails]
