from __future__ import annotations

import json

import pytest

from core.config.data import Accepted
from core.data.tokens.faults import KEPT_PLACES, Fault, Faults
from core.errors import DataError


def counted(fault: Fault, times: int, rows: int) -> Faults:
    faults = Faults(rows=rows)
    for number in range(times):
        faults.count(fault, f"rows.jsonl:{number}")
    return faults


def test_nothing_found_is_nothing_refused() -> None:
    Faults(rows=10).check([], 0.0)
    Faults().check([], 0.0)


@pytest.mark.parametrize(
    ("fault", "accepted", "words"),
    [
        ("double_begin", ["double_begin"], "begin with two begin tokens"),
        ("no_end_of_turn", ["no_end_of_turn"], "without a special token at its end"),
        ("over_long_answers", ["dropped_answers"], "alone is longer than data.max_tokens"),
        ("over_long_answers", ["cut_answers"], "alone is longer than data.max_tokens"),
        ("unlabelled_rows", ["unlabelled_rows"], "have no token that the loss counts"),
    ],
)
def test_a_fault_is_refused_with_places_unless_it_is_accepted_by_name(
    fault: Fault, accepted: list[Accepted], words: str
) -> None:
    faults = counted(fault, 7, 200)
    with pytest.raises(DataError) as error:
        faults.check([], 0.01)
    text, hint = str(error.value), error.value.hint or ""
    assert f"7 of 200 rows (3.5 %) {words}" in text or words in text
    assert text.count("rows.jsonl:") == KEPT_PLACES
    assert "... and 2 more" in text
    assert f"{accepted[0]}" in hint
    assert error.value.exit_code == 5
    faults.check(accepted, 0.01)
    others: list[Accepted] = ["unlabelled_rows", "double_begin", "no_end_of_turn", "dropped_answers", "cut_answers"]
    if fault != "over_long_answers":
        with pytest.raises(DataError):
            faults.check([name for name in others if name not in accepted], 0.01)


def test_rows_without_labels_may_be_a_share_of_all() -> None:
    faults = counted("unlabelled_rows", 2, 200)
    faults.check([], 0.01)
    with pytest.raises(DataError, match=r"2 of 200 rows \(1 %\)"):
        faults.check([], 0.009)


def test_several_faults_are_told_at_once() -> None:
    faults = counted("double_begin", 1, 2)
    faults.count("no_end_of_turn", "x:1")
    assert faults.refused([], 0.0) == ["double_begin", "no_end_of_turn"]
    with pytest.raises(DataError, match=r"(?s)two begin tokens.*without a special token"):
        faults.check([], 0.0)


def test_counts_of_parts_add_up_and_survive_json() -> None:
    whole = Faults()
    for number in range(3):
        part = Faults(rows=10)
        for row in range(number + 1):
            part.count("double_begin", f"part {number} row {row}")
        whole.add(json.loads(json.dumps(part.as_json())))
    assert whole.rows == 30
    assert whole.counts == {"double_begin": 6}
    assert whole.places == {
        "double_begin": ["part 0 row 0", "part 1 row 0", "part 1 row 1", "part 2 row 0", "part 2 row 1"]
    }


def test_a_place_that_is_no_text_can_be_written() -> None:
    faults = counted("double_begin", 0, 1)
    faults.count("double_begin", "rows\udcff.jsonl:1")
    assert json.dumps(faults.as_json()).encode()
    assert faults.as_json()["places"]["double_begin"] == ["rows\ufffd.jsonl:1"]
