"""A worker that does no work: `stand_in_worker.py KIND... RUN --attempt N`, with a Session and real signals.

steps COUNT SECONDS    that many steps, or until it is to leave
exit CODE              leave with a code
kill SIGNAL            end itself by a signal
orphans KIND           leave three grandchildren in sessions of their own, which ignore SIGTERM; then go on as KIND
late SECONDS           take so long before it opens its session, then as `steps`
preset NAME KIND...    begin with the model of that preset, whose run has such a worker, and be finished then
pipeline KIND...       be the worker of a pipeline, whose stages have such workers
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from core.run.directory import RunDirectory
from core.run.events import CheckpointSaved, Evaluated, Finished, Resumed, Series, Started, Stopped
from core.run.session import Session

SERIES = (
    Series(name="train/loss", title="loss", panel="loss", lower_is_better=True),
    Series(name="train/grad_norm", title="gradient norm", panel="gradient"),
    Series(name="eval/loss", title="held-out loss", panel="loss", lower_is_better=True),
)
_ORPHAN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    *kind, run_path, _, number = arguments
    run, attempt = RunDirectory(Path(run_path)), int(number)
    if kind[0] == "orphans":
        for _ in range(3):
            subprocess.Popen([sys.executable, "-c", _ORPHAN], start_new_session=True)
        kind = kind[1:]
    match kind:
        case ["exit", code]:
            return int(code)
        case ["pipeline", *worker]:
            return pipeline(run, attempt, worker)
        case ["preset", preset, *worker]:
            return needs_preset(run, attempt, preset, worker)
        case ["kill", number]:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {int(number)})
            os.kill(os.getpid(), int(number))
            return 0
        case ["late", seconds]:
            time.sleep(float(seconds))
            return steps(run, attempt, count=100_000, seconds=0.01)
        case ["steps", count, seconds]:
            return steps(run, attempt, count=int(count), seconds=float(seconds))
        case _:
            raise SystemExit(f"what is {kind}?")


def steps(run: RunDirectory, attempt: int, *, count: int, seconds: float) -> int:
    """Take steps as a training run would, saving at every tenth."""
    session = Session.open(run, None, attempt)  # type: ignore[arg-type]
    try:
        session.start(Started(phase="pretrain", steps=count, series=SERIES))
        folder = run.checkpoints
        folder.mkdir(mode=0o700, exist_ok=True)
        first = max((int(entry.name) for entry in folder.iterdir()), default=0)
        if attempt > 1:
            session.emit(Resumed(step=first, checkpoint=str(first)))
        for step in range(first + 1, count + 1):
            if (reason := session.leaving()) is not None:
                (folder / str(step - 1)).touch()
                session.emit(Stopped(step=step - 1, reason=reason))
                return 0 if reason == "asked" else 75
            with session.section("training"):
                time.sleep(seconds)
            session.step = step
            session.metrics(step=step, tokens=step * 8, values={"train/loss": 1 / step, "train/grad_norm": 1.0})
            for request in session.requests():
                session.handled(request, True, f"at step {step}")
            if step % 10 == 0:
                (folder / str(step)).touch()
                session.emit(CheckpointSaved(step=step, name=str(step), bytes=0, seconds=0.0))
                session.emit(Evaluated(step=step, values={"eval/loss": 2 / step}, tokens=8, seconds=0.0))
        run.model.mkdir(exist_ok=True)
        session.emit(Finished(step=count))
        return 0
    finally:
        session.close()


def needs_preset(run: RunDirectory, attempt: int, preset: str, kind: list[str]) -> int:
    """Be a worker of Footplate whose phase only waits for its model."""
    from core import worker
    from core.data.progress import PreparationStopped
    from core.run import preset_run
    from core.run import session as session_module
    from core.run.launch import create_run, launch

    def wait(resolved: object, session: Session) -> str:
        try:
            found = preset_run.trained_run(preset, session)
        except PreparationStopped:
            reason = session.leaving()
            assert reason is not None
            session.emit(Stopped(step=0, reason=reason))
            return reason
        session.start(Started(phase="pretrain", facts={"begins_with": found.name}))
        session.emit(Finished(step=0))
        return "finished"

    def create_late(*given: Any) -> RunDirectory:
        time.sleep(0.5)  # so that others that look meanwhile would see no run
        return create_run(*given)

    start = partial(launch, worker=[sys.executable, "-P", __file__, *kind])
    vars(preset_run).update(create_run=create_late, launch=start)
    worker.run_phase = wait
    session_module.HEARTBEAT_SECONDS = 0.2
    return worker.main([str(run.path), "--attempt", str(attempt)])


def pipeline(run: RunDirectory, attempt: int, kind: list[str]) -> int:
    """Be a worker of Footplate for a pipeline; only its stages do no work."""
    from core import worker
    from core.run import pipeline as pipeline_module
    from core.run.launch import launch

    vars(pipeline_module).update(launch=partial(launch, worker=[sys.executable, "-P", __file__, *kind]))
    return worker.main([str(run.path), "--attempt", str(attempt)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
