"""Cleaning: what stays, what goes and why, whatever number of processes does it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config.data import InstructionData, TextData
from core.data.cleaning import plan as plans
from core.data.cleaning import pool
from core.data.cleaning.clean import Cleaned, Means, clean, write_dropped
from core.data.cleaning.decisions import Scorers
from core.data.cleaning.passes import passes_of
from core.data.cleaning.plan import begin, make_plan
from core.data.cleaning.report import FilterCounts, filter_reports
from core.data.cleaning.scoring import Scorer
from core.data.cleaning.trial import Trials, take_sample
from core.data.fingerprints import cache_key
from core.data.formats import loaded
from core.data.progress import PreparationStopped, Work, silent
from core.errors import DataError, OutOfMemoryError

QUIET = Work(silent, lambda: False)


def no_scores(config: object) -> Scorer:
    raise AssertionError("nothing is scored here")


def text_data(*paths: Path, **fields: Any) -> TextData:
    sources = [{"kind": "json", "path": str(path)} for path in paths]
    tokenizer = {"kind": "train", "vocabulary_size": 300}
    return TextData.model_validate_json(
        json.dumps({"kind": "text", "sources": sources, "tokenizer": tokenizer, **fields})
    )


def write(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def cleaned(
    data: TextData | InstructionData, folder: Path, scorers: Scorers = no_scores, work: Work = QUIET
) -> Cleaned:
    return clean(make_plan(data, 1, QUIET), folder, Means(scorers), work)


def texts_of(found: Cleaned) -> list[str]:
    return [item.payload for item in found.items()]


# Common words, so that every language model and list of stop words knows them.
COMMON = "the river and the mill that have stood with us for a long while be quiet to those who come of their own"
WORDS = COMMON.split()


def sentence(number: int, words: int = 60) -> str:
    """Distinct sentences of common words."""
    digits = hashlib.sha256(str(number).encode()).digest() * 4
    return " ".join(WORDS[digits[at] % len(WORDS)] for at in range(words)) + f" number {number}."


# ---------------------------------------------------------------- what stays and what goes


def test_each_filter_sees_what_the_one_before_kept_and_everything_is_accounted_for(tmp_path: Path) -> None:
    texts = [sentence(n) for n in range(30)]
    texts[3] = "short"
    texts[7] = texts[2].upper() + " "  # the same but for case and space
    texts[9] = texts[2]
    texts[11] = sentence(12).replace("number 12", "number twelve")  # one word of sixty differs
    texts[20] = "mail me at jane.doe@some-company.org " + texts[20]
    filters: list[dict[str, Any]] = [
        {"kind": "length"}, {"kind": "exact_duplicates"},
        {"kind": "near_duplicates", "ngram": 2, "bands": 20, "rows": 4},
        {"kind": "personal_data"}, {"kind": "length", "max_characters": 10_000},
    ]  # fmt: skip
    data = text_data(write(tmp_path / "a.jsonl", texts), filters=filters)
    found = cleaned(data, tmp_path / "work")
    counts = [report.counts for report in found.report.filters]
    assert [(one.input, one.kept, one.dropped) for one in counts] == [
        (30, 29, {"length.too_short": 1}),
        (29, 27, {"exact_duplicates.duplicate": 2}),
        (27, 26, {"near_duplicates.duplicate": 1}),
        (26, 26, {}),
        (26, 26, {}),
    ]
    assert sum(counts[3].changed.values()) == 1
    assert (found.report.documents, found.report.kept) == (30, 26)
    left = [path.parent.name for path in (tmp_path / "work").rglob("*.items")]
    assert left == ["pass-2"]  # the items of passes that were read on give their space back
    assert found.report.sources[0].kept == 26
    kept = texts_of(found)
    expected = [text for number, text in enumerate(texts) if number not in (3, 7, 9, 12)]
    assert [text for text in kept if "mail me" not in text] == [text for text in expected if "mail me" not in text]
    assert not any("jane.doe" in text for text in kept)

    write_dropped(found, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [(row["rule"], row["place"].rpartition(":")[2]) for row in rows] == [
        ("length.too_short", "4"),
        ("exact_duplicates.duplicate", "8"),
        ("exact_duplicates.duplicate", "10"),
        ("near_duplicates.duplicate", "13"),
    ]
    assert rows[1]["value"] == f"as {tmp_path / 'a.jsonl'}:3"
    assert rows[3]["value"] == f"as {tmp_path / 'a.jsonl'}:12"
    assert rows[0]["text"] == "short"


def test_only_so_many_dropped_ones_of_a_rule_are_kept_to_look_at(tmp_path: Path) -> None:
    texts = ["x"] * 10 + [sentence(1)] + ["y" * 200_000] * 3
    found = cleaned(text_data(write(tmp_path / "a.jsonl", texts), filters=[{"kind": "length"}], dropped_samples=2),
                    tmp_path / "work")  # fmt: skip
    write_dropped(found, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [row["rule"] for row in rows] == ["length.too_short"] * 2 + ["length.too_long"] * 2
    assert rows[-1]["characters"] == 200_000
    assert len(rows[-1]["text"]) < 200_000
    assert found.report.filters[0].counts.dropped == {"length.too_long": 3, "length.too_short": 10}


def test_the_number_of_dropped_ones_to_look_at_is_that_of_all_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "GROUP_PARTS", 1)
    paths = [write(tmp_path / f"{n}.jsonl", ["x"] * 2 + [sentence(n)]) for n in range(3)]
    found = cleaned(text_data(*paths, filters=[{"kind": "length"}], dropped_samples=3), tmp_path / "work")
    write_dropped(found, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [Path(row["place"]).name for row in rows] == ["0.jsonl:1", "0.jsonl:2", "1.jsonl:1"]


def test_kept_and_dropped_that_do_not_make_what_came_in_are_an_error() -> None:
    data = text_data(Path("a"), filters=[{"kind": "length"}])
    with pytest.raises(DataError, match=r"data.filters\[0\] \(length\): 2 kept and {'x': 1} dropped do not make 4"):
        filter_reports(data.filters, {0: FilterCounts(input=4, kept=2, dropped={"x": 1})}, {})


def test_filters_over_the_whole_corpus_end_a_pass() -> None:
    kinds: list[dict[str, Any]] = [
        {"kind": "length"}, {"kind": "exact_duplicates"}, {"kind": "near_duplicates"}, {"kind": "language"},
        {"kind": "perplexity", "model": "m", "percentile": 5},
    ]  # fmt: skip
    passes = passes_of(text_data(Path("a"), filters=kinds).filters)
    assert [(one.alone, one.over_all) for one in passes] == [((0,), 1), ((), 2), ((3,), 4), ((), None)]


def test_a_conversation_is_judged_as_a_whole_and_masked_turn_by_turn(tmp_path: Path) -> None:
    rows = [
        {
            "instruction": "Write to a@b-company.org",
            "input": "from c@d-company.org",
            "output": "I wrote to a@b-company.org.",
        },
        {"instruction": "Go", "output": "Off."},
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    filters = [{"kind": "length", "min_characters": 20}, {"kind": "personal_data"}]
    data = InstructionData.model_validate_json(json.dumps(
        {"kind": "instructions", "sources": [{"kind": "json", "path": str(path)}], "filters": filters}))  # fmt: skip
    found = cleaned(data, tmp_path / "work")
    (item,) = found.items()
    question, answer = loaded(item.payload).turns
    assert not any("company" in text for text in (question.content, question.input, answer.content))
    assert question.content.startswith("Write to ")
    assert sum(found.report.filters[1].counts.changed.values()) == 3
    assert found.report.filters[0].counts.dropped == {"length.too_short": 1}


def instructions(path: Path, **fields: Any) -> InstructionData:
    sources = [{"kind": "path", "path": str(path)}]
    return InstructionData.model_validate_json(json.dumps({"kind": "instructions", "sources": sources, **fields}))


def test_all_answers_to_a_question_are_on_one_side(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"Say {n // 4}", "output": f"It is {n}."} for n in range(400)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sides: dict[str, set[str]] = {}
    for item in cleaned(instructions(path, held_out_fraction=0.3), tmp_path / "work").items():
        sides.setdefault(loaded(item.payload).turns[0].content, set()).add(item.split)
    assert len(sides) == 100
    assert all(len(found) == 1 for found in sides.values())
    assert 15 < sum("held_out" in found for found in sides.values()) < 45


def test_a_folder_may_hold_instructions_of_several_formats(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([{"instruction": "Go", "output": f"Off {n}."} for n in range(3)]))
    turns = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me."}]
    (folder / "b.jsonl").write_text(json.dumps({"conversations": turns}) + "\n")
    (folder / "c.jsonl").write_text("")
    data = instructions(folder)
    found = cleaned(data, tmp_path / "work")
    assert [loaded(text).turns[-1].content for text in texts_of(found)] == ["Off 0.", "Off 1.", "Off 2.", "Me."]
    assert found.report.sources[0].format == "alpaca, sharegpt"
    sample = take_sample(data, 10)
    assert (len(sample.candidates), sample.formats) == (4, ["alpaca, sharegpt"])
    (folder / "d.jsonl").write_text('{"colour": "red"}\n')
    with pytest.raises(DataError, match=r"d.jsonl: expected rows"):
        make_plan(data, 1, QUIET)


# ---------------------------------------------------------------- perplexity


def by_length(config: object) -> Scorer:
    """Scores that are the length of a text; NaN for one that begins with a question mark."""

    def score(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([np.nan if text.startswith("?") else len(text) for text in texts], dtype=np.float64)

    return score


@pytest.mark.parametrize(
    ("limit", "kept"), [({"max_perplexity": 60.0}, 6), ({"percentile": 50.0}, 5), ({"percentile": 100.0}, 10)]
)
def test_a_perplexity_is_cut_at_a_value_or_at_a_share(tmp_path: Path, limit: dict[str, float], kept: int) -> None:
    texts = ["x" * (10 * n) for n in range(1, 11)] + ["?" * 9]
    data = text_data(write(tmp_path / "a.jsonl", texts), filters=[{"kind": "perplexity", "model": "m", **limit}])
    found = cleaned(data, tmp_path / "work", by_length)
    assert texts_of(found) == texts[:kept]
    counts = found.report.filters[0]
    assert counts.counts.dropped.get("perplexity.too_high", 0) == 10 - kept
    assert counts.counts.dropped["perplexity.unscored"] == 1
    assert counts.threshold == 10 * kept
    trial = Trials(take_sample(data, 100), by_length).run(data.filters)
    assert trial.filters == found.report.filters


def test_units_that_are_scored_are_not_scored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "GROUP_PARTS", 1)
    paths = [write(tmp_path / f"{n}.jsonl", [sentence(10 * n + m) for m in range(5)]) for n in range(4)]
    data = text_data(*paths, filters=[{"kind": "perplexity", "model": "m", "percentile": 50.0}])
    asked: list[int] = []

    def scorers(config: object) -> Scorer:
        def score(texts: Sequence[str]) -> NDArray[np.float64]:
            if len(asked) == 2:
                asked.append(0)
                raise MemoryError
            asked.append(len(texts))
            return by_length(config)(texts)

        return score

    with pytest.raises(MemoryError):
        cleaned(data, tmp_path / "work", scorers)
    found = cleaned(data, tmp_path / "work", scorers)
    assert asked == [5, 5, 0, 5, 5]
    assert texts_of(found) == texts_of(cleaned(data, tmp_path / "other", by_length))


def test_a_unit_that_is_scored_in_part_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.cleaning.scoring._TEXTS_AT_ONCE", 4)
    path = write(tmp_path / "rows.jsonl", [sentence(n) for n in range(18)])
    data = text_data(path, filters=[{"kind": "perplexity", "model": "m", "percentile": 50.0}])
    asked: list[list[str]] = []

    def scorers(config: object) -> Scorer:
        def score(texts: Sequence[str]) -> NDArray[np.float64]:
            asked.append(list(texts))
            if len(asked) == 3:
                raise PreparationStopped
            return by_length(config)(texts)

        return score

    with pytest.raises(PreparationStopped):
        cleaned(data, tmp_path / "work", scorers)
    found = cleaned(data, tmp_path / "work", scorers)
    assert [len(texts) for texts in asked] == [4, 4, 4, 4, 4, 2]
    assert asked[2] == asked[3]
    assert texts_of(found) == texts_of(cleaned(data, tmp_path / "other", by_length))


# ---------------------------------------------------------------- processes


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "plan.json"
    }


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextData:
    """Twelve units."""
    monkeypatch.setattr(plans, "GROUP_PARTS", 1)
    paths = [write(tmp_path / f"{n:02}.jsonl", [sentence(m % 40 + 7 * n) for m in range(20)]) for n in range(12)]
    filters: list[dict[str, Any]] = [{"kind": "length"}, {"kind": "exact_duplicates"}, {"kind": "near_duplicates"}]
    return text_data(*paths, filters=filters)


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_SMALL_BYTES", 0)
    monkeypatch.setattr(pool, "_SMALL_PER_PROCESS", 1)


def test_any_number_of_processes_gives_the_same_bytes(
    many: TextData, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here = cleaned(many, tmp_path / "here")
    request.getfixturevalue("in_processes")
    heard: list[str] = []
    work = Work(lambda stage, done, total, unit, note="": heard.append(note), lambda: False)
    there = cleaned(many, tmp_path / "there", work=work)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert there.report == here.report
    assert any("dropped: exact_duplicates.duplicate" in words for words in heard)


def test_a_stop_ends_the_processes_and_keeps_what_is_done(many: TextData, tmp_path: Path, in_processes: None) -> None:
    done = tmp_path / "work" / "pass-0"
    with pytest.raises(PreparationStopped):
        cleaned(many, tmp_path / "work", work=Work(silent, lambda: len(list(done.glob("*.json"))) >= 3))
    kept = {path: path.stat().st_mtime_ns for path in done.glob("*.json")}
    assert len(kept) >= 3
    (done / "00011.items.elsewhere-9").write_bytes(b"half")  # as a killed process leaves it
    cleaned(many, tmp_path / "work")
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    cleaned(many, tmp_path / "twin")
    assert files_of(tmp_path / "work") == files_of(tmp_path / "twin")  # and nothing is left of what was ended


def kill_itself(work: Path, number: int, unit: int, heard: Callable[[int], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(work: Path, number: int, unit: int, heard: Callable[[int], None]) -> None:
    raise DataError(f"unit {unit} cannot be read", hint="Mend it.")


def test_a_killed_process_and_a_refused_unit_are_told_in_words(tmp_path: Path, in_processes: None) -> None:
    with pytest.raises(OutOfMemoryError, match="was killed, probably because memory ran out"):
        pool.over_units(kill_itself, tmp_path, 0, {0: 1, 1: 1}, lambda heard: None)
    with pytest.raises(DataError, match=r"unit [01] cannot be read") as error:
        pool.over_units(refuse, tmp_path, 0, {0: 2, 1: 1}, lambda heard: None)
    assert error.value.hint == "Mend it."


# ---------------------------------------------------------------- the plan


def test_large_files_are_cut_and_small_ones_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "UNIT_BYTES", (4000, 4000))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(10):
        write(folder / f"{number}.jsonl", [sentence(number)] * 3)
    write(folder / "9.jsonl", [sentence(n) for n in range(60)])
    data = text_data(folder)
    plan = make_plan(data, 1, QUIET)
    assert len(plan.units[0].parts) > 1
    assert len({part.file for part in plan.units[-1].parts}) == 1
    assert sum(part.file.endswith("9.jsonl") for unit in plan.units for part in unit.parts) > 2
    found = clean(plan, tmp_path / "work", Means(), QUIET)
    expected = [sentence(n) for n in range(9) for _ in range(3)] + [sentence(n) for n in range(60)]
    assert texts_of(found) == expected
    assert found.tallies[0].rows == 87


def test_a_plan_holds_where_the_sources_moved_and_not_where_they_changed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    data = text_data(write(tmp_path / "a" / "rows.jsonl", [sentence(1)]))
    work = tmp_path / "work"
    work.mkdir()
    begin(work, make_plan(data, 1, QUIET))
    (tmp_path / "a").rename(tmp_path / "b")
    moved = text_data(tmp_path / "b" / "rows.jsonl")
    begin(work, make_plan(moved, 1, QUIET))
    with pytest.raises(DataError, match="seed changed from 1 to 2 since this preparation was begun"):
        begin(work, make_plan(moved, 2, QUIET))
    write(tmp_path / "b" / "rows.jsonl", [sentence(2)])
    with pytest.raises(DataError, match=r"data.sources\[0\]: the file rows.jsonl changed since"):
        begin(work, make_plan(moved, 1, QUIET))


def test_a_plan_does_not_hold_where_what_a_filter_looks_into_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = write(tmp_path / "benchmark.jsonl", [sentence(5)])
    filters: list[dict[str, Any]] = [{"kind": "length"}, {"kind": "contamination", "references": [str(reference)]}]
    data = text_data(write(tmp_path / "rows.jsonl", [sentence(1)]), filters=filters)
    work = tmp_path / "work"
    work.mkdir()
    begin(work, make_plan(data, 1, QUIET))
    key = cache_key(data, 1, None)
    write(reference, [sentence(6)])
    assert cache_key(data, 1, None) != key
    with pytest.raises(DataError, match=r"data.filters\[1\]: a file that it looks into changed since"):
        begin(work, make_plan(data, 1, QUIET))
    write(reference, [sentence(5)])
    begin(work, make_plan(data, 1, QUIET))
    assert cache_key(data, 1, None) == key
    monkeypatch.setattr("core.data.fingerprints.version", lambda name: "0.0.1")
    assert cache_key(data, 1, None) != key
    with pytest.raises(DataError, match=r"is of another version \(0.0.1, not "):
        begin(work, make_plan(data, 1, QUIET))


# ---------------------------------------------------------------- trials


def test_a_trial_over_everything_says_what_a_cleaning_does(many: TextData, tmp_path: Path) -> None:
    found = cleaned(many, tmp_path / "work")
    sample = take_sample(many, 10_000)
    assert sample.is_all
    report = Trials(sample, no_scores).run(many.filters)
    assert report.filters == found.report.filters
    assert [candidate.value for candidate in report.kept] == texts_of(found)
    write_dropped(found, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    tried = [(one.filter, one.rule, one.value, one.candidate.place) for one in report.dropped]
    assert sorted(tried) == sorted((row["filter"], row["rule"], row["value"], row["place"]) for row in rows)


def test_a_sample_takes_as_many_of_each_source(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", [sentence(n)] * 50) for n in range(2)]
    sample = take_sample(text_data(*paths), 20)
    assert [candidate.source for candidate in sample.candidates] == [0] * 10 + [1] * 10
    assert not sample.is_all
