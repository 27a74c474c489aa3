"""The documentation as a site: every link leads somewhere, and a reader's browser asks nobody else for anything."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.site import ROOT, build, gather

LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
ELSEWHERE = ("http", "https", "mailto")


class Page(HTMLParser):
    """A page's links, what it loads, and the places in it that a link may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag."""
        known = {name: value or "" for name, value in attrs}
        self.places |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        if (address := known.get(LOADING.get(tag, ""), "")) and known.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(address)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The site, built once, without a warning."""
    folder = tmp_path_factory.mktemp("site")
    gather(folder)
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        path: Page(path.read_text(encoding="utf-8")) for path in (folder / "site").rglob("*.html") if path.name != "404.html"
    }
    assert len(found) == len(list(ROOT.glob("docs/*.md"))) + len(("README.md", "CHANGELOG.md", "SECURITY.md"))
    return found


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    """Every link that leads nowhere."""
    for path, page in pages.items():
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme in ELSEWHERE or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.name}: {link}"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{path.name}: {link}: no such place"


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    """To a file, and to a place that is in it."""
    assert list(broken(pages)) == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    """No font, script, style or picture of another host."""
    loads = {address for page in pages.values() for address in page.loads}
    assert loads
    assert [address for address in loads if urlsplit(address).scheme not in ("", "data") or urlsplit(address).netloc] == []


def test_every_page_can_be_reached(pages: dict[Path, Page]) -> None:
    """The navigation of the first page names each."""
    first = next(path for path in pages if path.name == "index.html" and path.parent.name == "site")
    reached = {(first.parent / urlsplit(link).path).resolve() for link in pages[first].links}
    assert {path.name for path in pages if path.resolve() not in reached} == set()
