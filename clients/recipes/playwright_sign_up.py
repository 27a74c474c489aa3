"""Signs a new user up with Playwright: a fresh address, and the code of the mail that comes to it.

Needs the packages `playwright` and `mailbridge-2fa-client`. MAILBRIDGE_URL and MAILBRIDGE_TOKEN name mailbridge and a token for
inboxes (`mailbridge token add --identifier 'inbox-*'`), SITE the page to sign up at.
"""

from __future__ import annotations

import os

from playwright.sync_api import Page, sync_playwright

from mailbridge_client import Inbox, Mailbridge


def sign_up(page: Page, inbox: Inbox, site: str) -> None:
    """Type the address, then the code, and wait for the greeting."""
    page.goto(site)
    page.get_by_label("Email").fill(inbox.address)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label("Code").fill(inbox.wait_for_code(timeout=60).value)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("heading", name="Welcome").wait_for()


def main() -> None:
    """One sign-up. CHROMIUM names a browser other than Playwright's own."""
    with Mailbridge() as mailbridge, mailbridge.inbox() as inbox, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"))
        sign_up(browser.new_page(), inbox, os.environ["SITE"])
        browser.close()
        print(f"signed up as {inbox.address}")


if __name__ == "__main__":
    main()
