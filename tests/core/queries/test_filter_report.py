from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from core import query
from core.data.cleaning import trial
from core.data.cleaning.report import DROPPED, FilterCounts, FilterReport, Report
from core.data.cleaning.trial import Candidate
from core.data.formats import Conversation, Judged, Preference, Prompt, Turn
from core.queries import filter_report
from core.queries.filter_report import languages, lengths
from core.run.directory import Home


def _ask(home: Home, *questions: dict[str, Any]) -> list[dict[str, Any]]:
    answers = io.StringIO()
    lines = (json.dumps({"verb": "filter_report", **one}).encode() + b"\n" for one in questions)
    query.serve(io.BytesIO(b"".join(lines)), answers, home)
    return [answer for line in answers.getvalue().splitlines() if (answer := json.loads(line))["type"] != "progress"]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """Documents of 10, 20, ... 100 characters, the last one twice; those below 35 and above 85 go."""
    path = tmp_path / "rows.jsonl"
    sizes = [*range(10, 110, 10), 100]
    path.write_text("".join(json.dumps({"text": f"{size:>3} ".ljust(size, "x")}) + "\n" for size in sizes))
    length = {"kind": "length", "min_characters": 35, "max_characters": 85}
    return {"kind": "text", "sources": [{"kind": "json", "path": str(path)}], "tokenizer": {"kind": "train"},
            "filters": [length, {"kind": "exact_duplicates"}]}  # fmt: skip


def test_filters_tried_on_a_sample(home: Home, data: dict[str, Any]) -> None:
    (found,) = _ask(home, {"data": data})
    length, duplicates = found["filters"]
    assert (found["documents"], found["kept"], found["complete"], found["bad_rows"]) == (11, 5, True, 0)
    assert length["counts"] == {
        "input": 11, "kept": 5, "dropped": {"length.too_long": 3, "length.too_short": 3}, "changed": {},
    }  # fmt: skip
    assert (duplicates["counts"]["input"], duplicates["counts"]["kept"]) == (5, 5)
    assert [row["rule"] for row in found["dropped"]].count("length.too_short") == 3
    first = found["dropped"][0]
    assert first["place"].endswith("rows.jsonl:1")
    assert (first["filter"], first["characters"], "10" in first["value"]) == (0, 10, True)
    assert found["lengths"] == {"edges": [20, 50, 100], "counts": [1, 4]}
    assert sum(found["languages"].values()) == 11


def test_a_rule_and_how_many(home: Home, data: dict[str, Any]) -> None:
    one, two, none, wrong = _ask(
        home,
        {"data": data, "rule": "length.too_long", "dropped": 2},
        {"data": data, "dropped": 2},
        {"data": data, "dropped": 0},
        {"data": data, "rule": "length.too_lng"},
    )
    assert [row["rule"] for row in one["dropped"]] == ["length.too_long"] * 2
    assert sorted(row["rule"] for row in two["dropped"]) == ["length.too_long", "length.too_short"]
    assert none["dropped"] == []
    assert wrong["exit_code"] == 2
    assert "length.too_long" in wrong["hint"]


def test_a_sample_is_kept_while_only_filters_change(
    home: Home, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = filter_report.take_sample

    def counted(section: Any, count: int, *, seed: int) -> Any:
        taken.append(count)
        return take(section, count, seed=seed)

    monkeypatch.setattr(filter_report, "take_sample", counted)
    other = {**data, "filters": [{"kind": "length", "min_characters": 95}]}
    first, second = _ask(home, {"data": data, "sample": 100}, {"data": other, "sample": 100})
    assert (first["kept"], second["kept"], taken) == (5, 2, [100])
    with Path(data["sources"][0]["path"]).open("a") as file:
        file.write(json.dumps({"text": "y" * 99}) + "\n")
    (third,) = _ask(home, {"data": other, "sample": 100})
    (fourth,) = _ask(home, {"data": other, "sample": 3})
    assert (third["kept"], third["documents"], taken) == (3, 12, [100, 100, 3])
    assert (fourth["documents"], fourth["complete"]) == (3, False)


def test_progress_names_the_filter_at_work(home: Home, data: dict[str, Any]) -> None:
    answers = io.StringIO()
    query.serve(io.BytesIO(json.dumps({"verb": "filter_report", "data": data}).encode() + b"\n"), answers, home)
    *progress, _ = map(json.loads, answers.getvalue().splitlines())
    heard = [(one["stage"], one["done"], one["total"]) for one in progress]
    assert heard == [("length", 0, 2), ("exact_duplicates", 1, 2)]


@pytest.fixture
def run(home: Home) -> Path:
    """A run with a report: 10 came in, 3 too short and 1 too long, of which two were kept to look at."""
    data = home.runs / "first" / "data"
    data.mkdir(parents=True)
    counts = FilterCounts(input=10, kept=6, dropped={"too_short": 3, "too_long": 1})
    length = FilterReport(filter="length", settings={}, counts=counts)
    report = Report(documents=10, kept=6, sources=[], filters=[length])
    (data / "report.json").write_text(json.dumps(report.as_json()))
    rows = [
        {"filter": 0, "rule": rule, "value": "7", "source": 0, "place": f"a:{number}", "characters": 9000,
         "text": "t" * 9000}
        for number, rule in enumerate(["too_short", "too_long"])
    ]  # fmt: skip
    (data / "dropped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data.parent


def test_the_report_of_a_run(home: Home, run: Path) -> None:
    whole, short = _ask(home, {"run": str(run)}, {"run": str(run), "rule": "too_short"})
    assert (whole["documents"], whole["kept"], len(whole["dropped"])) == (10, 6, 2)
    assert [row["place"] for row in short["dropped"]] == ["a:0"]
    assert (len(short["dropped"][0]["text"]), short["dropped"][0]["characters"]) == (4000, 9000)


@pytest.mark.parametrize("damage", ["no report", "no dropped", "broken report", "broken dropped", "no run"])
def test_a_report_that_cannot_be_read(damage: str, home: Home, run: Path) -> None:
    match damage:
        case "no report":
            (run / "data" / "report.json").unlink()
        case "no dropped":
            (run / "data" / "dropped.jsonl").unlink()
        case "broken report":
            (run / "data" / "report.json").write_text('{"documents": "x"')
        case "broken dropped":
            (run / "data" / "dropped.jsonl").write_text("{\n")
        case _:
            run = run.parent / "second"
    (answer,) = _ask(home, {"run": str(run)})
    assert (answer["type"], answer["exit_code"]) == ("error", 5)
    assert str(run) in answer["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample": 0}, "sample"),
        ({"dropped": -1}, "dropped"),
        ({"run": "/x"}, "either a run or data"),
        ({"data": None}, "either a path or a data section"),
        ({"rule": ""}, "rule"),
    ],
)
def test_a_wrong_question_is_answered_by_an_error(
    home: Home, data: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    (answer,) = _ask(home, {"data": data, **change})
    assert (answer["type"], answer["exit_code"]) == ("error", 2)
    assert words in answer["message"]


def test_a_filter_for_instructions_does_not_look_at_documents(home: Home, data: dict[str, Any]) -> None:
    (answer,) = _ask(home, {"data": {**data, "filters": [{"kind": "instruction_quality"}]}})
    assert (answer["type"], answer["exit_code"]) == ("error", 2)


def test_bars_hold_every_document() -> None:
    def found(*sizes: int) -> dict[str, list[int]]:
        return lengths(Candidate(0, "", "x" * size) for size in sizes)

    assert found() == {"edges": [], "counts": []}
    assert found(0) == {"edges": [0, 10], "counts": [1]}
    assert found(9, 10, 19, 20, 250) == {"edges": [0, 10, 20, 50, 100, 200, 500], "counts": [1, 2, 1, 0, 0, 1]}


def test_languages_are_counted_most_frequent_first() -> None:
    english, german = "The house stands at the end of the street.", "Das Haus steht am Ende der Straße."
    texts = [german, english, german, "", german]
    assert languages(Candidate(0, "", text) for text in texts) == {"de": 3, "en": 1, "none": 1}


def test_only_the_filter_that_moved_judges_again(
    home: Home, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    build = trial.step_of

    def counted(config: Any) -> Any:
        step = build(config)

        def judge(value: Any) -> Any:
            judged.append(config.kind)
            return step(value)

        return judge

    monkeypatch.setattr(trial, "step_of", counted)
    masks = {"kind": "personal_data"}
    first = {"kind": "length", "min_characters": 35, "max_characters": 85}
    moved = {**first, "min_characters": 55}
    _, again, back = _ask(
        home,
        {"data": {**data, "filters": [first, masks]}},
        {"data": {**data, "filters": [moved, masks]}},
        {"data": {**data, "filters": [first, masks]}},
    )
    # Ten different documents; five of them go through the first filter, three through the moved one.
    assert (judged.count("length"), judged.count("personal_data")) == (20, 5)
    assert (again["kept"], back["kept"]) == (3, 5)


def test_the_whole_is_estimated_with_the_tokenizer_that_is_here(home: Home, data: dict[str, Any], words: Path) -> None:
    own, trained, elsewhere = _ask(
        home,
        {"data": {**data, "tokenizer": {"kind": "load", "path": str(words)}}},
        {"data": data},
        {"data": {**data, "tokenizer": {"kind": "load", "path": "somebody/some-model"}}},
    )
    # Each of the five documents is two words, the end of the document a third token.
    assert own["estimate"] == {"documents": 5, "tokens": 15, "bytes": 70, "exact": True, "stands_in": False}
    assert (trained["estimate"]["stands_in"], elsewhere["estimate"]["stands_in"]) == (True, True)
    assert trained["estimate"]["tokens"] == (40 + 50 + 60 + 70 + 80) / 4 + 5


def test_what_was_changed_is_shown_before_and_after(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    notes = ["Stable.\nSeen by Dr. Jones on 7/4/2008.", "Nothing here.", "MRN: 45-2231\nAged 64."]
    path.write_text("".join(json.dumps({"text": note}) + "\n" for note in notes))
    data = {"kind": "text", "sources": [{"kind": "json", "path": str(path)}], "tokenizer": {"kind": "train"},
            "filters": [{"kind": "deidentify"}]}  # fmt: skip
    both, one, none, wrong = _ask(
        home,
        {"data": data},
        {"data": data, "rule": "numbers"},
        {"data": data, "changed": 0},
        {"data": data, "rule": "x"},
    )
    assert both["filters"][0]["counts"]["changed"] == {"dates": 1, "names": 1, "numbers": 1}
    first, second = both["changed"]
    assert first["lines"] == [
        {"before": "Seen by Dr. Jones on 7/4/2008.", "after": "Seen by Dr. [NAME] on [DATE] 2008."}
    ]
    assert (first["filter"], first["counts"], first["place"]) == (0, {"dates": 1, "names": 1}, f"{path}:1")
    assert one["changed"] == [second]
    assert second["lines"] == [{"before": "MRN: 45-2231", "after": "MRN: [ID]"}]
    assert none["changed"] == []
    assert "numbers" in wrong["hint"]


@pytest.mark.parametrize("kind", ["preferences", "prompts"])
def test_filters_are_tried_on_pairs_and_prompts(kind: str, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"ask {n // 2}", "chosen": f"say {n}", "rejected": "say no"} for n in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"kind": kind, "sources": [{"kind": "json", "path": str(path)}],
            "filters": [{"kind": "exact_duplicates", "on": "prompt"}]}  # fmt: skip
    (found,) = _ask(home, {"data": data})
    assert (found["documents"], found["kept"], found["formats"]) == (10, 5, ["preference"])
    assert found["dropped"][0]["text"] == ("ask 0\nsay 1\nsay no" if kind == "preferences" else "ask 0\nsay 1")


def test_a_pair_that_a_run_dropped_is_told_as_its_turns(tmp_path: Path) -> None:
    row = Preference((Turn("user", "a"),), (Turn("assistant", "b"),), (Turn("assistant", "c"),))
    for one, text in ((row, "a\nb\nc"), (Prompt(row.prompt, "d"), "a\nd")):
        (tmp_path / DROPPED).write_text(json.dumps({"rule": "r", "text": one.dumped()}) + "\n")
        assert [dropped["text"] for dropped in filter_report.dropped_in(tmp_path)] == [text]
    conversation = Conversation((*row.prompt, *row.chosen))
    (tmp_path / DROPPED).write_text(json.dumps({"rule": "r", "text": Judged(conversation, True).dumped()}) + "\n")
    assert [dropped["text"] for dropped in filter_report.dropped_in(tmp_path)] == ["a\nb"]
