"""Bare loops in a contest: `python -m tests.benchmarks.bare_entrant PLAN DTYPE VARIANT full|lora|qlora`.

Written by hand on torch and transformers alone, as short and as fast as one would write them for this one job: no
logs, no checkpoints, no checks. Variants: dense-full (block-diagonal mask, all logits), dense-supervised (logits only
where a label counts, in chunks whose graph is made again in the backward pass), documents-supervised (besides, one
causal attention for each document and no mask). With lora and qlora the additions of peft are trained, on a base in
float32 or in 4 bits.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM

from tests.benchmarks.gate import Ended, Gate
from tests.benchmarks.low_rank import attached, quantised_loading
from tests.benchmarks.workload import (
    BETAS,
    EPSILON,
    IGNORED,
    MAX_GRAD_NORM,
    WEIGHT_DECAY,
    Adapter,
    PackedSequence,
    Plan,
    learning_rate,
    read_steps,
)

CHUNK = 256
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def attend_by_document(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **keywords: Any
) -> tuple[Tensor, None]:
    """Return one causal attention a document. Shapes: (1, heads, tokens, width) in, (1, tokens, heads, width) out."""
    lengths, scale = keywords["lengths"], keywords.get("scaling")
    parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    shared = query.shape[1] != key.shape[1]
    outputs = [F.scaled_dot_product_attention(*qkv, is_causal=True, scale=scale, enable_gqa=shared) for qkv in parts]
    return torch.cat(outputs, 2).transpose(1, 2), None


def by_documents(model: Any, step: Sequence[PackedSequence]) -> tuple[Tensor, Tensor]:
    """Return hidden states and targets of all tokens of a step, laid into one row."""
    lengths = [length for sequence in step for length in sequence.lengths]
    ids = torch.from_numpy(np.concatenate([s.ids for s in step]))[None].to(DEVICE)
    targets = torch.from_numpy(np.concatenate([s.targets for s in step])).to(DEVICE)
    positions = torch.cat([torch.arange(length, device=DEVICE) for length in lengths])[None]
    hidden = model.model(input_ids=ids, position_ids=positions, lengths=lengths, use_cache=False).last_hidden_state
    return hidden[0], targets


def padded(step: Sequence[PackedSequence]) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, restarting positions and targets, each (sequences, longest)."""
    longest = max(len(sequence.ids) for sequence in step)
    ids, targets = np.zeros((len(step), longest), np.int64), np.full((len(step), longest), IGNORED, np.int64)
    positions = np.zeros((len(step), longest), np.int64)
    for row, sequence in enumerate(step):
        count = len(sequence.ids)
        ids[row, :count], targets[row, :count] = sequence.ids, sequence.targets
        lengths = [*sequence.lengths, longest - count]
        positions[row] = np.concatenate([np.arange(length) for length in lengths])
    return tuple(torch.from_numpy(part).to(DEVICE) for part in (ids, positions, targets))  # type: ignore[return-value]


def dense(model: Any, step: Sequence[PackedSequence]) -> tuple[Tensor, Tensor]:
    """Return hidden states and targets, with the mask that transformers makes from restarting positions."""
    ids, positions, targets = padded(step)
    hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
    return hidden.flatten(0, 1), targets.flatten()


def loss_on_supervised(body: Callable[[Any, Any], tuple[Tensor, Tensor]], model: Any, step: Any) -> Tensor:
    """Return the mean loss, with logits only where a target is, a chunk at a time."""
    hidden, targets = body(model, step)
    counts = targets != IGNORED
    hidden, targets = hidden[counts], targets[counts]

    def chunk_loss(part: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(model.lm_head(part).float(), wanted, reduction="sum")

    chunks = zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    losses = [checkpoint(chunk_loss, part, wanted, use_reentrant=False) for part, wanted in chunks]
    return torch.stack(losses).sum() / len(targets)  # type: ignore[arg-type]


def loss_on_all(model: Any, step: Any) -> Tensor:
    """Return the mean loss from the logits of every position."""
    ids, positions, targets = padded(step)
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)


def decayed_groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Return matrices with weight decay, and embeddings and vectors without."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    groups: tuple[list[Any], list[Any]] = ([], [])
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        groups[parameter.ndim < 2 or id(parameter) in embeddings].append(parameter)
    both = [{"params": groups[0], "weight_decay": WEIGHT_DECAY}, {"params": groups[1], "weight_decay": 0.0}]
    return [group for group in both if group["params"]]


def adamw(model: torch.nn.Module, adapter: Adapter) -> torch.optim.AdamW:
    """Return the optimizer that everyone has."""
    return torch.optim.AdamW(decayed_groups(model), lr=learning_rate(adapter), betas=BETAS, eps=EPSILON, fused=True)


def load(plan: Plan, attention: str, *, dtype: str, adapter: Adapter) -> Any:
    """Return the model that everyone starts from, in float32 or 4 bits, with its additions, and ready to train."""
    options = quantised_loading(dtype, DEVICE) if adapter == "qlora" else {}
    model = AutoModelForCausalLM.from_pretrained(
        plan.model, dtype=torch.float32, attn_implementation=attention, **options
    )
    model.config.use_cache = False
    model = model if adapter == "full" else attached(model, adapter)
    return model.to(DEVICE).train()


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    plan, dtype, variant, adapter = Plan.loaded(sys.argv[1]), *sys.argv[2:5]
    AttentionInterface.register("bare_documents", attend_by_document)
    AttentionMaskInterface.register("bare_documents", lambda *_, **__: None)
    attention = "bare_documents" if variant == "documents-supervised" else "sdpa"
    whole = load(plan, attention, dtype=dtype, adapter=adapter)  # type: ignore[arg-type]
    model = whole if adapter == "full" else whole.get_base_model()
    trained = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    steps = read_steps(plan.steps_file)
    optimizer = adamw(model, adapter)  # type: ignore[arg-type]
    losses: list[float] = []
    body = by_documents if variant == "documents-supervised" else dense
    try:
        for step in itertools.cycle(steps):
            gate.wait()
            with torch.autocast(DEVICE.type, torch.bfloat16) if dtype == "bf16" else nullcontext():
                loss = loss_on_all(model, step) if variant == "dense-full" else loss_on_supervised(body, model, step)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    except Ended:
        gate.report(losses=losses)


if __name__ == "__main__":
    main()
