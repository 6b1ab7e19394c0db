"""Weights by class: from the configuration to rows, batches and the loss of a step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.config.loss import SyntaxWeights
from core.data.manifest import Manifest
from core.errors import DataError
from core.model.batch import IGNORED, PackedBatch
from core.model.verification import verify_reading
from core.training.batches import InstructionRows, Row, TextRows, pack_rows
from core.training.objectives import NextToken
from core.training.syntax_weights import class_weights
from tests.core.training.test_batches import FakeShards
from tests.core.training.test_engine import engine_of, parameters_of, tiny_model

X = IGNORED


class MarkedShards(FakeShards):
    """Shards whose classes are the token ids modulo 8."""

    def classes(self, start: int, stop: int) -> np.ndarray:
        return (self.stream(start, stop) % 8).astype(np.uint8)


DOCUMENTS = [[1, 2, 3, 0], [4, 5, 0], [6, 7, 8, 9, 10, 0]]
TABLE = np.array([2, 1, 3, 0, 1, 0.5, 1, 4], dtype=np.float32)


def manifest(syntax: str | None) -> Manifest:
    return Manifest.model_construct(syntax=syntax)


def text_rows(length: int, table: np.ndarray | None, *, across: bool = False) -> TextRows:
    return TextRows(MarkedShards(DOCUMENTS), length=length, across=across, weights=table)  # type: ignore[arg-type]


def weights_of(row: Row) -> list[float] | None:
    return None if row.weights is None else row.weights.tolist()


def test_the_table_has_the_classes_in_their_order() -> None:
    weights = SyntaxWeights(keyword=2, comment=0, other=0.5, whitespace=3)
    table = class_weights(weights, manifest("auto"))
    assert table is not None
    assert table.dtype == np.float32
    assert table.tolist() == [0.5, 2, 1, 1, 1, 1, 0, 3]


def test_weights_of_1_are_no_weights() -> None:
    assert class_weights(SyntaxWeights(), manifest("python")) is None
    assert class_weights(SyntaxWeights(), manifest(None)) is None


def test_weights_without_marks_are_refused() -> None:
    with pytest.raises(DataError, match=r"marked by their class, found none in it \(keyword 2, comment 0\)") as error:
        class_weights(SyntaxWeights(keyword=2, comment=0), manifest(None))
    assert "data.syntax" in error.value.hint


def test_a_target_has_the_weight_of_its_own_class() -> None:
    """Classes are ids modulo 8: 3 weighs nothing and is no target; the end token 0 and 8 weigh 2."""
    rows = [text_rows(5, TABLE)[number] for number in range(3)]
    assert [row.targets.tolist() for row in rows] == [[2, X, 0, X, 5], [0, X, 7, 8, 9], [10, 0]]
    assert [weights_of(row) for row in rows] == [[3, 0, 2, 0, 0.5], [2, 0, 4, 2, 1], [3, 2]]
    across = text_rows(5, TABLE, across=True)[0]
    assert across.targets.tolist() == [2, X, 0, 4, 5]
    assert weights_of(across) == [3, 0, 2, 1, 0.5]


def test_a_row_whose_targets_all_weigh_1_has_no_weights() -> None:
    table = np.array([1, 1, 1, 0, 1, 1, 1, 1], dtype=np.float32)
    row = text_rows(5, table)[0]
    assert row.weights is None
    assert row.targets.tolist() == [2, X, 0, X, 5]
    plain, other = text_rows(5, None)[1], text_rows(5, np.ones(8, np.float32))[1]
    assert other.weights is None
    assert other.targets.tolist() == plain.targets.tolist()


def test_instructions() -> None:
    shards = MarkedShards([[1, 2, 3, 7, 0], [5, 2, 10]], [[0, 0, 1, 1, 1], [0, 1, 0]])
    row = InstructionRows(shards, length=8, pack=True, weights=TABLE)[0]  # type: ignore[arg-type]
    assert row.ids.tolist() == [1, 2, 3, 7, 0, 5, 2, 10]
    assert row.targets.tolist() == [X, X, 7, 0, X, 2, X, X]
    assert weights_of(row) == [0, 0, 4, 2, 0, 3, 0, 0]


def test_padding_and_rows_without_weights_in_one_batch() -> None:
    plain, weighed = text_rows(5, None)[0], text_rows(5, TABLE)[2]
    batch = pack_rows([plain, weighed], numbers=(0, 2), pad_to=9)
    assert batch.weights is not None
    assert batch.weights.dtype is torch.float32
    assert batch.weights.tolist() == [[1, 1, 1, 0, 1, 3, 2, 0, 0]]
    assert batch.target_weight == 9
    assert pack_rows([plain, plain], numbers=(0, 0)).weights is None


def batches_of(size: int, table: np.ndarray | None) -> list[PackedBatch]:
    generator = np.random.default_rng(3)
    documents = [generator.integers(0, 97, length).tolist() for length in (9, 5, 14, 3, 8, 6, 12, 7)]
    rows = TextRows(MarkedShards(documents), length=8, across=False, weights=table)  # type: ignore[arg-type]
    numbers = list(range(8))
    groups = [numbers[begin : begin + size] for begin in range(0, 8, size)]
    return [pack_rows([rows[number] for number in group], numbers=tuple(group)) for group in groups]


def weighted_mean(model: Any, batches: Sequence[PackedBatch]) -> Tensor:
    """By a loop over every position of every document alone."""
    total, weight = torch.zeros(()), 0.0
    for batch in batches:
        start = 0
        for length in batch.lengths:
            stop = start + length
            logits = model(input_ids=batch.input_ids[:, start:stop], use_cache=False).logits[0]
            for place in range(length):
                target = int(batch.targets[0, start + place])
                counts = float(TABLE[target % 8]) if target != IGNORED else 0.0
                if counts:
                    total = total + counts * (logits[place].logsumexp(0) - logits[place, target])
                    weight += counts
            start = stop
    return total / weight


def test_a_step_is_the_weighted_mean_however_rows_are_dealt_out() -> None:
    """8 micro-batches of 1, 2 of 4 and 1 of 8, against one graph in bare torch."""
    reference = tiny_model()
    expected = weighted_mean(reference, batches_of(8, None))
    expected.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in reference.parameters() if p.grad is not None])
    for size in (1, 4, 8):
        model = copy.deepcopy(reference)
        model.zero_grad(set_to_none=True)
        objective = NextToken(verify_reading(model, "auto"))
        result = engine_of(model, max_grad_norm=None).step(batches_of(size, TABLE), objective, learning_rate=1e-2)
        assert result.applied
        assert result.loss == pytest.approx(expected.item(), rel=1e-5)
        assert result.grad_norm == pytest.approx(float(norm), rel=1e-4)


def test_weights_all_1_train_as_without_bit_for_bit_and_doubled_ones_alike() -> None:
    after: list[dict[str, Tensor]] = []
    losses: list[float] = []
    for table in (None, np.ones(8, np.float32), np.full(8, 2, np.float32)):
        model = tiny_model()
        objective = NextToken(verify_reading(model, "auto"))
        losses.append(engine_of(model).step(batches_of(4, table), objective, learning_rate=1e-2).loss)
        after.append(parameters_of(model))
    assert losses[0] == losses[1]
    assert losses[2] == pytest.approx(losses[0], rel=1e-6)
    for name, parameter in after[0].items():
        assert torch.equal(after[1][name], parameter), name


def test_small_weights_are_divided_by_their_own_sum() -> None:
    """Their sum is below 1, and the loss is still a mean."""
    model = tiny_model()
    objective = NextToken(verify_reading(model, "auto"))
    tiny = np.full(8, 1e-3, np.float32)
    losses = [
        engine_of(copy.deepcopy(model)).step(batches_of(8, table), objective, learning_rate=0.0).loss
        for table in (None, tiny)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_step_of_nothing_but_weights_of_0_is_refused() -> None:
    model = tiny_model()
    objective = NextToken(verify_reading(model, "auto"))
    before = parameters_of(model)
    result = engine_of(model).step(batches_of(8, np.zeros(8, np.float32)), objective, learning_rate=1.0)
    assert result.refusal == "no token of this step counts for the loss"
    assert all(torch.equal(before[name], parameter) for name, parameter in parameters_of(model).items())
