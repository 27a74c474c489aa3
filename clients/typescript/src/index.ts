/** Waits for the one-time code or magic link that mailbridge took out of a mail. */

export type { Cause, Code, CodeKind, Expectation, InboxInfo, Why } from "./answers.js";
export { Inbox, type InboxOptions, Mailbridge, type Options, type WaitOptions } from "./client.js";
export { BadRequest, CodeTimeout, MailbridgeError, NotAllowed, UnknownIdentifier, Unreachable } from "./errors.js";
