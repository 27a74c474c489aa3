"""`conf.d/*.toml` beside the configuration file: merged by name; lists of tables add up; what is there twice is a mistake."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mailbridge.config.load import Loaded, load
from mailbridge.config.problems import ConfigError


def loaded(folder: Path, main: str = "", *, environ: Mapping[str, str] | None = None, files: Mapping[str, str]) -> Loaded:
    """The configuration of ``main`` with one drop-in for each of ``files``."""
    (folder / "mailbridge.toml").write_text(main, encoding="utf-8")
    (folder / "conf.d").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "conf.d" / f"{name}.toml").write_text(text, encoding="utf-8")
    return load(folder / "mailbridge.toml", environ=environ or {}, cwd=folder)


def mistakes(folder: Path, main: str = "", **files: str) -> list[str]:
    """What is said against it, without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, main, files=files)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_drop_in_wins_over_the_file_and_the_environment_over_both(tmp_path: Path) -> None:
    """Flags, environment, drop-ins, file, defaults: in that order, and each value says where it is from."""
    main = '[retention]\ncode = "5m"\nmail = "1h"\n[log]\nlevel = "debug"\n'
    found = loaded(
        tmp_path,
        main,
        environ={"MAILBRIDGE_LOG__LEVEL": "error"},
        files={"b": '[retention]\nmail = "2h"\n[log]\nlevel = "warning"\n'},
    )
    assert found.settings.retention.code.total_seconds() == 300
    assert found.settings.retention.mail.total_seconds() == 7200
    assert found.settings.log.level == "error"
    assert found.origins["retention.mail"] == f"{tmp_path}/conf.d/b.toml:2"
    assert found.drop_ins == (tmp_path / "conf.d" / "b.toml",)


def test_lists_of_tables_add_up_in_the_order_of_the_names(tmp_path: Path) -> None:
    """The file's first, then each drop-in's; a path in a drop-in is relative to the drop-in."""
    found = loaded(
        tmp_path,
        '[[address]]\nrcpt = "a@b.example"\n',
        files={
            "z": '[[address]]\nrcpt = "z@b.example"\n',
            "c": '[[address]]\nrcpt = "c@b.example"\n[rules]\npaths = ["own.toml"]\n',
        },
    )
    assert [one.rcpt for one in found.settings.address] == ["a@b.example", "c@b.example", "z@b.example"]
    assert found.settings.rules.paths == (tmp_path / "conf.d" / "own.toml",)


def test_what_is_there_twice_is_a_mistake_with_both_places(tmp_path: Path) -> None:
    """The same address in two files, and the same key in two drop-ins."""
    found = mistakes(
        tmp_path,
        '\n[[address]]\nrcpt = "a@b.example"\n',
        b='[log]\nlevel = "info"\n[[address]]\nrcpt = "x@b.example"\n\n[[address]]\nrcpt = "A@b.example"\n',
        c='[log]\nlevel = "error"\n',
    )
    assert found == [
        f"conf.d/c.toml:2: [log] level: is set in {tmp_path}/conf.d/b.toml:2 too; keep one".replace(f"{tmp_path}/", ""),
        "conf.d/b.toml:6: [[address]] rcpt: 'A@b.example' is listed twice; the first is at mailbridge.toml:2",
    ]


def test_a_mistake_in_a_drop_in_names_its_file_and_line(tmp_path: Path) -> None:
    """Unknown keys, bad values and what is no TOML; each table by its own line."""
    text = '[[address]]\nrcpt = "a@b.example"\n\n[[address]]\nrcpt = "nobody"\n[retention]\ncode = "soon"\n'
    assert mistakes(tmp_path, b=text) == [
        "conf.d/b.toml:7: [retention] code: must be a duration such as 10m, 90s or 500ms",
        "conf.d/b.toml:4: [[address]] rcpt: 'nobody' is not a mail address",
    ]
    (only,) = mistakes(tmp_path, b="x = ")
    assert only.startswith("conf.d/b.toml: not TOML")


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Backups of editors, hidden files, and a `conf.d` that is no folder."""
    (tmp_path / "conf.d").mkdir()
    for name in ("a.toml~", ".b.toml", "c.txt"):
        (tmp_path / "conf.d" / name).write_text("not TOML at all", encoding="utf-8")
    assert loaded(tmp_path, files={}).drop_ins == ()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mailbridge.toml").write_text("", encoding="utf-8")
    (tmp_path / "elsewhere" / "conf.d").write_text("", encoding="utf-8")
    assert load(tmp_path / "elsewhere" / "mailbridge.toml", environ={}, cwd=tmp_path).drop_ins == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder: run the tests as an ordinary user")
def test_a_folder_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    """It is not passed over: what it holds may be what keeps strangers out."""
    (tmp_path / "conf.d").mkdir(mode=0)
    (only,) = mistakes(tmp_path)
    assert "cannot be read" in only
