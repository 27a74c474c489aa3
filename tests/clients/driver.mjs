// The TypeScript client, told what to do by a line of JSON, and telling what became of it by another.
import { createInterface } from "node:readline";

import { Mailbridge } from "mailbridge-2fa-client";

const inboxes = new Map();
let client;

function shown(value) {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(shown);
  if (value?.kind !== undefined && "expiresAt" in value) return { ...entries(value), value: value.value };
  return value !== null && typeof value === "object" ? entries(value) : value;
}

function entries(value) {
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one)]));
}

async function done({ inbox, method, given }) {
  if (method === "make") {
    client = new Mailbridge(given[0]);
    return null;
  }
  if (method === "createInbox") {
    const made = await client.createInbox(...given);
    inboxes.set(made.info.id, made);
    return made.info;
  }
  const on = inbox === undefined ? client : inboxes.get(inbox);
  return (await on[method](...given)) ?? null;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${JSON.stringify({ value: shown(await done(JSON.parse(line))) })}\n`);
  } catch (error) {
    const { name, message, status, why } = error;
    process.stdout.write(`${JSON.stringify({ fault: { name, message, status: status ?? null, why: why ? shown(why) : null } })}\n`);
  }
}
