"""TRL in an alignment race: `python -m tests.benchmarks.trl_alignment PLAN DTYPE reward|dpo|grpo`.

The very same tokens (for GRPO the same prompts) in the same order, the same optimizer and clipping, a log line a step
as Footplate writes one, and neither evaluation nor checkpoints nor gradient checkpointing.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, Trainer

from tests.benchmarks.alignment_workload import BETA, CLIP, TEMPERATURE, AlignmentPlan, Method, entered
from tests.benchmarks.bare_entrant import decayed_groups
from tests.benchmarks.gate import Ended, Gate
from tests.benchmarks.peer_entrant import GatedSteps
from tests.benchmarks.workload import BETAS, EPSILON, LEARNING_RATE, MAX_GRAD_NORM


class LongerSteps(GatedSteps):
    """Keeps how long responses were, too."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self.lengths: list[float] = []

    def on_log(self, *values: Any, logs: dict[str, float], **named: Any) -> None:
        """Keep the loss of a step, and the mean length of its responses."""
        super().on_log(*values, logs=logs, **named)
        if "completions/mean_length" in logs:
            self.lengths.append(float(logs["completions/mean_length"]))


def arguments(plan: AlignmentPlan, dtype: str, output: str, *, size: int) -> dict[str, Any]:
    """Return the training arguments that all trainers share."""
    return {
        "output_dir": output,
        "per_device_train_batch_size": size,
        "max_steps": 10**6,
        "learning_rate": LEARNING_RATE / 10,
        "lr_scheduler_type": "constant",
        "max_grad_norm": MAX_GRAD_NORM,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": dtype == "bf16",
        "gradient_checkpointing": False,
    }


def adamw(model: Any) -> torch.optim.AdamW:
    """Return the optimizer that everyone has."""
    return torch.optim.AdamW(decayed_groups(model), lr=LEARNING_RATE / 10, betas=BETAS, eps=EPSILON, fused=True)


def language_model(plan: AlignmentPlan) -> Any:
    """Return the model that everyone starts from, in float32."""
    return AutoModelForCausalLM.from_pretrained(plan.base.model, dtype=torch.float32, attn_implementation="sdpa")


def trainer(plan: AlignmentPlan, dtype: str, method: Method, output: str, callback: LongerSteps) -> Trainer:
    """Return TRL's trainer of a method on the steps of the plan."""
    shared = {"callbacks": [callback], "processing_class": padding_tokenizer(plan)}
    match method:
        case "reward":
            return _reward(plan, dtype, output, shared)
        case "dpo":
            return _dpo(plan, dtype, output, shared)
        case _:
            return _grpo(plan, dtype, output, shared)


def padding_tokenizer(plan: AlignmentPlan) -> Any:
    """Return the tokenizer with a padding token that ends no text.

    A classifier of transformers takes the last token that is no padding for the last one of the answer.
    """
    found = AutoTokenizer.from_pretrained(plan.reward_model)
    if found.pad_token is None or found.pad_token == found.eos_token:
        used = {token for pair in _pairs(plan) for ids in pair.values() for token in ids}
        found.pad_token = found.convert_ids_to_tokens(max(set(range(len(found))) - used))
    return found


def _pairs(plan: AlignmentPlan) -> list[dict[str, list[int]]]:
    return [pair for step in json.loads(plan.pair_steps.read_text(encoding="utf-8")) for pair in step]


def _reward(plan: AlignmentPlan, dtype: str, output: str, shared: dict[str, Any]) -> Trainer:
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(plan.reward_model, dtype=torch.float32)
    model.config.pad_token_id = shared["processing_class"].pad_token_id
    # The row of the language model's padding token, which is its end of turn, learns nothing from where it is read.
    model.get_input_embeddings().padding_idx = AutoConfig.from_pretrained(plan.base.model).pad_token_id
    rows = [{f"{side}_ids": pair["prompt"] + pair[side] for side in ("chosen", "rejected")} for pair in _pairs(plan)]
    config = RewardConfig(
        max_length=None, train_sampling_strategy="sequential", **arguments(plan, dtype, output, size=plan.pairs_a_step)
    )
    return RewardTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), optimizers=(adamw(model), None), **shared
    )


def _dpo(plan: AlignmentPlan, dtype: str, output: str, shared: dict[str, Any]) -> Trainer:
    from trl import DPOConfig, DPOTrainer

    class OnTokens(DPOTrainer):  # type: ignore[misc]  # TRL has no types
        """Takes tokens as they are, as RewardTrainer and SFTTrainer do."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model = language_model(plan)
    rows = [{f"{part}_ids": ids for part, ids in pair.items()} for pair in _pairs(plan)]
    config = DPOConfig(
        beta=BETA, max_length=None, train_sampling_strategy="sequential",
        **arguments(plan, dtype, output, size=plan.pairs_a_step),
    )  # fmt: skip
    return OnTokens(
        model=model, ref_model=language_model(plan), args=config, train_dataset=Dataset.from_list(rows),
        optimizers=(adamw(model), None), **shared,
    )  # fmt: skip


def _grpo(plan: AlignmentPlan, dtype: str, output: str, shared: dict[str, Any]) -> Trainer:
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [len(set(completion)) / 100 for completion in completions]

    model = language_model(plan)
    texts = json.loads(plan.prompt_steps["grpo"].read_text(encoding="utf-8"))
    config = GRPOConfig(
        num_generations=plan.group, max_completion_length=plan.new_tokens, temperature=TEMPERATURE, top_k=0, top_p=1.0,
        beta=0.0, epsilon=CLIP, loss_type="grpo", scale_rewards="group", num_iterations=1, steps_per_generation=1,
        shuffle_dataset=False, **arguments(plan, dtype, output, size=plan.responses),
    )  # fmt: skip
    return GRPOTrainer(
        model=model, reward_funcs=reward, args=config, optimizers=(adamw(model), None),
        train_dataset=Dataset.from_list([{"prompt": text} for step in texts for text in step]), **shared,
    )  # fmt: skip


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    plan, dtype, method = entered()
    callback = LongerSteps(gate)
    with tempfile.TemporaryDirectory() as output:
        chosen = trainer(plan, dtype, method, output, callback)
        try:
            chosen.train()
        except Ended:
            facts = {"response_length": callback.lengths} if callback.lengths else {}
            gate.report(losses=callback.losses, **facts)


if __name__ == "__main__":
    main()
