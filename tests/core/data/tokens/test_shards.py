from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.data.manifest import MANIFEST, TOKENIZER, Manifest, SplitRecord, content_digest, file_record
from core.data.progress import PreparationStopped
from core.data.tokens.shards import Mark, ShardWriter, TokenShards, verify
from core.errors import DataError

DOCUMENTS = [[5, 6, 0], [7, 0], [1, 2, 3, 4, 0], [9, 0], [8, 8, 0]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write DOCUMENTS as the training split of a prepared folder."""

    def write(*, vocabulary_size: int = 300, marks: tuple[Mark, ...] = (), shard_tokens: int = 6) -> Path:
        folder = tmp_path / "data"
        (folder / TOKENIZER).mkdir(parents=True)
        (folder / TOKENIZER / "tokenizer.json").write_text("{}")
        writer = ShardWriter(folder, "train", vocabulary_size=vocabulary_size, marks=marks, shard_tokens=shard_tokens)
        for document in DOCUMENTS:
            flags = np.array([token == 0 for token in document]) if "supervised" in marks else None
            classes = np.array([token % 8 for token in document], np.uint8) if "syntax" in marks else None
            writer.add(np.array(document), flags, classes)
        manifest = Manifest(
            kind="instructions" if "supervised" in marks else "text",
            syntax="auto" if "syntax" in marks else None,
            digest="",
            made_from="",
            vocabulary_size=vocabulary_size,
            added_tokens=[],
            end_token_id=0,
            stop_token_ids=[0],
            template="none",
            sources=[],
            dropped={},
            tokenizer=[file_record(folder / TOKENIZER / "tokenizer.json", "tokenizer.json")],
            splits={
                "train": writer.close(),
                "held_out": SplitRecord(documents=0, tokens=0, supervised_tokens=0, shards=[]),
            },
        )
        manifest = manifest.model_copy(update={"digest": content_digest(manifest)})
        (folder / MANIFEST).write_text(manifest.model_dump_json())
        return folder

    return write


@pytest.mark.parametrize(("vocabulary_size", "width"), [(65536, 2), (65537, 4)])
def test_documents_come_back_over_shards(written: Callable[..., Path], vocabulary_size: int, width: int) -> None:
    shards = TokenShards(written(vocabulary_size=vocabulary_size), "train")
    assert len(list(shards.folder.glob("*.tokens"))) == 3  # 5 tokens, 5 + 2 would pass 6, ...
    assert shards.documents == 5
    assert shards.tokens == 15
    assert [shards.document(number)[0].tolist() for number in range(5)] == DOCUMENTS
    assert shards.document(2)[0].dtype.itemsize == width
    assert shards.lengths.tolist() == [3, 2, 5, 2, 3]
    assert shards.document_starts.tolist() == [0, 3, 5, 10, 12, 15]
    flat = [token for document in DOCUMENTS for token in document]
    for start in range(16):
        for stop in range(start, 16):
            assert shards.stream(start, stop).tolist() == flat[start:stop]


def test_marks_of_instructions_come_back(written: Callable[..., Path]) -> None:
    shards = TokenShards(written(marks=("supervised",)), "train")
    for number, document in enumerate(DOCUMENTS):
        _, supervised = shards.document(number)
        assert supervised is not None
        assert supervised.tolist() == [int(token == 0) for token in document]
    assert shards.supervised_tokens == 5


@pytest.mark.parametrize("marks", [("syntax",), ("supervised", "syntax")])
def test_classes_come_back_over_shards(written: Callable[..., Path], marks: tuple[Mark, ...]) -> None:
    shards = TokenShards(written(marks=marks), "train")
    flat = [token % 8 for document in DOCUMENTS for token in document]
    for start in range(16):
        for stop in range(start, 16):
            assert shards.classes(start, stop).tolist() == flat[start:stop]
    assert shards.classes(0, 3).dtype == np.uint8
    assert (shards.document(0)[1] is None) == ("supervised" not in marks)
    with pytest.raises(IndexError):
        shards.classes(0, 16)


def test_an_empty_split_has_no_documents(written: Callable[..., Path]) -> None:
    shards = TokenShards(written(), "held_out")
    assert (shards.documents, shards.tokens, shards.lengths.tolist()) == (0, 0, [])
    assert shards.stream(0, 0).tolist() == []
    with pytest.raises(IndexError):
        shards.document(0)


def test_a_token_id_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "train", vocabulary_size=10)
    with pytest.raises(DataError, match="expected token ids below 10, found 10"):
        writer.add(np.array([1, 10]))


def test_verify_names_the_file_that_was_changed(written: Callable[..., Path]) -> None:
    folder = written()
    verify(folder)
    tokens = folder / "train-00001.tokens"
    data = bytearray(tokens.read_bytes())
    data[0] ^= 1
    tokens.write_bytes(data)
    TokenShards(folder, "train")  # opening looks at sizes only
    with pytest.raises(DataError, match=r"train-00001\.tokens.*another content"):
        verify(folder)


def test_verify_stops_between_files(written: Callable[..., Path]) -> None:
    answers = iter([False, False])
    with pytest.raises(PreparationStopped):
        verify(written(), should_stop=lambda: next(answers, True))


def test_a_missing_file_is_named(written: Callable[..., Path]) -> None:
    folder = written()
    (folder / TOKENIZER / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json.*found no file"):
        verify(folder)


def test_a_short_file_is_refused_at_opening(written: Callable[..., Path]) -> None:
    folder = written()
    tokens = folder / "train-00000.tokens"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"train-00000\.tokens.*8 bytes instead of 10"):
        TokenShards(folder, "train")


def test_a_changed_manifest_is_refused(written: Callable[..., Path]) -> None:
    folder = written()
    values = json.loads((folder / MANIFEST).read_text())
    values["end_token_id"] = 5
    (folder / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(DataError, match="a digest that fits"):
        TokenShards(folder, "train")
