"""Mails that a platform sends of what one of its users wrote: a comment, a share, an invitation, a payment with a note; and answers that
repeat what somebody has written to it, in whose name he liked.

The platform signs them, so its proof says nothing of who wrote the text: a user's words can look like a code mail of the platform's.
A row of the table is what such a mail shows, and the reason that people read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mailbridge.core.mail import Message

SHAPES = re.compile(
    r"(?ix)"
    # English
    r"\b(?:commented|replied|responded)\s+(?:on|to)\b | \b(?:mentioned|tagged|assigned|messaged|invited|added)\s+you\b"
    r"| \bhas\s+(?:been\s+)?(?:shared|invited)\b | \b(?:shared|sharing)\b.{0,80}\bwith\s+you\b | ^\S.{0,60}\bshared\s+(?:an?|the|\")"
    r"| \b(?:sent|paid|requested|is\s+requesting)\b\s+(?:you\s+)?(?:an?\s+)?(?:[$€£¥]\s?\d|money|payment|invoice|(?:new\s+)?message)"
    r"| \b(?:invitation|invites?\s+you|invited)\s+to\s+(?:join|collaborate|view|edit|sign|the)\b | \byou(?:'ve|\s+have)\s+been\s+(?:invited|mentioned|added|assigned)\b"
    r"| \bnew\s+(?:comment|reply|mention|message\s+from|review\s+comment)\b | ^(?:re:\s*)?\[[\w.-]+/[\w.-]+\]"
    # German, Dutch, Scandinavian
    r"| \bhat\s+.{0,60}(?:kommentiert|erwähnt|geteilt|eingeladen|freigegeben|geantwortet)\b | \beinladung\s+(?:zu|zur|zum|von)\b"
    r"| \b(?:heeft|deelde)\s+.{0,60}(?:gedeeld|uitgenodigd|gereageerd|genoemd)\b | \bhar\s+(?:delt|delat|kommentert|kommenterat|inviteret|bjudit|nämnt|nevnt)\b"
    # French, Spanish, Portuguese, Italian
    r"| \b(?:a\s+(?:commenté|partagé|répondu)|vous\s+a\s+(?:invité|mentionné|envoyé|identifié)|vous\s+invite)\b"
    r"| \b(?:coment[óo]|comparti[óo]|te\s+(?:ha\s+)?(?:invit|mencion|etiquet|envi)\w+|ha\s+(?:comentado|compartido))\b"
    r"| \b(?:comentou|compartilhou|partilhou|convidou|mencionou|enviou\s+um)\b"
    r"| \b(?:ha\s+(?:commentato|condiviso|risposto)|ti\s+ha\s+(?:invitato|menzionato|inviato|taggato))\b"
    # Polish, Czech, Russian, Turkish
    r"| (?:skomentowa|udostępni|zaprosi)\w+ | (?:okomentova|sdíl|pozva)\w+ | (?:прокомментировал|поделил|пригла[сш]|упомянул)\w*"
    r"| (?:yorum\s+yaptı|paylaştı|davet\s+etti|sizden\s+bahsetti)"
    # Chinese, Japanese, Korean
    r"| 评论了 | 評論了 | 分享了 | 邀请(?:您|你) | 邀請(?:您|你) | 提到了?(?:您|你) | さんが.{0,40}(?:共有|コメント|招待|返信) | 님이.{0,40}(?:공유|댓글|초대|언급)"
)
"""Subjects of such mails: who did what with something, in the words that platforms use for it."""

STEMS = re.compile(
    r"comment|repl[iy]|respond|mention|tagged|assigned|messag|invi|added|shar|sent|paid|request|\["
    r"|komment|geteilt|eingeladen|freigegeben|geantwortet|einladung|gedeeld|uitgenodigd|gereageerd|genoemd|dela?t|bjudit|nevnt"
    r"|coment|comparti|mencion|etiquet|envi|partilhou|convidou|condiviso|risposto|menzionato|taggato"
    r"|koment|zaprosi|pozva|yorum|davet|sizden"
)
"""One of these is in each of the shapes that can be written in ASCII. They are looked for first, since that takes a tenth of the time."""

VIA = re.compile(r"(?i)\((?:via|from)\s[^)]{2,60}\)|\svia\s\S")
"""A name that shows a user before the platform: "Ann (via Acme Docs)"."""

ANSWER = re.compile(r"(?i)(?:reply|replies|comment|comments|discussion|thread|conversation|notifications?)[+_.=-][^@]{6,}@")
"""An address that takes an answer to one thing that somebody wrote."""


REPLIED = re.compile(
    r"(?i)^(?:automatic\s+reply|auto(?:matic)?[-\s]?(?:reply|response|answer)|autoreply|out\s+of\s+(?:the\s+)?office|automatische\s+antwort|abwesenheitsnotiz"
    r"|réponse\s+automatique|respuesta\s+automática|resposta\s+automática|risposta\s+automatica|automatisch\s+antwoord|autosvar|automatiskt?\s+svar"
    r"|automatická\s+odpověď|odpowiedź\s+automatyczna|automatyczna\s+odpowiedź|otomatik\s+yanıt|автоматический\s+ответ|автоответ|自动答复|自動回覆|自動応答|자동\s?회신)"
    r"\s*(?:$|[:：])"
)
"""Subjects that mail programs give to what they answer by themselves, in the language of their owner."""

ANSWERED = re.compile(r"(?i)^(?:re|aw|sv|vs|antw|odp|ynt|rif|res|回复|答复|回覆|返信|ответ)(?:\[\d{1,3}\])?\s?[:：]")
"""How the subject of an answer begins."""

LIST_PROGRAM = re.compile(r"(?i)(?:owner-.+|.+-(?:owner|bounces)|mailman|majordomo|listserv|listmaster|sympa)@")
"""Addresses from which the programs of mailing lists write; what they answer to, they show."""


def has_shape(text: str) -> bool:
    """Whether a subject, or a line, says who did what with something, as such mails do."""
    return not (text.isascii() and STEMS.search(text.lower()) is None) and SHAPES.search(text) is not None


def notice(message: Message, *, is_own: Callable[[str], bool]) -> str:
    """Why a mail is a notice of what a user wrote; "" where it is none. ``is_own``: whether a domain is the sender's own."""
    return next((why for is_shown, why in SIGNS if is_shown(message, is_own)), "")


def reply_to(message: Message) -> str:
    """The one address that answers go to, in small letters; "" where there is none, or it cannot be told."""
    values = message.all_headers("Reply-To")
    found = re.findall(r"[^\s<>,;:\"()]+@[A-Za-z0-9.-]+", values[0][:1_000]) if len(values) == 1 else []
    return found[-1].lower().rstrip(".") if found else ""


def _has_list(message: Message, is_own: Callable[[str], bool]) -> bool:
    listed = [value.rpartition("<")[2].partition(">")[0].strip().lower() for value in message.all_headers("List-Id")[:5]]
    return any(is_own(name) for name in listed if "." in name)


def _is_answered_elsewhere(message: Message, is_own: Callable[[str], bool]) -> bool:
    """Answers go to a person's or a company's address of another domain, who does not say that nobody reads them."""
    address = reply_to(message)
    local, _, domain = address.rpartition("@")
    return bool(local) and not is_own(domain) and not re.match(r"(?:no|do[-_.]?not|not)[-_.]?reply", local)


def _takes_answers(message: Message, _: Callable[[str], bool]) -> bool:
    return ANSWER.match(reply_to(message)) is not None


def _is_via(message: Message, _: Callable[[str], bool]) -> bool:
    return VIA.search(message.sender_name) is not None


def _answers_by_itself(message: Message, _: Callable[[str], bool]) -> bool:
    """By its headers (RFC 3834, and what programs wrote before it), or by its subject."""
    if any(value.strip().casefold().startswith("auto-replied") for value in message.all_headers("Auto-Submitted")):
        return True
    if any(value.strip().casefold() in ("auto_reply", "auto-reply") for value in message.all_headers("Precedence")):
        return True
    if any(
        message.header(name) is not None for name in ("X-Autoreply", "X-Autorespond", "X-Autoreply-From", "X-Autogenerated-Reply")
    ):
        return True
    return REPLIED.match(message.subject[:300]) is not None


def _answers(message: Message, _: Callable[[str], bool]) -> bool:
    is_answer = message.header("In-Reply-To") is not None or message.header("References") is not None
    return is_answer and ANSWERED.match(message.subject) is not None


def _is_of_a_list(message: Message, _: Callable[[str], bool]) -> bool:
    return LIST_PROGRAM.match(message.sender) is not None


def _has_shape(message: Message, _: Callable[[str], bool]) -> bool:
    return has_shape(message.subject[:300])


SIGNS: Sequence[tuple[Callable[[Message, Callable[[str], bool]], bool], str]] = (
    (_has_list, "it came over a list of its sender's (List-Id)"),
    (_takes_answers, "answers to it go to what a user wrote (Reply-To)"),
    (_is_answered_elsewhere, "answers to it go to another domain (Reply-To)"),
    (_answers_by_itself, "it answers by itself what somebody wrote (Auto-Submitted, its subject)"),
    (_answers, "it answers a mail that somebody wrote (In-Reply-To)"),
    (_is_of_a_list, "a mailing list's program wrote it, which shows what it answers"),
    (_is_via, "its From shows somebody else's name before the sender's"),
    (_has_shape, "its subject is that of a comment, a share, an invitation or a payment"),
)
"""What such a mail shows, and how that is said."""
