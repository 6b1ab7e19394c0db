"""Classes of source code from files and rows to shards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.data.fingerprints import cache_key, encoding_key
from core.data.manifest import read_manifest
from core.data.prepare import Prepared
from core.data.tokens.marking import marked_document
from core.data.tokens.shards import TokenShards, verify
from core.data.tokens.syntax import CLASSES
from core.data.tokens.tokenize import DocumentPart
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError
from tests.core.data.preparing import files_of, instructions, make, text_data

CODE = "def f{n}(x):\n\treturn 'é' + x * {n}  # {n}\r\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.py").write_bytes(CODE.replace("{n}", str(number)).encode())
        (folder / f"{number:02}.txt").write_text(f"if {number} is for what it is\n")
    return folder


def classes_of(prepared: Prepared, text_of_python: bool) -> int:
    """Compare every document of both splits with its own text, marked alone; return how many there were."""
    tokenizer = load_tokenizer(prepared.tokenizer)
    count = 0
    for split in ("train", "held_out"):
        shards = TokenShards(prepared.folder, split)  # type: ignore[arg-type]
        starts = shards.document_starts.tolist()
        for number in range(shards.documents):
            ids, _ = shards.document(number)
            text = tokenizer.backend.decode(ids[:-1].tolist(), skip_special_tokens=False)
            language = "Python" if text_of_python and text.startswith("def") else None
            _, classes = marked_document(tokenizer, text, [DocumentPart(text, 0)], language)
            assert shards.classes(starts[number], starts[number + 1]).tolist() == classes.tolist(), text
            count += language is not None
    return count


@pytest.mark.usefixtures("small_units")
def test_documents_are_marked_by_their_file_names(code: Path, tmp_path: Path) -> None:
    """Repeated documents too; text is not marked, and the tokens are those of the data without marks."""
    mix = {"mix": {"by": "epochs"}}
    source = {"kind": "files", "path": str(code), "share": 2.0}
    marked = make(text_data(source, syntax="auto", **mix), tmp_path / "marked")
    assert classes_of(marked, text_of_python=True) > 25
    verify(marked.folder)
    assert read_manifest(marked.folder).syntax == "auto"
    plain = make(text_data(source, **mix), tmp_path / "plain")
    assert read_manifest(plain.folder).syntax is None
    files = files_of(marked.folder)
    assert {name for name in files if name.endswith(".syntax")} == {"train-00000.syntax", "held_out-00000.syntax"}
    others = {name: digest for name, digest in files.items() if name.endswith((".tokens", ".documents"))}
    assert others.items() <= files_of(plain.folder).items()
    assert not any(name.endswith(".syntax") for name in files_of(plain.folder))
    assert marked.manifest.digest != plain.manifest.digest


def test_a_named_language_marks_every_document(code: Path, tmp_path: Path) -> None:
    made = make(text_data({"kind": "files", "path": str(code)}, syntax="python"), tmp_path / "data")
    tokenizer = load_tokenizer(made.tokenizer)
    shards = TokenShards(made.folder, "train")
    keywords = {
        tokenizer.backend.decode([int(number)]).strip()
        for number, kind in zip(shards.stream(0, shards.tokens), shards.classes(0, shards.tokens), strict=True)
        if CLASSES[kind] == "keyword"
    }
    assert {"if", "is", "for"} & keywords or {"i", "f"} <= keywords


def test_answers_are_marked_beside_what_the_loss_counts(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(
        json.dumps([{"instruction": f"if {n}", "output": f"Take:\n```py\nif x{n}: pass\n```\n"} for n in range(40)])
    )
    tokenizer = {"kind": "train", "vocabulary_size": 290}
    made = make(instructions(rows, syntax="auto", template="alpaca", tokenizer=tokenizer), tmp_path / "data")
    verify(made.folder)
    shards = TokenShards(made.folder, "train")
    supervised = np.concatenate([shards.document(number)[1] for number in range(shards.documents)])
    classes = shards.classes(0, shards.tokens)
    assert len(classes) == len(supervised) == shards.tokens
    assert set(classes[supervised == 0].tolist()) == {0}
    assert {"keyword", "name", "operator", "other", "whitespace"} <= {CLASSES[number] for number in classes}


def test_how_much_is_source_code_is_told(code: Path, tmp_path: Path) -> None:
    words: list[str] = []

    def hear(stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        words.append(note)

    made = make(text_data({"kind": "files", "path": str(code)}, syntax="auto"), tmp_path / "data", progress=hear)
    shards = TokenShards(made.folder, "train")
    classes = shards.classes(0, shards.tokens)
    counts = {name: int((classes == number).sum()) for number, name in enumerate(CLASSES)}
    assert made.manifest.train.classes == {name: count for name, count in counts.items() if count}
    share = made.manifest.marked_share
    assert share == (shards.tokens - counts["other"]) / shards.supervised_tokens
    assert 0.3 < share < 0.9
    assert words[-1].endswith(f", {share:.1%} of what the loss counts is source code")


def test_data_in_which_nothing_is_marked_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"instruction": f"if {n}", "output": f"if x{n}: pass"} for n in range(40)]))
    tokenizer = {"kind": "train", "vocabulary_size": 280}
    data = instructions(rows, syntax="auto", template="alpaca", tokenizer=tokenizer)
    with pytest.raises(DataError, match="expected source code in what the loss counts, found none with auto") as error:
        make(data, tmp_path / "data")
    assert "data.syntax: python" in error.value.hint


def test_marks_change_the_names_of_preparations(code: Path) -> None:
    source = {"kind": "files", "path": str(code)}
    wishes = [text_data(source), text_data(source, syntax="auto"), text_data(source, syntax="python")]
    assert len({cache_key(data, 1, None) for data in wishes}) == 3
    assert len({encoding_key(data, None) for data in wishes}) == 3


def test_a_changed_byte_of_the_marks_is_found(code: Path, tmp_path: Path) -> None:
    made = make(text_data({"kind": "files", "path": str(code)}, syntax="auto"), tmp_path / "data")
    path = made.folder / "train-00000.syntax"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-00000\.syntax.*another content"):
        verify(made.folder)
    path.unlink()
    with pytest.raises(DataError, match=r"train-00000\.syntax.*found no file"):
        TokenShards(made.folder, "train")
