"""The process in which Apprise works: a job as JSON on stdin, what it says on stdout. Never imported by the daemon."""

from __future__ import annotations

import json
import logging
import sys


def main() -> int:
    """Send one notice; 0 where every service has taken it."""
    try:
        import apprise
    except ImportError:
        return 3
    job = json.load(sys.stdin)
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    service = apprise.Apprise()
    for url in job["urls"]:
        if not service.add(url):
            sys.stdout.write("one of the URLs is none of Apprise's\n")
            return 1
    return 0 if service.notify(title=job["title"], body=job["body"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
