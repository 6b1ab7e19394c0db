"""The one place that knows devices and precision; `step` is one update of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from core.config.optimization import AdamW
from core.training.device import Dtype, autocast
from core.training.objectives import Batch, Objective, Terms
from core.training.optimizers import build_optimizer, load_state, missing_state, state_tensors

P = ParamSpec("P")
R = TypeVar("R")
B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class StepResult:
    """What one call of `Engine.step` did.

    loss: sum of the terms by weight, each divided by its count over the whole step. grad_norm: of the whole gradient,
    before clipping, after unscaling. refusal: why nothing was applied, "" where the step was. is_overflow: the refusal
    is fp16's loss scale being too large, which the scaler has halved. metrics: what the objective showed besides, by
    series name, each the mean over its items in the whole step.
    """

    loss: float
    grad_norm: float
    tokens: int
    refusal: str = ""
    is_overflow: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def applied(self) -> bool:
        """Whether the parameters moved."""
        return not self.refusal


class Engine:
    """One trainable module, its optimizer and the device that both live on.

    The module is a model, or several under one roof where a step trains them together.
    """

    def __init__(self, model: Any, optimizer: AdamW, *, device: torch.device, dtype: Dtype) -> None:
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad), "weights stay in float32"
        assert isinstance(model, nn.Module)
        self.model: Any = model
        self.device = device
        self.dtype = dtype
        self._max_grad_norm = optimizer.max_grad_norm
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = build_optimizer(model, optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == "fp16")

    def call(self, function: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` on the model under this engine's precision: the only way to the model."""
        with autocast(self.device, self.dtype):
            return function(self.model, *args, **kwargs)

    def step(self, micro_batches: Sequence[B], objective: Objective[B], *, learning_rate: float) -> StepResult:
        """Accumulate the gradient of all micro-batches and apply it, or refuse and leave everything as it was.

        Each loss term is divided by its count over the whole step, so the result does not depend on how the rows are
        dealt out over micro-batches (https://huggingface.co/blog/gradient_accumulation).
        """
        tokens = sum(batch.tokens for batch in micro_batches)
        counts = [sum(column) for column in zip(*(objective.count(batch) for batch in micro_batches), strict=True)]
        if not any(counts):
            return StepResult(0.0, 0.0, tokens, refusal="no token of this step counts for the loss")
        metrics: dict[str, list[tuple[Tensor, float]]] = {}
        losses = [self._backward(batch, objective, counts, metrics) for batch in micro_batches]
        total = torch.stack(losses).tolist()  # the one wait for the device before the gradient's norm
        loss = math.fsum(total)
        if not math.isfinite(loss):
            self.optimizer.zero_grad()
            return StepResult(loss, math.nan, tokens, refusal=_name_batch(micro_batches, total))
        result = self._apply(loss, tokens, learning_rate=learning_rate)
        if result.applied:
            return replace(result, metrics={name: _mean(parts) for name, parts in metrics.items()})
        rows = _row_words([row for batch in micro_batches for row in batch.rows])
        return replace(result, refusal=f"{result.refusal} (in a step of rows {rows})")

    def _backward(
        self,
        batch: B,
        objective: Objective[B],
        counts: Sequence[float],
        metrics: dict[str, list[tuple[Tensor, float]]],
    ) -> Tensor:
        terms: Terms = self.call(objective, batch.to(self.device))
        for name, part in terms.metrics.items():
            metrics.setdefault(name, []).append(part)
        parts = zip(objective.weights, terms.sums, counts, strict=True)
        loss = torch.stack([weight * term / (count or 1) for weight, term, count in parts]).sum()
        torch.autograd.backward(self.scaler.scale(loss))
        return loss.detach()

    def _apply(self, loss: float, tokens: int, *, learning_rate: float) -> StepResult:
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        grad_norm = float(norm)
        if not math.isfinite(grad_norm):
            refusal = self._name_gradient()
            if self.scaler.is_enabled():
                scale = self.scaler.get_scale()
                self.scaler.update()  # without a step: nothing may move, also where only the norm overflows
                refusal += f"; loss scale {scale:g} halved to {self.scaler.get_scale():g}"
            self.optimizer.zero_grad()
            return StepResult(loss, grad_norm, tokens, refusal=refusal, is_overflow=self.scaler.is_enabled())
        if self._max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), self._max_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return StepResult(loss, grad_norm, tokens)

    def _name_gradient(self) -> str:
        for name, parameter in self.parameters.items():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                kind = "NaN" if parameter.grad.isnan().any() else "infinite"
                return f"the gradient of {name} is {kind}"
        return "the norm of the gradient overflows"

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's state by parameter name: NAME/exp_avg, NAME/exp_avg_sq, NAME/step (see optimizers)."""
        return state_tensors(self.optimizer, self.parameters)

    def missing_optimizer_tensors(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Name what `tensors` lack of what `optimizer_tensors` gives after a step, or have in another form."""
        return missing_state(self.optimizer, self.parameters, tensors)

    def load_optimizer_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `optimizer_tensors` gave."""
        load_state(self.optimizer, self.parameters, tensors)


def _mean(parts: Sequence[tuple[Tensor, float]]) -> float:
    """Return the sums of all micro-batches divided by all their items; NaN without any."""
    items = math.fsum(count for _, count in parts)
    return math.fsum(float(total) for total, _ in parts) / items if items else math.nan


def _name_batch(micro_batches: Sequence[Batch], losses: Sequence[float]) -> str:
    index = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), 0)
    return f"the loss of micro-batch {index} (rows {_row_words(micro_batches[index].rows)}) is {losses[index]}"


def _row_words(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:16])) + (f" and {len(rows) - 16} more" if len(rows) > 16 else "")
