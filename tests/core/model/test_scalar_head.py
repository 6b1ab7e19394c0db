"""Scores and values by packed documents, against transformers' own classifiers on padded rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from core.model.batch import IGNORED, PackedBatch, packed
from core.model.reading import Packing, Reading, next_token_loss
from core.model.scalar_head import add_head, document_scores, target_values
from core.model.verification import verify_reading
from tests.core.model.reference import gradients
from tests.core.model.test_log_probs import padded

PAD = 95
ROWS = [[3, 1, 4, 1, 5, 9], [2, PAD, 6, PAD, 5], [7], [8, 8, 8, 8, 8, 8, 8, 8, 8, 1]]


def classifier_of(model: Any) -> Any:
    """Return transformers' classifier with the same weights."""
    from transformers import AutoModelForSequenceClassification, GPT2Config, LlamaConfig

    assert isinstance(model.config, LlamaConfig | GPT2Config)
    config = type(model.config).from_dict({**model.config.to_dict(), "num_labels": 1, "pad_token_id": PAD})
    classifier = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    classifier.base_model.load_state_dict(model.base_model.state_dict())
    classifier.score.load_state_dict(model.score.state_dict())
    return classifier.eval()


def scores_of(classifier: Any, rows: list[list[int]], *, side: str, extra: int) -> Tensor:
    longest = max(map(len, rows)) + extra
    ids, mask = torch.full((len(rows), longest), PAD), torch.zeros(len(rows), longest, dtype=torch.int64)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(0, len(row))
        ids[number, place], mask[number, place] = torch.tensor(row), 1
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    result: Tensor = classifier(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, 0]
    return result


def scoring(build: Callable[..., Any], architecture: str = "llama") -> tuple[Any, Reading]:
    model = build(architecture).eval()
    reading = verify_reading(model, "auto")
    add_head(model, "score", seed=11)
    return model, reading


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(("side", "extra"), [("right", 0), ("left", 0), ("right", 5), ("left", 5)])
def test_scores_equal_those_of_transformers_whatever_the_padding(
    architecture: str, side: str, extra: int, build: Callable[..., Any]
) -> None:
    model, reading = scoring(build, architecture)
    classifier = classifier_of(model)
    batch = packed(ROWS, ROWS)
    with torch.no_grad():
        found = document_scores(model, reading, padded(batch, extra) if extra else batch)
        right = scores_of(classifier, ROWS, side=side, extra=extra)
        alone = torch.cat([scores_of(classifier, [row], side="right", extra=0) for row in ROWS])
    assert found.shape == (len(ROWS),)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
    assert found.std() > 0.05


@pytest.mark.parametrize(("packing", "attention"), [("dense", "sdpa"), ("unpacked", "sdpa")])
def test_every_packing_finds_the_last_token(packing: Packing, attention: str, build: Callable[..., Any]) -> None:
    model, reading = scoring(build)
    batch = padded(packed(ROWS, ROWS), 3)
    with torch.no_grad():
        right = document_scores(model, reading, batch)
        model.set_attn_implementation(attention)
        found = document_scores(model, replace(reading, packing=packing, attention=attention), batch)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-5)


def test_a_document_may_end_with_the_token_that_pads(build: Callable[..., Any]) -> None:
    """Where transformers would take the token before it."""
    model, reading = scoring(build)
    row = [3, 1, PAD]
    with torch.no_grad():
        found = document_scores(model, reading, padded(packed([row], [row]), 2))
        hidden = model.base_model(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0]
        torch.testing.assert_close(found, model.score(hidden[2]), rtol=0, atol=1e-5)
        assert abs(found - model.score(hidden[1])).item() > 1e-3


def test_values_stand_where_targets_do(build: Callable[..., Any]) -> None:
    model = build().eval()
    reading = verify_reading(model, "auto")
    head = add_head(model, "value", seed=2)
    batch = padded(packed([[3, 1, 4, 1], [2, 7]], [[IGNORED, 4, 1, IGNORED], [7, IGNORED]]), 2)
    with torch.no_grad():
        found = target_values(model, reading, batch)
        apart = [
            head(model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0])[:, 0]
            for ids in ([3, 1, 4, 1], [2, 7])
        ]
    torch.testing.assert_close(found, torch.stack([apart[0][1], apart[0][2], apart[1][0]]), rtol=0, atol=1e-5)


def test_the_head_is_float32_under_autocast(build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    """Only then is it the product of the hidden states that the body gave, to the last bit."""
    model, reading = scoring(build)
    seen: list[Tensor] = []
    model.score.register_forward_hook(lambda _module, arguments, _output: seen.extend(arguments))
    batch = row(9, 12)
    with torch.autocast("cpu", torch.bfloat16):
        scores = document_scores(model, reading, batch)
    assert scores.dtype is torch.float32
    assert seen[0].dtype is torch.float32
    assert torch.equal(scores, (seen[0] @ model.score.weight.T)[:, 0])
    scores.sum().backward()
    assert model.score.weight.grad is not None


def test_weights_come_from_their_own_seed(build: Callable[..., Any]) -> None:
    model = build(hidden_size=512, layers=1)
    before = torch.get_rng_state()
    first = add_head(model, "score", seed=1).weight.clone()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(add_head(model, "value", seed=1).weight, first)
    assert not torch.equal(add_head(model, "value", seed=2).weight, first)
    assert first.std().item() == pytest.approx(1 / math.sqrt(513), rel=0.1)
    assert {name for name, _ in model.named_parameters() if name.startswith(("score", "value"))} == {
        "score.weight",
        "value.weight",
    }
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("head", ["stub", "linear"])
def test_a_head_has_no_part_in_the_loss_of_tokens(
    head: Literal["stub", "linear"], build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(9, 12)
    reading = replace(verify_reading(model, "auto"), head=head)
    expected = gradients(model, next_token_loss(model, reading, batch))
    add_head(model, "score", seed=11)
    found = gradients(model, next_token_loss(model, reading, batch))
    assert found.pop("score.weight").abs().max() == 0
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_evaluation_scores_the_same_twice_and_dropout_is_off(build: Callable[..., Any]) -> None:
    model = build(dropout=0.5).eval()
    reading = verify_reading(model, "auto")
    add_head(model, "score", seed=11)
    batch = packed(ROWS, ROWS)
    with torch.no_grad():
        assert torch.equal(document_scores(model, reading, batch), document_scores(model, reading, batch))
