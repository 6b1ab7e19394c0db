"""Rows of preferences by hand: which documents are whose, which tokens count, which answers do not belong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import DataError
from core.model.batch import IGNORED
from core.training.batches import Batches, Cursor, Deal
from core.training.pairs import PairRows, References, pack_pairs
from tests.core.training.preferences import DOCUMENTS, PreferenceShards, pair

X = IGNORED


def rows_of(contents: Any = DOCUMENTS, *, part: range | None = None, length: int = 16, **settings: Any) -> PairRows:
    shards: Any = PreferenceShards(contents)
    return PairRows(shards, length=length, documents=part, **settings)


def test_a_batch_by_hand() -> None:
    rows = rows_of()
    batch = pack_pairs([rows[1], rows[0]], numbers=(1, 0))
    assert batch.packed.lengths == (3, 5, 4)
    assert batch.packed.input_ids[0].tolist() == [6, 7, 0, 1, 2, 3, 4, 0, 1, 2, 5, 0]
    assert batch.packed.targets[0].tolist() == [7, 0, X, X, 3, 4, 0, X, X, 5, 0, X]
    assert batch.packed.position_ids[0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert (batch.better.tolist(), batch.worse.tolist()) == ([1], [2])
    assert batch.is_good.tolist() == [False, True, False]
    assert (batch.pairs, batch.documents, batch.good, batch.better_tokens) == (1, 3, 1, 3)
    assert (batch.tokens, batch.rows) == (12, (1, 0))
    assert batch.references is None
    assert batch.mismatched is None


def test_both_sides_of_a_pair_share_their_prompt_but_its_last_token() -> None:
    """Tokens count as if nothing were shared."""
    prompt = [*range(20, 52), 8]
    rows = rows_of([pair(prompt, [9, 0], [10, 11, 0])], length=64)
    batch = pack_pairs([rows[0]], numbers=(0,))
    assert batch.packed.lengths == (3, 4, 32)
    assert batch.packed.input_ids[0].tolist() == [8, 9, 0, 8, 10, 11, 0, *prompt[:-1]]
    assert batch.packed.targets[0].tolist() == [9, 0, X, 10, 11, 0, X, *[X] * 32]
    assert (batch.tokens, batch.packed.target_tokens, batch.documents, batch.better_tokens) == (71, 5, 2, 2)
    assert pack_pairs([rows[0]], numbers=(0,), pad_to=71).packed.prefixes is None


@pytest.mark.parametrize("other", [[*range(21, 53), 8], [*range(20, 53), 8], [*range(20, 51), 8]])
def test_sides_with_other_prompts_share_nothing(other: list[int]) -> None:
    ids, marks = pair([*range(20, 52), 8], [9, 0], [])
    row = ([*ids[:35], *other, 10, 0], [*marks[:35], *[2] * len(other), 3, 3])
    assert pack_pairs([rows_of([row], length=64)[0]], numbers=(0,)).packed.prefixes is None


def test_padding_is_a_document_that_is_nobody_s() -> None:
    batch = pack_pairs([rows_of()[0]], numbers=(0,), pad_to=20)
    assert batch.packed.lengths == (5, 4, 11)
    assert (batch.tokens, batch.documents, batch.packed.padding) == (9, 2, 11)


def test_references_go_with_their_answers() -> None:
    answers = np.arange(8, dtype=np.float32).reshape(4, 2)
    rows = rows_of(references=References(answers, answers + 100), mismatched=True)
    batch = pack_pairs([rows[2], rows[1]], numbers=(2, 1)).to(torch.device("cpu"))
    assert batch.references is not None
    assert batch.references.tolist() == [4, 5, 2]
    assert batch.mismatched_references is not None
    assert batch.mismatched_references.tolist() == [104, 105, 102]


def test_a_part_of_the_split_has_its_own_references() -> None:
    answers = np.arange(8, dtype=np.float32).reshape(4, 2)
    rows = rows_of(part=range(2, 4), references=References(answers))
    assert len(rows) == 2
    assert rows[0].references is not None
    assert rows[0].references[0].tolist() == [4, 5]


def test_other_rows_answers_stand_behind_the_prompt() -> None:
    """Row 0's prompt [1 2] before the answers of row 2; row 1's before those of row 3, which has one only."""
    rows = rows_of(mismatched=True)
    batch = pack_pairs([rows[0], rows[3]], numbers=(0, 3))
    assert batch.mismatched is not None
    ids, lengths = batch.mismatched.input_ids[0].tolist(), batch.mismatched.lengths
    assert lengths == (4, 4, 3)
    assert ids == [1, 2, 9, 0, 1, 2, 10, 0, 11, 7, 0]
    assert batch.mismatched.targets[0].tolist() == [X, 9, 0, X, X, 10, 0, X, 7, 0, X]


def test_an_answer_that_does_not_fit_loses_its_end() -> None:
    rows = rows_of(mismatched=True, length=3)
    assert [len(side.ids) for side in rows[0].mismatched] == [3, 3]


def test_a_side_longer_than_a_sequence_is_named() -> None:
    rows_of(length=5).check_length()
    with pytest.raises(DataError, match="longest prompt with answer has 5 tokens"):
        rows_of(length=4).check_length()


def test_one_row_has_nothing_to_be_mismatched_with() -> None:
    with pytest.raises(DataError, match="one row"):
        rows_of(DOCUMENTS[:1], mismatched=True)


@pytest.mark.parametrize("stop", [1, 5])
def test_pairs_are_dealt_out_as_sequences_are(stop: int) -> None:
    """Every row once an epoch, and a cursor goes on where it was."""
    deal = Deal(3, 2, seed=7)
    batches = Batches(rows_of(), deal, pack=pack_pairs)
    steps = [[batch.rows for batch in batches.next_step()] for _ in range(8)]
    taken = [number for step in steps for rows in step for number in rows]
    assert [sorted(taken[begin : begin + 4]) for begin in range(0, 24, 4)] == [[0, 1, 2, 3]] * 6
    cursor = Cursor(stop * 3 // 4, stop * 3 % 4)
    rest = Batches(rows_of(), deal, pack=pack_pairs, cursor=cursor)
    assert [[batch.rows for batch in rest.next_step()] for _ in range(8 - stop)] == steps[stop:]
