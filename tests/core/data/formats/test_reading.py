from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import (
    Canonical,
    Conversation,
    Judged,
    Preference,
    Prompt,
    Turn,
    conversations,
    loaded,
    needs_whole_files,
    turns_of_all,
    with_each_turn,
)
from core.data.rows import Row
from core.data.tally import Tally
from core.errors import DataError


def test_a_conversation_survives_being_written() -> None:
    turns = (Turn("system", "ü\n"), Turn("user", '"', "in"), Turn("assistant", "\u2028", supervised=False))
    assert loaded(Conversation(turns).dumped()) == Conversation(turns)


@pytest.mark.parametrize("filled", ["", "in"])
def test_every_row_survives_being_written_and_has_all_its_turns(filled: str) -> None:
    asked = (Turn("system", "ü"), Turn("user", '"', filled))
    good, bad = (Turn("assistant", "\u2028", supervised=False),), (Turn("assistant", "{}"), Turn("user", "x"))
    rows: dict[Canonical, tuple[Turn, ...]] = {
        Conversation((*asked, *good)): (*asked, *good),
        Preference(asked, good, bad): (*asked, *good, *bad),
        Judged(Conversation((*asked, *good)), False): (*asked, *good),
        Prompt(asked): asked,
        Prompt(asked, "\n"): (*asked, Turn("assistant", "\n")),
    }
    for row, turns in rows.items():
        assert loaded(row.dumped()) == row
        assert turns_of_all(row) == turns
        louder = with_each_turn(row, lambda turn: replace(turn, content=f"{turn.content}!"))
        assert [turn.content for turn in turns_of_all(louder)] == [f"{turn.content}!" for turn in turns]
        assert type(louder) is type(row)
    with pytest.raises(ValueError, match="expected a row"):
        loaded('{"a": 1}')


def test_what_pairs_and_prompts_are_for_is_said() -> None:
    shapes: dict[RowFormat, str] = {"ranked": "phase: reward", "prompts": "phase ppo or grpo"}
    for shape, words in shapes.items():
        with pytest.raises(DataError) as error:
            list(conversations([], shape, Columns(), Tally("s", 1.0)))
        assert words in (error.value.hint or "")


def test_bad_rows_are_counted_with_their_places_and_the_others_come_out() -> None:
    stream = [Row({"instruction": "a", "output": "b"}, "f:1"), Row({"instruction": "a"}, "f:2"), Row({}, "f:3")]
    tally = Tally("s", 1.0, rows=3)
    found = list(conversations(stream, "alpaca", Columns(), tally))
    assert found == [("f:1", Conversation((Turn("user", "a"), Turn("assistant", "b"))))]
    assert tally.bad == {"format": 2}
    assert [error.split(" ")[0] for error in tally.errors] == ["f:2:", "f:3:"]
    assert tally.documents == 0


def test_rows_are_read_as_a_stream() -> None:
    def rows() -> Iterator[Row]:
        yield Row({"instruction": "a", "output": "b"}, "f:1")
        raise AssertionError("read too far")

    stream = conversations(rows(), "alpaca", Columns(), Tally("s", 1.0))
    assert next(stream)[0] == "f:1"


@pytest.mark.parametrize(
    ("shape", "row", "words"),
    [
        ("preference", {"prompt": "q", "chosen": "a", "rejected": "b"}, "pairs of a chosen and a rejected answer"),
        ("transcript_pair", {}, "pairs of a chosen and a rejected dialogue"),
        ("ranked", {}, "ranked answers"),
        ("judged", {}, "answers judged good or bad"),
        ("prompts", {}, "prompts without answers"),
    ],
)
def test_what_is_no_conversation_is_refused_in_words(shape: RowFormat, row: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=f"found {words}") as error:
        list(conversations([Row(row, "f:1")], shape, Columns(), Tally("s", 1.0)))
    assert shape in str(error.value)
    assert "chosen" in (error.value.hint or "")


def test_only_flat_messages_need_whole_files() -> None:
    assert needs_whole_files("openassistant_messages")
    assert not needs_whole_files("openassistant_tree")
    assert not needs_whole_files("alpaca")
