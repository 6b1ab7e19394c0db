"""What is said about the step under the cursor."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from core.config.drafts import set_value
from core.config.yaml_text import Value
from tui.services.data_answers import Inspection, PreviewRow
from tui.services.data_changes import ChangedRow, around, change_lines
from tui.services.data_detail import detail_lines
from tui.services.data_draft import Step, add, new_form, source_key
from tui.services.data_sample import text_lines
from tui.services.data_state import DataState, StepRow
from tui.services.data_text import pipeline_lines, row_title
from tui.services.styled import Line
from tui.services.trial_answers import DroppedRow, FilterCount, Trial, trial_of


def text(lines: list[Line]) -> list[str]:
    return ["".join(part.text for part, _ in one.left) for one in lines]


@pytest.mark.parametrize("item", [1, None, {}, {"kind": 3}, {"kind": ""}, []])
def test_a_filter_of_a_preset_that_is_none_is_still_a_line(item: Value) -> None:
    form = new_form("a.txt")
    form.change(set_value(form.draft, ("data", "filters"), [item]))
    state = DataState(form=form)
    assert "!1 (no kind)" in text(pipeline_lines(state, is_wide=False))
    assert row_title(state, StepRow(Step("filter", 0, ("data", "filters", 0)))) == "(no kind)"


def test_that_a_source_was_not_read_to_its_end_is_said_in_44_columns() -> None:
    form = new_form("a.txt")
    key = source_key({"kind": "path", "path": "a.txt"})
    found = Inspection.of({"format": "documents", "rows": 20_000, "documents": 19_000, "complete": False})
    state = DataState(form=form, inspections={key: found})
    shown = text(detail_lines(state, StepRow(Step("source", 0, ("data", "sources", 0))), 42))
    assert "rows          20,000 or more" in shown
    assert max(map(cell_len, shown)) <= 42
    assert any("not read to its end" in line for line in shown)


def tried(dropped: DroppedRow) -> DataState:
    form = new_form("a.txt")
    add(form, Step("add_filter"), {"kind": "exact_duplicates"})
    count = FilterCount("exact_duplicates", 10, 1, (), ((dropped.rule, 1),), is_counted=True, note="")
    return DataState(form=form, trial=Trial(10, 9, (count,), (dropped,), None, (), None))


def test_a_double_is_named_by_its_file_so_that_its_line_can_be_read() -> None:
    double = DroppedRow(0, "exact_duplicates.duplicate", "as /a/long way/to/rows.jsonl:12", "/a/rows.jsonl:40", "again")
    shown = text(detail_lines(tried(double), StepRow(Step("filter", 0, ("data", "filters", 0))), 40))
    assert "✗ duplicate as rows.jsonl:12" in shown
    other = DroppedRow(0, "length.too_short", "and /or/ that", "/a/rows.jsonl:40", "again")
    shown = text(detail_lines(tried(other), StepRow(Step("filter", 0, ("data", "filters", 0))), 40))
    assert "✗ too short and /or/ that" in shown


@pytest.mark.parametrize("words", ["漢" * 50, "漢字 " * 30, "a漢" * 40])
def test_wide_characters_are_broken_by_their_cells_so_that_none_is_cut_off(words: str) -> None:
    shown = text(text_lines(PreviewRow("a.txt:1", (("", words),)), 24))
    assert max(map(cell_len, shown)) <= 24
    assert "".join(line.removeprefix("│ ") for line in shown).replace(" ", "") == words.replace(" ", "")


def test_what_a_filter_masked_is_shown_before_and_after() -> None:
    form = new_form("a.txt")
    add(form, Step("add_filter"), {"kind": "deidentify"})
    long = "The patient was well. " * 20
    answer = {
        "documents": 3, "kept": 3, "complete": True,
        "filters": [{"filter": "deidentify", "counts": {"input": 3, "kept": 3, "changed": {"names": 6, "dates": 2}}}],
        "changed": [{"filter": 0, "counts": {"names": 2}, "source": 0, "place": "/a/notes.csv:7",
                     "lines": [{"before": f"{long}Dr. Jones\x1b[2J", "after": f"{long}Dr. [NAME]\x1b[2J"}]}],
    }  # fmt: skip
    state = DataState(form=form, trial=trial_of(answer))
    shown = text(detail_lines(state, StepRow(Step("filter", 0, ("data", "filters", 0))), 90))
    assert "8 changes" in shown, "in three documents: how often, of which a share of the documents would say nothing"
    assert [row.split()[::3] for row in shown if row.startswith(("names", "dates"))] == [
        ["names", "75.0%"], ["dates", "25.0%"],
    ]  # fmt: skip
    begin = shown.index("changed, before and after")
    assert shown[begin + 1 : begin + 3] == ["~ names 2", "  notes.csv:7"]
    before, after = shown[begin + 3], shown[begin + 4]
    assert before.startswith("- … ")
    assert "Dr. Jones" in before
    assert after.startswith("+ … ")
    assert "Dr. [NAME]" in after
    assert not any("\x1b" in one for one in shown)


def test_of_what_was_masked_nothing_is_cut_off_unseen() -> None:
    note = "Mr. Jones, 617-555-0100, jones@x.org, " * 3
    masked = "Mr. [NAME], [PHONE], [EMAIL], " * 3
    rules = (("names", 3), ("phone_numbers", 3), ("emails", 3))
    shown = text(change_lines([ChangedRow(0, rules, "notes.csv:7", ((note, masked),))], 0, 32))
    assert max(map(cell_len, shown)) <= 32
    words = " ".join(" ".join(shown).split())
    assert "~ names 3, phone numbers 3, emails 3" in words
    assert words.count("[EMAIL]") == 3
    assert words.count("jones@x.org") == 3
    long = text(change_lines([ChangedRow(0, rules, "notes.csv:7", ((note * 9, masked * 9),))], 0, 32))
    assert long.count("  …") == 2, "what is too long says so"


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a", "b", ("a", "b")),
        ("x" * 100 + "a", "x" * 100 + "b", ("… " + "x" * 60 + "a", "… " + "x" * 60 + "b")),
        ("a" + "x" * 100, "b" + "x" * 100, ("a" + "x" * 60 + " …", "b" + "x" * 60 + " …")),
        ("aaa", "aa", ("aaa", "aa")),
        ("", "new", ("", "new")),
    ],
)
def test_a_long_line_is_shown_around_what_differs(before: str, after: str, shown: tuple[str, str]) -> None:
    assert around(before, after) == shown
