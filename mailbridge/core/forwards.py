"""A mail that somebody forwarded by hand: the block of headers that their program wrote into the body.

The PyPI library email-forward-parser knows the blocks of 14 mail programs in up to 22 languages; what it is given is bounded,
since its patterns are not linear. Three programs that it misses are read by a small table of labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from emailforwardparser.forward_parser import MailboxResult, get_forwarded_metadata
from emailforwardparser.regexs import ORIGINAL_TO, ORIGINAL_TO_LAX

from mailbridge.core.address_list import read_author, read_recipients
from mailbridge.core.addresses import canonical, parse_sole_mailbox
from mailbridge.core.mail import Message

MAX_BODY = 16_384
MAX_LINE = 1_000
MAX_MARK = 80
MAX_LINES = 50
"""Lines with the block's recipient in them that are looked at; there is one, and those of the body."""

CUT = "…"
"""Stands behind what was cut off: no half of an address is one."""

INDENT = " \t>|*_"
LABELS = (*ORIGINAL_TO, *ORIGINAL_TO_LAX)
COLON = re.compile(r"[:：](?:[*_]{1,2}(?=[ \t]))?")

PREFIX = re.compile(
    r"(?i)^\s*(?:fwd?|wg|tr|rv|i|vs|vb|vl|pd|enc|ilt|i̇lt|videresend(?:t|elsesvar)?|redir|doorgestuurd|továbbítás|转发|轉寄|転送)\s*:"
)
REPLY = re.compile(r"(?i)^\s*(?:re|aw|sv|antw|odp|ynt|回复|回覆|答复)\s*(?:\[\d\])?[:：]")
MARK = re.compile(
    r"(?i)-{4,}|_{10,}|begin forwarded|forwarded message|message transféré|mensaje reenviado|messaggio inoltrato|weitergeleitet"
)
FROM = re.compile(
    r"^[*_ ]*(?:From|Von|De|Da|Van|Od|Från|Fra|Lähettäjä|От|发件人|寄件者|差出人|보낸 사람)[*_ ]*[:：][*_ ]*(.{1,300})$"
)
TO = re.compile(
    r"^[*_ ]*(?:To|An|À|A|Para|Aan|Do|Till|Til|Vastaanottaja|Кому|收件人|收件者|宛先|받는 사람)[*_ ]*([:：].{1,1001})$"
)
DATE = re.compile(
    r"^[*_ ]*(?:Date|Sent|Datum|Gesendet|Envoyé|Enviado|Fecha|Data|Inviato|Verzonden|Дата|日期|发送时间|日時)[*_ ]*[:：][*_ ]*(.{1,100})$"
)
SUBJECT = re.compile(r"^[*_ ]*(?:Subject|Betreff|Objet|Asunto|Assunto|Oggetto|Onderwerp|Temat|Тема|主题|主旨|件名)[*_ ]*[:：]")
DOUBLED = re.compile(r"(?i)<([^<>\s]{1,254})<mailto:([^<>\s]{1,254})>>")
LINKED = re.compile(r"(?i)[<\[](?:mailto:)?([^<>\[\]@\s]{1,64}@[^<>\[\]@\s]{1,253})[>\]]")
"""How mail programs show an address that they have made a link of: ``<a@b<mailto:a@b>>``, ``[mailto:a@b]``, ``a@b<mailto:a@b>``."""

MONTH_NAMES = """
jan january janv janvier januar januari jänner ene enero gen gennaio gener janeiro ianuarie ian sty stycznia led ledna
január januára siječnja ocak oca янв января січ січня tammikuuta jaanuar ιανουαρίου /
feb february févr février febr februar februari febrero febbraio febrer fev fevereiro februarie lut lutego úno února
február februára veljače şubat şub фев февр февраля лют лютого helmikuuta veebruar φεβρουαρίου /
mar march mars märz mrt maart marzo març março martie marca marec března bře márc március marts mart ožujka мар марта
берез березня maaliskuuta märts μαρτίου /
apr april avr avril abr abril aprile aprilie kwi kwietnia dub dubna apríla ápr április travnja nisan nis апр апреля квіт
квітня huhtikuuta aprill απριλίου /
may mai mei mayo maggio mag maig maio maj maja kvě května mája máj május svibnja mayıs мая трав травня toukokuuta μαΐου /
jun june juin juni junio giu giugno juny junho iunie iun cze czerwca čvn června júna jún június lipnja haziran haz июн
июня черв червня kesäkuuta juuni ιουνίου /
jul july juil juillet juli julio lug luglio juliol julho iulie iul lip lipca čvc července júla júl július srpnja temmuz
tem июл июля лип липня heinäkuuta juuli ιουλίου /
aug august août augustus augusti ago agosto agost sie sierpnia srp srpna augusta augusztus kolovoza ağustos ağu авг
августа серп серпня elokuuta αυγούστου /
sep sept september septembre septiembre setiembre set settembre setembre setembro septembrie wrz września zář září
septembra szept szeptember rujna eylül eyl сен сент сентября вер вересня syyskuuta σεπτεμβρίου /
oct october octobre okt oktober octubre ott ottobre out outubro octombrie paź października říj října októbra október ekim
eki окт октября жовт жовтня lokakuuta oktoober οκτωβρίου /
nov november novembre noviembre novembro noiembrie noi listopadu novembra studenoga studenog kasım kas ноя нояб ноября
листоп marraskuuta νοεμβρίου /
dec december déc décembre dez dezember dic diciembre dicembre desembre desember des dezembro decembrie gru grudnia pro
prosince decembra prosinca aralık ara дек декабря груд грудня joulukuuta detsember δεκεμβρίου
"""
"""Names of the months, January first, in the languages whose mail programs write them out; what means two months is left out."""

MONTHS = {name: number for number, names in enumerate(MONTH_NAMES.split("/"), 1) for name in names.split()}
QUOTE = re.compile(r"(?m)^[>|] ?")
CLOCK = re.compile(r"(?<![\d.])(\d{1,2})[:.h](\d{2})(?![.\d]\d)(?:[:.](\d{2}))?(?:\s*([AaPp])\.?\s?[Mm]\b)?")
AFTERNOON = re.compile(r"午後|下午|오후")
EASTERN = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]")
NUMBERS = re.compile(r"(?<!\d)(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedBlock:
    """What the block says. Empty where it does not; ``date`` is naive, for the block names no zone.

    ``is_to_unclear``: its To line holds an address that could not be read.
    """

    sender: str = ""
    to: tuple[str, ...] = ()
    is_to_unclear: bool = False
    subject: str = ""
    date: datetime | None = None
    body: str = field(default="", repr=False)


def is_forward(message: Message) -> bool:
    """Whether a mail says of itself that a person forwarded it: by its subject, or by a mark in its body."""
    return PREFIX.match(message.subject) is not None or MARK.search(_body(message)) is not None


def forwarded_block(message: Message) -> ForwardedBlock | None:
    """The forwarded block of a mail; None where it has none."""
    if not is_forward(message):
        return None
    body = _body(message)
    return _by_library(body, message.subject) or _by_labels(QUOTE.sub("", body))


def is_header_line(text: str, subject: str) -> bool:
    """Whether a line of a forwarding mail is the mark or a header, and so none of the mail's own text.

    A Subject line is one only where it repeats ``subject``, that of the mail: where a person wrote another, it says what theirs does not.
    """
    if any(pattern.match(text) for pattern in (FROM, TO, DATE)):
        return True
    bare = bare_subject(subject)
    if MARK.search(text[:MAX_MARK]) is not None and (len(text) < MAX_MARK or (text.count("@") > 1 and bare in text)):
        return True
    found = SUBJECT.match(text)
    return found is not None and bare_subject(text[found.end() :].strip(" *_")) == bare


def bare_subject(subject: str) -> str:
    """A subject without what mail programs put in front of it when they forward or answer."""
    for _ in range(4):
        match = PREFIX.match(subject) or REPLY.match(subject)
        if match is None:
            break
        subject = subject[match.end() :].lstrip()
    return subject


def _body(message: Message) -> str:
    page = message.plain or message.html
    return _cut("\n".join(_cut(line.text, MAX_LINE) for line in page.lines), MAX_BODY) if page is not None else ""


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size] + CUT


def _by_library(body: str, subject: str) -> ForwardedBlock | None:
    try:
        # It reads encoded words by any codec that they name; ours are read already, and what is left is none.
        found = get_forwarded_metadata(_unlinked(body).replace("=?", "= ?"), subject[:500].replace("=?", "= ?"))
    except (IndexError, ValueError, AttributeError, TypeError, RecursionError, re.error):
        return None
    if not found.forwarded:
        return None
    inner = found.email
    body = _unlinked(body)
    sender = parse_sole_mailbox(inner.from_.address) or ""
    to, is_unclear = _recipients(body, inner.to)
    if not sender and not to and not inner.body:
        return None
    date = None if _is_glued(body, inner.date) else _moment(inner.date)
    return ForwardedBlock(sender=sender, to=to, is_to_unclear=is_unclear, subject=inner.subject[:500], date=date, body=inner.body)


def _unlinked(text: str) -> str:
    """The text with ``<address>`` for what was made a link; one that shows another address than it leads to is no address."""
    text = DOUBLED.sub(
        lambda found: f"<{found[1]}>" if found[1].lower() == found[2].lower() else f"<{found[1]} {found[2]}>", text
    )
    return LINKED.sub(r"<\1>", text)


def _recipients(body: str, found: list[MailboxResult]) -> tuple[tuple[str, ...], bool]:
    """The mailboxes of the To line that the library has found, and whether there is an address in it that is none of them.

    The library looks for addresses, lets go of quotes, and takes the beginning of a word for all of it. So what it says counts
    where the line itself, read as a To header is, says the same.
    """
    mailboxes: dict[str, None] = {}
    for one in found:
        mailbox = parse_sole_mailbox(one.address or one.name)
        if mailbox is not None and ("@" not in one.name or canonical(one.name.strip("'\"")) == canonical(mailbox)):
            mailboxes[mailbox] = None
        elif "@" in one.address + one.name:
            return (), True
    lines = [line for line in body.split("\n") if any(mailbox in line for mailbox in mailboxes)][:MAX_LINES]
    labelled = [line for line in lines if any(pattern.match(line.lstrip(INDENT)) for pattern in LABELS)]
    if labelled:
        is_same = all(_line(text) == (tuple(mailboxes), False) for text in labelled)
    else:  # Yahoo runs its headers together: there is no line to read, but the address has angles of its own
        is_same = all(any(re.search(rf"<{re.escape(one)}>(?![@.<>])", line) for line in lines) for one in mailboxes)
    return (tuple(mailboxes), False) if is_same else ((), True)


def _line(text: str) -> tuple[tuple[str, ...], bool]:
    """The mailboxes of a To line behind its colon, and whether there is an address in it that could not be read.

    Outlook writes ``;`` between them. A label in bold has its marks apart from the address, which may begin with such a mark.
    """
    text = COLON.split(text, maxsplit=1)[-1]
    read = read_recipients(_unlinked(text).replace(";", ",").strip(" \t"))
    return read.addresses, "@" in text and len(read.entries) < max(read.count, 1)


def _is_glued(body: str, date: str) -> bool:
    """Whether a date stands in one line with sender and recipient, as Yahoo runs its headers together.

    Where such a date begins and ends is a guess, and a guess may not call a fresh code stale.
    """
    return bool(date) and any(date in line and line.count("@") > 1 for line in body.split("\n"))


def _by_labels(body: str) -> ForwardedBlock | None:
    """A From line with a To or Subject line among the six around it."""
    lines = body.split("\n")
    for index, line in enumerate(lines):
        sender = FROM.match(line)
        if sender is None or "@" not in sender[1]:
            continue
        window = lines[max(0, index - 3) : index + 7]
        if not any(SUBJECT.match(one) for one in window):
            continue
        to = next((match for match in map(TO.match, window) if match), None)
        date = next((match for match in map(DATE.match, window) if match), None)
        addressed, is_unclear = _line(to[1]) if to else ((), False)
        return ForwardedBlock(
            sender="".join(read_author(_unlinked(sender[1])).addresses),
            to=addressed,
            is_to_unclear=is_unclear,
            date=_moment(date[1]) if date else None,
            body="\n".join(lines[index + 1 :]),
        )
    return None


def _moment(text: str) -> datetime | None:
    """A date as mail programs write it for people; None where it cannot be told for sure."""
    clock = CLOCK.search(text)
    day = _day(text[: clock.start()] + " " + text[clock.end() :] if clock else text)
    if day is None:
        return None
    hour, minute = (int(clock[1]), int(clock[2])) if clock else (23, 59)
    if clock and clock[4]:
        hour = hour % 12 + (12 if clock[4] in "Pp" else 0)
    elif AFTERNOON.search(text) and hour < 12:
        hour += 12
    try:
        return datetime(*day, hour, minute)  # noqa: DTZ001  (a block's date has no zone)
    except ValueError:
        return None


def _day(text: str) -> tuple[int, int, int] | None:
    eastern = EASTERN.search(text)
    if eastern:
        return int(eastern[1]), int(eastern[2]), int(eastern[3])
    words = re.findall(r"[^\W\d_]+|\d+", text.casefold())
    # The last one: before it may stand a day of the week that sounds like a month, such as "mar." for "mardi".
    month = next((MONTHS[word] for word in reversed(words) if word in MONTHS), None)
    numbers = [int(word) for word in words if word.isdecimal() and len(word) <= 4]
    year = next((number for number in numbers if 1990 <= number <= 2100), None)
    if month and year:
        day = next((number for number in numbers if 1 <= number <= 31), None)
        return (year, month, day) if day else None
    plain = NUMBERS.search(text)
    if plain is None:
        return None
    first, second, third = int(plain[1]), int(plain[2]), int(plain[3])
    if first > 31:
        return first, second, third
    # Day first or month first: take the later of the two readings, so that nothing fresh is called stale.
    year = third if third > 31 else 2000 + third
    readings = [(year, b, a) for a, b in ((first, second), (second, first)) if 1 <= b <= 12 and 1 <= a <= 31]
    return max(readings) if readings else None
