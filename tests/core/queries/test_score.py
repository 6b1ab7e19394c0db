"""Scores of answers in files, by a tiny reward model that the test writes as a reward run leaves it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.adapter import LoRA
from core.config.model import ScratchModel
from core.data.tokens.templates import render_prompt
from core.errors import DataError, UsageError
from core.model import scalar_head
from core.model.adapters import attach
from core.model.base_record import AdapterRecord, weights_digest
from core.model.load import Vocabulary, build_model, load_folder
from core.model.reward_model import begin_reward_model, load_reward_model, save_reward_model
from core.model.reward_record import RewardRecord, tokenizer_digest
from core.queries import score as query
from core.queries.score import ScoreQuestion, score
from core.run.directory import Home, RunDirectory
from core.run.launch import make_home
from tests.core.model.adapted import disturb
from tests.core.model.adapters_by_code import write_base
from tests.training_runs import new_run, pretrain_preset

SIZE = 260
END = "<|endoftext|>"
"""The tests' tokenizer has no special tokens: it writes this in letters, as the template does."""
PAIR = {"prompt": "add", "chosen": "two plus two is four", "rejected": "no"}


def _model() -> Any:
    scratch = ScratchModel(kind="scratch", layers=2, hidden_size=32, heads=4, context_length=256)
    model = build_model(scratch, folder=None, vocabulary=Vocabulary(SIZE, 0), seed=3)
    disturb(model)
    return model


@pytest.fixture
def reward_run(home: Home, tmp_path: Path) -> Callable[..., RunDirectory]:
    def make(*, low_rank: bool = False) -> RunDirectory:
        make_home(home)
        base = write_base(_model(), tmp_path / "base")
        tokenizer = tmp_path / "base-tokenizer"
        preset = {
            "phase": "reward", "about": {"title": "judge"}, "model": {"kind": "pretrained", "path": str(base)},
            "data": {"kind": "preferences", "sources": [{"kind": "path", "path": "/none.jsonl"}], "max_tokens": 256},
            "schedule": {"kind": "constant", "peak_learning_rate": 1e-3, "steps": 4},
            "batch": {"size": 2, "micro_size": 2, "sequence_length": 256}, "precision": {"dtype": "fp32"},
        }  # fmt: skip
        run = new_run(home, preset, "judge")
        model, adapter = load_folder(base), None
        if low_rank:
            attach(model, LoRA.model_validate({"kind": "lora", "rank": 4}), seed=3)
            adapter = AdapterRecord(model=preset["model"], digest=weights_digest(base), vocabulary_size=SIZE)
        begin_reward_model(model, seed=5)
        disturb(model)
        record = RewardRecord(template="alpaca", tokenizer_digest=tokenizer_digest(tokenizer))
        save_reward_model(model, run.model, record=record, tokenizer=tokenizer, adapter=adapter)
        return run

    return make


def _scored(run: RunDirectory, rows: Sequence[Any], folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    said: list[dict[str, Any]] = []
    question = ScoreQuestion.of({"verb": "score", "run": str(run.path), "file": str(file)})
    answer = score(question, lambda one: said.extend(one["scores"]), run.home)
    return said, answer


def _alone(run: RunDirectory, prompt: str, response: str) -> float:
    """The score of one answer, its tokens laid by hand, by the model without packing."""
    model = load_reward_model(run.model, run.home)
    ids = render_prompt(run.model, "alpaca", prompt) + render_prompt(run.model, "none", f"{response}{END}")
    with torch.no_grad():
        hidden = model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state
        return float(model.score(hidden[0, -1]))


@pytest.mark.parametrize("low_rank", [False, True])
def test_pairs_have_the_scores_of_each_side_alone(
    low_rank: bool, reward_run: Callable[..., RunDirectory], tmp_path: Path
) -> None:
    run = reward_run(low_rank=low_rank)
    (row,), answer = _scored(run, [PAIR], tmp_path)
    better, worse = (_alone(run, "add", str(PAIR[side])) for side in ("chosen", "rejected"))
    assert abs(better - worse) > 1e-3
    assert row["place"].endswith("rows.jsonl:1")
    assert math.isclose(row["chosen"], better, abs_tol=1e-5)
    assert math.isclose(row["rejected"], worse, abs_tol=1e-5)
    assert row["margin"] == row["chosen"] - row["rejected"]
    assert (answer["rows"], answer["bad_rows"], answer["template"]) == (1, 0, "alpaca")


@pytest.mark.parametrize(
    ("row", "beside"),
    [
        ({"instruction": "add", "input": "", "output": "four"}, {}),
        ({"prompt": "add", "completion": "four"}, {}),
        ({"messages": [{"role": "user", "content": "add"}, {"role": "assistant", "content": "four"}]}, {}),
        ({"prompt": "add", "completion": "four", "label": False}, {"label": False}),
    ],
)
def test_answers_of_every_form_have_one_score(
    row: dict[str, Any], beside: dict[str, Any], reward_run: Callable[..., RunDirectory], tmp_path: Path
) -> None:
    run = reward_run()
    (found,), _ = _scored(run, [row], tmp_path)
    assert math.isclose(found.pop("score"), _alone(run, "add", "four"), abs_tol=1e-5)
    assert found == {"place": found["place"], **beside}


def test_rows_come_in_the_order_of_the_file_whatever_they_are_packed_with(
    reward_run: Callable[..., RunDirectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = reward_run()
    rows = [{"prompt": "say", "completion": "a b " * (number * 7 % 11 + 1) + str(number)} for number in range(20)]
    whole, _ = _scored(run, rows, tmp_path)
    monkeypatch.setattr(query, "_WINDOW", 6)
    monkeypatch.setattr(scalar_head, "_TOKENS_AT_ONCE", 150)
    parted, _ = _scored(run, rows, tmp_path)
    assert [row["place"].rpartition(":")[2] for row in parted] == [str(number + 1) for number in range(20)]
    assert [row["place"] for row in whole] == [row["place"] for row in parted]
    for one, other in zip(whole, parted, strict=True):
        assert math.isclose(one["score"], other["score"], abs_tol=1e-5)
    assert len({round(row["score"], 4) for row in whole}) > 10


def test_bad_rows_are_counted_and_the_others_scored(reward_run: Callable[..., RunDirectory], tmp_path: Path) -> None:
    rows = [PAIR, "{", {"prompt": "x", "chosen": "y"}, {**PAIR, "rejected": PAIR["chosen"]},
            {**PAIR, "chosen": "word " * 400}, PAIR]  # fmt: skip
    said, answer = _scored(reward_run(), rows, tmp_path)
    assert [row["place"].rpartition(":")[2] for row in said] == ["1", "6"]
    assert (answer["rows"], answer["bad_rows"]) == (2, 4)
    assert answer["bad"]["equal_pair"] == answer["bad"]["over_long"] == 1
    assert any("rows.jsonl:5" in error and "answer of fewer than 256" in error for error in answer["errors"])


def test_a_prompt_alone_is_no_answer(reward_run: Callable[..., RunDirectory], tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none of the rows in .*rows\.jsonl could be scored:\n.*a prompt alone"
    ) as caught:
        _scored(reward_run(), [{"prompt": "add"}] * 3, tmp_path)
    assert "data." not in str(caught.value), "there is no preset to change"


@pytest.mark.parametrize(("rows", "words"), [([], "expected rows, found none"), ([{"foo": 1}], "known format")])
def test_a_file_of_other_things_is_refused_by_its_name(
    reward_run: Callable[..., RunDirectory], tmp_path: Path, rows: list[Any], words: str
) -> None:
    with pytest.raises(DataError, match=rf"^{tmp_path}/rows\.jsonl: .*{words}") as caught:
        _scored(reward_run(), rows, tmp_path)
    assert caught.value.hint.startswith("A row has a prompt and an answer")


def test_a_run_that_made_no_reward_model_is_refused(home: Home, tmp_path: Path) -> None:
    make_home(home)
    run = new_run(home, pretrain_preset(tmp_path), "plain")
    with pytest.raises(UsageError, match="has made no model"):
        _scored(run, [PAIR], tmp_path)
    base = write_base(_model(), tmp_path / "base")
    base.rename(run.model)
    with pytest.raises(UsageError, match=r"plain has made no reward model: .*reward\.json"):
        _scored(run, [PAIR], tmp_path)
