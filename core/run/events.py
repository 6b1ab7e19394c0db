"""The events of a run, one JSON object a line.

Whatever is not a dense series (core/run/metrics.py) is an event. Envelope: `v`, `seq` (from 0, no gap), `attempt`,
`wall` (UTC, ISO 8601), `mono` (seconds of the machine's monotonic clock), `type`; then the event's own fields.
Non-finite numbers are the strings "NaN", "Infinity", "-Infinity".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
GROUP_LOSS = "eval/loss_"
"""Begins the name of the series of a group's held-out loss; then comes the group's name."""


class Series(BaseModel):
    """One curve that a run declares; the monitor draws whatever is declared."""

    model_config = ConfigDict(frozen=True)

    name: str
    """As sinks know it: train/loss, train/learning_rate, train/grad_norm, train/tokens_per_second, eval/loss."""
    title: str
    unit: str = ""
    panel: str
    """Series with the same panel share a chart."""
    lower_is_better: bool | None = None


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    v: int = VERSION
    seq: int = -1
    attempt: int = 0
    wall: str = ""
    mono: float = 0.0


class Started(_Event):
    """An attempt begins its work; only Progress of preparing data may come before it."""

    type: Literal["started"] = "started"
    phase: str
    steps: int | None = None
    """Planned number of steps; None where there are no steps (prepare)."""
    series: tuple[Series, ...] = ()
    """Dense series are columns of this attempt's metrics file in this order, sparse ones (eval/...) come as events."""
    facts: dict[str, str | int | float | bool] = {}
    """What a person wants to know: device, dtype, parameters, packing, tokens a step, accumulation, versions."""


class Resumed(_Event):
    """The attempt goes on from a checkpoint: readers drop rows and step-bound events of earlier ones beyond it."""

    type: Literal["resumed"] = "resumed"
    step: int
    checkpoint: str
    exact: bool = True
    notes: tuple[str, ...] = ()


class Progress(_Event):
    """How far work without steps has come."""

    type: Literal["progress"] = "progress"
    stage: str
    done: float
    total: float | None = None
    unit: str = ""
    note: str = ""


class Metrics(_Event):
    """A row of the metrics file, printed in its place by --json; never in events.jsonl."""

    type: Literal["metrics"] = "metrics"
    step: int
    tokens: float
    values: dict[str, float]


class Evaluated(_Event):
    """The held-out split was evaluated after `step` updates."""

    type: Literal["evaluated"] = "evaluated"
    step: int
    values: dict[str, float]
    """By series name: eval/loss, eval/perplexity, and eval/loss_NAME for each group of sources."""
    tokens: int
    seconds: float


class Sampled(_Event):
    """The model continued a prompt after `step` updates."""

    type: Literal["sampled"] = "sampled"
    step: int
    prompt: str
    text: str
    values: dict[str, float] = {}
    """What was found about the text, by its short name: reward, kl (nats of the whole text), length (tokens)."""
    tokens: tuple[str, ...] = ()
    """The text cut into what each token says; empty where nothing is known of single tokens. The event log cuts a list
    that no line has room for, and says so in its last entry."""
    marks: tuple[float, ...] = ()
    """One number a token, such as its KL divergence in nats."""
    mark_title: str = ""
    """What the marks are, with their unit."""


class CheckpointSaved(_Event):
    """A checkpoint is complete and verified."""

    type: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    name: str
    bytes: int
    seconds: float


class RequestHandled(_Event):
    """A request of a console was carried out or refused."""

    type: Literal["request_handled"] = "request_handled"
    nonce: str
    verb: str
    accepted: bool
    message: str = ""


class Paused(_Event):
    """The run waits for something, such as space on the disk."""

    type: Literal["paused"] = "paused"
    reason: str
    step: int | None = None


class Notice(_Event):
    """Something that a person should know."""

    type: Literal["notice"] = "notice"
    level: Literal["info", "warning", "error"]
    code: str
    """A fixed word to match on: non_finite, skipped, checkpoint_set_aside, inexact, events_lost, ..."""
    message: str
    step: int | None = None


class Stopped(_Event):
    """The run left before its end, with a checkpoint: asked by a user (exit 0) or preempted by a signal (exit 75)."""

    type: Literal["stopped"] = "stopped"
    step: int
    reason: Literal["asked", "preempted"]
    message: str = ""


class Failed(_Event):
    """The run ended with an error."""

    type: Literal["failed"] = "failed"
    exit_code: int
    message: str
    hint: str = ""
    step: int | None = None


class Finished(_Event):
    """The run did all that it was to do."""

    type: Literal["finished"] = "finished"
    step: int | None = None
    facts: dict[str, str | int | float | bool] = {}


Event = Annotated[
    Started
    | Resumed
    | Progress
    | Metrics
    | Evaluated
    | Sampled
    | CheckpointSaved
    | RequestHandled
    | Paused
    | Notice
    | Stopped
    | Failed
    | Finished,
    Field(discriminator="type"),
]

AnyEvent = (
    Started | Resumed | Progress | Metrics | Evaluated | Sampled | CheckpointSaved
    | RequestHandled | Paused | Notice | Stopped | Failed | Finished
)  # fmt: skip

event_adapter: TypeAdapter[Any] = TypeAdapter(Event)
