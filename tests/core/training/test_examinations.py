"""Evaluation is weighted by tokens, samples can be left, and a resume owes what was trained again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from core.config.cadence import Sampling
from core.model.batch import IGNORED, PackedBatch
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Evaluated, Resumed
from core.training import sample as sampling
from core.training.batches import Row
from core.training.evaluate import evaluate
from core.training.held_out import HeldOut
from core.training.objectives import Terms
from core.training.setup import owed_at


@dataclass
class Stand:
    """An engine whose loss is written on the rows: the id of a token that counts, in nats."""

    model: torch.nn.Module = field(default_factory=lambda: torch.nn.Linear(1, 1))
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def call(self, function: Any, *arguments: Any, **keywords: Any) -> Any:
        return function(self.model, *arguments, **keywords)


def nats(model: torch.nn.Module, batch: PackedBatch) -> Terms:
    return Terms((batch.input_ids[batch.targets != IGNORED].sum(),))


def row(counted: list[int], *, ignored: int) -> Row:
    ids = np.array([*counted, *[50] * ignored])
    targets = np.array([*[1] * len(counted), *[IGNORED] * ignored])
    return Row(ids, targets, (len(ids),))


@pytest.mark.parametrize("micro_size", [1, 2])
@pytest.mark.parametrize("pad_to", [None, 40])
def test_perplexity_is_weighted_by_tokens(micro_size: int, pad_to: int | None) -> None:
    """10 nats over 10 tokens and 2 over 1: exp(12/11) = 2.977, not the mean of e and e squared."""
    rows = [row([1] * 10, ignored=3), row([2], ignored=7)]
    found = evaluate(
        cast(Any, Stand()), cast(Any, nats), [HeldOut(None, rows)], micro_size=micro_size, limit=None, step=3,
        pad_to=pad_to, is_leaving=lambda: False,
    )  # fmt: skip
    assert found is not None
    assert found.tokens == 11
    assert found.values["eval/loss"] == pytest.approx(12 / 11)
    assert found.values["eval/perplexity"] == pytest.approx(math.exp(12 / 11))


@pytest.mark.parametrize(("leaving", "count"), [(False, 1), (True, 0)])
def test_a_sample_that_is_left_is_not_shown(monkeypatch: pytest.MonkeyPatch, leaving: bool, count: int) -> None:
    monkeypatch.setattr(sampling, "generate", lambda *_, **__: "half a se")
    asked = Sampling(prompts=["a"])
    texts = sampling.sample(
        cast(Any, Stand()), Path(), asked, seed=1, step=1, prompt_ids=lambda _: [1], is_leaving=lambda: leaving
    )
    assert len(texts) == count


@pytest.mark.parametrize(("again", "owed"), [(False, {"sample"}), (True, {"evaluate", "sample"})])
def test_an_evaluation_that_was_trained_over_is_owed_again(tmp_path: Path, again: bool, owed: set[str]) -> None:
    run = RunDirectory(tmp_path)
    writer = EventWriter(run.events, 1)
    writer.write(Evaluated(step=8, values={"eval/loss": 1.0}, tokens=1, seconds=0.1))
    if again:
        writer.write(Resumed(step=4, checkpoint="step-00000004"))
    writer.close()
    cadence = SimpleNamespace(checkpoint_steps=4, evaluate_steps=4, sample_steps=8)
    session = SimpleNamespace(run=run, attempt=3)
    config = SimpleNamespace(cadence=cadence)
    assert owed_at(cast(Any, session), cast(Any, config), step=8, steps=20) == owed


@pytest.mark.parametrize("micro_size", [1, 2, 3])
def test_the_loss_of_all_is_that_of_the_groups_weighted_by_tokens(micro_size: int) -> None:
    parts = [
        HeldOut("one", [row([1] * 10, ignored=3), row([3], ignored=1)]),
        HeldOut("empty", [row([], ignored=4)]),
        HeldOut(None, [row([5], ignored=2)]),
        HeldOut("two", [row([2], ignored=7)]),
    ]
    found = evaluate(
        cast(Any, Stand()), cast(Any, nats), parts, micro_size=micro_size, limit=None, step=3, pad_to=None,
        is_leaving=lambda: False,
    )  # fmt: skip
    assert found is not None
    losses = {name: value for name, value in found.values.items() if name != "eval/perplexity"}
    assert losses == {
        "eval/loss": pytest.approx(20 / 13),
        "eval/loss_one": pytest.approx(13 / 11),
        "eval/loss_two": pytest.approx(2),
    }
    assert found.tokens == 13


def test_a_limit_holds_for_each_group() -> None:
    parts = [HeldOut(name, [row([n], ignored=0) for n in (size, size, 40)]) for name, size in (("a", 1), ("b", 3))]
    found = evaluate(
        cast(Any, Stand()), cast(Any, nats), parts, micro_size=1, limit=2, step=3, pad_to=None,
        is_leaving=lambda: False,
    )  # fmt: skip
    assert found is not None
    assert (found.tokens, found.values["eval/loss"]) == (4, 2.0)
    assert (found.values["eval/loss_a"], found.values["eval/loss_b"]) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("attempt", "first", "evaluated", "owed"),
    [(1, True, False, {"evaluate"}), (1, False, False, set()), (2, True, False, {"evaluate"}), (2, True, True, set())],
)
def test_the_first_evaluation_is_owed_once(
    tmp_path: Path, attempt: int, *, first: bool, evaluated: bool, owed: set[str]
) -> None:
    run = RunDirectory(tmp_path)
    writer = EventWriter(run.events, 1)
    if evaluated:
        writer.write(Evaluated(step=0, values={"eval/loss": 1.0}, tokens=1, seconds=0.1))
    if attempt > 1:
        writer.write(Resumed(step=0, checkpoint=""))
    writer.close()
    cadence = SimpleNamespace(checkpoint_steps=4, evaluate_steps=4, sample_steps=8, evaluate_first=first)
    session = SimpleNamespace(run=run, attempt=attempt)
    assert owed_at(cast(Any, session), cast(Any, SimpleNamespace(cadence=cadence)), step=0, steps=20) == owed
