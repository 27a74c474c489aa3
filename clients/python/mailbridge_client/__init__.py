"""Waits for the one-time code or magic link that mailbridge took out of a mail: `Mailbridge`, and `AsyncMailbridge` for asyncio."""

from mailbridge_client.aio import AsyncInbox, AsyncMailbridge
from mailbridge_client.answers import Cause, Code, CodeKind, Expectation, InboxInfo, Why
from mailbridge_client.errors import BadRequest, CodeTimeout, MailbridgeError, NotAllowed, UnknownIdentifier, Unreachable
from mailbridge_client.sync import Inbox, Mailbridge

__all__ = [
    "AsyncInbox",
    "AsyncMailbridge",
    "BadRequest",
    "Cause",
    "Code",
    "CodeKind",
    "CodeTimeout",
    "Expectation",
    "Inbox",
    "InboxInfo",
    "Mailbridge",
    "MailbridgeError",
    "NotAllowed",
    "UnknownIdentifier",
    "Unreachable",
    "Why",
]
