"""Reward models on disk: as transformers and peft read them, and as they are loaded again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.model import RunModel
from core.errors import UsageError
from core.model.adapters import attach, load_adapted
from core.model.batch import packed
from core.model.classifier_form import padding_token
from core.model.comparison import difference, scores_on, token_rows
from core.model.load import load_folder
from core.model.merge import merge_adapter
from core.model.quantized import quantized_layers
from core.model.resolve import resolve_model
from core.model.reward_model import begin_reward_model, load_reward_model, save_reward_model, write_reward_model
from core.model.reward_record import RewardRecord, check_same_text, read_reward_record
from core.model.scalar_head import document_scores
from core.model.verification import verify_reading
from core.run.directory import Home
from tests.core.model.adapted import ADDED, disturb, loaded, record_of
from tests.core.model.rewards_by_code import (
    END,
    PAD,
    ROWS,
    ROWS_WITH_NEW,
    Made,
    make_reward,
    mark_special,
    padded_scores,
    scores_of,
    section,
)

Build = Callable[..., Any]
slow = pytest.mark.slow(reason="the same as by default with an output head of its own")


@pytest.fixture
def make(build: Build, tmp_path: Path) -> Callable[..., Made]:
    return partial(make_reward, build, tmp_path)


@pytest.mark.parametrize(("architecture", "tied"), [("llama", True), ("llama", False), ("gpt2", True)])
def test_a_whole_one_is_a_classifier_of_transformers(
    architecture: str, tied: bool, make: Callable[..., Made], home: Home
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made = make(architecture, tie_embeddings=tied)
    assert made.scores.std() > 0.05
    classifier, report = AutoModelForSequenceClassification.from_pretrained(made.folder, output_loading_info=True)
    assert not any(report.values())
    assert type(classifier).__name__.endswith("ForSequenceClassification")
    found = padded_scores(classifier, AutoTokenizer.from_pretrained(made.folder))
    torch.testing.assert_close(found, made.scores, rtol=0, atol=1e-5)
    loaded = load_reward_model(made.folder, home)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training
    torch.testing.assert_close(scores_of(loaded), made.scores, rtol=0, atol=1e-6)


def test_its_head_alarms_nobody_who_loads_it(make: Callable[..., Made], home: Home) -> None:
    """transformers would print a table of tensors that it did not expect."""
    folder, said = make(tie_embeddings=False).folder, Said()
    logger = logging.getLogger("transformers")
    logger.addHandler(said)
    try:
        load_reward_model(folder, home)
    finally:
        logger.removeHandler(said)
    assert said.messages == []


class Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.mark.parametrize(
    ("kind", "fields", "tied"),
    [
        ("lora", {}, False),
        ("lora", {"embeddings": "whole"}, True),
        pytest.param("lora", {"embeddings": "whole"}, False, marks=slow),
        ("lora", {"dora": True}, True),
        ("qlora", {}, True),
        pytest.param("qlora", {}, False, marks=slow),
    ],
)
def test_a_low_rank_one_is_loaded_by_peft_on_its_base(
    kind: str, fields: dict[str, Any], tied: bool, make: Callable[..., Made], home: Home
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made = make(section=section(kind, **fields), tie_embeddings=tied)
    loaded = load_reward_model(made.folder, home)
    assert bool(quantized_layers(loaded)) == (kind == "qlora")
    torch.testing.assert_close(scores_of(loaded), made.scores, rtol=0, atol=1e-6)
    if kind == "qlora":
        return
    base = AutoModelForSequenceClassification.from_pretrained(made.base, num_labels=1, pad_token_id=PAD)
    classifier = PeftModel.from_pretrained(base, made.folder)
    assert classifier.peft_config["default"].task_type == "SEQ_CLS"
    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PAD)
    torch.testing.assert_close(padded_scores(classifier, tokenizer), made.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_rows_of_new_tokens_come_back(
    tied: bool, base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path
) -> None:
    """Those of the embeddings: an output head of its own has no part in a score."""
    folder = base(tie_embeddings=tied)
    model = attach(loaded(folder, added=3), section("lora"), seed=3, added_token_ids=ADDED)
    begin_reward_model(model, seed=5)
    assert not any(p.requires_grad for name, p in model.named_parameters() if name.startswith("lm_head") and not tied)
    disturb(model)
    record = RewardRecord(template="chat", tokenizer_digest="")
    save_reward_model(model, tmp_path / "reward", record=record, tokenizer=empty_tokenizer, adapter=record_of(folder))
    rows = json.loads((tmp_path / "reward" / "adapter_config.json").read_text())["trainable_token_indices"]
    assert list(rows) == ["model.embed_tokens"], "peft finds no output head in a classifier"
    found = scores_of(load_adapted(folder, tmp_path / "reward", quantized=True, scoring=True), ROWS_WITH_NEW)
    torch.testing.assert_close(found, scores_of(model, ROWS_WITH_NEW), rtol=0, atol=1e-6)


def test_a_merged_one_is_a_whole_one(make: Callable[..., Made], home: Home, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made = make(section=section("lora"))
    merge_adapter(made.folder, made.base, tmp_path / "merged")
    loaded = load_reward_model(tmp_path / "merged", home)
    torch.testing.assert_close(scores_of(loaded), made.scores, rtol=0, atol=1e-4)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(padded_scores(classifier, tokenizer), made.scores, rtol=0, atol=1e-4)
    assert read_reward_record(tmp_path / "merged") == read_reward_record(made.folder)


def test_what_a_merge_says_of_4_bits_and_rounding_is_of_the_scores(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(section=section("qlora"), tie_embeddings=False)
    report = merge_adapter(made.folder, made.base, tmp_path / "merged", dtype="bf16")
    rows = token_rows(made.model)
    exact = scores_on(load_adapted(made.base, made.folder, quantized=False, scoring=True), rows)
    assert exact[0].shape == (48, 1)
    in_4_bits = scores_on(load_adapted(made.base, made.folder, quantized=True, scoring=True), rows)
    in_16_bits = scores_on(load_folder(tmp_path / "merged", scoring=True), rows)
    for found, right in ((report.quantized, (exact, in_4_bits)), (report.stored, (in_16_bits, exact))):
        assert found is not None
        assert found.largest == pytest.approx(difference(*right).largest, rel=1e-3)


def test_padding_is_a_token_that_ends_no_text(make: Callable[..., Made]) -> None:
    """Else transformers would score the token before the end; without such a token it scores one text at a time."""
    from transformers import AutoModelForSequenceClassification

    made = make(has_padding=False)
    classifier = AutoModelForSequenceClassification.from_pretrained(made.folder).eval()
    with torch.no_grad():
        alone = torch.cat([classifier(input_ids=torch.tensor([row])).logits[:, 0] for row in ROWS])
        torch.testing.assert_close(alone, made.scores, rtol=0, atol=1e-5)
        with pytest.raises(ValueError, match="no padding token"):
            classifier(input_ids=torch.tensor([[1, 2], [3, 4]]))
    assert padding_token(made.folder, [END]) is None
    mark_special(made.folder, PAD)
    mark_special(made.folder, 94)
    token, number = padding_token(made.folder, [END]) or ("", -1)
    assert number == PAD, "the first one"
    assert padding_token(made.folder, [END, PAD, 94]) is None
    settings = json.loads((made.folder / "tokenizer_config.json").read_text())
    (made.folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": token}))
    assert padding_token(made.folder, [END]) == (token, PAD)
    made.model.generation_config.eos_token_id = PAD  # where chat models declare the end of a turn
    again = made.folder.with_name("again")
    again.mkdir()
    write_reward_model(made.model, made.folder, again, record=read_reward_record(made.folder))
    assert json.loads((again / "config.json").read_text())["pad_token_id"] == 94


def test_only_what_a_score_comes_from_is_trained(build: Build) -> None:
    model = build(tie_embeddings=False)
    head = begin_reward_model(model, seed=5)
    verify_reading(model, "auto")
    document_scores(model, verify_reading(model, "auto"), packed(ROWS, ROWS)).sum().backward()
    without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == set()
    assert not model.lm_head.weight.requires_grad
    assert head is model.score


def test_a_reward_model_begins_with_another_and_keeps_its_head(make: Callable[..., Made]) -> None:
    made = make()
    model = load_folder(made.folder, scoring=True)
    attach(model, section("lora"), seed=3)
    assert not model.score.weight.requires_grad
    begin_reward_model(model, seed=99)
    assert model.score.weight.requires_grad
    torch.testing.assert_close(scores_of(model), made.scores, rtol=0, atol=1e-6)


def test_a_language_model_is_not_begun_with_a_reward_model(make: Callable[..., Made], home: Home) -> None:
    made = make(section=section("lora"))
    run = home.runs / "judge"
    run.mkdir(parents=True)
    made.folder.rename(run / "model")
    choice = RunModel(kind="run", run="judge")
    with pytest.raises(UsageError, match="judge made a reward model, which scores texts and writes none"):
        resolve_model(choice, home)
    folder = resolve_model(choice, home, scoring=True)
    assert folder is not None
    torch.testing.assert_close(scores_of(load_reward_model(folder, home)), made.scores, rtol=0, atol=1e-4)
    with pytest.raises(UsageError, match="holds a reward model, which scores texts"):
        load_folder(folder)


def test_a_classifier_from_elsewhere_is_no_language_model(make: Callable[..., Made]) -> None:
    made = make()
    (made.folder / "reward.json").unlink()
    with pytest.raises(UsageError, match="holds a sequence classifier"):
        load_folder(made.folder)


def test_an_architecture_without_a_classifier_is_refused_at_the_start() -> None:
    from transformers import AutoModelForCausalLM, GPTNeoXJapaneseConfig

    config = GPTNeoXJapaneseConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_multiple_size=2
    )
    with pytest.raises(UsageError, match="transformers has no sequence classifier for GPTNeoXJapaneseForCausalLM"):
        begin_reward_model(AutoModelForCausalLM.from_config(config), seed=1)


def test_a_record_says_whether_the_data_reads_the_same(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make()
    record = read_reward_record(made.folder)
    tokenizer = tmp_path / "base-tokenizer"
    check_same_text(record, "judge", template="chat", code_tokens=None, tokenizer=tokenizer)
    with pytest.raises(UsageError, match="judge was trained on template chat, expected alpaca"):
        check_same_text(record, "judge", template="alpaca", code_tokens=None, tokenizer=tokenizer)
    (tokenizer / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(UsageError, match="judge was trained on a tokenizer with the digest"):
        check_same_text(record, "judge", template="chat", code_tokens=None, tokenizer=tokenizer)
    with pytest.raises(UsageError, match="it holds no reward model"):
        read_reward_record(tokenizer)
