"""How often things happen, and what happens when something goes wrong."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class Cadence(Section):
    """How often a run logs, evaluates, samples and saves."""

    log_steps: int = Field(default=1, ge=1, le=1_000_000_000)
    """Write the training series every so many steps."""
    evaluate_steps: int = Field(default=0, ge=0, le=1_000_000_000)
    """Evaluate on the held-out split every so many steps, and at the end. 0: only at the end."""
    evaluate_first: bool = False
    """Evaluate before the first step too."""
    evaluate_sequences: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Evaluate on at most so many sequences. Empty: the whole held-out split."""
    sample_steps: int = Field(default=0, ge=0, le=1_000_000_000)
    """Write text from the prompts every so many steps, and at the end. 0: only at the end."""
    checkpoint_steps: int = Field(default=0, ge=0, le=1_000_000_000)
    """Save a checkpoint every so many steps, and at the end. 0: only at the end and when asked."""
    keep_checkpoints: int = Field(default=2, ge=2, le=10_000)
    """How many checkpoints to keep, the newest; pinned ones are kept besides."""
    on_disk_full: Literal["exit", "wait"] = "exit"
    """exit: end with code 8, the last checkpoint intact. wait: pause until there is space."""
    on_non_finite: Literal["stop", "skip"] = "stop"
    """What to do after a loss or gradient that is not finite was refused: end with code 6, or go on with the next
    batch."""
    max_skipped_steps: int = Field(default=10, ge=1, le=10_000)
    """Refused steps in a row after which a run that skips ends with code 6 all the same."""


class Sampling(Section):
    """What the run writes to show how it is doing."""

    prompts: list[Annotated[str, Field(min_length=1, max_length=10_000)]] = Field(default=[], max_length=100)
    """Beginnings of texts (pre-training) or instructions (fine-tuning) that the model continues. With template code,
    what stands behind a line `### Input:` is the input."""
    max_new_tokens: int = Field(default=64, ge=1, le=100_000)
    """Longest continuation in tokens."""
    temperature: float = Field(default=0.8, ge=0, le=100)
    """0 takes the likeliest token each time; otherwise at least 0.01."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Sample from the likeliest tokens that together have this probability."""
