"""The presets that a preset begins with: that of its model, that of that one's model, and so on."""

from __future__ import annotations

import os
from pathlib import Path

from core.config.presets import SHIPPED_PRESETS, find_preset, load_preset
from core.config.yaml_text import shown
from core.errors import UsageError


def preset_chain(name: str, presets: Path) -> list[Path]:
    """Return the files of a preset that a model is taken from, and of those that it begins with itself, in turn.

    `presets` is the folder of the user's own. A preset is named as in the menu: a path would mean something else in
    another folder.
    Raises: UsageError where there is no such preset, one trains no model, or one needs itself; ConfigurationError where
    one cannot be read.
    """
    names: list[str] = []
    files: list[Path] = []
    needed: object = name
    while isinstance(needed, str):
        if needed in names:
            raise UsageError(
                f"a preset cannot begin with its own model: {' needs '.join([*names, needed])}",
                hint="Let one of them begin with a model of another kind, such as scratch.",
            )
        names.append(needed)
        files.append(_file(needed, presets))
        values = load_preset(files[-1]).values
        model = values.get("model")
        if not isinstance(model, dict) or values.get("phase") == "reward":
            what = "a reward model, which writes no text" if isinstance(model, dict) else "no model"
            hint = "Name one of phase pretrain, sft, dpo, ppo or grpo."
            raise UsageError(f"the preset {needed} trains {what}", hint=hint)
        needed = model.get("preset") if model.get("kind") == "preset" else None
    return files


def _file(name: str, presets: Path) -> Path:
    found = find_preset(name, presets)
    if os.sep in name or found.parent not in (SHIPPED_PRESETS, presets):
        raise UsageError(
            f"{shown(name)} is a file and not the name of a preset",
            hint=f"Put it into {presets}, and name it without its folder and ending.",
        )
    return found
