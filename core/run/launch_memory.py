"""What stands in memory at once in a run of several models, said before it is started."""

from __future__ import annotations

import json
import math
from pathlib import Path

from core.config.model import GGUFModel, Model, PresetModel, PretrainedModel, RunModel, ScratchModel
from core.config.models_in_memory import memory_words, models_in_memory
from core.config.phases import Config, GRPOConfig, PipelineConfig, PPOConfig
from core.config.rewards import Classifier, RewardModelRun
from core.errors import UsageError
from core.run.directory import Home, check_run_name

_HEADER_BYTES = 100_000_000
_TRAINED_BYTES = 4
"""Of a parameter that is trained: float32."""


def launch_memory(config: Config, home: Home) -> list[str]:
    """Return a line for each part of a configuration that holds several models at once; [] where there is none."""
    match config:
        case PPOConfig() | GRPOConfig():
            return [_words(config, home)]
        case PipelineConfig():
            stages = [stage for stage in config.pipeline if isinstance(stage, PPOConfig | GRPOConfig)]
            return [f"stage {stage.name}: {_words(stage, home)}" for stage in stages]
        case _:
            return []


def _words(config: PPOConfig | GRPOConfig, home: Home) -> str:
    base = _parameters(config.model, home)
    models = [reward for reward in config.rewards if isinstance(reward, RewardModelRun | Classifier)]
    judges = [_judge(reward, config, home) for reward in models]
    known = [count * _TRAINED_BYTES for count in judges if count is not None]
    if base is not None and len(known) == len(judges):
        words = memory_words(models_in_memory(config, base_bytes=base * _TRAINED_BYTES, reward_bytes=known))
        return f"in memory: {words}, if kept in float32; gradients, moments and activations besides"
    names = [model.name for model in models_in_memory(config, base_bytes=0, reward_bytes=[0] * len(judges))]
    shares = "" if config.adapter.kind == "full" else ", which share one base"
    return f"in memory at once: {', '.join(names)}{shares}; the run says how much they take once they are loaded"


def _judge(reward: RewardModelRun | Classifier, config: PPOConfig | GRPOConfig, home: Home) -> int | None:
    """Return how many numbers a reward model has beyond those that it shares with the policy."""
    match reward:
        case RewardModelRun(run=run):
            folder = _folder(run, home)
            return _addition(folder, config) if folder and _is_adapter(folder) else parameters_of(folder)
        case Classifier(path=path):
            return parameters_of(Path(path).expanduser())


def _parameters(model: Model, home: Home) -> int | None:
    match model:
        case RunModel(run=run):
            folder = _folder(run, home)
            return None if _is_adapter(folder) else parameters_of(folder)
        case PretrainedModel(path=path):
            return parameters_of(Path(path).expanduser())
        case GGUFModel(path=path):
            return parameters_of(home.fetched[path]) if path in home.fetched else None
        case ScratchModel() | PresetModel():
            return None


def _folder(run: str, home: Home) -> Path | None:
    try:
        return home.runs / check_run_name(run) / "model"
    except UsageError:
        return None


def _is_adapter(folder: Path | None) -> bool:
    """Tell whether there is only what was added to a base, whose size the files here do not say."""
    return folder is not None and (folder / "adapter_config.json").is_file()


def _addition(folder: Path, config: PPOConfig | GRPOConfig) -> int | None:
    """Return the size of an addition to the policy's own base; None where it brings another base, or a second copy."""
    if config.adapter.kind == "full":
        return None
    try:
        base = json.loads((folder / "base.json").read_bytes())["model"]
        mine = config.model.model_dump(mode="json")
        is_same = all(base.get(name) == mine.get(name) for name in ("kind", "path", "run"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return parameters_of(folder) if is_same else None


def parameters_of(folder: Path | None) -> int | None:
    """Return how many numbers the safetensors files of a folder hold, by their headers; None where there are none."""
    if folder is None:
        return None
    total = 0
    try:
        for file in sorted(folder.glob("*.safetensors")):
            total += sum(math.prod(shape) for shape in _shapes(file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return total or None


def _shapes(file: Path) -> list[list[int]]:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > _HEADER_BYTES:
            raise ValueError("no header of safetensors")
        header = json.loads(stream.read(size))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
