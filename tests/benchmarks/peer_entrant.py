"""Other trainers in a contest: `python -m tests.benchmarks.peer_entrant PLAN DTYPE VARIANT full|lora|qlora`.

The very same packed sequences in the same order, the same optimizer object and clipping, a log line a step as Footplate
writes one, and neither evaluation nor checkpoints. Variants: `trainer` is transformers.Trainer on padded sequences
whose positions restart; `trl` is SFTTrainer with packing, in its padding-free form; `trl-checkpointing` is the same
with gradient checkpointing, which SFTConfig switches on unless told otherwise. With lora and qlora they are given
peft's model; on a base in 4 bits TRL trains the additions in bfloat16.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

from tests.benchmarks.bare_entrant import adamw, load, padded
from tests.benchmarks.gate import Ended, Gate
from tests.benchmarks.workload import IGNORED, MAX_GRAD_NORM, Adapter, PackedSequence, Plan, learning_rate, read_steps


class GatedSteps(TrainerCallback):  # type: ignore[misc]
    """Waits for the referee between two steps, and keeps the losses that are logged."""

    def __init__(self, gate: Gate) -> None:
        self.losses: list[float] = []
        self._gate = gate

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Wait before the first step."""
        self._gate.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Wait before the next one."""
        self._gate.wait()

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        """Keep the loss of a step."""
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def labels_of(sequence: PackedSequence) -> np.ndarray[Any, Any]:
    """Return targets as transformers wants them, not shifted: a token's label stands at the token."""
    labels = np.full(len(sequence.ids), IGNORED, np.int64)
    labels[1:] = sequence.targets[:-1]
    return labels


def collate(sequences: Sequence[PackedSequence]) -> dict[str, torch.Tensor]:
    """Return padded sequences whose positions restart at each document."""
    ids, positions, _ = padded(sequences)
    labels = torch.full_like(ids, IGNORED)
    for row, sequence in enumerate(sequences):
        labels[row, : len(sequence.ids)] = torch.from_numpy(labels_of(sequence))
    return {"input_ids": ids, "position_ids": positions, "labels": labels}


def arguments(plan: Plan, dtype: str, adapter: Adapter, output: str) -> dict[str, Any]:
    """Return the training arguments that both trainers share."""
    return {
        "output_dir": output,
        "per_device_train_batch_size": plan.shape.sequences,
        "max_steps": 10**6,
        "learning_rate": learning_rate(adapter),
        "lr_scheduler_type": "constant",
        "max_grad_norm": MAX_GRAD_NORM,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": dtype == "bf16",
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
    }


def trainer(plan: Plan, dtype: str, adapter: Adapter, output: str, callback: GatedSteps) -> Trainer:
    """Return transformers.Trainer on the sequences of the plan."""
    model = load(plan, "sdpa", dtype=dtype, adapter=adapter)
    return Trainer(
        model=model,
        args=TrainingArguments(gradient_checkpointing=False, **arguments(plan, dtype, adapter, output)),
        train_dataset=[sequence for step in read_steps(plan.steps_file) for sequence in step],
        data_collator=collate,
        optimizers=(adamw(model, adapter), None),
        callbacks=[callback],
    )


def sft_trainer(
    plan: Plan, dtype: str, adapter: Adapter, output: str, callback: GatedSteps, *, checkpointing: bool
) -> Trainer:
    """Return TRL's SFTTrainer on the sequences of the plan, which are packed already."""
    from trl import SFTConfig, SFTTrainer

    sequences = [sequence for step in read_steps(plan.steps_file) for sequence in step]
    rows = {
        "input_ids": [sequence.ids.tolist() for sequence in sequences],
        "labels": [labels_of(sequence).tolist() for sequence in sequences],
        "seq_lengths": [list(sequence.lengths) for sequence in sequences],
    }
    model = load(plan, "sdpa", dtype=dtype, adapter=adapter)
    return SFTTrainer(
        model=model,
        args=SFTConfig(
            packing=True,
            max_length=plan.shape.length,
            gradient_checkpointing=checkpointing,
            dataset_kwargs={"skip_prepare_dataset": True},
            **arguments(plan, dtype, adapter, output),
        ),
        train_dataset=Dataset.from_dict(rows),
        processing_class=AutoTokenizer.from_pretrained(plan.model),
        optimizers=(adamw(model, adapter), None),
        callbacks=[callback],
    )


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    plan, dtype, variant = Plan.loaded(sys.argv[1]), sys.argv[2], sys.argv[3]
    adapter: Adapter = sys.argv[4]  # type: ignore[assignment]
    callback = GatedSteps(gate)
    with tempfile.TemporaryDirectory() as output:
        if variant == "trainer":
            chosen = trainer(plan, dtype, adapter, output, callback)
        else:
            chosen = sft_trainer(plan, dtype, adapter, output, callback, checkpointing=variant == "trl-checkpointing")
        try:
            chosen.train()
        except Ended:
            gate.report(losses=callback.losses)


if __name__ == "__main__":
    main()
