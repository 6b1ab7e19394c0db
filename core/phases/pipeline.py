"""Pipeline: presets that run one after another, each as an ordinary run with a supervisor and a directory of its own.

This process works nothing itself: it has each stage at work in turn and waits for it. A stage names an earlier one
where a run could stand. An attempt begins at the first stage that is not finished; the first one that ends otherwise
ends the pipeline, with its exit code.
"""

from __future__ import annotations

from core.config.phases import PipelineConfig
from core.run.events import Finished, Resumed, Started, Stopped
from core.run.pipeline import Stages
from core.run.session import Outcome, Session


def run(config: PipelineConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Run the stages of `config` in their order.

    Raises: FootplateError with the exit code of the stage that failed; UsageError, StorageError where one cannot be
    started.
    """
    session.start(Started(phase="pipeline", facts={"stages": len(config.pipeline)}))
    if session.attempt > 1:
        session.emit(Resumed(step=0, checkpoint="", notes=("goes on with the first stage that is not finished",)))
    stages = Stages(config, session, allow_inexact=allow_inexact)
    for number, stage in enumerate(config.pipeline):
        reason = session.leaving()
        if reason is None and stages.begin(number):
            reason = stages.wait(number)
        if reason is not None:
            message = f"stage {stage.name} was at work; a resume goes on with it"
            session.emit(Stopped(step=0, reason=reason, message=message))
            return reason
    session.emit(Finished(facts=stages.facts()))
    return "finished"
