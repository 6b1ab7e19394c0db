"""A worker that only says things: `fake_worker.py [BEHAVIOUR] RUN --attempt N`. No torch, a few steps a second."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core.run.directory import RunDirectory
from core.run.events import CheckpointSaved, Evaluated, Failed, Finished, Resumed, Sampled, Series, Started, Stopped
from core.run.overrides import resolved_config
from core.run.session import Session

SERIES = (
    Series(name="train/loss", title="loss", panel="loss"),
    Series(name="train/learning_rate", title="rate", panel="rate"),
    Series(name="eval/loss", title="held-out", panel="loss"),
)
CODES = {"asked": 0, "preempted": 75}


def work(session: Session, steps: int, behaviour: str) -> int:
    session.start(Started(phase="pretrain", steps=steps, series=SERIES, facts={"vocabulary_size": 4096}))
    begin = 0
    if session.attempt > 1:
        begin = 2
        session.emit(Resumed(step=begin, checkpoint="step-00000002"))
    session.progress("tokenize", 1, 2, "files")
    session.progress("tokenize", 2, 2, "files")
    for step in range(begin + 1, steps + 1):
        time.sleep(0.02)
        session.step = step
        session.metrics(step=step, tokens=10.0 * step, values={"train/loss": 8.0 / step, "train/learning_rate": 1e-3})
        if behaviour == "fail" and step == 3:
            session.emit(Failed(exit_code=6, message="the loss is NaN", hint="Lower the learning rate.", step=step))
            return 6
        for request in session.requests():
            accepted = request.verb == "checkpoint" and behaviour != "refuse"
            if accepted:
                session.emit(CheckpointSaved(step=step, name=f"step-{step:08d}", bytes=10, seconds=0.1))
            words = f"done at step {step}" if accepted else f"failed at step {step}: no space"
            session.handled(request, accepted, words)
        why = session.leaving()
        if why is not None:
            session.emit(Stopped(step=step, reason=why))
            return CODES[why]
    values = {"eval/loss": 4.159, "eval/perplexity": 64.0}
    session.emit(Evaluated(step=steps, values=values, tokens=100, seconds=0.1))
    session.emit(Sampled(step=steps, prompt="def ", text="f(x):\n    return \x1b]0;owned\x07 x"))
    session.emit(Finished(step=steps))
    return 0


def main() -> int:
    behaviour = sys.argv[1]
    run, attempt = RunDirectory(Path(sys.argv[2])), int(sys.argv[4])
    config = resolved_config(run).config
    assert config.phase == "pretrain"
    print("worker speaks \x1b[2J here\nprogress 10%\rprogress 100%", flush=True)
    with Session.open(run, config, attempt) as session:
        return work(session, config.schedule.steps or 0, behaviour)


if __name__ == "__main__":
    sys.exit(main())
