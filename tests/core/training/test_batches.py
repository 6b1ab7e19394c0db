"""Rows and their order: nothing lost, nothing twice, nothing across a document's end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from core.model.batch import IGNORED
from core.training.batches import Batches, Cursor, Deal, InstructionRows, Row, TextRows, in_order, pack_rows


@dataclass
class FakeShards:
    """Documents in memory, with the part of TokenShards that rows use."""

    contents: list[list[int]]
    marks: list[list[int]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.contents))

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(d) for d in self.contents])

    @property
    def document_starts(self) -> np.ndarray:
        return np.concatenate(([0], np.cumsum(self.lengths)))

    def stream(self, start: int, stop: int) -> np.ndarray:
        return np.array([t for d in self.contents for t in d][start:stop], np.uint16)

    def document(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        marks = np.array(self.marks[index], np.uint8) if self.marks else None
        return np.array(self.contents[index], np.uint16), marks


TEXT = FakeShards([[1, 2, 3, 0], [4, 5, 0], [6, 7, 8, 9, 10, 0]])


def text_rows(length: int, *, across: bool = False, shards: FakeShards = TEXT) -> TextRows:
    return TextRows(shards, length=length, across=across)  # type: ignore[arg-type]


def test_text_rows_by_hand() -> None:
    rows = [text_rows(5)[i] for i in range(len(text_rows(5)))]
    assert [row.ids.tolist() for row in rows] == [[1, 2, 3, 0, 4], [5, 0, 6, 7, 8], [9, 10]]
    x = IGNORED
    assert [row.targets.tolist() for row in rows] == [[2, 3, 0, x, 5], [0, x, 7, 8, 9], [10, 0]]
    assert [row.lengths for row in rows] == [(4, 1), (2, 3), (2,)]


def test_a_document_that_ends_with_its_row() -> None:
    rows = text_rows(4)
    assert rows[0].lengths == (4,)
    assert rows[0].targets.tolist() == [2, 3, 0, IGNORED]
    assert rows[1].ids.tolist() == [4, 5, 0, 6]
    assert rows[1].lengths == (3, 1)


def test_across_documents_there_is_one_span_and_every_target() -> None:
    row = text_rows(5, across=True)[0]
    assert row.lengths == (5,)
    assert row.targets.tolist() == [2, 3, 0, 4, 5]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 12, 13, 40])
def test_every_token_but_the_first_of_a_document_is_a_target_once(length: int) -> None:
    rows = text_rows(length)
    targets = np.concatenate([rows[i].targets for i in range(len(rows))])
    assert targets[targets != IGNORED].tolist() == [2, 3, 0, 5, 0, 7, 8, 9, 10, 0]


def test_instruction_rows_shift_and_mask() -> None:
    shards = FakeShards([[1, 2, 3, 4], [5, 6, 7]], [[0, 0, 1, 1], [0, 1, 0]])
    rows = InstructionRows(shards, length=8, pack=True)  # type: ignore[arg-type]
    assert len(rows) == 1
    row = rows[0]
    x = IGNORED
    assert row.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert row.targets.tolist() == [x, 3, 4, x, 6, x, x]
    assert row.lengths == (4, 3)
    assert len(InstructionRows(shards, length=8, pack=False)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", [range(0, 2), range(1, 3), range(2, 2), range(1, 2)])
@pytest.mark.parametrize("across", [False, True])
def test_rows_of_a_range_of_documents_are_those_of_these_documents_alone(chosen: range, across: bool) -> None:
    alone = FakeShards(TEXT.contents[chosen.start : chosen.stop])
    part = TextRows(TEXT, length=4, across=across, documents=chosen)  # type: ignore[arg-type]
    same = text_rows(4, across=across, shards=alone)
    assert [shown(part[i]) for i in range(len(part))] == [shown(same[i]) for i in range(len(same))]


@pytest.mark.parametrize("pack", [False, True])
def test_examples_of_a_range_of_documents_are_those_alone(pack: bool) -> None:
    contents, marks = [[1, 2], [3, 4, 5], [6, 7, 8, 9], [10, 11]], [[0, 1], [0, 1, 1], [0, 0, 1, 1], [0, 1]]
    every, alone = FakeShards(contents, marks), FakeShards(contents[1:], marks[1:])
    part = InstructionRows(every, length=6, pack=pack, documents=range(1, 4))  # type: ignore[arg-type]
    same = InstructionRows(alone, length=6, pack=pack)  # type: ignore[arg-type]
    assert [shown(part[i]) for i in range(len(part))] == [shown(same[i]) for i in range(len(same))]


def shown(row: Row) -> tuple[list[int], list[int], tuple[int, ...]]:
    return row.ids.tolist(), row.targets.tolist(), row.lengths


def test_pack_rows_restarts_positions_and_pads_with_a_document_that_counts_nothing() -> None:
    rows = text_rows(5)
    batch = pack_rows([rows[0], rows[2]], numbers=(0, 2), pad_to=10)
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 0, 1, 0, 1, 2]]
    assert batch.boundaries.tolist() == [0, 4, 5, 7, 10]
    assert batch.lengths == (4, 1, 2, 3)
    assert (batch.tokens, batch.padding, batch.target_tokens) == (7, 3, 6)
    assert batch.targets[0, 7:].tolist() == [IGNORED] * 3


def taken(batches: Batches, steps: int) -> list[tuple[int, ...]]:
    return [tuple(n for b in batches.next_step() for n in b.rows) for _ in range(steps)]


def test_each_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    rows = text_rows(1)
    numbers = [n for step in taken(Batches(rows, Deal(4, 2, seed=3)), 9) for n in step]
    first, second, third = numbers[:12], numbers[12:24], numbers[24:36]
    assert sorted(first) == sorted(second) == sorted(third) == list(range(12))
    assert first != second != third
    other = [n for step in taken(Batches(rows, Deal(4, 2, seed=4)), 3) for n in step]
    assert other != first


@pytest.mark.parametrize("size", [1, 4, 5, 12, 30])
def test_a_cursor_goes_on_where_it_stood_also_in_a_later_epoch(size: int) -> None:
    """5 and 30 do not divide the 12 rows of an epoch: steps begin in one epoch and end in another."""
    rows = text_rows(1)
    whole = taken(Batches(rows, Deal(size, 1, seed=3)), 11)
    for stop in range(11):
        batches = Batches(rows, Deal(size, 1, seed=3))
        taken(batches, stop)
        epoch, position = batches.cursor.epoch, batches.cursor.position
        rest = taken(Batches(rows, Deal(size, 1, seed=3), cursor=Cursor(epoch, position)), 11 - stop)
        assert rest == whole[stop:]


def test_micro_batches_do_not_change_which_rows_a_step_takes() -> None:
    rows = text_rows(1)
    assert taken(Batches(rows, Deal(6, 1, seed=0)), 4) == taken(Batches(rows, Deal(6, 3, seed=0)), 4)


def test_in_order_yields_each_row_once() -> None:
    rows = text_rows(2)
    batches = list(in_order(rows, micro_size=4, limit=None))
    assert [b.rows for b in batches] == [(0, 1, 2, 3), (4, 5)]
    assert [b.rows for b in in_order(rows, micro_size=4, limit=3)] == [(0, 1, 2)]
