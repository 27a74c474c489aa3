"""Settings that work but are dangerous: they expose the machine more than most people want. Each warning says what fixes it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from mailbridge.config.load import Loaded
from mailbridge.config.problems import Problem
from mailbridge.config.settings import Settings

NO_KEY = "practice: no Skyvern key is configured ([skyvern] api_key_file, or $SKYVERN_API_KEY), so codes stay on this machine"

NO_KEY_BESIDE = "practice: no Skyvern key is configured ([skyvern] api_key_file, or $SKYVERN_API_KEY): a code goes only to the [[target]] that lists its identifier"
"""The same if there are further targets."""


def has_key(settings: Settings) -> bool:
    """Whether codes go to a real Skyvern."""
    return settings.skyvern.api_key is not None or settings.skyvern.credentials_file is not None


def warnings_of(loaded: Loaded) -> Iterator[Problem]:
    """Every warning, each with its place. It also checks the modes of the files that were read."""
    settings = loaded.settings
    place = str(loaded.path or "configuration")
    if not _is_own(settings.http.listen):
        what = f"[http] listen: {settings.http.listen} is open to the network without TLS; listen on 127.0.0.1 and put a proxy in front of it"
        yield Problem(where=loaded.origins.get("http.listen", place), what=what)
    for path, where in loaded.with_secrets.items():
        if path.stat().st_mode & 0o077:
            what = f"other users can read this file, and it holds a secret: chmod 600 {path}, or keep the secret in a file of its own (…_file)"
            yield Problem(where=where, what=what)
    if has_key(settings) and "*" in settings.trust.senders:
        what = '[trust] senders: "*" accepts every sender whose mail is proven; list the senders whose codes you wait for'
        yield Problem(where=loaded.origins.get("trust.senders", "default"), what=what)
    if not has_key(settings):
        yield Problem(where="", what=NO_KEY_BESIDE if settings.target else NO_KEY)


def _is_own(listen: str) -> bool:
    """Whether only this machine can reach a listener."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return True  # not an address; that is reported as a mistake of its own
