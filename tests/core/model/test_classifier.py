from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UsageError
from core.model.classifier import TextClassifier, load_classifier
from tests.core.model.adapters_by_code import write_base, write_tokenizer
from tests.core.model.rewards_by_code import mark_special

TEXTS = ["a short one", "another that is much longer than the first one", "x", "two words", "a short one"]
PAD = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier with a tokenizer of bytes."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=301, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_labels=1, pad_token_id=PAD, max_position_embeddings=64,
    )  # fmt: skip
    made = write_tokenizer(tmp_path / "classifier", 301)
    LlamaForSequenceClassification(config).save_pretrained(made)
    mark_special(made, PAD)
    return made


def alone(classifier: TextClassifier, ids: list[int]) -> float:
    with torch.no_grad():
        logits = classifier.model(input_ids=torch.tensor([ids])).logits
    return float(logits[0, 0])


def test_a_score_does_not_depend_on_what_stands_beside(folder: Path) -> None:
    classifier = load_classifier(str(folder))
    found = classifier.of_texts(TEXTS)
    assert found == pytest.approx(
        [alone(classifier, classifier.tokenizer(text)["input_ids"]) for text in TEXTS], abs=1e-5
    )
    assert found[0] == pytest.approx(found[4], abs=1e-6)
    assert max(found) - min(found) > 1e-3
    assert classifier.of_texts([]) == []
    assert not classifier.model.training
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    assert len(classifier.digest) == 64


def test_without_a_token_to_pad_with_texts_come_one_by_one(folder: Path) -> None:
    with_padding = load_classifier(str(folder)).of_texts(TEXTS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    assert load_classifier(str(folder)).of_texts(TEXTS) == pytest.approx(with_padding, abs=1e-5)


def test_answers_go_through_the_chat_template(folder: Path) -> None:
    plain = load_classifier(str(folder))
    prompts, responses = ["What?", "Why so?"], ["This.", "Because."]
    joined = plain.of_texts([f"{prompt}{response}" for prompt, response in zip(prompts, responses, strict=True)])
    assert plain.of_answers(prompts, responses) == pytest.approx(joined, abs=1e-6)
    (folder / "chat_template.jinja").write_text(
        "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    )
    chat = load_classifier(str(folder))
    right = chat.of_texts(["<user>What?<assistant>This.", "<user>Why so?<assistant>Because."])
    assert chat.of_answers(prompts, responses) == pytest.approx(right, abs=1e-6)


def test_of_a_text_that_is_too_long_the_end_is_read(folder: Path) -> None:
    classifier = load_classifier(str(folder))
    ids = classifier.tokenizer("y" * 100 + "z" * 30)["input_ids"]
    assert classifier.of_texts(["y" * 100 + "z" * 30]) == pytest.approx([alone(classifier, ids[-64:])], abs=1e-5)


def test_a_language_model_is_no_classifier(build: Callable[..., Any], tmp_path: Path) -> None:
    base = write_base(build(), tmp_path / "base")
    with pytest.raises(UsageError, match=r"lack 1 tensors of LlamaForSequenceClassification, such as score.weight"):
        load_classifier(str(base))
    with pytest.raises(UsageError, match=r"rewards.path: there is no folder"):
        load_classifier(str(tmp_path / "nothing here"))
