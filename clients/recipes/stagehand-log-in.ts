// Logs in with Stagehand: the model finds the fields, and never sees the code.
//
// Needs the packages `@browserbasehq/stagehand` (4) and `mailbridge-2fa-client`. MAILBRIDGE_URL and MAILBRIDGE_TOKEN name mailbridge and a
// token for the identifier (`mailbridge token add --identifier ann@corp.com`), SITE the page to log in at. Stagehand 4 needs Node 22.
import { localBrowser, type Page, Stagehand } from "@browserbasehq/stagehand";
import { Mailbridge } from "mailbridge-2fa-client";

export async function logIn(stagehand: Stagehand, page: Page, site: string, identifier: string): Promise<void> {
  const mailbridge = new Mailbridge();
  const fill = async (field: string, value: string): Promise<void> => {
    const { data: found } = await stagehand.observe(`find ${field}`);
    if (!found[0]) throw new Error(`no field: ${field}`);
    await page.locator(found[0].selector).fill(value);
  };
  await page.goto(site);
  await fill("the field for the e-mail address", identifier);
  await mailbridge.expectCode(identifier, { duration: 180_000 });
  await stagehand.act("click the button that sends the form");
  const code = await mailbridge.waitForCode(identifier, { timeout: 90_000 });
  await fill("the field for the one-time code", code.value);
  await page.keyPress("Enter"); // and no `act` before the form is sent: the model is shown what stands in a field
}

if (process.env["OPENAI_API_KEY"]) {
  const browser = await localBrowser.launch({ headless: true });
  const stagehand = await Stagehand.create({
    browser,
    model: { modelName: "openai/gpt-5-mini", apiKey: process.env["OPENAI_API_KEY"] },
  });
  const [page] = await browser.context.pages();
  await logIn(stagehand, page!, process.env["SITE"]!, "ann@corp.com");
  await stagehand.close();
  await browser.close();
}
