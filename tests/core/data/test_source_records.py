"""What a prepare run keeps whatever goes wrong, and what its manifest and report say about each source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.data import TextData
from core.data.cleaning.clean import Means
from core.data.cleaning.plan import make_plan
from core.data.cleaning.report import read_report
from core.data.prepare import PreparationStopped, Prepared, prepare
from core.data.progress import Work, silent
from core.data.tally import Tally, check_shares
from core.errors import DataError, UsageError

RUN = Means(keeps_work=True)


def make(folder: Path, *sources: dict[str, Any], should_stop: Callable[[], bool] = bool, **fields: Any) -> Prepared:
    """Prepare text as a run of its own does."""
    values = {
        "kind": "text", "sources": list(sources), "tokenizer": {"kind": "train", "vocabulary_size": 270},
        "held_out_fraction": 0.2, **fields,
    }  # fmt: skip
    data = TextData.model_validate_json(json.dumps(values))
    return prepare(data, folder, seed=1, model_tokenizer=None, work=Work(silent, should_stop), means=RUN)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty files."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.py").write_text(f"value = {number}  # the square is {number * number}\n" * 3)
    return folder


def test_a_source_that_is_not_there_for_a_while_costs_nothing(corpus: Path, tmp_path: Path) -> None:
    source = {"kind": "files", "path": str(corpus)}
    work = tmp_path / ".data.partial/work"
    with pytest.raises(PreparationStopped):
        make(tmp_path / "data", source, should_stop=lambda: any(work.glob("pass-0/*.json")))
    done = {path: path.stat().st_mtime_ns for path in work.glob("pass-0/*.json")}
    corpus.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="found nothing there"):
        make(tmp_path / "data", source)
    (tmp_path / "elsewhere").rename(corpus)
    assert {path: path.stat().st_mtime_ns for path in work.glob("pass-0/*.json")} == done != {}
    assert make(tmp_path / "data", source).manifest.sources[0].documents == 40


def test_names_that_are_no_utf_8_are_read_and_found_again(corpus: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff \x1b[31m.py")
    (corpus / name).write_text("value = 1  # the square is 1\n" * 3)  # as 01.py
    source = {"kind": "files", "path": str(corpus)}
    with pytest.raises(PreparationStopped):
        make(tmp_path / "data", source, should_stop=(tmp_path / ".data.partial/work/pass-0").exists)
    made = make(tmp_path / "data", source, filters=[], mix={"by": "epochs"})
    assert name in [file.name for file in made.manifest.sources[0].files]
    dropped = make(tmp_path / "other", source, source, filters=[{"kind": "exact_duplicates"}])
    lines = [json.loads(line) for line in (dropped.folder / "dropped.jsonl").read_text().splitlines()]
    assert len(lines) == 42
    for line in lines:
        json.dumps(line, ensure_ascii=False).encode()  # no half surrogates


def test_nothing_left_says_which_rules_dropped_it(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the filters dropped all 40 \(length\.too_short 40\)"):
        make(
            tmp_path / "data", {"kind": "files", "path": str(corpus)},
            filters=[{"kind": "length", "min_characters": 5000}],
        )  # fmt: skip


def test_left_out_files_and_licences_of_code_are_told(corpus: Path, tmp_path: Path) -> None:
    (corpus / "LICENSE").write_text(
        "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software"
    )
    (corpus / "a.min.js").write_text("x")
    made = make(tmp_path / "data", {"kind": "code", "path": str(corpus)})
    (record,) = made.manifest.sources
    assert record.skipped == {"licence": 1, "vendored": 1}
    assert record.licences == {"LICENSE": "MIT"}
    assert read_report(made.folder).sources[0].skipped == record.skipped


def test_a_folder_of_code_is_cut_into_units(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.cleaning.plan.UNIT_BYTES", (1000, 1000))
    values = {
        "kind": "text", "sources": [{"kind": "code", "path": str(corpus)}],
        "tokenizer": {"kind": "train", "vocabulary_size": 270},
    }  # fmt: skip
    plan = make_plan(TextData.model_validate_json(json.dumps(values)), 1, Work(silent, bool))
    total = sum(path.stat().st_size for path in corpus.iterdir())
    assert len(plan.units) == -(-40 // (1000 // (total // 40)))
    assert sum(unit.bytes for unit in plan.units) == total


def test_a_changed_setting_is_named_with_what_it_was(corpus: Path, tmp_path: Path) -> None:
    """A refused resume leaves the changed setting in the run: its user must learn what to put back."""
    source = {"kind": "files", "path": str(corpus)}
    with pytest.raises(PreparationStopped):
        make(tmp_path / "data", source, should_stop=(tmp_path / ".data.partial/work/pass-0").exists)
    with pytest.raises(DataError, match=r"^data\.held_out_fraction changed from 0\.2 to 0\.3 since"):
        make(tmp_path / "data", source, held_out_fraction=0.3)
    filters = [{"kind": "length"}]
    words = (
        r'sources\.0\.document changed from "file" to "line"; data\.filters changed from \[\] to \[{"kind": "length", '
    )
    with pytest.raises(DataError, match=words):
        make(tmp_path / "data", {**source, "document": "line"}, filters=filters)


def test_the_share_of_bad_ones_is_of_what_rows_gave_where_that_is_more() -> None:
    """Two trees of messages gave ten conversations, of which four could not be encoded."""
    tally = Tally("trees", 0.5, rows=2, documents=10)
    tally.drop({"bad": {"template": 4}, "errors": []})
    check_shares([tally], 0.4)
    with pytest.raises(DataError, match=r"4 of 10 rows \(40 %\) cannot be used"):
        check_shares([tally], 0.3)
