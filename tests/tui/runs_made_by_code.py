"""Run directories made by code with the run's own writers: what a console sees, without a process that trains."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from core.run.directory import Home, RunDirectory
from core.run.event_log import EventWriter
from core.run.events import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Notice,
    Progress,
    Sampled,
    Series,
    Started,
)
from core.run.launch import create_run, make_home
from core.run.metrics import MetricsWriter

SERIES = (
    Series(name="train/loss", title="train", panel="loss", lower_is_better=True),
    Series(name="eval/loss", title="held out", panel="loss", lower_is_better=True),
    Series(name="train/grad_norm", title="gradient norm", panel="gradient norm"),
    Series(name="train/learning_rate", title="learning rate", panel="learning rate"),
    Series(name="train/tokens_per_second", title="tokens/s", panel="speed"),
)
DENSE = [one.name for one in SERIES if not one.name.startswith("eval/")]
PRESET = """\
phase: pretrain
about: {title: A preset of the tests, hardware: any}
model: {kind: scratch, layers: 6, hidden_size: 256, heads: 4, key_value_heads: 2, context_length: 512}
data:
  kind: text
  sources:
    - {kind: standard_library, max_bytes: 6000000}
  tokenizer: {kind: train, vocabulary_size: 4096}
  held_out_fraction: 0.03
schedule: {kind: cosine, peak_learning_rate: 0.003, warmup_steps: 15, steps: 150, floor_ratio: 0.1}
batch: {size: 8, micro_size: 8, sequence_length: 256}
cadence: {evaluate_steps: 50, checkpoint_steps: 75}
sampling: {prompts: ["def ", "import os\\n\\n"], max_new_tokens: 48}
"""
T0 = 1_700_000_000.0


def a_home(path: Path) -> Home:
    home = Home(path / "home")
    make_home(home)
    return home


class RunMade:
    """A run under construction, as its worker would write it."""

    def __init__(self, home: Home, name: str, *, steps: int = 1000) -> None:
        self.run: RunDirectory = create_run(home, name, name, PRESET)
        self.steps = steps
        self.attempt = self.run.attempt(1)
        self.attempt.path.mkdir(parents=True)
        self.writer = EventWriter(self.run.events, 1)
        self._metrics: MetricsWriter | None = None

    def event(self, event: AnyEvent) -> RunMade:
        self.writer.write(event)
        return self

    def started(self, **facts: str | int | float | bool) -> RunMade:
        self._metrics = MetricsWriter(self.attempt, DENSE)
        return self.event(Started(phase="pretrain", steps=self.steps, series=SERIES, facts=facts))

    def rows(self, first: int, last: int, *, odd: dict[int, float] | None = None) -> RunMade:
        assert self._metrics is not None
        for step in range(first, last):
            loss = 3 * math.exp(-step / 300) + 2 + 0.15 * math.sin(step * 12.9898)
            loss = (odd or {}).get(step, loss)
            rate = 3e-4 * min(1.0, (step + 1) / 50)
            norm = 1 + abs(math.sin(step * 78.233))
            values = [loss, norm, rate, 41_000 + 900 * math.sin(step)]
            self._metrics.append(
                seq=self.writer.next_seq, step=step + 1, wall=T0 + 0.31 * step, tokens=2048 * (step + 1), values=values
            )
        return self

    def evaluated(self, step: int, loss: float) -> RunMade:
        return self.event(Evaluated(step=step, values={"eval/loss": loss}, tokens=1000, seconds=1.5))

    def sampled(self, step: int, text: str, prompt: str = "def ") -> RunMade:
        return self.event(Sampled(step=step, prompt=prompt, text=text))

    def saved(self, step: int) -> RunMade:
        return self.event(CheckpointSaved(step=step, name=f"step-{step:08d}", bytes=123_456_789, seconds=0.4))

    def output(self, text: str) -> RunMade:
        with self.attempt.log.open("a") as file:
            file.write(text)
        return self

    def beat(self, step: int, section: str = "training", *, counter: int = 3) -> RunMade:
        values = {
            "attempt": 1, "counter": counter, "step": step, "section": section, "wall": time.time(),
            "mono": time.monotonic(), "boot_id": "", "idle_seconds": 0.0,
        }  # fmt: skip
        self.run.heartbeat.write_text(json.dumps(values))
        return self

    def ended(self, code: int, *, signal: str = "") -> RunMade:
        values = {"code": code, "signal": signal, "wall": "", "seconds": 12.0, "by": "supervisor", "survivors": []}
        self.attempt.exit.write_text(json.dumps(values))
        return self


def finished_run(home: Home, name: str = "quickstart") -> RunDirectory:
    made = RunMade(home, name).started(device="cpu", parameters=3_400_000, max_grad_norm=1.0, tokens_a_step=2048)
    made.rows(0, 1000, odd={400: math.nan})
    for step in (250, 500, 750, 1000):
        made.evaluated(step, 3 * math.exp(-step / 300) + 2.1)
    made.sampled(1000, "main():\n    return 1").saved(1000).event(Finished(step=1000)).beat(1000).ended(0)
    return made.run


def failed_run(home: Home, name: str = "sft-broken") -> RunDirectory:
    made = RunMade(home, name).started(device="cpu").rows(0, 300, odd={299: math.nan})
    made.event(Notice(level="error", code="non_finite", message="the loss is NaN in batch 299", step=299))
    made.event(Failed(exit_code=6, message="the loss is not finite", hint="Lower the learning rate.", step=299))
    made.output("Traceback (most recent call last):\n  NumericError\n").beat(299).ended(6)
    return made.run


def preparing_run(home: Home, name: str = "prepare") -> RunDirectory:
    made = RunMade(home, name)
    made.event(Started(phase="prepare"))
    made.event(Progress(stage="read sources", done=1200, total=1200, unit="documents"))
    made.event(Progress(stage="train tokenizer", done=1, total=1, unit="tokenizer"))
    made.event(Progress(stage="tokenize", done=430, total=1200, unit="documents", note="1.2M tokens"))
    made.beat(0, "preparing")
    return made.run


def running_run(home: Home, name: str = "pretrain-small", *, rows: int = 420) -> RunMade:
    """A run whose process is not there: it is `lost` to who looks, so tests that need `running` hold its lock."""
    made = RunMade(home, name).started(device="cpu", max_grad_norm=1.0).rows(0, rows)
    made.evaluated(200, 3.6).evaluated(400, 2.9).saved(400).sampled(400, "print(x)").beat(rows)
    made.output("loading data\nstep 1\n")
    return made
