"""The textbook's PPO step in a race: `python -m tests.benchmarks.plain_ppo PLAN DTYPE`.

As it stands there, on torch and transformers alone: responses by `generate`, padded batches, the logits of every
position, a reward model and a reference of their own, whose log-probabilities are computed in each epoch again. It has
no value function, which Footplate has besides: the advantage is the reward less the mean of the rollout's.
"""

from __future__ import annotations

import itertools
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from tests.benchmarks.alignment_workload import CLIP, EPOCHS, KL_COEFFICIENT, TEMPERATURE, AlignmentPlan
from tests.benchmarks.bare_entrant import DEVICE
from tests.benchmarks.gate import Ended, Gate
from tests.benchmarks.trl_alignment import adamw, language_model, padding_tokenizer
from tests.benchmarks.workload import MAX_GRAD_NORM


class Step:
    """The models of the textbook's step, and how it goes."""

    def __init__(self, plan: AlignmentPlan, dtype: str) -> None:
        self.policy = language_model(plan).to(DEVICE).eval()  # dropout off, as in every PPO
        self.reference = language_model(plan).to(DEVICE).eval().requires_grad_(False)
        judge = AutoModelForSequenceClassification.from_pretrained(plan.reward_model, dtype=torch.float32)
        self.judge = judge.to(DEVICE).eval().requires_grad_(False)
        self.tokenizer = padding_tokenizer(plan)
        self.tokenizer.padding_side = "left"
        self.judge.config.pad_token_id = self.tokenizer.pad_token_id
        self.optimizer = adamw(self.policy)
        self.lengths: list[float] = []
        self._new_tokens = plan.new_tokens
        self._dtype = dtype

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which models compute."""
        return torch.autocast(DEVICE.type, torch.bfloat16) if self._dtype == "bf16" else nullcontext()

    def __call__(self, prompts: list[str]) -> float:
        """Make one step and return its last loss."""
        given = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(DEVICE)
        start = given["input_ids"].shape[1]
        with torch.no_grad(), self.autocast():
            ids = self.policy.generate(
                **given, max_new_tokens=self._new_tokens, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
                pad_token_id=self.tokenizer.pad_token_id,
            )  # fmt: skip
        written = self._written(ids[:, start:])
        mask = torch.cat([given["attention_mask"], written.long()], 1)
        with torch.no_grad(), self.autocast():
            old = self._log_probs(self.policy, ids, mask, start)
            rewards = self.judge(input_ids=ids, attention_mask=mask).logits[:, 0].float()
        advantages = (rewards - rewards.mean())[:, None]
        for _ in range(EPOCHS):
            with self.autocast():
                new = self._log_probs(self.policy, ids, mask, start)
                with torch.no_grad():
                    reference = self._log_probs(self.reference, ids, mask, start)
            ratio = torch.exp(new - old)
            clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
            policy_loss = -torch.min(ratio * advantages, clipped * advantages)[written].mean()
            loss = policy_loss + KL_COEFFICIENT * (new - reference)[written].mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), MAX_GRAD_NORM)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.lengths.append(float(written.sum(1).float().mean()))
        return float(loss.detach())

    def _written(self, responses: Tensor) -> Tensor:
        """Return which tokens a response has: up to and with its first end, (responses, tokens) bool."""
        ends = self.policy.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        is_end = torch.isin(responses, torch.tensor([end for end in ends if end is not None], device=DEVICE))
        return (is_end.cumsum(1) - is_end.long()) == 0

    def _log_probs(self, model: Any, ids: Tensor, mask: Tensor, start: int) -> Tensor:
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        logits = logits[:, start - 1 : -1].float() / TEMPERATURE
        return logits.log_softmax(-1).gather(-1, ids[:, start:, None])[..., 0]


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    plan, dtype = AlignmentPlan.loaded(sys.argv[1]), sys.argv[2]
    step = Step(plan, dtype)
    torch.manual_seed(1)
    losses: list[float] = []
    try:
        for prompts in itertools.cycle(json.loads(plan.prompt_steps["ppo"].read_text(encoding="utf-8"))):
            gate.wait()
            losses.append(step(prompts))
    except Ended:
        gate.report(losses=losses, response_length=step.lengths)


if __name__ == "__main__":
    main()
