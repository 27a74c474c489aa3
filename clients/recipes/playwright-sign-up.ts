// Signs a new user up with Playwright: a fresh address, and the code of the mail that comes to it.
//
// Needs the packages `playwright-core` (or `playwright`) and `mailbridge-2fa-client`. MAILBRIDGE_URL and MAILBRIDGE_TOKEN name mailbridge
// and a token for inboxes (`mailbridge token add --identifier 'inbox-*'`), SITE the page to sign up at, CHROMIUM a browser.
import { type Inbox, Mailbridge } from "mailbridge-2fa-client";
import { chromium, type Page } from "playwright-core";

async function signUp(page: Page, inbox: Inbox, site: string): Promise<void> {
  await page.goto(site);
  await page.getByLabel("Email").fill(inbox.address);
  await page.getByRole("button", { name: "Sign up" }).click();
  const code = await inbox.waitForCode({ timeout: 60_000 });
  await page.getByLabel("Code").fill(code.value);
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByRole("heading", { name: "Welcome" }).waitFor();
}

const mailbridge = new Mailbridge();
await mailbridge.withInbox(async (inbox) => {
  const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] });
  await signUp(await browser.newPage(), inbox, process.env["SITE"]!);
  await browser.close();
  console.log(`signed up as ${inbox.address}`);
});
