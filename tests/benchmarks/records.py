"""Events and rows: how fast they are written and read, and how soon a run of a million steps is open."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.options import Options
from tests.benchmarks.referee import alone, environment

CHARTS = ("train/loss", "train/learning_rate", "train/grad_norm", "train/tokens_per_second", "extra/a", "extra/b")
PLOT_COLUMNS = 220
_OPENINGS = 5


def measure(options: Options) -> dict[str, Any]:
    """Return events and rows a second, and the seconds in which a run with many rows is read for six charts."""
    rows, events = (20_000, 2_000) if options.quick else (1_000_000, 50_000)
    run, log = options.folder / "records" / "runs" / "million", options.folder / "records.log"
    run.parent.mkdir(parents=True, exist_ok=True)
    env = environment(options.threads)
    module = "tests.benchmarks.records"
    written = alone(module, ["write", str(run), str(rows), str(events)], env=env, log=log)
    opened = [alone(module, ["open", str(run)], env=env, log=log) for _ in range(_OPENINGS)]
    first = {f"first_{key}": value for key, value in opened[0].items()}
    return {**written, **{key: statistics.median(answer[key] for answer in opened) for key in opened[0]}, **first}


def main() -> None:
    """Write a run or open one, and print what it took."""
    match sys.argv[1:]:
        case ["write", run, rows, events]:
            print(json.dumps(_write(Path(run), rows=int(rows), events=int(events))))
        case ["open", run]:
            print(json.dumps(_open(Path(run))))


def _write(path: Path, *, rows: int, events: int) -> dict[str, float]:
    from core.run.directory import RunDirectory
    from core.run.event_log import EventReader, EventWriter
    from core.run.events import Notice, Series, Started
    from core.run.metrics import MetricsWriter

    run = RunDirectory(path)
    attempt = run.attempt(1)
    attempt.path.mkdir(parents=True)
    log = EventWriter(run.events, 1)
    log.write(Started(phase="pretrain", steps=rows, series=tuple(Series(name=n, title=n, panel=n) for n in CHARTS)))
    notice = Notice(level="info", code="benchmark", message="a line of ordinary length about what a run does", step=1)
    write = _seconds(lambda: [log.write(notice) for _ in range(events)])
    log.close()
    reader = EventReader(run.events)
    found: list[Any] = []

    def read_all() -> None:
        while batch := reader.read():
            found.extend(batch)

    read = _seconds(read_all)
    assert len(found) == events + 1, "the reader lost events"

    writer = MetricsWriter(attempt, CHARTS)

    def append_all() -> None:
        for step in range(1, rows + 1):
            loss = 2 + 8 / math.sqrt(step) + 0.1 * math.sin(step)
            values = (loss, 1e-4, 1.0 + loss, 1000.0, loss, step)
            writer.append(seq=1, step=step, wall=step / 10, tokens=512.0 * step, values=values)

    append = _seconds(append_all)
    writer.close()
    return {
        "events": events,
        "events_written_per_second": events / write,
        "events_read_per_second": events / read,
        "rows": rows,
        "rows_written_per_second": rows / append,
        "row_file_bytes": attempt.metrics.stat().st_size,
    }


def _open(path: Path) -> dict[str, float]:
    from core.run.directory import RunDirectory
    from core.run.event_log import EventReader
    from core.run.metrics import MetricsReader

    begin = time.perf_counter()
    reader = MetricsReader(RunDirectory(path))
    reader.refresh()
    opened = time.perf_counter()
    for name in CHARTS:
        x, *_ = reader.window(name, first_step=0, last_step=reader.last_step, buckets=PLOT_COLUMNS)
        assert len(x) > PLOT_COLUMNS // 2
    drawn = time.perf_counter()
    events = EventReader(RunDirectory(path).events)
    while events.read():
        pass
    replayed = time.perf_counter()
    loss_steps, _ = reader.columns("train/loss")
    whole = time.perf_counter()
    assert len(loss_steps) == reader.last_step
    return {
        "open_seconds": opened - begin,
        "six_charts_seconds": drawn - opened,
        "all_events_seconds": replayed - drawn,
        "one_whole_column_seconds": whole - replayed,
    }


def _seconds(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
