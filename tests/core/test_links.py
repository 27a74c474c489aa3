"""The link that signs in is told from all others, by its address and the words around it, in many shapes of address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.links import is_stranger
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_html

RULES = load(list(rule_sources(RuleSettings())))
H = "9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c"
ADDRESSES = [
    f"https://forum.harbour.example/session/email-login/{H}",
    f"https://forum.harbour.example/u/activate-account/{H}",
    "https://blog.harbour.example/members/?token=Xk7Qp2vR9tYw3mZn8bLc&action=signin",
    f"https://git.harbour.example/user/activate?code={H}",
    "https://id.harbour.example/ui/login/mail/verification?userID=294829130771204&code=Y3R4ZK&orgID=2948291",
    f"https://app.harbour.example/api/auth/verify-email?token={H}&callbackURL=%2Fhome",
    f"https://chat.harbour.example/do_verify_email?token={H}&email=ann%40corp.example",
    "https://wp.harbour.example/wp-login.php?action=confirmaction&request_id=12&confirm_key=Xk7Qp2vR9tYw3mZn8bLc",
    "https://school.harbour.example/login/confirm.php?data=Xk7Qp2vR9tYw3mZ/ann",
    "https://fa.harbour.example/email/verify/4Xk7Qp2vR9tYw3mZn8bLcd?client_id=9d2a1c3e-1111-4222-8333-944455566677",
    f"https://login.harbour.example/v1/magic_links/redirect?public_token=public-token-live-9d2a1c3e&token={H}",
    "https://clerk.harbour.example/v1/verify?_clerk_js_version=5.0&token=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaWEifQ.c2lnbmF0dXJl",
    "https://tenant.auth.example/passwordless/verify_redirect?scope=openid&response_type=code&redirect_uri=https%3A%2F%2Fapp.example&email=ann%40corp.example&verification_code=482913&connection=email&client_id=Xk7Qp2vR9tYw3mZn8bLc",
    f"https://write.harbour.example/m/callback/email?token={H}&operation=login&state=reader",
    "https://news.harbour.example/sign-in?token=Xk7Qp2vR9tYw3mZn8bLc.MTIzNDU2&redirect=%2F",
    "https://harbour.example/confirm?token=Xk7Qp2vR9tYw3mZn8bLc&email=ann%40corp.example",
    "https://site.harbour.example/#confirmation_token=Xk7Qp2vR9tYw3mZn8bLc",
    f"https://harbour.example/auth/verify?token_hash=pkce_{H}&type=email",
    f"https://app.harbour.example/login?token={H}",
    f"https://app.harbour.example/accounts/login/code/confirm/?key=MTIz:{H}",
    f"https://harbour.example/verify/{H}",
    f"https://harbour.example/e/{H}/verify",
    f"https://harbour.example/account/confirm/482913077/{H}",
    "https://harbour.example/v/aB3xZ9qRtY7wQm2K",
    "https://harbour.example/l/aB3xZ9qRtY7wQm2KpL",
    f"https://harbour.example/?login_token={H}",
    f"https://harbour.example/users/unlock?unlock_token={H[:20]}",
]
WORDS = [
    ("Sign in to Harbour", "Click the button to sign in.", "Sign in to Harbour"),
    ("Verify your email", "Please verify your email address.", "Verify email"),
    ("Bestätige deine E-Mail-Adresse", "Bitte bestätige deine Adresse.", "E-Mail bestätigen"),
    ("メールアドレスの確認", "下のボタンを押してください。", "メールアドレスを確認する"),
]
OTHERS = [
    ("Ann commented on your post", "Ann wrote: nice!", "View comment", f"https://harbour.example/n/{H}"),
    (
        "Your invoice is ready",
        "Your invoice INV-4829 is ready.",
        "View invoice",
        f"https://billing.harbour.example/i/acct_1/{H}?token={H}",
    ),
    ("You have been invited to a workspace", "Bo invites you.", "Accept invitation", f"https://harbour.example/accept?token={H}"),
    (
        "Bo hat dich eingeladen",
        "Bo hat dich zu Hafen eingeladen.",
        "Einladung annehmen",
        f"https://harbour.example/signup?invite_token={H}",
    ),
    ("Your export is ready", "Download it within 7 days.", "Download", f"https://harbour.example/exports/{H}?signature={H}"),
    (
        "Payment failed",
        "We could not charge your card.",
        "Update payment method",
        f"https://billing.harbour.example/p/session/{H}",
    ),
    ("Rate your stay", "How was it?", "Rate now", f"https://survey.example/s?token={H}"),
    (
        "New sign-in to your account",
        "We noticed a new sign-in from Leeds.",
        "Review",
        f"https://harbour.example/security/events/{H}",
    ),
    ("Your trial ends soon", "Upgrade to keep going.", "Upgrade", f"https://harbour.example/billing?token={H}"),
    ("Document for your signature", "Bo sent you a document.", "Sign document", f"https://sign.harbour.example/d/{H}"),
    ("Please sign: contract", "Review and sign.", "Review & sign", f"https://sign.harbour.example/Signing/EmailStart.aspx?a={H}"),
    ("Calendar: Weekly sync", "Tuesday.", "Yes", f"https://cal.example/event?action=RESPOND&eid={H}&rst=1&tok={H}"),
    ("Your order has shipped", "On its way.", "Track", f"https://shop.example/orders/{H}/authenticate?key={H}"),
    ("We updated our privacy policy", "Please read.", "Read", f"https://click.harbour.example/?qs={H}"),
    ("Security alert: review your account", "Someone tried.", "Check activity", f"https://click.harbour.example/?qs={H}"),
    ("Your password will expire", "In 3 days.", "Change password", f"https://harbour.example/password/change?u={H}"),
    ("Reminder: confirm your appointment", "Tuesday at 10.", "Confirm appointment", f"https://doc.example/confirm?appt={H}"),
    ("Confirm your booking", "Your table for 4.", "Confirm", f"https://table.example/r/{H}/confirm"),
    ("Continue where you left off", "Course 3.", "Continue learning", f"https://learn.example/continue?token={H}"),
    ("You have 3 new messages", "Log in to read.", "Log in", f"https://social.example/login?next=%2Finbox&utm_campaign={H}"),
    ("Parcel held at customs", "Pay 1.99 EUR.", "Confirm delivery", f"https://x9.example/confirm?id={H}"),
    (
        "Delivery Status: verify your address",
        "Your parcel could not be delivered. Please verify your address.",
        "Verify address",
        f"https://x9.example/a/{H}",
    ),
    ("[list] confirm unsubscribe", "Confirm.", "Confirm unsubscribe", f"https://l.example/unsubscribe/confirm/{H}"),
    (
        "Your account was created by your administrator",
        "Set a password.",
        "Set password",
        f"https://harbour.example/set-password?token={H}",
    ),
    (
        "Email address changed",
        "Your address was changed.",
        "Undo",
        f"https://harbour.example/auth/action?mode=recoverEmail&oobCode={H}",
    ),
]


def extracted(subject: str, html: str, sender: str = "") -> Extraction:
    """What an HTML mail holds."""
    mail = Message(subject=subject, sender=sender, html_body=Body(lambda: page_from_html(html)))
    return extract(mail, rules=RULES, now=datetime(2026, 5, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))


def button(url: str, text: str) -> str:
    """A link that is styled as one."""
    return f'<a href="{url.replace("&", "&amp;")}" style="background:#111;padding:12px 20px">{text}</a>'


@pytest.mark.parametrize("url", ADDRESSES)
@pytest.mark.parametrize(("subject", "body", "text"), WORDS, ids=[words[0] for words in WORDS])
def test_the_acting_link_is_found_among_others(url: str, subject: str, body: str, text: str) -> None:
    """An address of any common form is taken verbatim, and not logo, help or the way out, which carry tokens too."""
    others = (
        f'<a href="https://harbour.example/help?id={H}">Help</a> <a href="https://harbour.example/unsubscribe/{H[::-1]}">Out</a>'
    )
    logo = '<a href="https://harbour.example/"><img alt="Harbour" src="https://harbour.example/logo.png"></a>'
    found = extracted(subject, f"{logo}<p>{body}</p>{button(url, text)}<p>{others}</p>")
    assert (found.verdict, found.value and found.value.reveal()) == (Verdict.LINK, url)


@pytest.mark.parametrize(("subject", "body", "text", "url"), OTHERS, ids=[other[0] for other in OTHERS])
def test_a_link_that_does_something_else_is_left_alone(subject: str, body: str, text: str, url: str) -> None:
    """Buttons with tokens that comment, pay, sign contracts, track parcels or accept invitations are not pushed."""
    assert not extracted(subject, f"<p>{body}</p>{button(url, text)}").verdict.is_pushed


@pytest.mark.parametrize(
    ("subject", "body", "text"),
    [
        ("Your account was limited", "Confirm your details within 24 hours.", "Confirm now"),
        ("Action required: verify your wallet", "Your wallet is restricted.", "Verify now"),
        ("Ihr Konto wurde eingeschränkt", "Bestätigen Sie Ihre Daten, sonst wird es gesperrt.", "Jetzt bestätigen"),
    ],
)
def test_a_stranger_who_hurries_is_held(subject: str, body: str, text: str) -> None:
    """A link to another domain than the sender's is held where the mail hurries its reader."""
    html = f"<p>{body}</p>{button(f'https://x9.example/verify?id={H}', text)}"
    assert not extracted(subject, html, sender="service@hotel.example").verdict.is_pushed


@pytest.mark.parametrize(
    ("url", "sender", "expected"),
    [
        ("https://app.harbour.example/x", "no-reply@mail.harbour.example", False),
        ("https://ref.harbour.co/x", "no-reply@harbourmail.example", False),
        ("https://login.harbour.co.uk/x", "no-reply@harbour.com", False),
        ("https://x9.example/x", "no-reply@harbour.org", True),
        ("https://[broken/x", "no-reply@harbour.org", True),
    ],
)
def test_a_stranger_shares_no_name_with_the_sender(url: str, sender: str, expected: bool) -> None:
    """Two domains are one's own where the name of one is in that of the other, whatever their endings."""
    assert is_stranger(url, sender) is expected
