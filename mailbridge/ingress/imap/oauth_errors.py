"""The meaning of a provider's OAuth error (RFC 6749 4.1.2.1 and 5.2): its own words, and what fixes the known ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mailbridge.ingress.imap.faults import Kind, MailboxFault, shown

FINAL = frozenset({"invalid_grant", "interaction_required", "consent_required", "access_denied", "login_required"})
MISTAKES = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_grant_type",
        "invalid_request",
        "redirect_uri_mismatch",
        "unsupported_response_type",
        "org_internal",
        "admin_policy_enforced",
        "deleted_client",
        "disabled_client",
    }
)
NUMBER = re.compile(r"AADSTS(\d{4,8})")
TAIL = re.compile(r"\s*(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)
"""What Microsoft appends for its own support."""

LOGIN = "mailbridge oauth login {account}"
ADMIN = "an administrator has to approve the application: Entra, Enterprise applications, Permissions, Grant admin consent"
MICROSOFT: Mapping[str, tuple[Kind, str]] = MappingProxyType(
    {
        "65001": (Kind.CONSENT, f"nobody has allowed it yet: {LOGIN}; where users may not, {ADMIN}"),
        "65004": (Kind.CONSENT, f"the permission was declined: {LOGIN}"),
        "90094": (Kind.CONSENT, ADMIN),
        "90095": (Kind.CONSENT, ADMIN),
        "650051": (Kind.CONSENT, ADMIN),
        "650052": (Kind.SETTING, "the tenant has no licence for that service; is it Exchange Online?"),
        "650053": (Kind.SETTING, "scope names a permission that does not exist; leave scope out"),
        "50076": (Kind.CONSENT, f"a second factor is wanted: {LOGIN}"),
        "50079": (Kind.CONSENT, f"a second factor has to be registered in a browser first, then {LOGIN}"),
        "50074": (Kind.CONSENT, f"a second factor is wanted: {LOGIN}"),
        "50158": (Kind.CONSENT, f"a further check is wanted: {LOGIN}"),
        "50078": (Kind.CONSENT, f"the second factor is too old: {LOGIN}"),
        "53000": (Kind.CONSENT, "conditional access wants a managed device; an administrator has to exempt this application"),
        "53003": (Kind.CONSENT, "conditional access blocks it; an administrator has to exempt this application or address"),
        "700082": (Kind.CONSENT, f"the permission was not used for too long: {LOGIN}"),
        "700084": (
            Kind.CONSENT,
            f"the permission ended; register the redirect for mobile and desktop applications, then {LOGIN}",
        ),
        "70008": (Kind.CONSENT, f"the permission ended: {LOGIN}"),
        "70043": (Kind.CONSENT, f"the permission ended by a rule of sign-in frequency: {LOGIN}"),
        "50173": (Kind.CONSENT, f"the password was changed, or the permission withdrawn: {LOGIN}"),
        "50133": (Kind.CONSENT, f"the password was changed: {LOGIN}"),
        "50126": (Kind.CONSENT, f"user or password was wrong: {LOGIN}"),
        "50034": (Kind.SETTING, "that user is not in this tenant; check username and tenant"),
        "50020": (Kind.SETTING, 'that user is of another tenant; name theirs with tenant, or "consumers" for Outlook.com'),
        "50057": (Kind.SETTING, "the user's account is switched off"),
        "50105": (
            Kind.SETTING,
            "an administrator has to assign the user to the application (Enterprise applications, Users and groups)",
        ),
        "50011": (Kind.SETTING, "add the redirect http://127.0.0.1 for mobile and desktop applications to the application"),
        "50194": (Kind.SETTING, "the application is for one tenant only: name that with tenant"),
        "7000218": (Kind.SETTING, "allow public client flows (Entra, the application, Authentication), or give client_secret"),
        "7000215": (Kind.SETTING, "client_secret is wrong: it is the secret's value, not its ID"),
        "7000222": (Kind.SETTING, "client_secret has expired: make a new one in Entra"),
        "7000216": (Kind.SETTING, "this application needs client_secret"),
        "700016": (Kind.SETTING, "the application is not known in this tenant: check client_id and tenant"),
        "700025": (Kind.SETTING, "this application is a public one: leave client_secret out"),
        "90002": (Kind.SETTING, "there is no such tenant: check tenant"),
        "9002331": (Kind.SETTING, 'the application is for personal accounts only: tenant = "consumers"'),
        "9002346": (Kind.SETTING, 'the application is for personal accounts only: tenant = "consumers"'),
        "70011": (Kind.SETTING, "scope is wrong; leave it out"),
        "70002": (Kind.SETTING, "check client_id, client_secret and tenant"),
        "90033": (Kind.BUSY, "Microsoft is not well; it is tried again"),
        "90055": (Kind.BUSY, "Microsoft is asked too often; it is tried again"),
    }
)
"""Microsoft's error numbers, with the kind of fault and the fix for each."""

WORDS: tuple[tuple[str, Kind, str], ...] = (
    ("client_secret is missing", Kind.SETTING, "Google wants client_secret (or client_secret_file) too, also of a desktop app"),
    ("oauth client was not found", Kind.SETTING, "client_id is not known to Google"),
    ("admin approval", Kind.CONSENT, ADMIN),
    ("admin consent", Kind.CONSENT, ADMIN),
    (
        "expired or revoked",
        Kind.CONSENT,
        f"{LOGIN}; while Google's app is in testing, permissions end after seven days: publish it",
    ),
    (
        "has not completed the google verification",
        Kind.CONSENT,
        "add the mailbox's address to the app's test users, or publish the app",
    ),
)
"""Words in a description (lower case), with the kind of fault and the fix."""

ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "invalid_client": "check client_id and client_secret",
        "unauthorized_client": "the application may not do this: check its type, or for a service account the domain-wide delegation",
        "invalid_scope": "check scope; for most accounts it is left out",
        "invalid_request": "check client_id, client_secret and scope",
        "unsupported_grant_type": "check token_url and grant",
        "redirect_uri_mismatch": 'make the client of the type "desktop app"',
        "admin_policy_enforced": "the Workspace blocks it: an administrator trusts the client id under Security, API controls",
        "org_internal": "the app is internal to another Workspace: take an account of that, or make the app external",
        "deleted_client": "the application was deleted at the provider: make a new one",
        "disabled_client": "the application was switched off at the provider",
        "access_denied": f"it was declined: {LOGIN}; while Google's app is in testing, only its test users may allow it",
    }
)
"""Errors without a more exact text, and the fix."""


def refusal_of(answer: Mapping[str, Any], account: str) -> MailboxFault:
    """The fault for an error answer: the error, the provider's description, and the fix if one is known."""
    error = shown(str(answer.get("error", "no access token in the answer")).encode())
    described = answer.get("error_description")
    words = shown(TAIL.sub("", described).encode()) if isinstance(described, str) else ""
    kind, fix = _meaning(error, words)
    if not fix:
        fix = LOGIN if kind is Kind.CONSENT else ""
    told = f"{error}: {words}" if words else error
    what = {Kind.CONSENT: "the permission is gone", Kind.SETTING: "the provider refuses the application"}.get(
        kind, "the token endpoint does not give a token"
    )
    text = f"{what} ({told})"
    return MailboxFault(kind, f"{text}; {fix.replace('{account}', account)}" if fix else text)


def _meaning(error: str, words: str) -> tuple[Kind, str]:
    number = NUMBER.search(words)
    if number is not None and number[1] in MICROSOFT:
        return MICROSOFT[number[1]]
    folded = words.casefold()
    for known, kind, fix in WORDS:
        if known in folded:
            return kind, fix
    if error in FINAL:
        return Kind.CONSENT, ERRORS.get(error, "")
    if error in MISTAKES:
        return Kind.SETTING, ERRORS.get(error, "check client_id, secret and scope")
    return Kind.BUSY, ""
