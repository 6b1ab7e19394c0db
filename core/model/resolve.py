"""From the name of a model in a configuration to a folder on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import assert_never

from core.config.model import GGUFModel, Model, PretrainedModel, RunModel, ScratchModel
from core.errors import UsageError
from core.model.fetch import SMOLLM2, smollm2_file
from core.model.gguf import Progress, convert_gguf, silent
from core.run.directory import Home, RunDirectory, check_run_name

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_HUB_FILES = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja", "merges.txt", "vocab.txt"]


def resolve_model(model: Model, home: Home, *, progress: Progress = silent) -> Path | None:
    """Return the folder in the Hugging Face layout from which `model` is loaded, None for one built from scratch.

    A hub model is downloaded into the hub's own cache, weights as safetensors only; a GGUF file is converted once.
    Raises: UsageError where there is no such model, with what to do.
    """
    match model:
        case ScratchModel():
            return None
        case PretrainedModel():
            return _folder_or_hub(model)
        case GGUFModel():
            file = smollm2_file(home) if model.path == SMOLLM2 else Path(model.path).expanduser()
            if model.path == SMOLLM2 and not file.is_file():
                raise UsageError("smollm2 is not on this machine yet", hint="Run `footplate fetch smollm2` first.")
            return convert_gguf(file, home.cache / "models", progress=progress)
        case RunModel():
            return _of_run(model, home)
        case _:
            assert_never(model)


def _folder_or_hub(model: PretrainedModel) -> Path:
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(model.path):
        raise UsageError(f"model.path: there is no folder {folder}", hint="Name a folder, or a model on the hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(model.path, revision=model.revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"model.path: {model.path} is neither a folder here nor a model that the hub gives: {first}",
            hint="Check the spelling and the network; a gated model needs `hf auth login` first.",
        ) from error
    if not list(found.glob("*.safetensors")):
        raise UsageError(
            f"{model.path} has no weights as .safetensors on the hub",
            hint="Weights as .bin are pickles, which can run code, and are not read. Take a conversion of the model.",
        )
    return found


def _of_run(model: RunModel, home: Home) -> Path:
    run = RunDirectory(home.runs / check_run_name(model.run))
    if not (run.model / "config.json").is_file():
        what = "has made no model" if run.path.is_dir() else "does not exist"
        raise UsageError(f"model.run: {run.name} {what}", hint="`footplate runs` lists the runs and their state.")
    return run.model
