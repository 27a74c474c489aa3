"""The page as it is shipped: files of others unchanged, every text in the catalogue, and nothing loaded before it is wanted."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from importlib import resources

import pytest

from mailbridge.web.pages.entrance import PATHS
from mailbridge.web.pages.views import VIEWS
from mailbridge.web.pages.words import TEXTS

PACKAGE = resources.files("mailbridge.web.pages")
VENDORED = {
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-csp.min.js": "a7e1e6711ae6c3e50ad300fba7936cbe8d07599cdae313414a179ddd6b26e143",
    "hx-sse.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
}
"""SHA-256 of the files of htmx 4.0.1, as the package index has them."""

KEY = re.compile(r"""\b(?:t|counted)\("([a-z_0-9. ]+)"(?: ~)?""")
LOADED = """
import sys
import mailbridge.app.daemon, mailbridge.app.routes
print(" ".join(sorted(name for name in sys.modules if name.split(".")[0] in ("jinja2", "markupsafe") or ".pages." in name)))
"""


def templates() -> dict[str, str]:
    """Every template by its name."""
    folder = PACKAGE / "templates"
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".html")}


@pytest.mark.parametrize("name", VENDORED)
def test_what_is_not_ours_is_unchanged(name: str) -> None:
    """The files of htmx are those that its authors have published; their licence lies beside them."""
    assert hashlib.sha256((PACKAGE / "static" / name).read_bytes()).hexdigest() == VENDORED[name]
    assert "Zero-Clause BSD" in (PACKAGE / "static" / "htmx-LICENSE").read_text(encoding="utf-8")


def test_every_text_is_in_the_catalogue() -> None:
    """A template names a text by its key, and has no words of its own."""
    for name, source in templates().items():
        for key in KEY.findall(source):
            assert key in TEXTS or f"{key}.one" in TEXTS or any(one.startswith(key) for one in TEXTS), (name, key)
        bare = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", source, flags=re.DOTALL)
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", " ", bare))
        assert words == [], (name, words)


def test_no_template_writes_what_is_not_escaped() -> None:
    """No ``safe``, no handler or style in an attribute, no script in the page."""
    for name, source in templates().items():
        assert not re.search(r"\|\s*safe\b|autoescape|\son[a-z]+=|\sstyle=|<script(?![^>]*src=)|hx-on|hx-vals=.js:", source), name


def test_every_path_has_a_view() -> None:
    """What is routed is answered, and what is answered is routed."""
    own = {"static", "login", "login.enter", "logout", "feed", "again.send", "again.forget"}
    assert {name for name, _, _ in PATHS} - own == set(VIEWS)


def test_nothing_of_it_is_loaded_with_the_daemon() -> None:
    """Who never looks pays for the paths alone, and for them only once somebody asks for anything over HTTP."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mailbridge.web.pages.entrance"]
