"""Rewards from models: the tokens that were written are scored as they stand, by a model that knows their template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders

from core.config.model import ScratchModel
from core.config.rewards import Classifier, RewardModelRun
from core.errors import UsageError
from core.model import scalar_head
from core.model.load import Vocabulary, build_model
from core.model.responses import Response
from core.model.reward_record import read_reward_record, write_reward_record
from core.model.roles import Role
from core.model.verification import verify_reading
from core.run.directory import Home
from core.training.model_rewards import RunSource, classifier_reward, run_reward
from core.training.rewards import Answered, Policy
from tests.core.model.adapters_by_code import write_tokenizer
from tests.core.model.rewards_by_code import ROWS, Made, make_reward

CPU = torch.device("cpu")


@dataclass(frozen=True)
class PolicyData:
    """What is asked of a manifest."""

    template: str
    code_tokens: None = None


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def build(architecture: str, **numbers: Any) -> Any:
        values = {"layers": 2, "hidden_size": 32, "heads": 4, "context_length": 64, **numbers}
        scratch = ScratchModel.model_validate({"kind": "scratch", "architecture": architecture, **values})
        return build_model(scratch, folder=None, vocabulary=Vocabulary(96, 0), seed=3)

    return make_reward(build, tmp_path)


@pytest.fixture
def run(made: Made, home: Home) -> str:
    folder = home.runs / "judge"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "model").symlink_to(made.folder, target_is_directory=True)
    return "judge"


def answered(rows: Sequence[Sequence[int]] = ROWS) -> list[Answered]:
    """Each row cut after its second token into prompt and response."""
    return [
        Answered(tuple(row[:2]), Response(tuple(row[:2]), tuple(row[2:]), True), f"p{row[0]}", f"r{row[2]}", None)
        for row in rows
    ]


def reward_of(run: str, home: Home, made: Made, *, role: Role | None = None) -> RunSource:
    template = read_reward_record(made.folder).template
    policy = Policy(made.folder, PolicyData(template))  # type: ignore[arg-type]  # a stand-in of the manifest
    return run_reward(RewardModelRun(kind="run", run=run), home, policy, device=CPU, dtype="fp32", role=role)


def test_tokens_are_scored_as_they_were_written(
    made: Made, run: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = reward_of(run, home, made)
    expected = made.scores.tolist()
    assert source(answered()) == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(scalar_head, "_TOKENS_AT_ONCE", 10)  # the two shorter ones go together
    assert list(scalar_head._packs(ROWS)) == [[1, 0], [2]]
    assert source(answered()) == pytest.approx(expected, abs=1e-5)
    assert source([]) == []
    assert not any(parameter.requires_grad for parameter in source.model.parameters())
    assert (source.name, len(source.digest)) == ("judge", 64)


def test_a_role_of_the_policy_is_used_and_no_second_model(made: Made, run: str, home: Home) -> None:
    role = Role("reward", made.model, verify_reading(made.model, "auto"))
    source = reward_of(run, home, made, role=role)
    assert source.model is None
    assert source(answered()) == pytest.approx(made.scores.tolist(), abs=1e-5)


def test_the_digest_is_that_of_the_weights(made: Made, run: str, home: Home) -> None:
    before = reward_of(run, home, made).digest
    (path,) = made.folder.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert reward_of(run, home, made).digest != before


def test_another_template_or_tokenizer_is_refused(made: Made, run: str, home: Home) -> None:
    record = read_reward_record(made.folder)
    other = "chat" if record.template != "chat" else "alpaca"
    write_reward_record(made.folder, record.model_copy(update={"template": other}))
    policy = Policy(made.folder, PolicyData(record.template))  # type: ignore[arg-type]  # a stand-in of the manifest
    reward = RewardModelRun(kind="run", run=run)
    with pytest.raises(UsageError, match=rf"judge was trained on template {other}, expected {record.template}"):
        run_reward(reward, home, policy, device=CPU, dtype="fp32", role=None)
    write_reward_record(made.folder, record.model_copy(update={"tokenizer_digest": "0" * 64}))
    with pytest.raises(UsageError, match="judge was trained on a tokenizer with the digest 0000"):
        run_reward(reward, home, policy, device=CPU, dtype="fp32", role=None)


def test_more_tokens_than_the_reward_model_has_positions_are_refused(made: Made, run: str, home: Home) -> None:
    source = reward_of(run, home, made)
    limit = source.role.model.config.max_position_embeddings
    with pytest.raises(UsageError, match=rf"has {limit} positions, a prompt with its response has {limit + 1}"):
        source(answered([[5] * (limit + 1)]))


def test_a_run_without_a_reward_model_is_refused(home: Home, made: Made) -> None:
    (home.runs / "tuned" / "model").mkdir(parents=True)
    (home.runs / "tuned" / "config.yaml").touch()
    with pytest.raises(UsageError, match=r"no reward\.json"):
        reward_of("tuned", home, made)


def test_a_classifier_reads_prompts_without_their_template(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_labels=1, max_position_embeddings=64,
    )  # fmt: skip
    folder = write_tokenizer(tmp_path / "classifier", 300)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    path = write_tokenizer(tmp_path / "policy", 300) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))
    policy = Policy(path.parent, PolicyData("alpaca"))  # type: ignore[arg-type]  # a stand-in of the manifest
    source = classifier_reward(Classifier(kind="classifier", path=str(folder)), policy, device=CPU)
    laid = "### Instruction:\nWhat is it?\n\n### Response:\n"
    found = source([Answered((1,), Response((1,), (2,), True), laid, "This.", None)])
    assert found == pytest.approx(source.classifier.of_answers(["What is it?"], ["This."]), abs=1e-6)
    assert (source.name, source.digest) == (str(folder), source.classifier.digest)
    assert source.model is source.classifier.model
