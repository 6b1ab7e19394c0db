"""Run directories of alignment, made by code: as many series as the real ones have, and samples with their tokens."""

from __future__ import annotations

import math

from core.run.directory import Home
from core.run.events import Evaluated, Failed, Finished, Progress, Sampled, Series, Started
from core.run.metrics import MetricsWriter
from core.run.stages import StageRun, write_stages
from tests.tui.runs_made_by_code import T0, RunMade, finished_run

_DENSE = (
    ("train/reward", "reward", "reward", ""), ("train/score", "score", "reward", ""),
    ("train/kl", "KL", "kl", "nats"), ("train/ratio_kl", "ratio KL", "kl of the update", "nats"),
    ("train/clip_fraction", "clipped", "clipped", ""), ("train/entropy", "entropy", "entropy", "nats"),
    ("train/policy_loss", "policy", "loss", ""), ("train/value_loss", "value", "loss", ""),
    ("train/loss", "loss", "loss", ""), ("train/explained_variance", "explained", "explained variance", ""),
    ("train/kl_coefficient", "coefficient", "kl coefficient", ""),
    ("train/advantage_mean", "mean", "advantages", ""), ("train/advantage_std", "deviation", "advantages", ""),
    ("train/response_length", "length", "response length", "tokens"), ("train/ended", "ended", "ended", ""),
    ("train/generation_tokens_per_second", "generation", "speed", "tokens/s"),
    ("train/training_tokens_per_second", "training", "speed", "tokens/s"),
    ("train/learning_rate", "learning rate", "learning rate", ""),
    ("train/grad_norm", "gradient norm", "gradient norm", ""),
)  # fmt: skip
_SHOWN = [Series(name=name, title=title, panel=panel, unit=unit) for name, title, panel, unit in _DENSE]
SERIES = (
    *_SHOWN[:3],
    Series(name="eval/reward", title="held-out reward", panel="reward", lower_is_better=False),
    *_SHOWN[3:],
    Series(name="eval/response_length", title="held out", panel="response length", unit="tokens"),
)
TOKENS = ("def", " count", "(text", "):", "\n    ", "return", " len", "(text", ".split", "())", "\n")
MARKS = (0.01, 0.2, 0.05, 0.0, 0.3, 0.9, 2.6, 0.04, 0.7, 0.1, 0.0)


def ppo_run(home: Home, name: str = "ppo-smollm2", *, rows: int = 60) -> RunMade:
    """A running PPO run of 200 steps; who looks at it must say that it runs."""
    made = RunMade(home, name, steps=200)
    facts = {"device": "cpu", "models_in_memory": "policy, reference, value and reward share one base (540 MB)"}
    made.event(Started(phase="ppo", steps=200, series=SERIES, facts=facts))
    writer = MetricsWriter(made.attempt, [one.name for one in SERIES if not one.name.startswith("eval/")])
    for step in range(rows):
        values = [math.sin(step / 9 + index) * (index + 1) / 4 + index for index in range(len(_DENSE))]
        writer.append(
            seq=made.writer.next_seq, step=step + 1, wall=T0 + 2.1 * step, tokens=900 * (step + 1), values=values
        )
    for step, reward in ((0, -0.42), (50, 0.87)):
        values = {"eval/reward": reward, "eval/response_length": 31.5}
        made.event(Evaluated(step=step, values=values, tokens=4000, seconds=3.0))
    made.event(
        Sampled(
            step=rows, prompt="Count the words.\n\n### Response:\n", text="".join(TOKENS), tokens=TOKENS, marks=MARKS,
            values={"reward": 0.87, "kl": 4.9, "length": 11.0}, mark_title="KL of the token, nats",
        )
    )  # fmt: skip
    return made.saved(50).beat(rows)


def finished_ppo(home: Home, name: str = "ppo-done") -> RunMade:
    made = ppo_run(home, name, rows=200)
    return made.event(Finished(step=200)).beat(200).ended(0)


def failed_ppo(home: Home, name: str = "ppo-broken") -> RunMade:
    made = ppo_run(home, name)
    return made.event(Failed(exit_code=6, message="the KL is not finite", hint="Lower the rate.", step=60)).ended(6)


PIPELINE = """\
phase: pipeline
about: {title: A pipeline of the tests}
pipeline:
  - {name: pretrain, phase: pretrain}
  - {name: judge, phase: reward}
  - {name: align, phase: ppo}
  - {name: polish, phase: ppo}
"""


def pipeline_run(home: Home, name: str = "rlhf", *, is_done: bool = False) -> RunMade:
    """A pipeline whose second stage is finished and whose third one is at work; the last one has not begun.

    With `is_done` all four are finished.
    """
    finished_run(home, f"{name}-pretrain")
    judge = RunMade(home, f"{name}-judge", steps=100)
    series = (
        Series(name="eval/loss", title="held-out loss", panel="loss", lower_is_better=True),
        Series(name="eval/accuracy", title="held-out accuracy", panel="accuracy", lower_is_better=False),
    )
    judge.event(Started(phase="reward", steps=100, series=series))
    for step, loss, accuracy in ((0, 0.693, 0.48), (100, 0.31, 0.91)):
        values = {"eval/loss": loss, "eval/accuracy": accuracy}
        judge.event(Evaluated(step=step, values=values, tokens=900, seconds=1.0))
    judge.event(Finished(step=100)).beat(100).ended(0)
    made = RunMade(home, name)
    made.run.config.write_text(PIPELINE)
    made.event(Started(phase="pipeline", facts={"stages": 4}))
    begun = ["pretrain", "judge", "align"]
    if is_done:
        finished_ppo(home, f"{name}-align")
        finished_ppo(home, f"{name}-polish")
        begun.append("polish")
        made.event(Finished()).ended(0)
    else:
        ppo_run(home, f"{name}-align")
        made.event(Progress(stage="stage 3 of 4, align", done=60, total=200, unit="steps")).beat(0, "stage align")
    write_stages(made.run, {stage: StageRun(f"{name}-{stage}") for stage in begun})
    return made
