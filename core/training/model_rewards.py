"""Rewards from models: reward models that earlier runs trained, and classifiers of the Hugging Face layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.config.rewards import Classifier, RewardModelRun
from core.errors import UsageError
from core.model.base_record import is_adapter, weights_digest
from core.model.classifier import TextClassifier, load_classifier
from core.model.merge import adapter_digest
from core.model.reward_model import load_reward_model, read_reward_record
from core.model.reward_record import check_same_text
from core.model.roles import Role, activate
from core.model.scalar_head import scores_of
from core.model.verification import verify_reading
from core.run.directory import Home
from core.run.runs import find_run
from core.training.device import TORCH_DTYPES, Dtype, autocast
from core.training.rewards import Answered, Policy


@dataclass(frozen=True)
class RunSource:
    """The score of a reward model at the last token of each response; it reads the tokens as they were written.

    role: where it is one of the policy's adapters, or a model of its own (model).
    """

    role: Role
    name: str
    digest: str
    model: Any | None
    device: torch.device
    dtype: Dtype

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return a score for each. Raises: UsageError where one is longer than the model's context."""
        documents = [[*one.prompt_ids, *one.response.tokens] for one in answered]
        model = activate(self.role)
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(map(len, documents), default=0)
        if limit is not None and longest > limit:
            raise UsageError(
                f"the reward model of {self.name} has {limit} positions, a prompt with its response has {longest}",
                hint="Lower batch.sequence_length, or train a reward model with a longer context.",
            )
        with autocast(self.device, self.dtype):
            return scores_of(model, self.role.reading, documents, self.role.score)


def run_reward(
    reward: RewardModelRun, home: Home, policy: Policy, *, device: torch.device, dtype: Dtype, role: Role | None
) -> RunSource:
    """Return the reward model of a finished run, on `device`; `role` where it is one of the policy's adapters already.

    Raises: UsageError where the run has no reward model, or one that reads another tokenizer or template.
    """
    run = find_run(home, reward.run)
    record = read_reward_record(run.model)
    check_same_text(
        record,
        f"the reward model of {run.name}",
        template=policy.manifest.template,
        code_tokens=policy.manifest.code_tokens,
        tokenizer=policy.tokenizer_folder,
    )
    digest = adapter_digest(run.model) if is_adapter(run.model) else weights_digest(run.model)
    if role is not None:
        return RunSource(role, run.name, digest, None, device, dtype)
    model = load_reward_model(run.model, home, device=device)
    reading = verify_reading(model, "auto", autocast=None if dtype == "fp32" else TORCH_DTYPES[dtype])
    return RunSource(Role("reward", model, reading), run.name, digest, model, device, dtype)


@dataclass(frozen=True)
class ClassifierSource:
    """The first logit of a classifier, which is given prompts as a user typed them, and responses, as text."""

    classifier: TextClassifier
    bare: Callable[[str], str]
    name: str

    @property
    def digest(self) -> str:
        """Of its weights."""
        return self.classifier.digest

    @property
    def model(self) -> Any:
        """It stands in memory for this alone."""
        return self.classifier.model

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return a score for each."""
        return self.classifier.of_answers([self.bare(one.prompt) for one in answered], [one.text for one in answered])


def classifier_reward(reward: Classifier, policy: Policy, *, device: torch.device) -> ClassifierSource:
    """Return a classifier on `device`. Raises: UsageError where it cannot be loaded."""
    return ClassifierSource(load_classifier(reward.path, device=device), policy.bare_prompts(), reward.path)
