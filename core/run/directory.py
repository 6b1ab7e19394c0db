"""Every file name of a run, in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from core.errors import UsageError

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Home:
    """The folder in which Footplate keeps runs, presets of the user and caches."""

    path: Path

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.path / "runs"

    @property
    def presets(self) -> Path:
        """The user's own presets."""
        return self.path / "presets"

    @property
    def fetched(self) -> dict[str, Path]:
        """Folders of models that `footplate fetch` brings, by the name that presets know them by."""
        return {"smollm2": self.cache / "models" / "smollm2"}

    @property
    def cache(self) -> Path:
        """What can be made again: prepared data, converted models, compiled kernels."""
        return self.path / "cache"


def home_from(environment: Mapping[str, str]) -> Home:
    """Return $FOOTPLATE_HOME, or the platform's folder for user data."""
    chosen = environment.get("FOOTPLATE_HOME", "")
    return Home(Path(chosen).expanduser().absolute() if chosen else platformdirs.user_data_path("footplate"))


def check_run_name(name: str) -> str:
    """Return `name`, or raise UsageError where it could not be the name of a run."""
    if not RUN_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a run",
            hint="A name has up to 64 of A-Z a-z 0-9 . _ - and begins with a letter or a digit.",
        )
    return name


@dataclass(frozen=True)
class AttemptDirectory:
    """The files of one attempt: one supervisor, from its start to its exit."""

    path: Path
    number: int

    @property
    def run_path(self) -> Path:
        """The folder of the run."""
        return self.path.parent.parent

    @property
    def process(self) -> Path:
        """Who runs it: pid, start ticks, boot id, pid namespace, host, argv, versions. Writer: supervisor."""
        return self.path / "process.json"

    @property
    def exit(self) -> Path:
        """How it ended: code or signal, and time. Writer: supervisor, or its guard."""
        return self.path / "exit.json"

    @property
    def log(self) -> Path:
        """What the worker printed. Writer: supervisor."""
        return self.path / "worker.log"

    @property
    def metrics(self) -> Path:
        """Dense rows, little-endian float64. Writer: worker."""
        return self.path / "metrics.f64"

    @property
    def metrics_levels(self) -> Path:
        """Minimum, maximum and last of every 64 rows. Writer: worker."""
        return self.path / "metrics.64.f64"


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run. The directory is the only interface between a run and everything else."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def home(self) -> Home:
        """The home that this run lies in."""
        return Home(self.path.parent.parent)

    @property
    def config(self) -> Path:
        """The resolved configuration, written once."""
        return self.path / "config.yaml"

    def overrides(self, number: int) -> Path:
        """Return the file of what the `number`th resume changed, from 1."""
        return self.path / f"overrides-{number:03d}.yaml"

    @property
    def label(self) -> Path:
        """Title, tags, note, archived."""
        return self.path / "label.json"

    @property
    def lock(self) -> Path:
        """POSIX record lock of the supervisor."""
        return self.path / "lock"

    @property
    def heartbeat(self) -> Path:
        """Step, section and a counter, every 5 s."""
        return self.path / "heartbeat.json"

    @property
    def events(self) -> Path:
        """Everything that is not a dense series."""
        return self.path / "events.jsonl"

    @property
    def control(self) -> Path:
        """Requests that wait, one file each."""
        return self.path / "control"

    @property
    def control_done(self) -> Path:
        """Requests that were handled."""
        return self.path / "control" / "done"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the checkpoint after `step` updates."""
        return self.checkpoints / f"step-{step:08d}"

    @property
    def model(self) -> Path:
        """The result of a training run, in the Hugging Face layout; of a low-rank run in peft's."""
        return self.path / "model"

    @property
    def has_model(self) -> bool:
        """Whether a training run has come to its result: a whole model, or an adapter."""
        return any((self.model / name).is_file() for name in ("config.json", "adapter_config.json"))

    @property
    def base_run(self) -> Path:
        """Which run's model this one began with, where its configuration names a preset."""
        return self.path / "base-run.json"

    @property
    def stages(self) -> Path:
        """Which runs are the stages of a pipeline. Writer: worker."""
        return self.path / "stages.json"

    @property
    def data(self) -> Path:
        """The result of a prepare run: token shards, tokenizer, manifest."""
        return self.path / "data"

    @property
    def stop(self) -> Path:
        """A file that the owner may touch: stop as if asked."""
        return self.path / "STOP"

    def attempt(self, number: int) -> AttemptDirectory:
        """Return the `number`th attempt, from 1."""
        return AttemptDirectory(self.path / "attempts" / f"{number:03d}", number)

    def attempts(self) -> list[AttemptDirectory]:
        """All attempts, oldest first."""
        folder = self.path / "attempts"
        if not folder.is_dir():
            return []
        return [self.attempt(int(entry.name)) for entry in sorted(folder.iterdir()) if entry.name.isdigit()]
