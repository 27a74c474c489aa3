"""The number of a thing is no code, although its notice tells the reader to sign in, to confirm, or to enter a password."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from mailbridge.core.extract import extract
from mailbridge.core.extraction import Verdict
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet
from tests.extraction.chosen_names import NOW, own_rules
from tests.extraction.mails import composed

THINGS = ("report", "request", "application", "claim", "file", "form", "device", "work order", "policy", "lesson")
NOTICES = (
    "Log in to see {thing} {number}.",
    "{Thing} {number} is ready. Sign in to view it.",
    "Your {thing} {number} was updated. Log in to check the status.",
    "Please confirm {thing} {number}.",
    "To verify {thing} {number}, open the app.",
    "To open {thing} {number}, enter your password.",
    "Enter your password to open {thing} {number}.",
    "Use your password to open {thing} {number}.",
    "Sign in to approve {thing} {number}.",
    "We have verified {thing} {number}.",
    "{Thing} {number}: sign in to continue.",
    "Sign in to continue with {thing} {number}",
)
OF_OTHERS = (
    "Melden Sie sich an, um Bericht {number} zu sehen.",
    "Um Dokument {number} zu öffnen, geben Sie Ihr Passwort ein.",
    "Inicie sesión para ver el informe {number}.",
    "Para abrir el documento {number} introduzca su contraseña.",
    "Connectez-vous pour consulter le rapport {number}.",
    "Pour ouvrir le document {number}, saisissez votre mot de passe.",
    "Accedi per vedere il documento {number}.",
    "Log in om rapport {number} te bekijken.",
    "Zaloguj się, aby zobaczyć dokument {number}.",
    "Zadejte heslo pro otevření dokumentu {number}.",
    "Войдите, чтобы посмотреть документ {number}.",
    "Чтобы открыть документ {number}, введите пароль.",
    "Logga in för att se dokument {number}.",
    "Faça login para ver o documento {number}.",
    "文書{number}を見るにはログインしてください",
    "查看文件{number}请输入密码",
)
CHANGES = (
    "Your password for account {number} was changed.",
    "The password of account {number} has been reset.",
    "The PIN of your card {number} was changed.",
    "Your passcode for device {number} works again.",
    "Ihr Passwort für Konto {number} wurde zurückgesetzt.",
    "La contraseña de la cuenta {number} ha sido cambiada.",
    "Le mot de passe du compte {number} a été modifié.",
    "La password dell'account {number} è stata modificata.",
    "A senha da conta {number} foi alterada.",
    "Het wachtwoord van account {number} is gewijzigd.",
    "Hasło do konta {number} zostało zmienione.",
    "Пароль от аккаунта {number} изменён.",
    "{number} numaralı hesabınızın şifresi değiştirildi.",
    "アカウント{number}のパスワードが変更されました。",
    "账户{number}的密码已更改。",
    "계정 {number}의 비밀번호가 변경되었습니다.",
    "Mật khẩu của tài khoản {number} đã được thay đổi.",
    "Sign in with user {number} and your password.",
    "Username: {number}. Sign in with the password that you chose.",
    "{number} people have signed in today.",
    "{number} new followers! Sign in to meet them.",
    "Sign-in failed ({number}).",
)
FACTS = (
    "{Thing}: {number}\n\nSign in to see it.",
    "{Thing}: {number}\nSign in to see it: https://larch.example/login",
    "{Thing} number: {number}\n\nSign in to see it.",
    "N° de demande: {number}\n\nSign in to see it.",
    "Here is the number of the {thing}: {number}\n\nSign in to see it.",
    "{Thing}\n{number}\n\nSign in to see it.",
    "Hello Ann,\n\nThere is news about this:\n\n{Thing}\n{number}\n\nPlease log in to your account: https://larch.example/login",
)
HEADINGS = (
    "Hello Ann",
    "Welcome back",
    "Almost there",
    "Your account",
    "Willkommen",
    "Bem-vindo",
    "Добро пожаловать",
    "ようこそ",
    "Larch",
)
BODIES = (
    "{heading}\n\n{number}\n\nUse this code to sign in.",
    "{heading}\n\n{number}\n\nEnter it to sign in.",
    "{heading}\n\n{number}\n\nIt is valid for 10 minutes. If you did not try to log in, ignore this mail.",
    "{heading}\n{number}\nDo not share it with anyone.",
    "{heading}\n\n{number}\n\nSomebody is signing in to your account. Do not share it with anyone.",
    "{heading}\n\n{number}",
)
NUMBERS = ("482913", "77310")
SUBJECTS = ("", "Notice", "About {number}")
CODES = (
    "Your sign-in code is listed below. Please type it into the open window. {number} This mail can be ignored if you did not ask for it.",
    "Acme: {number} to verify your number",
    "Your login code for Maple {number} is only for you. Do not share it with anyone.",
    "Larch: {number}\n\nSomebody is signing in to your account.",
    "Login: {number}\n\nSomebody is signing in to your account.",
    "{number} to sign in to Acme",
    "To sign in use {number}",
    "To sign in to Acme: {number}",
    "Sign in with {number}",
    "Acme login {number}",
    "Acme verification {number}",
    "Enter code for Larch {number}",
    "Enter verification code for Larch {number}",
    "Enter the verification code to sign in to Larch Bank: {number}",
    "Use OTP to log in {number}",
    "Your code for Larch {number}",
    "Type {number} to log in",
    "Melden Sie sich mit {number} an",
    "Connectez-vous avec {number}",
    "Inicia sesión con {number}",
    "{number}でログイン",
    "使用{number}登录",
    "{number} ile giriş yapın",
)


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    """Without a rule for any sender."""
    return own_rules()


def found(rules: RuleSet, subject: str, text: str) -> str | None:
    """The code that is pushed of a mail; None where none is."""
    mail = composed(subject, site="Larch", plain=text)
    extraction = extract(parse(mail), rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
    is_code = extraction.verdict is Verdict.CODE and extraction.value is not None
    return extraction.value.reveal() if is_code and extraction.value is not None else None


@pytest.mark.parametrize("notice", [*NOTICES, *OF_OTHERS, *CHANGES, *FACTS])
def test_the_number_of_a_thing_is_not_pushed(rules: RuleSet, notice: str) -> None:
    """Whatever the thing is called, and whether the subject names it too."""
    cases = itertools.product(THINGS if "{thing}" in notice.lower() else ("",), NUMBERS, SUBJECTS)
    pushed = [
        (thing, number, subject)
        for thing, number, subject in cases
        if found(rules, subject.format(number=number), notice.format(thing=thing, Thing=thing.capitalize(), number=number))
    ]
    assert pushed == []


@pytest.mark.parametrize("sentence", CODES)
def test_a_code_without_a_thing_before_it_is_pushed(rules: RuleSet, sentence: str) -> None:
    """Where a word for signing in, an instruction or a name of the code stands before it, it is the code."""
    assert found(rules, "", sentence.format(number="482913")) == "482913"


@pytest.mark.parametrize("body", BODIES)
def test_a_heading_above_a_code_makes_no_thing_of_it(rules: RuleSet, body: str) -> None:
    """A greeting or a title is no name of a number where the mail says what to do with it, or how long it is good."""
    held = [one for one in HEADINGS if found(rules, "Your sign-in", body.format(heading=one, number="482913")) != "482913"]
    assert held == []
