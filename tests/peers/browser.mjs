// A browser that is told what to do: a line of JSON with a script comes in, a line with what it gave goes out.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// A name of a stranger's that leads to this machine, as after DNS rebinding.
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP rebound.example 127.0.0.1"] });
const complaints = [];
const contexts = {};
const pages = {};

// A page by a name; pages of one context share their cookies.
async function open(name, { context = name, ...options } = {}) {
  contexts[context] ??= await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await contexts[context].newPage();
  page.setDefaultTimeout(60000);
  const base = () => new URL(process.env.BASE);
  page.on("console", (one) => {
    if (["error", "warning"].includes(one.type())) complaints.push(`${one.type()}: ${one.text()} (${page.url()})`);
  });
  page.on("pageerror", (fault) => complaints.push(`exception: ${fault.message}`));
  page.on("dialog", (one) => { complaints.push(`dialog: ${one.message()}`); one.dismiss(); });
  page.on("request", (one) => {
    const { host, protocol } = new URL(one.url());
    if (protocol !== "data:" && host !== base().host) complaints.push(`external: ${one.url()}`);
  });
  pages[name] = page;
  return page;
}

// What axe finds serious on a page as it is.
async function axe(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
}

const AsyncFunction = (async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  const { script, given } = JSON.parse(line);
  let answer;
  try {
    const run = new AsyncFunction("open", "pages", "contexts", "axe", "given", "complaints", script);
    answer = { value: (await run(open, pages, contexts, axe, given, complaints)) ?? null };
  } catch (fault) {
    answer = { fault: String(fault.stack ?? fault) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
