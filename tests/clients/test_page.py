"""The examples of docs/clients.md and of the packages' own pages do what they say, word for word."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.programs import ANN, RECIPES, built, run, variables
from tests.clients.site import Site
from tests.conftest import ROOT
from tests.web.daemon import Daemon

DOCS = ROOT / "docs" / "clients.md"


def blocks(language: str, page: Path = DOCS) -> list[str]:
    """The blocks of a language in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def mail_comes(program: str) -> str:
    """A program of the page with a call of the site where the page says so."""
    mark = "... here the form of the site is sent ..."
    assert program.count(mark) == 1
    return re.sub(rf"^( *)(?:#|//) {re.escape(mark)}$", r"\1{send}", program, flags=re.MULTILINE)


def sent_by(language: str, site: Site) -> str:
    """A line that sends the site's form for Ann."""
    url = f"{site.url}code"
    return {
        "python": f"import httpx; httpx.post({url!r}, data={{'value': {ANN!r}}}, trust_env=False)",
        "typescript": f"await fetch({url!r}, {{ method: 'POST', body: new URLSearchParams({{ value: {ANN!r} }}) }});",
        "sh": f"curl --silent --output /dev/null --data-urlencode value={ANN} {url}",
    }[language]


def test_the_page_in_python(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """Its example prints the code of the mail that is sent in between, and says what is the matter where none comes."""
    environment = {**variables(daemon, site, ANN), "PYTHONPATH": str(installed)}
    program = mail_comes(blocks("python")[0])
    said = run([sys.executable, "-c", program.replace("{send}", sent_by("python", site))], tmp_path, environment)
    assert said == f"{site.codes[ANN]}\n"
    nothing = program.replace("{send}", "pass").replace("timeout=60", "timeout=0.2")
    done = subprocess.run([sys.executable, "-c", nothing], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"no code for {ANN} within 0.2 s: ")


def test_the_page_in_pytest(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """Its test passes, with a site's page in place of one."""
    (tmp_path / "test_page.py").write_text(blocks("python")[1], encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import httpx, os, pytest\n"
        "class Site:\n"
        "    def sign_up(self, address):\n"
        "        httpx.post(os.environ['SITE'] + 'code', data={'value': address}, trust_env=False)\n"
        "    def enter(self, code):\n"
        "        assert 'Welcome' in httpx.post(os.environ['SITE'] + 'done', data={'value': code}, trust_env=False).text\n"
        "@pytest.fixture\n"
        "def site():\n"
        "    return Site()\n",
        encoding="utf-8",
    )
    environment = {**variables(daemon, site, "inbox-*"), "PYTHONPATH": str(installed)}
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", "test_page.py"], tmp_path, environment)
    assert "1 passed" in said
    assert site.welcomed == 1


@pytest.mark.e2e
def test_the_page_in_typescript(daemon: Daemon, site: Site, typescript: Path, tmp_path: Path) -> None:
    """The same; it passes the compiler as it is printed."""
    (program,) = blocks("typescript")
    source = tmp_path / "page.ts"
    source.write_text(program, encoding="utf-8")
    built(source, typescript)
    source.write_text(mail_comes(program).replace("{send}", sent_by("typescript", site)), encoding="utf-8")
    said = run(["node", built(source, typescript)], typescript, variables(daemon, site, ANN))
    assert said == f"{site.codes[ANN]}\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl (Debian: apt-get install curl)")
def test_the_page_with_curl(daemon: Daemon, site: Site, tmp_path: Path) -> None:
    """Its two requests get the code of the mail that is sent in between, and not an older one."""
    program = mail_comes(blocks("sh")[1])
    site.page("/code", ANN)
    said = run(
        ["bash", "-euc", program.replace("{send}", sent_by("sh", site))],
        tmp_path,
        {**variables(daemon, site, ANN), "LC_ALL": "C"},
    )
    assert json.loads(said)["code"] == site.codes[ANN]
    empty = run(
        ["bash", "-euc", program.replace("{send}", "true").replace("=60", "=0.2")], tmp_path, variables(daemon, site, ANN)
    )
    assert json.loads(empty)["code"] is None


@pytest.mark.parametrize("folder", ["python", "typescript"])
def test_a_readme_shows_what_there_is(folder: str) -> None:
    """Its links lead somewhere, and its example uses functions that the package has."""
    page = ROOT / "clients" / folder / "README.md"
    text = page.read_text(encoding="utf-8")
    assert all((page.parent / target).exists() for target in re.findall(r"\]\(([^)\s]+)\)", text))
    (program,) = blocks(folder, page)
    source = "".join(one.read_text("utf-8") for one in (ROOT / "clients" / folder).rglob("*") if one.suffix in (".py", ".ts"))
    called = set(re.findall(r"(?:mailbridge|inbox)\.(\w+)", program))
    assert called
    assert all(re.search(rf"\b{name}\b\s*[(<]", source) for name in called)


def test_every_recipe_is_in_the_page() -> None:
    """And the page names no other."""
    named = set(re.findall(r"\]\(\.\./clients/recipes/([\w.-]+)\)", DOCS.read_text(encoding="utf-8")))
    assert named == {path.name for path in RECIPES.iterdir() if path.is_file()}
