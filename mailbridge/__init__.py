"""Takes a forwarded 2FA mail in at one end and puts its code where the agent that waits for it looks."""

import sys

__version__ = "0.1.0"

# httpx imports its own command line where rich is installed: some 100 modules, which every start would load for `top`.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
