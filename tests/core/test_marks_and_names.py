"""What stands right beside a code: marks of any script, an ending, a sender's name with a digit in it, a foot; and the numbers of things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_html, page_from_plain

RULES = load(list(rule_sources(RuleSettings())))
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FOOT = "\n\n-- \nHarbour Ltd, 4 Quay Street, 90210 Westport\n© 2026 Harbour. +1 415 555 0177, reg. no. 771355"


def extracted(
    plain: str | None = None, *, subject: str = "Harbour", name: str = "Harbour", html: str | None = None
) -> Extraction:
    """The answer for a mail of a site of this name."""
    message = Message(
        subject=subject,
        sender=f"no-reply@{name.casefold()}.example",
        sender_name=name,
        plain=None if plain is None else page_from_plain(plain),
        html_body=None if html is None else Body(lambda: page_from_html(html)),
    )
    return extract(message, rules=RULES, now=NOW, default_lifetime=timedelta(minutes=10))


def pushed(plain: str | None = None, *, subject: str = "Harbour", name: str = "Harbour", html: str | None = None) -> str | None:
    """What is pushed of such a mail, or None."""
    found = extracted(plain, subject=subject, name=name, html=html)
    return found.value.reveal() if found.verdict.is_pushed and found.value is not None else None


@pytest.mark.parametrize(
    "sentence",
    [
        "Ваш код подтверждения «605118».",
        "Ihr Anmeldecode lautet »605118«.",
        "Din engangskode er ›605118‹, og den virker i ti minutter.",
        "¿Tu código de acceso es ¿605118?",
        "Ο κωδικός επαλήθευσης είναι 605118· ισχύει για δέκα λεπτά.",
        "Ձեր հաստատման կոդն է 605118։ Ոչ ոքի մի՛ ասեք։",
        "Հաստատման կոդ՝605118։",
    ],
)
def test_marks_of_other_alphabets_end_a_code(sentence: str) -> None:
    """Quotes and stops of any script stand beside a code, and are no letters of it."""
    assert pushed(sentence) == "605118"


@pytest.mark.parametrize("text", ["The picture has 1920×1080 points.", "Takes 4829½ hours.", "An id of 605118ö and 605118ж."])
def test_letters_and_signs_of_figures_go_on(text: str) -> None:
    """A letter, a fraction or a sign of multiplication at a number belongs to it."""
    assert [one.why for one in extracted(f"Your code. {text}").rejected] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Az egyszer használatos kódod a 605118-as, írd be a belépéshez.",
        "605118-ը ձեր հաստատման կոդն է։",
        "Кіру үшін 605118-ді енгізіңіз.",
        "Təsdiq kodunuz 605118-dir.",
        "თქვენი კოდია 605118-ი.",
    ],
)
def test_an_ending_behind_a_hyphen_is_no_part_of_the_code(sentence: str) -> None:
    """Languages write endings at numbers too, behind a hyphen."""
    assert pushed(sentence) == "605118"


@pytest.mark.parametrize("text", ["a 65536-bit key", "a 10000-px picture", "file 60511-mb", "2026-as kód"])
def test_a_unit_behind_a_hyphen_makes_a_measure(text: str) -> None:
    """What has a unit, or is a year, is no code with an ending."""
    assert pushed(f"Your code is ready: {text}.") is None


def test_a_year_with_an_ending_is_no_code() -> None:
    """Basque writes the ending at the year: right behind a word for a password it is still a date."""
    assert pushed("Zure kontuaren pasahitza 2026ko maiatzaren 3an aldatu da.", subject="Pasahitza aldatu da") is None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("7731", "7731 آپ کا تصدیقی کوڈ ہے۔ مدد 0800555017"),
        ("605118", "605118 ist dein Anmeldecode. Hilfe: 0800 5550177"),
        ("605118", "605118 ձեր կոդն է։ Հեռ. 010555017"),
        ("605118", "Never give anybody this code. 605118 is your one-time passcode to sign in."),
    ],
)
def test_a_word_names_no_number_behind_the_end_of_its_sentence(code: str, sentence: str) -> None:
    """The sentence that calls a number the code ends with the mark of its script; the phone behind it is another matter."""
    assert pushed(sentence) == code


@pytest.mark.parametrize("name", ["Quay7", "5Masts", "Har9bour"])
@pytest.mark.parametrize(
    "sentence",
    [
        "Your sign-in code for {} is {}.",
        "Enter {1} to sign in to {0}.",
        "Твој код за најава на {} е {}.",
        "Kod log masuk {} anda ialah {}.",
    ],
)
def test_a_name_with_a_digit_takes_nothing_from_the_code(name: str, sentence: str) -> None:
    """The sender's name is no number of its mail: it uses no label up, and the code is still the only one."""
    assert pushed(sentence.format(name, "605118"), name=name) == "605118"


def test_a_name_with_a_digit_is_no_code() -> None:
    """Alone on its line below a word for codes, it is refused as what it is."""
    found = extracted(html="<p>Your code is in the app of:</p><h1>Mol3Ko</h1><p>Sign in there.</p>", name="Mol3Ko")
    assert not found.verdict.is_pushed
    assert {one.value.reveal(): one.why for one in found.rejected} == {"Mol3Ko": "the sender's own name"}


def test_digits_are_nobodys_name() -> None:
    """A sender that is called by digits alone may send them as a code."""
    assert pushed("Your code is 163163. It expires in 10 minutes.", name="163163") == "163163"


@pytest.mark.parametrize(
    "ask", ["Hi Ann,\n\nput this into the page that you have open:", "Olá Ana,\n\nescreve isto na página aberta:"]
)
def test_a_foot_has_no_second_number(ask: str) -> None:
    """Addresses, phones and registers below a signature or a copyright mark leave the code the only number of its mail."""
    assert pushed(f"{ask}\n\n605118\n\nIt works once.{FOOT}") == "605118"


@pytest.mark.parametrize("below", ["Enter 7731 to sign in.", "7731", "Your code: 7731"])
def test_no_foot_begins_above_what_may_be_the_code(below: str) -> None:
    """A name that a stranger chose may hold the mark of a foot: what the site writes below it still counts."""
    assert pushed(f"Hello,\n\nsee 605118 there © 2026\n\n{below}\n\nBye.") != "605118"


@pytest.mark.parametrize("tail", ["STOP 36180", "Reply STOP to 36180", "STOP au 36180"])
def test_the_number_to_send_a_word_to_is_no_second_one(tail: str) -> None:
    """Text messages end with it by law."""
    assert pushed(f"Utilisez 5518 pour vous connecter. {tail}", subject="") == "5518"


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("Číslo žiadosti:", "Vaša žiadosť"),
        ("Број захтева:", "Ваш захтев"),
        ("Nombor permintaan:", "Permintaan anda"),
        ("అభ్యర్థన సంఖ్య:", "మీ అభ్యర్థన"),
        ("Rhif y cais:", "Eich cais"),
        ("Uimhir iarratais:", "D'iarratas"),
        ("Numero ng kahilingan:", "Ang iyong kahilingan"),
        ("Sagsnummer:", "Din sag"),
    ],
)
@pytest.mark.parametrize("as_html", [False, True])
def test_a_line_that_names_the_number_of_a_thing_names_no_code(line: str, subject: str, as_html: bool) -> None:
    """A few words with one for a number, above a number or in front of it, are the name of a thing's number in any language."""
    below = f"<p>{line}</p><h1>605118</h1>" if as_html else f"{line}\n\n605118"
    assert pushed(None if as_html else below, html=below if as_html else None, subject=subject) is None
    assert pushed(f"Harbour: {line} 605118", subject="") is None


@pytest.mark.parametrize("line", ["Enter this number:", "Nomor verifikasi:", "Number:"])
def test_a_line_that_tells_what_a_number_is_for_is_no_such_name(line: str) -> None:
    """Where the line tells to enter the number or speaks of signing in, or says nothing else, it is no name of another thing's number."""
    assert pushed(f"Hello Ann, sign in with this.\n\n{line}\n\n605118\n\nIt works once.") == "605118"


def test_a_number_that_its_sentence_calls_a_members_is_no_code() -> None:
    """The word for a number stands behind it as well."""
    assert pushed("Is é 30044817 d'uimhir bhallraíochta.", subject="Fáilte") is None


@pytest.mark.parametrize(
    "sentence",
    [
        "¿No has sido tú? Escríbenos citando el caso 6051187.",
        "Nuk ishe ti? Na shkruaj për çështjen 6051187.",
        "Nid chi? Cysylltwch â ni gan nodi achos 6051187.",
    ],
)
def test_who_is_to_write_and_name_a_case_enters_nothing(sentence: str) -> None:
    """Between an instruction to enter and its number stands an article or a word for a number at most."""
    notice = f"La contraseña de tu cuenta se cambió el 3 de mayo de 2026 a las 18:22. {sentence}"
    assert pushed(notice, subject="Has cambiado tu contraseña") is None


@pytest.mark.parametrize(
    "sentence",
    [
        "รหัสผ่านของคุณถูกเปลี่ยนเมื่อ 14 มี.ค. 2569 เวลา",
        "รหัสผ่านถูกเปลี่ยนเมื่อ 14 มีนาคม พ.ศ. 2569",
        "رمز عبور شما در ۱۴ آبان ۱۴۰۵ تغییر کرد",
        "تم تغيير كلمة المرور في 14 رمضان 1447 هـ",
        "הסיסמה שונתה ב-3 בתשרי 5787",
    ],
)
def test_years_of_other_calendars_are_years(sentence: str) -> None:
    """In a date that is written out, the year of another calendar is no code, though a word for a password stands before it."""
    assert pushed(sentence) is None


def test_a_card_whose_digits_one_letter_hides_is_no_rival() -> None:
    """``X4417`` is the end of a number of a card, as banks write it."""
    assert pushed("Harbour: paid 2,489.00 with card X4417, OTP 605118. Share it with nobody.") == "605118"


@pytest.mark.parametrize(
    "text",
    [
        "O kwdikos sas einai 605118.",
        "605118 einai o kodikos epalithefsis sas.",
        "Ramz al ta7aqoq el khas bik howa 605118.",
        "Ramze yekbar masraf: 605118",
        "Nin de yanzhengma shi 605118, 5 fenzhong nei youxiao.",
    ],
)
def test_codes_are_named_in_latin_letters_too(text: str) -> None:
    """Text messages write Greek, Arabic, Persian and Chinese as a Latin keyboard has them."""
    assert pushed(text, subject="") == "605118"


def test_a_word_for_a_password_names_no_number_far_behind_it() -> None:
    """A notice that a password was changed ends with the number of a case: without a stop between, it is still not the password's."""
    notice = "รหัสผ่านถูกเปลี่ยนเมื่อ 03/05/2026 18:22 จาก 198.51.100.7 หากไม่ใช่คุณ โปรดแจ้งเจ้าหน้าที่ทันทีโดยอ้างถึงเรื่อง 6051187"
    assert pushed(notice, subject="ความปลอดภัย") is None


@pytest.mark.parametrize(
    "text",
    [
        "Ihr Code für die Zahlung von 248,90 EUR an Blumen Kraus lautet 605118. Hafen fragt nie danach.",
        "605118 είναι ο κωδικός που ζήτησες. Κράτησέ τον για σένα.",
    ],
)
def test_a_verb_that_is_a_thing_in_another_language_counts_as_a_verb(text: str) -> None:
    """``fragt`` is freight in Danish and asks in German; ``κράτησέ`` keeps, and books nothing."""
    assert pushed(text, subject="") == "605118"
