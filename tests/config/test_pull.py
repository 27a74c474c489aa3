"""The keys of the pull endpoint: several, in the file, in a file of their own, or in the environment; never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError


def keys(folder: Path, text: str = "", **environ: str) -> list[str]:
    """What is loaded."""
    path = folder / "mailbridge.toml"
    path.write_text(text, encoding="utf-8")
    return [key.reveal() for key in load(path, environ=environ, cwd=folder).settings.pull.keys]


def test_keys_stand_in_the_file_or_one_a_line_in_their_own(tmp_path: Path) -> None:
    """A list, a file of lines, a variable with commas, a variable that names a file, systemd's credentials: the same."""
    held = tmp_path / "held"
    held.write_text("one\n\n two \n", encoding="utf-8")
    held.chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pull_keys").write_text("one\ntwo\n", encoding="utf-8")
    assert keys(tmp_path, '[pull]\nkeys = ["one", " two "]') == ["one", "two"]
    assert keys(tmp_path, '[pull]\nkeys_file = "held"') == ["one", "two"]
    assert keys(tmp_path, MAILBRIDGE_PULL__KEYS="one, two") == ["one", "two"]
    assert keys(tmp_path, MAILBRIDGE_PULL__KEYS_FILE=str(held)) == ["one", "two"]
    assert keys(tmp_path, CREDENTIALS_DIRECTORY=str(credentials)) == ["one", "two"]


def test_a_bad_key_is_refused_unseen(tmp_path: Path) -> None:
    """An empty one, and one in a file that others can read; the complaint names the setting."""
    held = tmp_path / "held"
    held.write_text("seen\n", encoding="utf-8")
    held.chmod(0o644)
    for text in ('[pull]\nkeys = ["seen", ""]', '[pull]\nkeys_file = "held"'):
        with pytest.raises(ConfigError) as caught:
            keys(tmp_path, text)
        told = "\n".join(str(problem) for problem in caught.value.problems)
        assert "seen" not in told
        assert "empty" in told or "chmod 600" in told


def test_a_token_that_is_soon_guessed_is_refused(tmp_path: Path) -> None:
    """Under eight characters it is no token; the complaint does not repeat it."""
    with pytest.raises(ConfigError, match="at least 8 characters") as caught:
        load(None, environ={"MAILBRIDGE_HTTP__TOKEN": "s3cr3t"}, cwd=tmp_path)
    assert "s3cr3t" not in str(caught.value)
