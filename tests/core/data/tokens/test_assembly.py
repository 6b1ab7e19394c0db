"""Which held-out documents belong to which group of sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.data import TextData
from core.data.manifest import GroupRecord, Manifest, content_digest, read_manifest
from core.data.prepare import prepare
from core.data.progress import Work, silent
from core.data.tokens.shards import TokenShards
from core.data.tokens.tokenizer_files import load_tokenizer

NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Four folders of files that name their folder."""
    found = []
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(30):
            (folder / f"{number:02}.txt").write_text(f"{name} wrote the document {number} of {number * number}\n")
        found.append(folder)
    return found


def data_of(folders: list[Path], groups: list[str | None], **fields: Any) -> TextData:
    sources = [
        {"kind": "files", "path": str(folder)} | ({} if group is None else {"group": group})
        for folder, group in zip(folders, groups, strict=True)
    ]
    tokenizer = {"kind": "train", "vocabulary_size": 300}
    values = {"kind": "text", "sources": sources, "tokenizer": tokenizer, "held_out_fraction": 0.3, **fields}
    return TextData.model_validate_json(json.dumps(values))


def made(data: TextData, folder: Path) -> Manifest:
    return prepare(data, folder, seed=1, model_tokenizer=None, work=Work(silent, lambda: False)).manifest


def documents_of(folder: Path, group: GroupRecord) -> list[str]:
    shards, tokenizer = TokenShards(folder, "held_out"), load_tokenizer(folder / "tokenizer").backend
    numbers = [n for part in group.ranges for n in range(part.first, part.first + part.documents)]
    return [tokenizer.decode(shards.document(number)[0].tolist()) for number in numbers]


@pytest.mark.parametrize("mix", [{}, {"mix": {"by": "epochs"}}])
def test_a_group_has_the_held_out_documents_of_its_sources(
    folders: list[Path], tmp_path: Path, mix: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sources that are apart, two that touch and one without a group, over several units each."""
    monkeypatch.setattr("core.data.cleaning.plan.GROUP_PARTS", 7)
    folders = [*folders, folders[0]]
    data = data_of(folders, ["one", None, "two", "two", "one"], **mix)
    manifest = made(data, tmp_path / "made")

    one, two = manifest.held_out.groups
    given = [source.held_out_documents for source in manifest.sources]
    assert min(given) > 0
    assert (one.name, len(one.ranges)) == ("one", 2)
    assert (two.name, len(two.ranges)) == ("two", 1)
    assert len(documents_of(tmp_path / "made", one)) == given[0] + given[4]
    assert all(text.startswith("alpha ") for text in documents_of(tmp_path / "made", one))
    assert {text.split()[0] for text in documents_of(tmp_path / "made", two)} == {"gamma", "delta"}
    assert len(documents_of(tmp_path / "made", two)) == given[2] + given[3]
    assert read_manifest(tmp_path / "made") == manifest
    assert not manifest.train.groups


def test_a_group_without_held_out_documents_is_named(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "only.txt").write_text("one document that is trained on\n")
    data = data_of([folders[0], tmp_path / "single"], [None, "rare"])
    manifest = made(data, tmp_path / "made")
    assert manifest.sources[1].train_documents == 1, "else choose another seed"
    assert manifest.held_out.groups == [GroupRecord(name="rare", ranges=[])]


def test_data_without_groups_has_a_manifest_without_them(folders: list[Path], tmp_path: Path) -> None:
    """Old manifests stay valid: their digest is over the same fields."""
    plain = data_of(folders, [None] * 4)
    manifest = made(plain, tmp_path / "made")
    assert '"groups"' not in (tmp_path / "made" / "manifest.json").read_text()
    grouped = made(data_of(folders, ["a", "b", "c", "d"]), tmp_path / "grouped")
    assert grouped.held_out.shards == manifest.held_out.shards
    assert grouped.train == manifest.train
    assert grouped.digest != manifest.digest == content_digest(manifest)
