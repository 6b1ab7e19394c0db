"""From the name of a model in a configuration to a folder on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import assert_never

from pydantic import TypeAdapter, ValidationError

from core.config.model import GGUFModel, Model, PresetModel, PretrainedModel, RunModel, ScratchModel
from core.errors import UsageError
from core.model.base_record import is_adapter, read_record
from core.model.fetch import SMOLLM2, smollm2_file
from core.model.gguf import Progress, convert_gguf, silent
from core.model.reward_record import is_reward
from core.run.directory import Home, RunDirectory, check_run_name
from core.run.preset_run import finished_run, trained_run
from core.run.session import Session

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_MODEL: TypeAdapter[Model] = TypeAdapter(Model)
_HUB_FILES = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja", "merges.txt", "vocab.txt"]


def resolve_model(
    model: Model,
    home: Home,
    *,
    progress: Progress = silent,
    session: Session | None = None,
    scoring: bool = False,
) -> Path | None:
    """Return the folder in the Hugging Face layout from which `model` is loaded, None for one built from scratch.

    A hub model is downloaded into the hub's own cache, weights as safetensors only; a GGUF file is converted once. The
    model of a preset is trained where it is not there yet, if a `session` is given that can wait for it. With `scoring`
    the run may be one of a reward model, for another one or a value function to begin with.
    Raises: UsageError where there is no such model, with what to do, or where a run made a reward model and a language
    model is asked for; what `trained_run` raises.
    """
    match model:
        case ScratchModel():
            return None
        case PretrainedModel():
            return folder_or_hub(model)
        case GGUFModel():
            file = smollm2_file(home) if model.path == SMOLLM2 else Path(model.path).expanduser()
            if model.path == SMOLLM2 and not file.is_file():
                raise UsageError("smollm2 is not on this machine yet", hint="Run `footplate fetch smollm2` first.")
            return convert_gguf(file, home.cache / "models", progress=progress)
        case PresetModel(preset=preset):
            run = finished_run(preset, home) if session is None else trained_run(preset, session)
            return _of_run(RunModel(kind="run", run=run.name), home, progress=progress, scoring=scoring)
        case RunModel():
            return _of_run(model, home, progress=progress, scoring=scoring)
        case _:
            assert_never(model)


def folder_or_hub(model: PretrainedModel, *, field: str = "model.path") -> Path:
    """Return the folder of a model that is named by a folder or by its name on the hub, from where it is downloaded.

    `field` is what named it. Raises: UsageError where there is no such model, or none with weights as safetensors.
    """
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(model.path):
        raise UsageError(f"{field}: there is no folder {folder}", hint="Name a folder, or a model on the hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(model.path, revision=model.revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{field}: {model.path} is neither a folder here nor a model that the hub gives: {first}",
            hint="Check the spelling and the network; a gated model needs `hf auth login` first.",
        ) from error
    if not list(found.glob("*.safetensors")):
        raise UsageError(
            f"{model.path} has no weights as .safetensors on the hub",
            hint="Weights as .bin are pickles, which can run code, and are not read. Take a conversion of the model.",
        )
    return found


def _of_run(model: RunModel, home: Home, *, progress: Progress, scoring: bool) -> Path:
    run = RunDirectory(home.runs / check_run_name(model.run))
    if is_reward(run.model) and not scoring:
        raise UsageError(
            f"model.run: {run.name} made a reward model, which scores texts and writes none",
            hint="Name a run that made a language model; a reward model belongs into rewards, or begins another one.",
        )
    if is_adapter(run.model):
        from core.model.merge import merged_folder  # peft, only where there is an adapter

        return merged_folder(run.model, base_of(run.model, home, progress=progress), home, progress=progress)
    if not (run.model / "config.json").is_file():
        what = "has made no model" if run.path.is_dir() else "does not exist"
        raise UsageError(f"model.run: {run.name} {what}", hint="`footplate runs` lists the runs and their state.")
    return run.model


def base_of(adapter_folder: Path, home: Home, *, progress: Progress = silent) -> Path:
    """Return the folder of the model that an adapter was trained on; `check_base` says whether it is still the same.

    Raises: UsageError where it is not there any more, or where the bases of bases go round in a circle.
    """
    record = read_record(adapter_folder)
    _check_circle(adapter_folder, home)
    try:
        named: Model = _MODEL.validate_python(record.model)
    except ValidationError as error:
        raise UsageError(f"{adapter_folder}: its base.json names no model: {error}") from error
    try:
        folder = resolve_model(named, home, progress=progress, scoring=is_reward(adapter_folder))
    except UsageError as error:
        raise UsageError(
            f"the base of {adapter_folder} is not there: {error.message}",
            hint="An adapter is nothing without the model that it was trained on: put that back where it was.",
        ) from error
    assert folder is not None, "an adapter has a base"
    return folder


def _check_circle(adapter_folder: Path, home: Home) -> None:
    """Refuse an adapter that is among its own bases, as after a folder of a run took another's name."""
    folder, seen = adapter_folder.resolve(), set[Path]()
    while is_adapter(folder):
        if folder in seen:
            raise UsageError(
                f"{adapter_folder} begins with the model of {folder}, which begins with itself",
                hint="A run's folder may have taken the name of another: put the base back under its name.",
            )
        seen.add(folder)
        named = read_record(folder).model
        if named.get("kind") != "run":
            return
        folder = RunDirectory(home.runs / check_run_name(str(named.get("run")))).model.resolve()
