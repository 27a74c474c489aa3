// What the client does against a daemon that answers from a script. Its tests against a real one are with the daemon's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { CodeTimeout, Mailbridge, NotAllowed, Unreachable } from "../dist/index.js";

const CODE = {
  identifier: "ann@corp.com",
  code: "482913",
  kind: "code",
  from: "no-reply@github.com",
  rule: "github",
  received_at: "2026-01-31T12:00:07.500Z",
  expires_at: "2026-01-31T12:10:07.500Z",
  run: null,
  mail: 7,
  is_consumed: false,
};
const EXPECTED = { identifier: "ann@corp.com", since: "2026-01-31T12:00:00.250Z", until: "2026-01-31T12:00:00.250Z" };
const NOTHING = { identifier: "ann@corp.com", code: null };

const ok = (row) => () => new Response(JSON.stringify(row), { status: 200 });
const problem = (status, title, headers = {}) => () => new Response(JSON.stringify({ title, status }), { status, headers });
const refused = () => {
  throw Object.assign(new TypeError("fetch failed"), { cause: new Error("connect ECONNREFUSED") });
};

function scripted(...script) {
  const asked = [];
  const fetching = async (url, options) => {
    asked.push({ url: new URL(url), ...options });
    return (script.length > 1 ? script.shift() : script[0])();
  };
  return { asked, client: new Mailbridge({ url: "http://127.0.0.1:1/", token: "mb_secret", patience: 2_000, fetch: fetching }) };
}

test("a code shows its secret to nobody who only prints it", async () => {
  const { client } = scripted(ok(EXPECTED), ok(CODE));
  const code = await client.waitForCode("ann@corp.com");
  assert.equal(code.value, "482913");
  for (const text of [inspect(code), inspect([code]), String(code), JSON.stringify({ code }), `${code}`, inspect(code, { showHidden: true })]) {
    assert.ok(!text.includes("482913"), text);
    assert.ok(text.includes("******"), text);
  }
  assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes("mb_secret"));
});

test("what fails for now is asked again, with the same question", async () => {
  const { client, asked } = scripted(ok(EXPECTED), refused, problem(503, "later"), problem(429, "later", { "Retry-After": "0" }), ok(CODE));
  assert.equal((await client.waitForCode("ann@corp.com")).value, "482913");
  assert.equal(asked.length, 5);
  assert.equal(new Set(asked.slice(1).map((one) => one.url.searchParams.get("since"))).size, 1);
  assert.ok(asked.every((one) => one.redirect === "manual" && one.headers.Authorization === "Bearer mb_secret"));
});

test("a refusal is not asked again", async () => {
  const { client, asked } = scripted(problem(401, "a bearer token is needed"));
  await assert.rejects(client.waitForCode("ann@corp.com"), (fault) => fault instanceof NotAllowed && fault.status === 401);
  assert.equal(asked.length, 1);
});

test("a redirect is not followed, since the token would go along", async () => {
  const { client, asked } = scripted(problem(302, "", { Location: "http://127.0.0.1:2/" }));
  await assert.rejects(client.latestCode("ann@corp.com"), /a redirect, which is not followed/);
  assert.equal(asked.length, 1);
});

test("a daemon that cannot be reached is told from a mail that did not come", async () => {
  const away = scripted(refused);
  await assert.rejects(away.client.waitForCode("ann@corp.com", { timeout: 300 }), Unreachable);
  await assert.rejects(away.client.waitForCode("ann@corp.com", { timeout: 300 }), /ECONNREFUSED/);
  const longer = scripted(problem(429, "too many", { "Retry-After": "3600" }));
  await assert.rejects(longer.client.waitForCode("ann@corp.com"), /cannot be used now: too many/);
  const empty = scripted(ok(EXPECTED), ok(NOTHING));
  await assert.rejects(empty.client.waitForCode("ann@corp.com", { timeout: 0 }), CodeTimeout);
});

test("a code is given once, and a wait counts from what was expected", async () => {
  const { client, asked } = scripted(ok({ ...EXPECTED, since: "2026-01-31T11:59:30Z" }), ok(CODE), ok(EXPECTED), ok(CODE));
  await client.expectCode("Ann@corp.com");
  await client.waitForCode("ann@corp.com");
  await client.waitForCode("ann@corp.com");
  const since = asked.filter((one) => one.url.pathname.endsWith("/wait")).map((one) => Number(one.url.searchParams.get("since")) * 1000);
  assert.deepEqual(since, [Date.parse("2026-01-31T11:59:30Z"), Date.parse("2026-01-31T12:00:07.501Z")]);
});

test("a caller may give up", async () => {
  const { client } = scripted(ok(EXPECTED), refused);
  const giving = new AbortController();
  const waiting = client.waitForCode("ann@corp.com", { signal: giving.signal });
  giving.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("a mistake in the settings is told before anything is sent, and repeats neither", () => {
  for (const [url, token] of [
    ["http://127.0.0.1:1", ""],
    ["http://127.0.0.1:1", "two words"],
    ["no url", "mb_secret"],
    ["ftp://host.example", "mb_secret"],
    ["http://ann:word@host.example", "mb_secret"],
    ["http://host.example?x=1", "mb_secret"],
  ]) {
    assert.throws(() => new Mailbridge({ url, token }), (fault) => fault instanceof TypeError && !/mb_secret|word@/.test(fault.message));
  }
});
