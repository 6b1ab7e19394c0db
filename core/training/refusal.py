"""Why a run is not continued, and what its user can do: undo the change, or go on all the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from core.config.phases import FREE_SECTIONS, Config
from core.config.presets import draft_of, resolve
from core.errors import CheckpointError, ConfigurationError
from core.training.resume import EXTENSIBLE, leaves_of

_MADE_FROM_SETTINGS = frozenset({"data.digest", "reference.digest"})
"""They change with settings of the data or the model, and back with them."""
_LONGEST_COMMAND = 300


def refusal(
    checkpoint: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    reasons: Sequence[str],
    *,
    config: Config,
    run: str,
) -> CheckpointError:
    """Return the error of a continuation that would not be exact.

    before, now: the fingerprints of the checkpoint and of the run as it is to go on with `config`. reasons: what
    differs or is missing, in words.
    """
    undone = _undone(before, now, config)
    undo = "Undo the change and resume again."
    if undone:
        by = "" if _are_settings_all(before, now) else " of settings, besides the rest"
        undo = f"Undo the change{by}: `footplate resume {run} {undone}`."
    return CheckpointError(
        f"{checkpoint} cannot be continued exactly:\n    " + "\n    ".join(reasons),
        hint=f"{undo}\nOr go on all the same: `footplate resume {run} --allow-inexact`, which marks the run for ever.",
    )


def _undone(before: Mapping[str, Any], now: Mapping[str, Any], config: Config) -> str:
    """Return `--set ...` that brings back the settings of the checkpoint; "" where none differs.

    What a resume has set stays set, so a plain one would be refused again.
    """
    then, today = leaves_of(before), leaves_of(now)
    names = _different(then, today)
    if not any(name.startswith("config.") for name in names):
        return ""
    texts = _settings(then, names)
    try:
        # A member of a union that comes back has defaults where both members had the same value.
        texts = _settings(then, names | _different(then, _resolved(config, texts)))
        left = _different(then, _resolved(config, texts))
    except ConfigurationError:
        return ""
    if any(name.startswith("config.") for name in left):
        return ""
    words = " ".join(f"--set {shlex.quote(text)}" for text in texts)
    return words if len(words) <= _LONGEST_COMMAND else ""


def _are_settings_all(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    names = _different(leaves_of(before), leaves_of(now)) - _MADE_FROM_SETTINGS
    return all(name.startswith("config.") for name in names)


def _different(then: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    return {name for name in then.keys() | now.keys() if then.get(name) != now.get(name)} - EXTENSIBLE


def _settings(then: Mapping[str, Any], names: set[str]) -> list[str]:
    """Return the settings among these names as `section.field=VALUE`, a discriminator before what belongs to it."""
    known = [name for name in names & then.keys() if name.startswith("config.")]
    known.sort(key=lambda name: (not name.endswith(".kind"), name))
    return [f"{name.removeprefix('config.')}={json.dumps(then[name])}" for name in known]


def _resolved(config: Config, texts: Sequence[str]) -> dict[str, Any]:
    values = resolve(draft_of(config), texts).model_dump(mode="json")
    return leaves_of({"config": {name: value for name, value in values.items() if name not in FREE_SECTIONS}})
