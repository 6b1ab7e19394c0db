"""The units of a pass on a cluster, through the executors of datatrove (Slurm, Ray, and one machine to try it).

The work folder must lie on a file system that all nodes share, under the same path, and so must the sources. A task is
some of the units, one after another, each of which leaves a mark; a unit that is done is not done again, so a task may
be lost, repeated or requeued at any time. Plans and decisions are made where the run is, not on a node.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from core.config.cluster import Cluster, LocalTasks, RayTasks, SlurmTasks
from core.data.cleaning.pool import Heard, UnitWork
from core.errors import UsageError
from core.run.processes import die_with_parent

_PULSE_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 30.0
"""How long a shared file system may take to show here what a node wrote."""
_QUEUE_SECONDS = 10.0
"""squeue asks a server that many others ask too."""


@dataclass(frozen=True)
class Units:
    """A step of a pipeline in datatrove's sense: called with what the step before gives (nothing), rank and world."""

    function: UnitWork
    work: Path
    number: int
    units: tuple[int, ...]

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        """Do the units `rank`, `rank + world_size`, ..."""
        for unit in self.units[rank::world_size]:
            self.function(self.work, self.number, unit, _nobody)
            (self.marks / str(unit)).touch()

    @property
    def folder(self) -> Path:
        """Where the engine keeps its logs."""
        return (self.work / "cluster" / f"{self.function.__name__}-{self.number}").absolute()

    @property
    def marks(self) -> Path:
        """Where a file stands for each unit that is done."""
        return self.folder / "done"


def over_cluster(
    function: UnitWork,
    work: Path,
    number: int,
    sizes: dict[int, int],
    pulse: Callable[[Heard], None],
    cluster: Cluster,
) -> None:
    """Call `function` for every unit of `sizes` on a cluster, and `pulse` about twenty times a second meanwhile.

    The counterpart of `over_units`. Where `pulse` raises, the tasks are cancelled; units that are done stay so. Where
    the tasks end and a unit is not done, it is tried here, so that its error is said as it would be without a cluster.
    Raises: what the function raises; UsageError where there is no such cluster, or it leaves units undone.
    """
    if not sizes:
        return
    # The largest first, so that no task waits for one that began the largest last.
    units = sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    dealt = Units(function, work, number, tuple(units))
    shutil.rmtree(dealt.marks, ignore_errors=True)
    dealt.marks.mkdir(parents=True)
    running = _start(dealt, cluster)
    heard = Heard()
    left = set(units)
    try:
        _watch(running, dealt.marks, left, heard, pulse)
    except BaseException:
        running.cancel()
        raise
    running.join()
    if left:
        first = min(left)
        function(work, number, first, _nobody)
        left.discard(first)
        heard.done.append(first)
        pulse(heard)
    if left:
        raise UsageError(
            f"the {cluster.kind} tasks ended, and {len(left) + 1} of {len(units)} units were not done",
            hint=f"Their logs are in {dealt.folder}. Mend what they say (time, memory, the environment of the "
            "nodes, a folder that they do not share) and resume: what is done stays done.",
        )


def executor(units: Units, cluster: Cluster) -> Any:
    """Return datatrove's executor for some units; its `run` starts it.

    Raises: UsageError where datatrove is not installed.
    """
    try:
        from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
    except ImportError as error:
        raise UsageError(
            "work on a cluster needs the package datatrove, which is not installed",
            hint="pip install 'footplate[cluster]', here and on the nodes",
        ) from error
    # Which units are done is told by their files; datatrove's own marks of tasks would be of an earlier dealing.
    common = {
        "pipeline": [units],
        "tasks": min(cluster.tasks, len(units.units)),
        "workers": cluster.workers or -1,
        "logging_dir": str(units.folder),
        "skip_completed": False,
    }
    match cluster:
        case LocalTasks():
            return LocalPipelineExecutor(**common)
        case SlurmTasks():
            return SlurmPipelineExecutor(
                **common,
                partition=cluster.partition,
                time=cluster.time,
                qos=cluster.qos,
                cpus_per_task=cluster.cores_per_task,
                mem_per_cpu_gb=cluster.gigabytes_per_core,
                job_name=f"footplate-{units.work.name}",
                env_command=cluster.setup or f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
                max_array_size=cluster.array_size,
            )
        case RayTasks():
            return RayPipelineExecutor(
                **common, cpus_per_task=cluster.cores_per_task, mem_per_cpu_gb=cluster.gigabytes_per_core
            )
        case _:
            assert_never(cluster)


@dataclass(frozen=True)
class _Running:
    is_running: Callable[[], bool]
    cancel: Callable[[], None]
    join: Callable[[], None]
    """Called when the tasks have ended: waits until no process of this machine is left of them."""
    settles: float
    """Seconds after the end in which files may still appear."""


def _start(units: Units, cluster: Cluster) -> _Running:
    started = executor(units, cluster)
    if isinstance(cluster, SlurmTasks):
        return _submitted(started, units.folder / "job")
    # Both run until all is done, so they get a process; a group of its own, to be ended with all that it starts.
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(units, cluster, os.getpid()))
    process.start()

    def cancel() -> None:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGTERM)
            process.join()

    return _Running(
        process.is_alive, cancel, process.join, settles=0 if isinstance(cluster, LocalTasks) else _SETTLE_SECONDS
    )


def _run(units: Units, cluster: Cluster, parent: int) -> None:
    die_with_parent(parent)
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    executor(units, cluster).run()


def _submitted(started: Any, note: Path) -> _Running:
    """Submit the job; one that an earlier run left behind when it was killed is cancelled first."""
    if note.is_file() and shutil.which("scancel"):
        subprocess.run(["scancel", note.read_text()], capture_output=True, check=False)
    try:
        started.run()
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no {error.filename} on this machine", hint="Start the run where Slurm's commands are."
        ) from error
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"sbatch refused the job (exit code {error.returncode}); what it said stands in the log of the run",
            hint=f"The script is {started.logging_dir.resolve_paths('launch_script.slurm')}.",
        ) from error
    job = str(started.job_id)
    note.write_text(job)
    asked = [0.0, 1.0]

    def is_running() -> bool:
        if time.monotonic() >= asked[0]:
            asked[:] = time.monotonic() + _QUEUE_SECONDS, float(_is_queued(job))
        return bool(asked[1])

    def cancel() -> None:
        subprocess.run(["scancel", job], capture_output=True, check=False)
        note.unlink(missing_ok=True)

    return _Running(is_running, cancel, join=lambda: note.unlink(missing_ok=True), settles=_SETTLE_SECONDS)


def _is_queued(job: str) -> bool:
    """Tell whether a job waits or runs; a server that does not answer changes nothing."""
    asked = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False)
    if asked.returncode:
        return "invalid job id" not in asked.stderr.lower()
    return bool(asked.stdout.strip())


def _watch(running: _Running, marks: Path, left: set[int], heard: Heard, pulse: Callable[[Heard], None]) -> None:
    """Wait until all units are done or the tasks have ended; `left` becomes what is not done."""
    look, ended = 0.0, 0.0
    while left:
        now = time.monotonic()
        if now >= look:
            # Asked before the look: what was done until the end is then seen by a look after it.
            is_last = not running.is_running()
            done = sorted(left.intersection(map(int, os.listdir(marks))))
            left.difference_update(done)
            heard.done.extend(done)
            ended = (ended or now) if is_last else 0.0
            if is_last and now - ended >= running.settles:
                pulse(heard)
                return
            look = now + _LOOK_SECONDS
        pulse(heard)
        time.sleep(_PULSE_SECONDS)


def _nobody(documents: int) -> None:
    """Hear nothing: a task's progress is what it has finished."""
