"""What Schemathesis is told of our API in its own process: how polls are signed, and that nobody sends a mail while it waits."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import requests
import schemathesis

from tests.web.desk import KEY

SHORT = 0.01


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Shorten a valid wait, which nothing would end; the parameter itself is tried out with every other value.

    The token that it all is asked with is not removed.
    """
    if case.path.endswith("/tokens/remove") and isinstance(case.body, dict) and case.body.get("id") == 1:
        case.body = {**case.body, "id": 1_000_000}
    if not case.path.endswith(("/wait", "/journal")):
        return
    query = dict(case.query or {})
    try:
        is_valid = 0 <= float(str(query.get("timeout", SHORT))) <= 60
    except ValueError:
        is_valid = False
    if is_valid:
        case.query = {**query, "timeout": SHORT}


class Signed(requests.auth.AuthBase):
    """Signs what is really sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """HMAC over the raw body."""
        body = request.body or b""
        octets = body if isinstance(body, bytes) else str(body).encode()
        request.headers["x-skyvern-signature"] = hmac.new(KEY.encode(), octets, hashlib.sha256).hexdigest()
        return request


signed: Any = schemathesis.auth
signed.set_from_requests(Signed()).apply_to(path_regex="^/skyvern/")
schemathesis.serializer.alias("message/rfc822", "text/plain")
