/** One request: sent, and sent again while it fails for now. */

import { type Answer, titleOf } from "./answers.js";
import { Unreachable } from "./errors.js";

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** Milliseconds that its answer may take. */
  readonly within?: number;
}

/** Where mailbridge is and who asks. The token is in no property that is printed. */
export class Sender {
  readonly url: string;
  readonly patience: number;
  readonly #token: string;
  readonly #fetch: typeof fetch;

  constructor(url: string, token: string, patience: number, fetching: typeof fetch) {
    this.url = checkedUrl(url);
    this.patience = patience;
    this.#token = checkedToken(token);
    this.#fetch = fetching;
  }

  /** The answer, or a text that says why there is none. Throws only the reason of `signal`. */
  async once(call: Call, signal?: AbortSignal): Promise<Answer | string> {
    signal?.throwIfAborted();
    const query = call.query ? `?${new URLSearchParams(call.query)}` : "";
    const ends = AbortSignal.timeout(Math.ceil(call.within ?? ANSWER_WITHIN));
    try {
      const response = await this.#fetch(`${this.url}${call.path}${query}`, {
        method: call.method,
        headers: {
          Authorization: `Bearer ${this.#token}`,
          Accept: "application/json",
          ...(call.body ? { "Content-Type": "application/json" } : {}),
        },
        ...(call.body ? { body: JSON.stringify(call.body) } : {}),
        redirect: "manual",
        signal: signal ? AbortSignal.any([ends, signal]) : ends,
      });
      const text = await response.text();
      return { status: response.status, text, retryAfter: response.headers.get("Retry-After") ?? "" };
    } catch (error) {
      signal?.throwIfAborted();
      return `${this.url}: ${described(error)}`;
    }
  }

  /** The answer of a call, sent again while it fails for now, until `until` (of `performance.now()`). Throws Unreachable after that. */
  async send(call: Call, until: number, signal?: AbortSignal): Promise<Answer> {
    for (let count = 0; ; count++) {
      const got = await this.once(call, signal);
      if (typeof got !== "string" && !AGAIN.has(got.status)) return got;
      const pause = pauseAfter(got, count);
      if (performance.now() + pause > until) {
        if (typeof got === "string") throw new Unreachable(`mailbridge does not answer: ${got}`);
        throw new Unreachable(`mailbridge cannot be used now: ${titleOf(got)}`, got.status);
      }
      await sleep(pause, signal);
    }
  }
}

export const ANSWER_WITHIN = 15_000;
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 3_000;
const AGAIN = new Set([429, 502, 503, 504]);

/** What the answer asks for (RFC 9110 10.2.3), and some more; else a random part of a time that grows. Milliseconds. */
export function pauseAfter(got: Answer | string, count: number): number {
  const header = typeof got === "string" ? "" : got.retryAfter.trim();
  const date = Date.parse(header);
  if (/^[0-9]{1,9}$/.test(header)) return Number(header) * 1000 + FIRST_PAUSE * Math.random();
  if (!Number.isNaN(date) && /[a-z]/i.test(header)) return Math.max(0, date - Date.now()) + FIRST_PAUSE * Math.random();
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** count) * (0.1 + 0.9 * Math.random());
}

/** Sleep so many milliseconds. Throws the reason of `signal`. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return "no answer";
  const cause = error.cause;
  return cause instanceof Error ? cause.message || ((cause as NodeJS.ErrnoException).code ?? error.message) : error.message;
}

function checkedUrl(given: string): string {
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new TypeError("the URL of mailbridge cannot be read");
  }
  if (!/^https?:$/.test(url.protocol) || !url.host || url.username || url.password || url.search || url.hash) {
    throw new TypeError("the URL of mailbridge must be like http://127.0.0.1:8025, without user, query and fragment");
  }
  return url.href.replace(/\/+$/, "");
}

function checkedToken(token: string): string {
  if (!token) {
    throw new TypeError("no token: set MAILBRIDGE_TOKEN, or give { token }; `mailbridge token add --identifier …` prints one");
  }
  if (!/^[!-~]+$/.test(token)) throw new TypeError("the token has blanks or characters beyond ASCII");
  return token;
}
