/** What mailbridge answers, as values, and how its JSON is read. */

import { BadRequest, MailbridgeError, NotAllowed, UnknownIdentifier, Unreachable } from "./errors.js";

/** Stands for every code, however long it is. */
const MASK = "******";

export type CodeKind = "code" | "link" | "totp";
const KINDS: readonly CodeKind[] = ["code", "link", "totp"];

/** What came back: a status, the text of the body, and the header Retry-After. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string;
}

/**
 * A code, or a magic link (`kind` "link"). `value` is the secret; what is printed, logged or made JSON of shows a mask in its place.
 *
 * `receivedAt` and `mail` are null for an authenticator's code (`kind` "totp"). `run` is the id of Skyvern's that it is bound to.
 */
export class Code {
  readonly #value: string;
  readonly identifier: string;
  readonly kind: CodeKind;
  readonly sender: string | null;
  readonly rule: string | null;
  readonly receivedAt: Date | null;
  readonly expiresAt: Date;
  readonly run: string | null;
  readonly mail: number | null;
  readonly isConsumed: boolean;

  constructor(row: Row) {
    this.#value = text(row["code"]);
    this.identifier = text(row["identifier"]);
    this.kind = kind(row["kind"]);
    this.sender = maybe(row["from"], text);
    this.rule = maybe(row["rule"], text);
    this.receivedAt = maybe(row["received_at"], moment);
    this.expiresAt = moment(row["expires_at"]);
    this.run = maybe(row["run"], text);
    this.mail = maybe(row["mail"], whole);
    this.isConsumed = flag(row["is_consumed"]);
  }

  /** The secret. */
  get value(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): object {
    return { ...this, value: MASK };
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Code { value: '${MASK}', kind: '${this.kind}', identifier: '${this.identifier}', mail: ${this.mail} }`;
  }
}

/** mailbridge knows that a code is wanted until `until`. `since` is when it was told so, by its own clock. */
export interface Expectation {
  readonly identifier: string;
  readonly since: Date;
  readonly until: Date;
}

/** Why nothing came: `kind` for programs, `text` and `hint` ("" for none) for people. */
export interface Cause {
  readonly kind: string;
  readonly certainty: string;
  readonly text: string;
  readonly hint: string;
  readonly mail: number | null;
  readonly delivery: number | null;
  readonly facts: Readonly<Record<string, string>>;
}

/** The causes in order of likelihood, for mails since `since`. */
export interface Why {
  readonly identifier: string;
  readonly since: Date;
  readonly isWaitedFor: boolean;
  readonly causes: readonly Cause[];
}

/**
 * A throw-away inbox: mail to `address` brings codes under `identifier`, until `expiresAt`.
 *
 * `senders`: the domains and addresses whose mails it takes; empty: those of any sender that proves itself.
 */
export interface InboxInfo {
  readonly id: number;
  readonly identifier: string;
  readonly address: string;
  readonly senders: readonly string[];
  readonly expiresAt: Date;
}

type Row = Readonly<Record<string, unknown>>;

/** undefined where the time was over. */
export const readCode = (answer: Answer): Code | undefined =>
  read(answer, (row) => (row["code"] === null ? undefined : new Code(row)));

export const readExpectation = (answer: Answer): Expectation =>
  read(answer, (row) => ({
    identifier: text(row["identifier"]),
    since: moment(row["since"]),
    until: moment(row["until"]),
  }));

export const readWhy = (answer: Answer): Why =>
  read(answer, (row) => ({
    identifier: text(row["identifier"]),
    since: moment(row["since"]),
    isWaitedFor: flag(row["is_waited_for"]),
    causes: list(row["causes"]).map(cause),
  }));

export const readInbox = (answer: Answer): InboxInfo => read(answer, inbox);

export const readInboxes = (answer: Answer): InboxInfo[] => read(answer, (row) => list(row["inboxes"]).map(inbox));

export function readNothing(answer: Answer): void {
  if (answer.status < 200 || answer.status >= 300) throw refusal(answer);
}

/** What an answer that is no success says of itself (RFC 9457). */
export function titleOf(answer: Answer): string {
  try {
    const title: unknown = (JSON.parse(answer.text) as Row | null)?.["title"];
    if (typeof title === "string" && title) return title.slice(0, 500);
  } catch {
    // no JSON: its status has to do
  }
  return `it answered ${answer.status}`;
}

function read<T>(answer: Answer, reader: (row: Row) => T): T {
  if (answer.status < 200 || answer.status >= 300) throw refusal(answer);
  try {
    return reader(record(JSON.parse(answer.text)));
  } catch {
    // the cause would show the content, and with it a code
    throw new MailbridgeError("the answer is not mailbridge's: is the URL right?", answer.status);
  }
}

function refusal(answer: Answer): MailbridgeError {
  const { status } = answer;
  if (status < 400) {
    const what = "a redirect, which is not followed since the token would go along: is the URL right?";
    return new MailbridgeError(`answered ${status || "with"}, ${what}`, status);
  }
  const title = titleOf(answer);
  if (status === 401 || status === 403) return new NotAllowed(title, status);
  if (status === 404) return new UnknownIdentifier(title, status);
  if (status === 400 || status === 409 || status === 422) return new BadRequest(title, status);
  return status === 429 || status >= 500 ? new Unreachable(title, status) : new MailbridgeError(title, status);
}

function cause(value: unknown): Cause {
  const row = record(value);
  return {
    kind: text(row["kind"]),
    certainty: text(row["certainty"]),
    text: text(row["text"]),
    hint: text(row["hint"]),
    mail: maybe(row["mail"], whole),
    delivery: maybe(row["delivery"], whole),
    facts: record(row["facts"]) as Record<string, string>,
  };
}

function inbox(value: unknown): InboxInfo {
  const row = record(value);
  return {
    id: whole(row["id"]),
    identifier: text(row["identifier"]),
    address: text(row["address"]),
    senders: list(row["from"]).map(text),
    expiresAt: moment(row["expires_at"]),
  };
}

function fail(): never {
  throw new TypeError("not as /openapi.json says");
}

const record = (value: unknown): Row => (typeof value === "object" && value !== null ? (value as Row) : fail());
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : fail());
const text = (value: unknown): string => (typeof value === "string" ? value : fail());
const whole = (value: unknown): number => (typeof value === "number" ? value : fail());
const flag = (value: unknown): boolean => (typeof value === "boolean" ? value : fail());
const kind = (value: unknown): CodeKind => KINDS.find((one) => one === value) ?? fail();

function moment(value: unknown): Date {
  const at = new Date(text(value));
  return Number.isNaN(at.getTime()) ? fail() : at;
}

function maybe<T>(value: unknown, reader: (value: unknown) => T): T | null {
  return value === null ? null : reader(value);
}
