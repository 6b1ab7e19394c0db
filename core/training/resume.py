"""What a run must remember to go on exactly, and what must not have changed meanwhile."""

from __future__ import annotations

import platform
import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from core.config.phases import FREE_SECTIONS, TrainingConfig
from core.config.section import Section
from core.errors import CheckpointError
from core.training.batches import Cursor
from core.training.checkpoint import Snapshot
from core.training.device import device_name
from core.training.engine import Engine
from core.training.optimizers import is_from_bitsandbytes

EXTENSIBLE = frozenset({"config.schedule.steps", "config.schedule.epochs"})
_MORE = {"data.digest": ": other data, or the same prepared by another version"}
VERSIONED = ("torch", "transformers", "numpy", "footplate")


class HasCursor(Protocol):
    """Data that are gone through in an order that the cursor alone decides."""

    cursor: Cursor

    def move_to(self, cursor: Cursor) -> None:
        """Go on at `cursor`."""


@dataclass
class Position:
    """How far a run has come: updates applied, tokens taken, steps refused in a row, since when it is inexact.

    method is what the phase itself must remember besides, as JSON; floats stand in it as hexadecimal words.
    """

    step: int = 0
    tokens: int = 0
    refused_in_a_row: int = 0
    inexact_since: int | None = None
    method: dict[str, Any] = field(default_factory=dict)


def fingerprint(
    config: TrainingConfig, *, digests: Mapping[str, str], device: torch.device, dtype: str
) -> dict[str, Any]:
    """Return all on which the bits of the next step depend, by name, besides what a checkpoint holds.

    `digests` are those of what the run reads, by what it is: data, and base where it began with a model.
    """
    values = config.model_dump(mode="json")
    kept = {key: value for key, value in values.items() if key not in FREE_SECTIONS}
    return {
        **_flat(kept, "config"),
        **{f"{name}.digest": digest for name, digest in digests.items() if digest},
        "device": device_name(device),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{f"version.{name}": version(name) for name in (*VERSIONED, *_libraries(config))},
    }


def _libraries(config: TrainingConfig) -> list[str]:
    """Return the libraries besides VERSIONED that compute something of this run."""
    is_quantized = config.adapter.kind == "qlora" or is_from_bitsandbytes(config.optimizer)
    return ["peft"] * (config.adapter.kind != "full") + ["bitsandbytes"] * is_quantized


def settings_at_default(config: Section) -> frozenset[str]:
    """Return the names, as in `fingerprint`, of the settings that are what they are where nothing is said."""
    every, said = config.model_dump(mode="json"), config.model_dump(mode="json", exclude_defaults=True)
    return frozenset(leaves_of({"config": every}).keys() - leaves_of({"config": said}).keys())


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any], defaults: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Return what makes the continuation inexact, and what only makes it longer or shorter, as words.

    A checkpoint of an earlier version does not name settings that came later: the names in `defaults` mean what was
    done before there were any. Nor does it name the digest of its base, of which it holds every weight.
    """
    then, today = leaves_of(before), leaves_of(now)
    came_later = {*defaults, "base.digest"} - then.keys()
    breaking: list[str] = []
    extending: list[str] = []
    for name in sorted((then.keys() | today.keys()) - came_later):
        old, new = then.get(name, "nothing"), today.get(name, "nothing")
        if old != new:
            words = f"{name.removeprefix('config.')}: {old} → {new}"
            if name.endswith(".digest"):
                words = f"{_subject(name, today)} has changed since the checkpoint ({old[:8]} → {new[:8]})"
            (extending if name in EXTENSIBLE else breaking).append(f"{words}{_MORE.get(name, '')}")
    return breaking, extending


def _subject(name: str, today: Mapping[str, Any]) -> str:
    """Return what a digest is of; a file of the user's by its path."""
    place = f"config.{name.removesuffix('.digest').replace('reward.', 'rewards.', 1)}"
    return f"the reward file {today[f'{place}.path']}" if today.get(f"{place}.kind") == "python" else name


def capture(engine: Engine, batches: HasCursor, position: Position, marks: Mapping[str, Any]) -> Snapshot:
    """Return the state of a run between two steps.

    Raises: CheckpointError where something is trained that the engine does not know: less than what was trained is
    never saved.
    """
    if lost := [
        name for name, p in engine.model.named_parameters() if p.requires_grad and name not in engine.parameters
    ]:
        raise CheckpointError(
            f"{len(lost)} tensors are trained and would not be saved, such as {lost[0]}",
            hint="Nothing was written. Please report this with the preset.",
        )
    numpy_state: Any = np.random.get_state(legacy=False)
    kind, keys, place = numpy_state["bit_generator"], numpy_state["state"]["key"], numpy_state["state"]["pos"]
    python = random.getstate()
    state = {
        "tokens": position.tokens,
        "refused_in_a_row": position.refused_in_a_row,
        "inexact_since": position.inexact_since,
        "cursor": {"epoch": batches.cursor.epoch, "position": batches.cursor.position},
        "scaler": engine.scaler.state_dict(),
        "python": [python[0], list(python[1]), python[2]],
        "numpy": [
            kind, keys.tolist(), int(place), int(numpy_state["has_gauss"]), float(numpy_state["gauss"]).hex()
        ],
        **({"method": position.method} if position.method else {}),
    }  # fmt: skip
    return Snapshot(
        position.step,
        {
            "model": dict(engine.parameters),
            "optimizer": engine.optimizer_tensors(),
            "generators": _generators(engine.device),
        },
        state,
        marks,
    )


def restore(snapshot: Snapshot, engine: Engine, batches: HasCursor) -> Position:
    """Put everything back where `capture` found it; missing pieces are left as they are (see `missing_pieces`)."""
    state = snapshot.state
    with torch.no_grad():
        for name, tensor in snapshot.tensors.get("model", {}).items():
            engine.parameters[name].copy_(tensor)
    engine.load_optimizer_tensors(snapshot.tensors.get("optimizer", {}))
    if "scaler" in state and engine.scaler.is_enabled():
        engine.scaler.load_state_dict(state["scaler"])
    if "cursor" in state:
        batches.move_to(Cursor(int(state["cursor"]["epoch"]), int(state["cursor"]["position"])))
    _restore_generators(snapshot, engine.device)
    return Position(
        step=snapshot.step,
        tokens=int(state.get("tokens", 0)),
        refused_in_a_row=int(state.get("refused_in_a_row", 0)),
        inexact_since=state.get("inexact_since"),
        method=dict(state.get("method", {})),
    )


def missing_pieces(snapshot: Snapshot, engine: Engine, method: Collection[str] = ()) -> list[str]:
    """Name each piece of state that this run needs and the checkpoint lacks or contradicts.

    `method` names what the phase itself must remember.
    Raises: CheckpointError where parameters are missing or have other shapes, without which nothing can go on.
    """
    _check_parameters(snapshot, engine)
    state_names = ("cursor", "python", "numpy", "tokens")
    missing = [f"{name} in state.json" for name in state_names if name not in snapshot.state]
    remembered = snapshot.state.get("method", {})
    missing += [f"method.{name} in state.json" for name in method if name not in remembered]
    scaler = snapshot.state.get("scaler")
    if engine.scaler.is_enabled() and not (scaler and "_growth_tracker" in scaler):
        missing.append("scaler in state.json")
    optimizer = snapshot.tensors.get("optimizer", {})
    if snapshot.step:
        missing += [f"{name} in optimizer.safetensors" for name in engine.missing_optimizer_tensors(optimizer)]
    needed = {"torch"} | ({"cuda"} if engine.device.type == "cuda" else set())
    absent = needed - snapshot.tensors.get("generators", {}).keys()
    missing += [f"{name} in generators.safetensors" for name in sorted(absent)]
    return missing


def _check_parameters(snapshot: Snapshot, engine: Engine) -> None:
    saved = snapshot.tensors.get("model", {})
    wrong = [f"{name} is missing" for name in engine.parameters if name not in saved]
    wrong += [
        f"{name} has the shape {list(saved[name].shape)}, expected {list(parameter.shape)}"
        for name, parameter in engine.parameters.items()
        if name in saved and saved[name].shape != parameter.shape
    ]
    wrong += [f"{name} is not expected" for name in saved if name not in engine.parameters]
    if wrong:
        raise CheckpointError(
            f"the checkpoint of step {snapshot.step} does not hold this model: {len(wrong)} parameters differ, "
            f"{wrong[0]}",
            hint="A run goes on with the model that it was started with.",
        )


def _generators(device: torch.device) -> dict[str, Tensor]:
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_generators(snapshot: Snapshot, device: torch.device) -> None:
    generators = snapshot.tensors.get("generators", {})
    if "torch" in generators:
        torch.set_rng_state(generators["torch"])
    if "cuda" in generators and device.type == "cuda":
        torch.cuda.set_rng_state(generators["cuda"], device)
    if "python" in snapshot.state:
        kind, words, gauss = snapshot.state["python"]
        random.setstate((kind, tuple(words), gauss))
    if "numpy" in snapshot.state:
        kind, keys, place, has_gauss, gauss = snapshot.state["numpy"]
        np.random.set_state((kind, np.asarray(keys, np.uint32), place, has_gauss, float.fromhex(gauss)))


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Put the global random generators back behind the block, however much it draws."""
    python, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)


def leaves_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that stand inside others by their whole name."""
    return {name: leaf for key, value in values.items() for name, leaf in _flat(value, key).items()}


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    """Return the leaves of a value by name; a list of sections has theirs, any other list is a leaf."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if isinstance(value, dict):
        return {name: leaf for key, inner in value.items() for name, leaf in _flat(inner, f"{prefix}.{key}").items()}
    return {prefix: value}
