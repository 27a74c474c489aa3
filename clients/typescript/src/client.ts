/** The client. Durations are milliseconds, moments are `Date` or milliseconds since 1970. */

import {
  type Answer,
  type Code,
  type CodeKind,
  type Expectation,
  type InboxInfo,
  readCode,
  readExpectation,
  readInbox,
  readInboxes,
  readNothing,
  readWhy,
  type Why,
} from "./answers.js";
import { CodeTimeout, MailbridgeError } from "./errors.js";
import { ANSWER_WITHIN, type Call, pauseAfter, Sender, sleep } from "./sending.js";

/** Of one request that waits. The daemon takes 60 s; many a proxy hangs up after 60 s without an octet. */
const LONGEST_POLL = 50_000;
const DEFAULT_URL = "http://127.0.0.1:8025";

export interface Options {
  /** Default: MAILBRIDGE_URL, else http://127.0.0.1:8025. */
  url?: string;
  /** Default: MAILBRIDGE_TOKEN. */
  token?: string;
  /** How long a request that fails for now (no connection, 429, 502, 503, 504) is sent again: 30,000 ms. A wait has its timeout. */
  patience?: number;
  fetch?: typeof fetch;
}

export interface WaitOptions {
  /** Default 60,000 ms. */
  timeout?: number;
  /**
   * The oldest receipt that will do. Left out: since `expectCode` for this identifier, where that was called before, else since
   * now. So a code that was given is never given again.
   */
  since?: Date | number;
  /** Only of this one: an address, a domain, a pattern with `*`. */
  sender?: string;
  /** Skyvern's id that the code may be bound to. */
  run?: string;
  /** Nobody else may have it afterwards; if the answer is lost on its way, the code is lost too. */
  consume?: boolean;
  signal?: AbortSignal;
}

export interface InboxOptions {
  /** The domains and addresses whose mails it takes; left out, those of any sender that proves itself. */
  senders?: readonly string[];
  /** Milliseconds, or a duration in mailbridge's own words, such as "1h". */
  lifetime?: string | number;
  /** Its codes go to Skyvern too. */
  push?: boolean;
  signal?: AbortSignal;
}

interface Asked {
  readonly signal?: AbortSignal;
}

/** Asks one mailbridge; many waits at once are fine. Throws TypeError where there is no token, or it or the URL is no good. */
export class Mailbridge {
  readonly #sender: Sender;
  readonly #expected = new Map<string, { since: number; holdsUntil: number }>();
  readonly #given = new Map<string, number>();
  readonly #own = new Set<string>();

  constructor(options: Options = {}) {
    const environment = globalThis.process?.env ?? {};
    const url = (options.url ?? environment["MAILBRIDGE_URL"] ?? "").trim() || DEFAULT_URL;
    const token = (options.token ?? environment["MAILBRIDGE_TOKEN"] ?? "").trim();
    this.#sender = new Sender(url, token, options.patience ?? 30_000, options.fetch ?? globalThis.fetch);
  }

  get url(): string {
    return this.#sender.url;
  }

  /**
   * The newest code for an identifier, at once or when it comes.
   *
   * Throws CodeTimeout where nothing came (it says why, as far as mailbridge knows), NotAllowed, UnknownIdentifier, and Unreachable
   * where mailbridge did not answer in that time.
   */
  async waitForCode(identifier: string, options: WaitOptions = {}): Promise<Code> {
    return this.#wait("code", identifier, options);
  }

  /** The same for a magic link. */
  async waitForLink(identifier: string, options: WaitOptions = {}): Promise<Code> {
    return this.#wait("link", identifier, options);
  }

  /** The newest code that is still good, however old; undefined where there is none. */
  async latestCode(identifier: string, options: Pick<WaitOptions, "sender" | "signal"> = {}): Promise<Code | undefined> {
    const call = waitCall("code", identifier, options, 0, 0);
    const code = readCode(await this.#send(call, options));
    if (code) this.#note("code", identifier, code);
    return code;
  }

  /**
   * Say that a code will be wanted within so long (`duration`, default 120,000 ms, at most 600,000): call it before the site sends
   * the mail. Watched mailboxes are asked often meanwhile, and the next wait for this identifier counts from here: a mail that comes
   * before the wait begins is not missed. `sender` counts as known for this token meanwhile.
   */
  async expectCode(
    identifier: string,
    options: { duration?: number; sender?: string; signal?: AbortSignal } = {},
  ): Promise<Expectation> {
    const duration = options.duration ?? 120_000;
    const expectation = readExpectation(await this.#send(expectCall(identifier, duration, options.sender), options));
    const holdsUntil = performance.now() + duration;
    this.#expected.set(identifier.toLowerCase(), { since: expectation.since.getTime(), holdsUntil });
    return expectation;
  }

  /** Why nothing came, in order of likelihood. A token for codes is not told what is about others. */
  async why(identifier: string, options: { since?: Date | number; signal?: AbortSignal } = {}): Promise<Why> {
    return readWhy(await this.#send(whyCall(identifier, options.since), options));
  }

  /**
   * A throw-away inbox with an address that nobody can guess. Release it, or let its lifetime end it. The token must be for inboxes
   * (`inbox-*`).
   */
  async createInbox(options: InboxOptions = {}): Promise<Inbox> {
    const { lifetime } = options;
    const body = {
      ...(options.senders === undefined ? {} : { from: options.senders }),
      ...(lifetime === undefined ? {} : { lifetime: typeof lifetime === "number" ? lifetime / 1000 : lifetime }),
      ...(options.push ? { push: true } : {}),
    };
    const call: Call = { method: "POST", path: "/api/v1/inboxes", body };
    const info = readInbox(await this.#send(call, options));
    this.#own.add(info.identifier.toLowerCase());
    return new Inbox(this, info);
  }

  /** The same for the length of a function. It is released at its end; if that fails, its lifetime ends it. */
  async withInbox<T>(use: (inbox: Inbox) => Promise<T>, options: InboxOptions = {}): Promise<T> {
    const inbox = await this.createInbox(options);
    try {
      return await use(inbox);
    } finally {
      await inbox[Symbol.asyncDispose]();
    }
  }

  /** The inboxes of this token that live. */
  async inboxes(options: Asked = {}): Promise<InboxInfo[]> {
    return readInboxes(await this.#send({ method: "GET", path: "/api/v1/inboxes" }, options));
  }

  /** Erase an inbox by its id. Throws UnknownIdentifier where it is gone. */
  async releaseInbox(id: number, identifier = "", options: Asked = {}): Promise<void> {
    readNothing(await this.#send({ method: "DELETE", path: `/api/v1/inboxes/${id}` }, options));
    const line = identifier.toLowerCase();
    this.#own.delete(line);
    for (const kind of ["code", "link"]) this.#given.delete(`${kind} ${line}`);
  }

  async #send(call: Call, options: Asked, until = performance.now() + this.#sender.patience): Promise<Answer> {
    return this.#sender.send(call, until, options.signal);
  }

  async #wait(kind: CodeKind, identifier: string, options: WaitOptions): Promise<Code> {
    const timeout = options.timeout ?? 60_000;
    const until = performance.now() + timeout;
    const since = options.since === undefined ? await this.#since(kind, identifier, options, until) : Number(options.since);
    for (let early = 0; ; ) {
      const began = performance.now();
      const poll = Math.min(Math.max(0, until - began), LONGEST_POLL);
      const call = waitCall(kind, identifier, options, since, poll);
      const code = readCode(await this.#send(call, options, Math.max(until, began)));
      if (code) {
        this.#note(kind, identifier, code);
        return code;
      }
      if (performance.now() >= until) {
        throw new CodeTimeout(identifier, kind, timeout, await this.#whyIfTold(identifier, since, options));
      }
      early = performance.now() < began + poll / 2 ? early + 1 : 0;
      // A daemon that stops answers at once.
      if (early) await sleep(Math.min(pauseAfter("", early), Math.max(0, until - performance.now())), options.signal);
    }
  }

  /**
   * From when a wait counts that names no moment: from what was expected, or from now by the daemon's clock; for an inbox of our own
   * from its beginning; in every case after what was given before.
   */
  async #since(kind: CodeKind, identifier: string, options: WaitOptions, until: number): Promise<number> {
    const line = identifier.toLowerCase();
    const after = (this.#given.get(`${kind} ${line}`) ?? -1) + 1;
    if (this.#own.has(line)) return after;
    const expected = this.#expected.get(line);
    this.#expected.delete(line);
    if (expected && performance.now() <= expected.holdsUntil) return Math.max(expected.since, after);
    const patience = Math.min(until, performance.now() + this.#sender.patience);
    const told = readExpectation(await this.#send(expectCall(identifier, 0, options.sender), options, patience));
    return Math.max(told.since.getTime(), after);
  }

  #note(kind: CodeKind, identifier: string, code: Code): void {
    if (code.receivedAt) this.#given.set(`${kind} ${identifier.toLowerCase()}`, code.receivedAt.getTime());
  }

  /** What mailbridge says, asked once; undefined where it says nothing to this token. */
  async #whyIfTold(identifier: string, since: number, options: Asked): Promise<Why | undefined> {
    const got = await this.#sender.once(whyCall(identifier, since), options.signal);
    if (typeof got === "string") return undefined;
    try {
      return readWhy(got);
    } catch (error) {
      if (error instanceof MailbridgeError) return undefined;
      throw error;
    }
  }
}

/** A throw-away inbox. `address` is what to type into a site's form. */
export class Inbox {
  readonly info: InboxInfo;
  readonly #client: Mailbridge;

  constructor(client: Mailbridge, info: InboxInfo) {
    this.info = info;
    this.#client = client;
  }

  get address(): string {
    return this.info.address;
  }

  get identifier(): string {
    return this.info.identifier;
  }

  /** The newest code since the inbox was made, or since the one that was given last. Throws as `Mailbridge.waitForCode`. */
  async waitForCode(options: Omit<WaitOptions, "since" | "run"> = {}): Promise<Code> {
    return this.#client.waitForCode(this.identifier, options);
  }

  /** The same for a magic link. */
  async waitForLink(options: Omit<WaitOptions, "since" | "run"> = {}): Promise<Code> {
    return this.#client.waitForLink(this.identifier, options);
  }

  /** Erase it with all that came. Throws UnknownIdentifier where it is gone. */
  async release(): Promise<void> {
    await this.#client.releaseInbox(this.info.id, this.identifier);
  }

  /** For `await using`: the same, but what fails is left to the inbox's lifetime. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.release();
    } catch (error) {
      if (!(error instanceof MailbridgeError)) throw error;
    }
  }
}

function waitCall(kind: CodeKind, identifier: string, options: WaitOptions, since: number, timeout: number): Call {
  const query = {
    identifier,
    timeout: (timeout / 1000).toFixed(3),
    kind,
    since: (since / 1000).toFixed(3),
    ...(options.sender === undefined ? {} : { from: options.sender }),
    ...(options.run === undefined ? {} : { run: options.run }),
    ...(options.consume ? { consume: "true" } : {}),
  };
  return { method: "GET", path: "/api/v1/codes/wait", query, within: timeout + ANSWER_WITHIN };
}

function expectCall(identifier: string, duration: number, sender: string | undefined): Call {
  const from = sender === undefined ? {} : { from: sender };
  return { method: "POST", path: "/api/v1/expect", query: { identifier, seconds: String(duration / 1000), ...from } };
}

function whyCall(identifier: string, since: Date | number | undefined): Call {
  const from = since === undefined ? {} : { since: (Number(since) / 1000).toFixed(3) };
  return { method: "GET", path: "/api/v1/why", query: { identifier, ...from } };
}
