"""Takes a forwarded 2FA mail in at one end and puts its code where the agent that waits for it looks."""

__version__ = "0.1.0"
