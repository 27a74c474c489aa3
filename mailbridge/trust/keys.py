"""Public keys of signers (RFC 6376 3.6.1, RFC 8463): looked up, and refused if they are too weak or too costly to use."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailbridge.core.dataclass import dataclass
from mailbridge.trust.dns import Resolver
from mailbridge.trust.raw import tags

LEAST_BITS = 1_024
"""Shorter keys are refused (RFC 8301 3.2)."""

GOOD_BITS = 2_048
MOST_BITS = 4_096
MOST_EXPONENT = 1 << 32
"""Computing with a larger key of a stranger would take seconds."""

MOST_RECORD = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that may be used, and the name at which it was found."""

    name: str
    public: RSAPublicKey | Ed25519PublicKey
    is_strict: bool
    """The key has ``t=s``: ``i=`` must be of the domain itself (RFC 6376 3.6.1)."""

    def speaks_for(self, signature: Mapping[str, str]) -> bool:
        """Whether this key may sign for the user or agent that a signature names (``i=``)."""
        named = signature.get("i", "").rpartition("@")[2].lower()
        return not self.is_strict or named in ("", signature.get("d", "").lower())

    def warning(self, domain: str) -> str:
        """What the operator should know about the key; ``""`` if it is good."""
        if isinstance(self.public, Ed25519PublicKey) or self.public.key_size >= GOOD_BITS:
            return ""
        return f"{domain} signs with {self.public.key_size} bits, fewer than {GOOD_BITS}"


async def find(selector: str, domain: str, dns: Resolver) -> Key | str:
    """The key of a signature, or why no key can be used.

    Raises:
        DnsUnavailable: DNS did not answer.
    """
    name = f"{selector}._domainkey.{domain}".lower()
    records = [one for one in await dns.txt(name) if "p=" in one.replace(" ", "")]
    if not records:
        return f"there is no key at {name}"
    if len(records) > 1:
        return f"there are several keys at {name}"
    return judge(records[0], name)


def judge(record: str, name: str) -> Key | str:
    """The key in a DNS record, or why it cannot be used. Any record gives an answer."""
    found = tags(record) if len(record) <= MOST_RECORD else None
    if found is None or found.get("v", "DKIM1") != "DKIM1":
        return f"the key at {name} is malformed"
    if not found.get("p"):
        return f"the key at {name} is revoked"
    if "y" in found.get("t", "").split(":"):
        return f"the key at {name} is being tested, which its owner asks not to rely on"
    is_strict = "s" in found.get("t", "").split(":")
    kind = found.get("k", "rsa")
    if kind not in ("rsa", "ed25519"):
        return f"the key at {name} is of a kind that is not supported: {kind[:20]}"
    if "sha256" not in found.get("h", "sha256").split(":") or not {"*", "email"} & set(found.get("s", "*").split(":")):
        return f"the key at {name} is not for mail with SHA-256"
    try:
        octets = base64.b64decode(found["p"], validate=True)
        if kind == "ed25519":
            return Key(name=name, public=Ed25519PublicKey.from_public_bytes(octets), is_strict=is_strict)
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm, TypeError):
        return f"the key at {name} is malformed"
    if not isinstance(key, RSAPublicKey):
        return f"the key at {name} is no RSA key"
    if key.key_size < LEAST_BITS:
        return f"the key at {name} has {key.key_size} bits, fewer than {LEAST_BITS}"
    if key.key_size > MOST_BITS or key.public_numbers().e > MOST_EXPONENT:
        return f"the key at {name} is larger than anybody needs"
    return Key(name=name, public=key, is_strict=is_strict)
