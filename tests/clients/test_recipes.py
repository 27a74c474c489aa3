"""The recipes of clients/recipes do what they say, against a running daemon, in a real browser where they drive one."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.kinds import MISSING, is_node_installed
from tests.clients.letters import send
from tests.clients.model import Model
from tests.clients.programs import ANN, RECIPES, built, python, run, variables
from tests.clients.site import Site, serving
from tests.peers.browser import CACHE, CHROMIUM
from tests.peers.practice import PracticePeer, running_practice
from tests.peers.skyvern import ENVIRONMENT as SKYVERN
from tests.web.daemon import Daemon, running_daemon

AGENTS = CACHE / "agents"
STAGEHAND = CACHE / "stagehand" / "node_modules"
STAGED = """
import { localBrowser, Stagehand } from "@browserbasehq/stagehand";
import { logIn } from "./stagehand-log-in.mjs";

const asked = [];
async function generate(question) {
  asked.push(JSON.stringify(question));
  const tag = question.responseFormat.name === "Observation" ? "textbox" : "button";
  const [, elementId] = new RegExp(String.raw`\\[([0-9]+-[0-9]+)\\] ${tag}`).exec(question.messages.at(-1).content.text);
  const element = { elementId, description: tag, method: tag === "button" ? "click" : "fill", arguments: [] };
  const structuredContent = tag === "button" ? { action: element, twoStep: false } : { elements: [element] };
  const content = { type: "text", text: JSON.stringify(structuredContent) };
  return { role: "assistant", content, outputFormat: "json_schema", structuredContent };
}

const browser = await localBrowser.launch({ headless: true, executablePath: process.env.CHROMIUM, chromiumSandbox: false });
const stagehand = await Stagehand.create({ browser, model: { generate }, logging: { level: "off" } });
const [page] = await browser.context.pages();
await logIn(stagehand, page, process.env.SITE, "ann@corp.com");
await page.waitForSelector("h1");
console.log(JSON.stringify({ heading: await page.locator("h1").innerText(), asked }));
await stagehand.close();
await browser.close();
"""


@pytest.mark.e2e
def test_playwright_in_python(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """A new user is signed up, and the inbox is gone afterwards."""
    environment = {**variables(daemon, site, "inbox-*"), "PYTHONPATH": str(installed)}
    said = run([python(AGENTS), RECIPES / "playwright_sign_up.py"], tmp_path, environment)
    assert (site.welcomed, list(site.codes)) == (1, [said.split()[-1]])
    assert httpx.get(f"http://{daemon.http}/api/v1/inboxes", headers=daemon.headers, trust_env=False).json() == {"inboxes": []}


@pytest.mark.e2e
def test_playwright_in_typescript(daemon: Daemon, site: Site, typescript: Path) -> None:
    """The same."""
    said = run(["node", built(RECIPES / "playwright-sign-up.ts", typescript)], typescript, variables(daemon, site, "inbox-*"))
    assert (site.welcomed, list(site.codes)) == (1, [said.split()[-1]])


@pytest.mark.e2e
def test_browser_use(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """An agent logs in, and its model is never shown the code."""
    model = Model(site.url, ANN)
    quiet = {
        "OPENAI_API_KEY": "none",
        "ANONYMIZED_TELEMETRY": "false",
        "BROWSER_USE_VERSION_CHECK": "false",
        "BROWSER_USE_DISABLE_EXTENSIONS": "1",
        "IN_DOCKER": "true",
    }
    with serving(model):
        environment = {**variables(daemon, site, ANN), **quiet, "OPENAI_BASE_URL": model.url, "PYTHONPATH": str(installed)}
        said = run([python(AGENTS), RECIPES / "browser_use_log_in.py"], tmp_path, environment)
    assert not any(site.codes[ANN] in text for text in (said, *model.asked))
    assert (said.splitlines()[-1], site.welcomed) == ("logged in", 1)
    assert len(model.asked) >= 5


@pytest.mark.e2e
def test_stagehand(daemon: Daemon, site: Site, typescript: Path) -> None:
    """It logs in, and its model is never shown the code. Node 20 has what it needs behind a switch."""
    if not (STAGEHAND.parent / ".complete").exists() or not CHROMIUM.exists():
        pytest.skip("no Stagehand: run tests/e2e/install (or `make e2e`)")
    for one in STAGEHAND.iterdir():
        if not one.name.startswith(".") and not (typescript / "node_modules" / one.name).exists():
            (typescript / "node_modules" / one.name).symlink_to(one)
    built(RECIPES / "stagehand-log-in.ts", typescript)
    (typescript / "staged.mjs").write_text(STAGED, encoding="utf-8")
    said = run(["node", "--experimental-websocket", "staged.mjs"], typescript, variables(daemon, site, ANN))
    told = json.loads(said.splitlines()[-1])
    assert not any(site.codes[ANN] in text for text in told["asked"])
    assert (told["heading"], site.welcomed, len(told["asked"])) == ("Welcome", 1, 3)


@contextmanager
def runs_of_skyvern(practice: PracticePeer, site: Site) -> Iterator[str]:
    """The part of Skyvern's API that starts runs, beside the practice receiver; a run signs up as its prompt says, with the code that it
    finds under its identifier. Gives the URL."""
    runs: dict[str, Any] = {}

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """`POST /v1/run/tasks`."""
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, self.headers["x-api-key"]) == ("/v1/run/tasks", "a-key")
            runs.update(asked)
            (address,) = re.findall(r"[\w.-]+@[\w.-]+\w", asked["prompt"])
            site.page("/code", address)
            self._answer("running")

        def do_GET(self) -> None:
            """`GET /v1/runs/{run_id}`."""
            code = practice.resolve(runs["totp_identifier"]).value
            self._answer("running" if code is None else "completed" if "Welcome" in site.page("/done", code) else "failed")

        def _answer(self, status: str) -> None:
            now = "2026-01-31T12:00:00Z"
            row = {"run_id": "tsk_1", "status": status, "run_type": "task_v2", "created_at": now, "modified_at": now}
            content = json.dumps(row).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.e2e
def test_skyvern(installed: Path, tmp_path: Path) -> None:
    """Its SDK starts a run with an inbox's identifier, and mailbridge pushes the code of the inbox under it."""
    folder = tmp_path / "daemon"
    folder.mkdir()
    with running_practice() as practice:
        pushes = {"SKYVERN_BASE_URL": practice.base_url, "SKYVERN_API_KEY": practice.api_key or "a-key"}
        with running_daemon(folder, **pushes) as daemon:
            site = Site(lambda address, code: send(daemon, address, code, rcpt=address))
            with serving(site), runs_of_skyvern(practice, site) as url:
                environment = {
                    **variables(daemon, site, "inbox-*"),
                    "SKYVERN_BASE_URL": url,
                    "SKYVERN_API_KEY": "a-key",
                    "PYTHONPATH": str(installed),
                    "SKYVERN_TELEMETRY": "false",
                }
                said = run([python(SKYVERN), RECIPES / "skyvern_sign_up.py"], tmp_path, environment)
            assert said.split()[-1].endswith("completed")
            assert site.welcomed == 1


def test_n8n(daemon: Daemon, site: Site) -> None:
    """The workflow's requests, put together from its nodes as n8n does, get the code of a mail between the two."""
    told = variables(daemon, site, ANN)
    workflow = json.loads((RECIPES / "n8n.json").read_text(encoding="utf-8"))
    names = [node["name"] for node in workflow["nodes"]]
    assert list(workflow["connections"]) == names[:-1]
    assert [workflow["connections"][one]["main"][0][0]["node"] for one in names[:-1]] == names[1:]
    _, wanted, *requests = workflow["nodes"]
    items = {wanted["name"]: {**json.loads(wanted["parameters"]["jsonOutput"]), "mailbridge": told["MAILBRIDGE_URL"]}}
    before = wanted["name"]

    def evaluated(text: str) -> str:
        """An expression of n8n with members of items in it."""
        if not text.startswith("="):
            return text
        found = re.sub(r"{{ \$json\.(\w+) }}", lambda one: str(items[before][one[1]]), text[1:])
        found = re.sub(r"{{ \$\('([^']+)'\)\.item\.json\.(\w+) }}", lambda one: str(items[one[1]][one[2]]), found)
        assert "{{" not in found
        return found

    with httpx.Client(headers={"Authorization": f"Bearer {told['MAILBRIDGE_TOKEN']}"}, trust_env=False, timeout=70) as client:
        for node in requests:
            given = node["parameters"]
            assert (given["authentication"], given["genericAuthType"]) == ("genericCredentialType", "httpHeaderAuth")
            query = {evaluated(one["name"]): evaluated(one["value"]) for one in given["queryParameters"]["parameters"]}
            answer = client.request(given["method"], evaluated(given["url"]), params=query)
            items[node["name"]], before = answer.raise_for_status().json(), node["name"]
            if given["method"] == "POST":
                site.page("/code", ANN)
            else:
                assert given["options"]["timeout"] > 1000 * float(query["timeout"])
    assert items["Wait for the code"]["code"] == site.codes[ANN]


@pytest.mark.e2e
def test_zapier(daemon: Daemon, site: Site, tmp_path: Path) -> None:
    """The step gives the code to those after it, and fails where there is none."""
    told = variables(daemon, site, ANN)
    began = httpx.post(
        f"{told['MAILBRIDGE_URL']}/api/v1/expect",
        params={"identifier": ANN, "seconds": 0},
        headers=daemon.headers,
        trust_env=False,
    )
    site.page("/code", ANN)
    data = {"url": told["MAILBRIDGE_URL"], "token": told["MAILBRIDGE_TOKEN"], "identifier": ANN, "since": began.json()["since"]}
    step = (RECIPES / "zapier.js").read_text(encoding="utf-8")
    program = tmp_path / "step.mjs"
    program.write_text(
        f"const inputData = {json.dumps(data)};\nlet output;\n{step}\nconsole.log(JSON.stringify(output));", encoding="utf-8"
    )
    if not is_node_installed():
        pytest.skip(MISSING)
    said = json.loads(run(["node", program], tmp_path, told))
    assert (said["code"], said["from"]) == (site.codes[ANN], "no-reply@github.com")
    refused = subprocess.run(
        ["node", "--input-type=module", "-e", program.read_text("utf-8").replace(ANN, "ben@elsewhere.example")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "not for that identifier" in refused.stderr
