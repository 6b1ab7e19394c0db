"""Medical sources whole: notes from a table, drugs from XML, masked and made tokens, and what the report says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from core.config.data import TextData
from core.data.cleaning.report import read_report
from core.data.manifest import Split
from core.data.prepare import prepare
from core.data.progress import Work, silent
from core.data.tokens.shards import TokenShards
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

NOTE = "Seen by Dr. {name} on 07/{day:02}/2008 for knee pain number {day}. BP 120/80. Percocet 5/325 mg."


def _data(folder: Path, template: str = "[[{section}: ]]{note}") -> TextData:
    with (folder / "notes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["section", "note"])
        rows.writerows([["PLAN" if day % 2 else "", NOTE.format(name="Jones", day=day)] for day in range(1, 21)])
    drugs = "".join(f"<drug><name>Drug {n}</name><use>pain {n}</use></drug>" for n in range(10))
    (folder / "drugs.xml").write_text(f"<drugs>{drugs}<drug><name>Bad</nam></drug></drugs>")
    values = {
        "kind": "text",
        "sources": [
            {"kind": "path", "path": str(folder / "notes.csv"), "text_template": template},
            {"kind": "path", "path": str(folder / "drugs.xml"), "format": "xml", "record": "drug",
             "text_template": "{name} treats {use}."},
        ],
        "tokenizer": {"kind": "train", "vocabulary_size": 300}, "held_out_fraction": 0.2, "max_bad_rows": 0.1,
        "filters": [{"kind": "deidentify"}, {"kind": "length", "min_characters": 10}],
    }  # fmt: skip
    return TextData.model_validate_json(json.dumps(values))


def test_notes_are_masked_and_counted_before_they_become_tokens(tmp_path: Path) -> None:
    work = Work(silent, lambda: False)
    prepared = prepare(_data(tmp_path), tmp_path / "data", work=work, seed=1, model_tokenizer=None)
    report = read_report(tmp_path / "data")
    masked = report.filters[0].counts
    assert (masked.input, masked.kept, masked.changed) == (30, 30, {"dates": 20, "names": 20})
    assert [(source.rows, source.documents, source.bad) for source in report.sources] == [
        (20, 20, {}),
        (11, 10, {"xml": 1}),
    ]
    tokenizer = load_tokenizer(prepared.tokenizer)
    splits: tuple[Split, ...] = ("train", "held_out")
    documents = [
        shards.document(number)[0].tolist()
        for shards in (TokenShards(prepared.folder, split) for split in splits)
        for number in range(shards.documents)
    ]
    texts = [tokenizer.backend.decode(ids, skip_special_tokens=False) for ids in documents]
    said = "\n".join(texts)
    assert said.count("Dr. [NAME] on [DATE] 2008 for knee pain") == 20
    assert said.count("PLAN: Seen") == 10
    assert said.count("BP 120/80. Percocet 5/325 mg.") == 20
    assert "Drug 3 treats pain 3." in said
    assert "Jones" not in said


def test_a_template_with_a_column_that_is_nowhere_ends_the_preparation(tmp_path: Path) -> None:
    work = Work(silent, lambda: False)
    with pytest.raises(DataError, match="expected the columns 'sectoin' of text_template in some row"):
        prepare(_data(tmp_path, "[[{sectoin}: ]]{note}"), tmp_path / "data", work=work, seed=1, model_tokenizer=None)
