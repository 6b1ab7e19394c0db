from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from core.data.cleaning.report import FilterCounts, FilterReport, Report, SourceCounts
from core.errors import UsageError
from tui.commands.context import Context
from tui.commands.data_filters import Wanted, filter_report
from tui.commands.data_preview import Window
from tui.commands.query import QueryError


def _printed(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of ten documents of 10 to 100 characters and a file of filters, in the folder of who gives commands."""
    texts = ("".join(["ab\x1b[2J", f"{size} ", "x" * size])[:size] for size in range(10, 110, 10))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "filters.yaml").write_text("filters: [{kind: length, min_characters: 25, max_characters: 95}]\n")
    monkeypatch.chdir(tmp_path)
    return "rows.jsonl"


@pytest.fixture
def run(piped: Context) -> str:
    """A finished prepare run that dropped three of ten."""
    folder = piped.home.runs / "first"
    (folder / "data").mkdir(parents=True)
    (folder / "config.yaml").touch()
    counts = FilterCounts(input=10, kept=7, dropped={"length.too_short": 3}, changed={"emails": 2})
    name, bad = "data.sources[0] (path, /a)", {"json": 1}
    source = SourceCounts(source=name, format="", rows=11, documents=10, empty=0, bad=bad, repaired={}, kept=7)
    length = FilterReport(filter="length", settings={}, counts=counts, threshold=1.5)
    report = Report(documents=10, kept=7, sources=[source], filters=[length])
    (folder / "data" / "report.json").write_text(json.dumps(report.as_json()))
    row = {"filter": 0, "rule": "length.too_short", "value": "3 < 50", "source": 0, "place": "/a\x1b:1"}
    row |= {"characters": 3, "text": "a\x07b"}
    (folder / "data" / "dropped.jsonl").write_text(json.dumps(row) + "\n")
    return "first"


def test_filters_of_a_file_on_a_path(rows: str, piped: Context) -> None:
    assert filter_report(rows, Wanted(filters="filters.yaml"), piped, as_json=False) == 0
    cells = [line.split() for line in _printed(piped.output).splitlines()]
    assert cells[:5] == [
        ["filter", "came", "in", "dropped", "kept"],
        ["length", "10", "3", "30.0%", "7"],
        ["length.too_long", "1", "10.0%"],
        ["length.too_short", "2", "20.0%"],
        ["all", "10", "3", "30.0%", "7"],
    ]
    assert "--show RULE" in _printed(piped.words)


def test_json_is_one_object_and_with_a_rule_one_a_document(rows: str, piped: Context) -> None:
    filter_report(rows, Wanted(filters="filters.yaml"), piped, as_json=True)
    filter_report(rows, Wanted(filters="filters.yaml", rule="length.too_short"), piped, as_json=True)
    filter_report(rows, Wanted(filters="filters.yaml", rule="length.too_short", rows=1), piped, as_json=True)
    report, *dropped = map(json.loads, _printed(piped.output).splitlines())
    counts = report["filters"][0]["counts"]
    assert counts["kept"] + sum(counts["dropped"].values()) == counts["input"] == 10
    assert "dropped" not in report
    assert [(row["rule"], row["characters"]) for row in dropped] == [
        ("length.too_short", 10), ("length.too_short", 20), ("length.too_short", 10),
    ]  # fmt: skip
    assert "1 of 2 documents that length.too_short dropped" in _printed(piped.words)


def test_a_sample_says_that_it_is_one(rows: str, piped: Context) -> None:
    filter_report(rows, Wanted(filters="filters.yaml", sample=4), piped, as_json=False)
    assert "first 4 documents" in _printed(piped.words)


def test_without_filters_the_usual_ones_are_tried(rows: str, piped: Context) -> None:
    filter_report(rows, Wanted(), piped, as_json=True)
    report = json.loads(_printed(piped.output))
    assert [one["filter"] for one in report["filters"]][:2] == ["length", "language"]
    assert "usual ones" in _printed(piped.words)


def test_the_report_of_a_run_and_what_it_dropped(run: str, on_terminal: Context) -> None:
    filter_report(run, Wanted(), on_terminal, as_json=False)
    filter_report(run, Wanted(rule="length.too_short"), on_terminal, as_json=False)
    text = _printed(on_terminal.output)
    assert ["length", "10", "3", "30.0%", "7", "at", "most", "1.5"] in [line.split() for line in text.splitlines()]
    assert ["emails", "2", "changed"] in [line.split() for line in text.splitlines()]
    assert ["11", "1", "10", "7", "documents", "data.sources[0]", "(path,", "/a)"] in [
        line.split() for line in text.splitlines()
    ]
    assert "\x1b[1mlength.too_short  3 < 50  /a␛:1\x1b[m\n  a␇b\n" in text
    assert "1 of 3 documents" in _printed(on_terminal.words)


def test_hostile_text_stays_text(rows: str, piped: Context) -> None:
    filter_report(rows, Wanted(filters="filters.yaml", rule="length.too_long"), piped, as_json=False)
    assert "ab␛[2J" in _printed(piped.output)
    assert "\x1b" not in _printed(piped.output)


@pytest.mark.parametrize(
    "wanted",
    [Wanted(filters="f.yaml"), Wanted(sample=5), Wanted(window=Window(shape="alpaca")), Wanted(sample=0),
     Wanted(rows=0), Wanted(rule="")],
)  # fmt: skip
def test_what_cannot_be_meant_for_a_run(wanted: Wanted, run: str, piped: Context) -> None:
    with pytest.raises(UsageError):
        filter_report(run, wanted, piped, as_json=False)


def test_a_rule_that_there_is_not(run: str, piped: Context) -> None:
    with pytest.raises(QueryError, match="'too_log'") as caught:
        filter_report(run, Wanted(rule="too_log"), piped, as_json=False)
    assert int(caught.value.exit_code) == 2


def test_a_run_before_its_end_is_exit_5_unless_a_preset_is_meant(run: str, rows: str, piped: Context) -> None:
    (piped.home.runs / "first" / "data" / "report.json").unlink()
    with pytest.raises(QueryError, match="expected a report") as caught:
        filter_report(run, Wanted(), piped, as_json=False)
    assert int(caught.value.exit_code) == 5
    piped.home.presets.mkdir()
    preset: dict[str, Any] = {"phase": "prepare", "about": {"title": "t"}, "data": {
        "kind": "text", "sources": [{"kind": "json", "path": rows}], "tokenizer": {"kind": "train"},
        "filters": [{"kind": "length", "min_characters": 45}]}}  # fmt: skip
    (piped.home.presets / "first.yaml").write_text(json.dumps(preset))
    filter_report("first", Wanted(), piped, as_json=True)
    assert json.loads(_printed(piped.output))["kept"] == 6


def test_neither_run_nor_preset_nor_path(piped: Context) -> None:
    with pytest.raises(UsageError, match="no preset"):
        filter_report("nothing", Wanted(), piped, as_json=False)


def test_a_rule_that_masks_is_shown_line_by_line(rows: str, piped: Context) -> None:
    Path(rows).write_text(json.dumps({"text": "Fine.\nDr. Jones\x1b[2J said so."}) + "\n")
    Path("filters.yaml").write_text("filters: [{kind: deidentify}]\n")
    filter_report(rows, Wanted(filters="filters.yaml"), piped, as_json=False)
    assert "1 changed" in _printed(piped.output)
    assert "--show RULE" in _printed(piped.words)
    filter_report(rows, Wanted(filters="filters.yaml", rule="names"), piped, as_json=False)
    *_, head, before, after, _ = _printed(piped.output).splitlines()
    assert head.startswith("names 1  ")
    assert before.startswith("  - Dr. Jones")
    assert after.startswith("  + Dr. [NAME]")
    assert "\x1b" not in _printed(piped.output)
    assert "1 documents in which names changed something, 1 times in the sample" in _printed(piped.words)
    filter_report(rows, Wanted(filters="filters.yaml", rule="names"), piped, as_json=True)
    assert json.loads(_printed(piped.output).splitlines()[-1])["counts"] == {"names": 1}
