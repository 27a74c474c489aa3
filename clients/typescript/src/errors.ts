/** What can go wrong between a caller and mailbridge. No message holds a code or a token. */

import type { Why } from "./answers.js";

/** Everything that this package throws of its own. `status` is the HTTP status of the answer, undefined where there was none. */
export class MailbridgeError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.name = new.target.name;
    this.status = status;
  }
}

/** mailbridge does not take the request as it is (400, 409, 422): the message says which parameter. */
export class BadRequest extends MailbridgeError {}

/** The token is missing, unknown or expired (401), or not for this identifier or request (403). */
export class NotAllowed extends MailbridgeError {}

/** No code can ever come for this identifier, or there is no such inbox (404). */
export class UnknownIdentifier extends MailbridgeError {}

/** No usable answer within the time: no connection, or only 429 and 5xx. Each was tried again. */
export class Unreachable extends MailbridgeError {}

/**
 * mailbridge was asked to the end of the time, and nothing came.
 *
 * `why`: what mailbridge says about it; undefined where it gave no answer to that.
 */
export class CodeTimeout extends MailbridgeError {
  readonly identifier: string;
  /** What was waited for: "code" or "link". */
  readonly what: string;
  /** Milliseconds. */
  readonly timeout: number;
  readonly why: Why | undefined;

  constructor(identifier: string, what: string, timeout: number, why?: Why) {
    const first = why?.causes[0];
    const reason = first === undefined ? "" : `: ${first.text}` + (first.hint ? ` (${first.hint})` : "");
    super(`no ${what} for ${identifier} within ${timeout / 1000} s${reason}`);
    this.identifier = identifier;
    this.what = what;
    this.timeout = timeout;
    this.why = why;
  }
}
