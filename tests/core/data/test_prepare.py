"""From sources to token shards: what comes out, that it is the same each time, and that it is whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.data.cleaning import passes
from core.data.cleaning.clean import Means
from core.data.construction import AlreadyThereError
from core.data.manifest import read_manifest
from core.data.prepare import PreparationStopped, Prepared
from core.data.splits import is_held_out
from core.data.tokens.shards import TokenShards, verify
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError, ExitCode, StorageError, UsageError
from tests.core.data.preparing import files_of, instructions, make, text_data

Make = Callable[..., Prepared]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Sixty small files."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(f"document {number}: the value is {number * number} – ü\n" * 3)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Sixty instructions."""
    path = tmp_path / "rows.json"
    values = [{"instruction": f"Say {n}.", "input": "x" * (n % 2), "output": f"It is {n}."} for n in range(60)]
    path.write_text(json.dumps(values))
    return path


# ---------------------------------------------------------------- what comes out


def test_every_document_comes_back_once_in_its_split(corpus: Path, tmp_path: Path) -> None:
    made = make(text_data({"kind": "files", "path": str(corpus)}), tmp_path / "data")
    tokenizer = load_tokenizer(made.tokenizer)
    texts = {path.read_text() for path in corpus.iterdir()}
    found: dict[str, list[str]] = {}
    for split in ("train", "held_out"):
        shards = TokenShards(made.folder, split)  # type: ignore[arg-type]
        documents = [shards.document(number)[0].tolist() for number in range(shards.documents)]
        assert all(ids[-1] == tokenizer.end_token_id for ids in documents)
        assert all(ids.count(tokenizer.end_token_id) == 1 for ids in documents)
        assert shards.tokens == sum(map(len, documents))
        assert shards.stream(0, shards.tokens).tolist() == [token for ids in documents for token in ids]
        found[split] = [tokenizer.backend.decode(ids[:-1], skip_special_tokens=False) for ids in documents]
    assert sorted(found["train"] + found["held_out"]) == sorted(texts)
    assert all(is_held_out(text, seed=1, fraction=0.2) for text in found["held_out"])
    assert 3 < len(found["held_out"]) < 25
    verify(made.folder)
    manifest = read_manifest(made.folder)
    assert (manifest.kind, manifest.vocabulary_size, manifest.template) == ("text", 300, "none")
    source = manifest.sources[0]
    assert (source.rows, source.documents, len(source.files), manifest.dropped) == (60, 60, 60, {})
    assert source.text_bytes == sum(len(text.encode()) for text in texts)


def test_equal_documents_stay_on_one_side_and_another_seed_splits_otherwise() -> None:
    texts = [f"text {number}" for number in range(2000)]
    first = [is_held_out(text, seed=1, fraction=0.1) for text in texts]
    assert first == [is_held_out(text, seed=1, fraction=0.1) for text in texts]
    assert first != [is_held_out(text, seed=2, fraction=0.1) for text in texts]
    assert 150 < sum(first) < 250
    assert not any(is_held_out(text, seed=1, fraction=0.0) for text in texts)


def test_the_tokenizer_sees_the_training_split_only(corpus: Path, tmp_path: Path) -> None:
    """Held-out texts changed in place of others leave the trained tokenizer as it was."""
    data = text_data({"kind": "files", "path": str(corpus)})
    held_out = [path for path in corpus.iterdir() if is_held_out(path.read_text(), seed=1, fraction=0.2)]
    first = make(data, tmp_path / "a")
    for path in held_out:
        path.unlink()
    number = 0
    while not is_held_out(text := f"zzz {number} qqq " * 40, seed=1, fraction=0.2):
        number += 1
    (corpus / "new.txt").write_text(text)
    second = make(data, tmp_path / "b")
    assert files_of(first.tokenizer) == files_of(second.tokenizer)
    assert second.manifest.held_out.documents == 1


def test_instructions_with_alpaca_and_with_chat(
    rows: Path, tmp_path: Path, byte_level: Callable[..., Path], chatml: str
) -> None:
    for template, folder, end in (
        (None, byte_level(name="a"), "<|endoftext|>"),
        (chatml, byte_level(chatml, name="b"), "<|im_end|>"),
    ):
        made = make(instructions(rows), tmp_path / f"data{end[2:4]}", model_tokenizer=folder)
        assert made.manifest.template == ("chat" if template else "alpaca")
        assert made.manifest.sources[0].format == "alpaca"
        tokenizer = load_tokenizer(made.tokenizer)
        answers = set()
        supervised_tokens = 0
        for split in ("train", "held_out"):
            shards = TokenShards(made.folder, split)  # type: ignore[arg-type]
            for number in range(shards.documents):
                ids, supervised = shards.document(number)
                assert supervised is not None
                answers.add(tokenizer.backend.decode(ids[supervised.astype(bool)].tolist(), skip_special_tokens=False))
                supervised_tokens += int(supervised.sum())
        assert answers == {f"It is {n}.{end}" for n in range(60)}
        splits = made.manifest.splits.values()
        assert sum(split.supervised_tokens for split in splits) == supervised_tokens
        assert (made.tokenizer / "chat_template.jinja").exists() == (template is not None)


def test_instructions_can_train_their_own_tokenizer(rows: Path, tmp_path: Path) -> None:
    made = make(instructions(rows, tokenizer={"kind": "train", "vocabulary_size": 290}), tmp_path / "data")
    assert (made.manifest.vocabulary_size, made.manifest.template, made.manifest.stop_token_ids) == (290, "alpaca", [0])


def test_a_model_without_a_tokenizer_is_a_usage_error(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found a model built from scratch"):
        make(instructions(rows), tmp_path / "data")


# ---------------------------------------------------------------- the same each time


def test_the_same_input_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    data = text_data({"kind": "files", "path": str(corpus)})
    assert files_of(make(data, tmp_path / "a").folder) == files_of(make(data, tmp_path / "b").folder)


def test_the_digest_is_of_the_tokens_and_not_of_the_place(corpus: Path, tmp_path: Path) -> None:
    first = make(text_data({"kind": "files", "path": str(corpus)}), tmp_path / "a").manifest
    corpus.rename(tmp_path / "moved")
    second = make(text_data({"kind": "files", "path": str(tmp_path / "moved")}), tmp_path / "b").manifest
    (tmp_path / "moved" / "00.txt").write_text("another")
    third = make(text_data({"kind": "files", "path": str(tmp_path / "moved")}), tmp_path / "c").manifest
    assert first.digest == second.digest != third.digest


# ---------------------------------------------------------------- what is refused


def test_an_empty_split_is_an_error(tmp_path: Path, corpus: Path, byte_level: Callable[..., Path]) -> None:
    (tmp_path / "one.txt").write_text("one single document\n" * 40)
    source = {"kind": "files", "path": str(tmp_path / "one.txt")}
    for tokenizer in ({"kind": "train", "vocabulary_size": 262}, {"kind": "load", "path": str(byte_level())}):
        with pytest.raises(DataError, match=r"expected documents (held out|to train on).*none among 1") as error:
            make(text_data(source, tokenizer=tokenizer), tmp_path / "data")
        assert error.value.exit_code == ExitCode.DATA
    made = make(text_data(source, tokenizer={"kind": "train", "vocabulary_size": 262}, held_out_fraction=0),
                tmp_path / "data")  # fmt: skip
    assert (made.manifest.train.documents, made.manifest.held_out.documents) == (1, 0)


def test_too_many_bad_rows_are_an_error_and_some_are_counted(tmp_path: Path, byte_level: Callable[..., Path]) -> None:
    path = tmp_path / "rows.jsonl"
    good = [json.dumps({"instruction": f"Say {n}.", "output": f"{n}"}) for n in range(97)]
    long = json.dumps({"instruction": "Say it.", "output": "word " * 100})
    path.write_text("\n".join([*good, "{broken", json.dumps({"instruction": "a", "output": ""}), long]))
    data = instructions(path, max_tokens=64, max_bad_rows=0.03, accept=["dropped_answers"])
    made = make(data, tmp_path / "data", model_tokenizer=byte_level())
    assert made.manifest.dropped == {"empty_turn": 1, "json": 1, "over_long": 1}
    source = made.manifest.sources[0]
    assert (source.rows, source.documents) == (100, 97)
    assert made.manifest.train.documents + made.manifest.held_out.documents == 97
    with pytest.raises(DataError, match=r"3 of 100 rows \(3 %\) cannot be used, at most 2 % may be") as error:
        make(data.model_copy(update={"max_bad_rows": 0.02}), tmp_path / "other", model_tokenizer=byte_level())
    for words in (f"{path}:98: ", f"{path}:99: ", f"{path}:100: expected an answer of fewer than 64 tokens"):
        assert words in str(error.value)
    assert not (tmp_path / "other").exists()


def test_a_source_that_changes_meanwhile_is_an_error(corpus: Path, tmp_path: Path) -> None:
    def change(stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        (corpus / "59.txt").write_text("changed")

    with pytest.raises(DataError, match="the sources changed while they were read"):
        make(text_data({"kind": "files", "path": str(corpus)}), tmp_path / "data", progress=change)


def test_a_folder_that_is_there_is_not_touched_and_the_same_one_is_taken(corpus: Path, tmp_path: Path) -> None:
    data = text_data({"kind": "files", "path": str(corpus)})
    first = make(data, tmp_path / "data")
    assert make(data, tmp_path / "data").manifest == first.manifest  # another run was quicker
    with pytest.raises(AlreadyThereError, match="expected nothing of that name yet"):
        make(data, tmp_path / "data", seed=2)
    assert read_manifest(first.folder) == first.manifest
    assert [path.name for path in tmp_path.iterdir() if ".tmp-" in path.name] == []


# ---------------------------------------------------------------- progress, stop, kill


def test_progress_names_every_stage_and_ends_with_its_total(corpus: Path, tmp_path: Path) -> None:
    heard: dict[str, tuple[float, float | None]] = {}

    def hear(stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        heard[stage] = (done, total)

    make(text_data({"kind": "files", "path": str(corpus)}), tmp_path / "data", progress=hear)
    assert heard == {
        "reading": (60, 60),
        "training the tokenizer": (300, 300),
        "encoding": (60, 60),
        "writing": (60, 60),
    }


@pytest.mark.parametrize("calls", [0, 1, 2, 5, 12, 30, 60, 100, 140, 200])
def test_a_stop_keeps_what_is_done_and_the_next_call_gives_the_same_bytes(
    corpus: Path, tmp_path: Path, calls: int, small_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.progress._POLL_SECONDS", 0)
    data = text_data({"kind": "files", "path": str(corpus)})
    expected = files_of(make(data, tmp_path / "expected").folder)
    left = iter([False] * calls)
    with pytest.raises(PreparationStopped):
        make(data, tmp_path / "data", should_stop=lambda: next(left, True))
    assert not (tmp_path / "data").exists()
    (tmp_path / ".data.partial" / ".manifest.json.host-1").write_text("{")  # as a kill within a write leaves it
    again = make(data, tmp_path / "data")
    assert files_of(again.folder) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "data", "expected"]


def test_a_unit_that_is_done_is_not_read_again(
    corpus: Path, tmp_path: Path, small_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = text_data({"kind": "files", "path": str(corpus)})
    read: list[str] = []
    whole = passes.documents

    def documents(source: Any, tally: Any, unit: Any) -> Any:
        if len(read) == 32:
            raise KeyboardInterrupt
        read.append(unit.file)
        yield from whole(source, tally, unit)

    monkeypatch.setattr(passes, "documents", documents)
    with pytest.raises(KeyboardInterrupt):
        make(data, tmp_path / "data")
    first, read = read, []
    made = make(data, tmp_path / "data")
    assert (len(first), len(read)) == (32, 30)
    assert len(set(first) & set(read)) == 2  # of the unit of five that was not done
    assert made.manifest.sources[0].documents == 60


def test_a_source_that_changed_between_two_attempts_is_refused(corpus: Path, tmp_path: Path) -> None:
    data = text_data({"kind": "files", "path": str(corpus)})
    with pytest.raises(PreparationStopped):
        make(data, tmp_path / "data", should_stop=lambda: (tmp_path / ".data.partial/work/pass-0").exists())
    text = (corpus / "07.txt").read_text()
    (corpus / "07.txt").write_text(text + "one more line")
    with pytest.raises(DataError, match=r"data.sources\[0\]: the file 07.txt changed since this preparation was begun"):
        make(data, tmp_path / "data")
    (corpus / "07.txt").write_text(text)
    make(data, tmp_path / "data")


def test_what_was_read_and_filtered_outlives_a_refusal(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mix that cannot be had, then other tokens: the sources are read once."""
    data = text_data({"kind": "files", "path": str(corpus), "share": 9.0}, mix={"by": "epochs"})
    with pytest.raises(DataError, match=r"9\.00 times through it"):
        make(data, tmp_path / "data", means=Means(keeps_work=True))
    monkeypatch.setattr(passes, "documents", None)
    changed = text_data(
        {"kind": "files", "path": str(corpus), "share": 2.0}, mix={"by": "epochs"},
        tokenizer={"kind": "train", "vocabulary_size": 290},
    )  # fmt: skip
    made = make(changed, tmp_path / "data")
    monkeypatch.undo()
    assert files_of(made.folder) == files_of(make(changed, tmp_path / "new").folder)
    assert made.manifest.vocabulary_size == 290
    source = made.manifest.sources[0]
    assert source.train_documents == 2 * (60 - source.held_out_documents)
    with pytest.raises(DataError, match=r"9\.00 times through it"):
        make(data, tmp_path / "other")
    assert not (tmp_path / ".other.partial").exists()  # nobody would come back to it


def test_a_full_disk_is_a_storage_error_and_loses_nothing(
    corpus: Path, tmp_path: Path, small_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "data"))

    data = text_data({"kind": "files", "path": str(corpus)})
    with monkeypatch.context() as patch:
        patch.setattr("core.data.tokens.shards._HashedFile.write", full)
        with pytest.raises(StorageError, match="No space left on device") as error:
            make(data, tmp_path / "data")
    assert error.value.exit_code == ExitCode.STORAGE
    assert not (tmp_path / "data").exists()
    assert len(list((tmp_path / ".data.partial/work/pass-0").glob("*.json"))) == 12
    assert make(data, tmp_path / "data").manifest.sources[0].documents == 60


# Forks a child a moment, which kills itself when it touches the file system for the nth time, and then another one,
# which goes on; the third line of a report is how many file operations that one still had.
KILLS = """
import json, os, shutil, signal, sys
from pathlib import Path
from core.config.data import TextData
from core.data.cleaning import plan
from core.data.prepare import prepare
from core.data.progress import Work, silent
plan.GROUP_PARTS = 5
data, folder, points = TextData.model_validate_json(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def child(last, report):
    count = 0
    def hook(event, _):
        nonlocal count
        if event == "open" or event.startswith(("os.", "shutil.")):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    try:
        prepare(data, folder, seed=1, model_tokenizer=None, work=Work(silent, lambda: False))
        os.write(report, str(count).encode())
    finally:
        os._exit(0)

def run(last):
    read, write = os.pipe()
    if not (pid := os.fork()):
        child(last, write)
    os.close(write)
    _, status = os.waitpid(pid, 0)
    counted = os.read(read, 20)
    os.close(read)
    return os.WIFSIGNALED(status), int(counted or 0)

_, total = run(0)
shutil.rmtree(folder)
for point in range(points):
    last = total - point if point < points // 3 else max(1, total * (point - points // 3) // (points - points // 3))
    killed, _ = run(last)
    was_whole = folder.exists()
    _, more = (False, 0) if was_whole else run(0)
    print(json.dumps([last / total, killed, was_whole, more / total]))
    folder.rename(folder.parent.parent / f"kept-{point}")
    assert not list(folder.parent.iterdir())
"""

# Two sources, filters over one document and over all of them: two passes, dropped samples, a decision.
FILTERS = [
    {"kind": "length", "min_characters": 90},
    {"kind": "exact_duplicates"},
    {"kind": "near_duplicates", "ngram": 2},
    {"kind": "length", "min_characters": 95},
]


@pytest.mark.parametrize("points", [9, pytest.param(60, marks=pytest.mark.slow(reason="sixty kills take minutes"))])
def test_after_a_kill_at_any_moment_the_next_attempt_gives_the_same_bytes(
    corpus: Path, tmp_path: Path, small_units: None, environment: dict[str, str], points: int
) -> None:
    """Killed at so many file operations, a third of them the last ones, and gone on with."""
    (tmp_path / "lines.txt").write_text(
        "".join(f"{n} is a number, and {n * n} is its square; " * 4 + "\n" for n in range(9))
    )
    data = text_data(
        {"kind": "files", "path": str(corpus)},
        {"kind": "files", "path": str(tmp_path / "lines.txt"), "document": "line"},
        filters=FILTERS,
        mix={"by": "epochs"},
    )
    expected = files_of(make(data, tmp_path / "expected").folder)
    (tmp_path / "made").mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", KILLS, data.model_dump_json(), str(tmp_path / "made" / "data"), str(points)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    reports = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(reports) == points
    # How often progress is told depends on time, and costs a few operations: a late kill may come too late.
    assert sum(killed for _, killed, *_ in reports) > points // 2
    for number in range(points):
        assert files_of(tmp_path / f"kept-{number}") == expected, reports[number]
    late = [more for at, _, was_whole, more in reports if 0.6 < at < 0.9 and not was_whole]
    assert late
    assert max(late) < 0.8  # what was done was not done again
