"""Rows of a run: written one by one, read as one curve over all attempts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.run import metrics
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Resumed, Series, Started
from core.run.metrics import COLUMNS, LEVEL_ROWS, MetricsReader, MetricsWriter

NAMES = ["train/loss", "train/learning_rate", "eval/loss", "train/grad_norm"]
DENSE = ["train/loss", "train/learning_rate", "train/grad_norm"]
EVERYTHING = {"first_step": 0, "last_step": math.inf}


def begin(run: RunDirectory, attempt: int, *, resumed: int | None = None, names: list[str] | None = None) -> None:
    """Write what an attempt's events say about its rows."""
    run.attempt(attempt).path.mkdir(parents=True)
    writer = EventWriter(run.events, attempt)
    series = tuple(Series(name=name, title=name, panel="p") for name in names or NAMES)
    writer.write(Started(phase="pretrain", steps=10, series=series))
    if resumed is not None:
        writer.write(Resumed(step=resumed, checkpoint=""))
    writer.close()


def write(run: RunDirectory, attempt: int, steps: range, *, value: float = 1.0, count: int = 3) -> MetricsWriter:
    writer = MetricsWriter(run.attempt(attempt), [str(index) for index in range(count)])
    for step in steps:
        writer.append(
            seq=1, step=step, wall=1000.0 + step, tokens=step * 8, values=[value + step] + [0.5] * (count - 1)
        )
    return writer


def table(rows: int, columns: int = 12) -> NDArray[np.float64]:
    """Rows as a long run would write them, made at once."""
    random = np.random.default_rng(1)
    made = np.empty((rows, columns), dtype="<f8")
    made[:, 0] = 1
    made[:, 1] = np.arange(1, rows + 1)
    made[:, 2] = 1.7e9 + np.arange(rows) * 0.1
    made[:, 3] = np.arange(1, rows + 1) * 4096
    made[:, 4:] = random.normal(size=(rows, columns - 4))
    return made


def write_table(run: RunDirectory, attempt: int, made: NDArray[np.float64]) -> None:
    """Write a table and its levels, these by a plain loop over the groups."""
    made.tofile(run.attempt(attempt).metrics)
    groups = [made[start : start + LEVEL_ROWS] for start in range(0, len(made) - LEVEL_ROWS + 1, LEVEL_ROWS)]
    levels = [np.concatenate([group.min(axis=0), group.max(axis=0), group[-1]]) for group in groups]
    np.array(levels, dtype="<f8").tofile(run.attempt(attempt).metrics_levels)
    for path in (run.attempt(attempt).metrics, run.attempt(attempt).metrics_levels):
        os.chmod(path, 0o600)


def test_rows_come_back_by_name_and_sparse_series_are_no_columns(run: RunDirectory) -> None:
    begin(run, 1)
    writer = MetricsWriter(run.attempt(1), DENSE)
    for step in (1, 2, 3):
        writer.append(seq=step, step=step, wall=10.0 * step, tokens=8 * step, values=[1 / step, 0.1, math.nan])
    writer.close()
    assert os.stat(run.attempt(1).metrics).st_size == 3 * 8 * (len(COLUMNS) + 3)
    reader = MetricsReader(run)
    assert reader.refresh()
    assert not reader.refresh()
    assert reader.series == DENSE
    steps, losses = reader.columns("train/loss")
    assert steps.tolist() == [1, 2, 3]
    assert losses.tolist() == [1, 1 / 2, 1 / 3]
    assert reader.columns("tokens")[1].tolist() == [8, 16, 24]
    assert reader.columns("wall")[1].tolist() == [10, 20, 30]
    assert np.isnan(reader.columns("train/grad_norm")[1]).all(), "NaN stays NaN"
    assert reader.columns("eval/loss")[0].size == reader.columns("nonsense")[0].size == 0
    assert (reader.rows, reader.last_step) == (3, 3)


def test_a_wrong_number_of_values_is_an_error(run: RunDirectory) -> None:
    begin(run, 1)
    writer = MetricsWriter(run.attempt(1), DENSE)
    with pytest.raises(ValueError, match="2 values for 3 series"):
        writer.append(seq=0, step=1, wall=0, tokens=0, values=[1.0, 2.0])
    writer.close()


def test_a_half_written_row_waits_for_its_other_half(run: RunDirectory) -> None:
    begin(run, 1)
    write(run, 1, range(1, 4)).close()
    path = run.attempt(1).metrics
    whole = path.read_bytes()
    reader = MetricsReader(run)
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        reader = MetricsReader(run)
        reader.refresh()
        assert reader.rows == end // (8 * 7)
    assert reader.columns("train/loss")[1].tolist() == [2, 3, 4]


def test_a_reader_sees_rows_as_they_come(run: RunDirectory) -> None:
    reader = MetricsReader(run)
    assert not reader.refresh()
    begin(run, 1)
    assert not reader.refresh(), "no row yet"
    writer = write(run, 1, range(1, 2))
    for step in range(2, 200):
        writer.append(seq=1, step=step, wall=0.0, tokens=0, values=[0.0] * 3)
        assert reader.refresh()
        assert reader.last_step == step
        assert reader.tail("step", 1)[1].tolist() == [step]
    writer.close()


def test_rows_beyond_the_step_of_a_resume_do_not_count(run: RunDirectory) -> None:
    begin(run, 1)
    write(run, 1, range(1, 21), value=0.0).close()
    reader = MetricsReader(run)
    reader.refresh()
    begin(run, 2, resumed=15)
    assert reader.refresh(), "fewer rows are news, too"
    assert reader.last_step == 15
    write(run, 2, range(16, 31), value=100.0).close()
    begin(run, 3, resumed=5)
    write(run, 3, range(6, 9), value=1000.0).close()
    reader.refresh()
    steps, losses = reader.columns("train/loss")
    assert steps.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert losses.tolist() == [1, 2, 3, 4, 5, 1006, 1007, 1008]
    assert reader.rows == 8
    assert reader.tail("train/loss", 4)[1].tolist() == [5, 1006, 1007, 1008]
    fresh = MetricsReader(run)
    fresh.refresh()
    assert fresh.columns("train/loss")[1].tolist() == losses.tolist()


def test_an_attempt_may_declare_other_series(run: RunDirectory) -> None:
    begin(run, 1)
    write(run, 1, range(1, 4)).close()
    begin(run, 2, resumed=3, names=["train/grad_norm", "train/new"])
    write(run, 2, range(4, 6), count=2).close()
    reader = MetricsReader(run)
    reader.refresh()
    assert reader.series == [*DENSE, "train/new"]
    assert reader.columns("train/grad_norm")[0].tolist() == [1, 2, 3, 4, 5]
    assert reader.columns("train/new")[0].tolist() == [4, 5]


@pytest.mark.parametrize("rows", [63, 64, 65, 128, 1000])
def test_levels_are_the_extremes_and_the_last_of_each_64_rows(run: RunDirectory, rows: int) -> None:
    begin(run, 1)
    made = table(rows, columns=7)
    writer = MetricsWriter(run.attempt(1), DENSE)
    for row in made:
        writer.append(seq=1, step=int(row[1]), wall=row[2], tokens=row[3], values=row[4:].tolist())
    writer.close()
    levels = np.fromfile(run.attempt(1).metrics_levels, dtype="<f8").reshape(-1, 3, 7)
    assert len(levels) == rows // 64
    for index, (low, high, last) in enumerate(levels):
        group = made[index * 64 : (index + 1) * 64]
        assert low.tolist() == group.min(axis=0).tolist()
        assert high.tolist() == group.max(axis=0).tolist()
        assert last.tolist() == group[-1].tolist()


def test_a_level_hides_no_value_behind_nan(run: RunDirectory) -> None:
    begin(run, 1)
    writer = MetricsWriter(run.attempt(1), DENSE)
    for step in range(1, 129):
        writer.append(seq=1, step=step, wall=0, tokens=0, values=[math.nan if step % 2 else step, math.nan, 0.0])
    writer.close()
    reader = MetricsReader(run)
    reader.refresh()
    _, low, high, _ = reader.window("train/loss", **EVERYTHING, buckets=1)
    assert (low.tolist(), high.tolist()) == ([2.0], [128.0])
    assert np.isnan(reader.window("train/learning_rate", **EVERYTHING, buckets=1)[1]).all()


@pytest.mark.parametrize("buckets", [1, 7, 100])
@pytest.mark.parametrize(("first", "last"), [(0, math.inf), (1234, 45_678), (100, 300), (49_999, 60_000)])
def test_a_window_keeps_every_extreme_and_the_last_value(
    run: RunDirectory, buckets: int, first: float, last: float
) -> None:
    """Compared with a plain loop: whatever the buckets, no extreme of the range is lost and none comes from outside."""
    begin(run, 1)
    made = table(50_000, columns=7)
    write_table(run, 1, made)
    reader = MetricsReader(run)
    reader.refresh()
    x, low, high, end = reader.window("train/loss", first_step=first, last_step=last, buckets=buckets)
    inside = made[(made[:, 1] >= first) & (made[:, 1] <= last)]
    assert len(x) <= buckets
    assert low.min() == inside[:, 4].min()
    assert high.max() == inside[:, 4].max()
    assert end[-1] == inside[-1, 4]
    assert x[-1] == inside[-1, 1]
    before = first - 1
    for position in range(len(x)):
        part = inside[(inside[:, 1] > before) & (inside[:, 1] <= x[position])]
        assert (low[position], high[position], end[position]) == (part[:, 4].min(), part[:, 4].max(), part[-1, 4])
        before = x[position]


def test_a_window_hides_no_value_behind_nan_and_shows_nan_where_nothing_else_is(run: RunDirectory) -> None:
    begin(run, 1)
    writer = MetricsWriter(run.attempt(1), DENSE)
    for step, value in enumerate([1.0, math.nan, 3.0, math.nan, math.nan, math.nan], start=1):
        writer.append(seq=1, step=step, wall=0, tokens=0, values=[value, 0.0, 0.0])
    writer.close()
    reader = MetricsReader(run)
    reader.refresh()
    _, low, high, last = reader.window("train/loss", first_step=1, last_step=6, buckets=2)
    assert (low[0], high[0], last[0]) == (1.0, 3.0, 3.0)
    assert np.isnan([low[1], high[1], last[1]]).all()
    assert reader.window("train/loss", first_step=7, last_step=9, buckets=2)[0].size == 0


def test_levels_that_lag_behind_the_rows_cost_nothing_but_time(run: RunDirectory) -> None:
    """After a kill the level of the last rows may be missing, after a power cut all of them."""
    begin(run, 1)
    made = table(20_000, columns=7)
    write_table(run, 1, made)
    for size in (0, 10 * 8 * 21 + 5):
        os.truncate(run.attempt(1).metrics_levels, size)
        reader = MetricsReader(run)
        reader.refresh()
        _, low, high, _ = reader.window("train/loss", **EVERYTHING, buckets=50)
        assert (low.min(), high.max()) == (made[:, 4].min(), made[:, 4].max())
        write_table(run, 1, made)


def test_a_million_rows_open_with_six_charts_well_within_a_second(run: RunDirectory) -> None:
    """Measured 0.02 s on two slow cores with the file in the page cache; half a second leaves room for a busy one."""
    begin(run, 1, names=[*DENSE, *(f"train/{index}" for index in range(5))])
    write_table(run, 1, table(1_000_000, columns=12))
    fastest = math.inf
    for _ in range(3):
        start = time.monotonic()
        reader = MetricsReader(run)
        assert reader.refresh()
        for name in reader.series[:6]:
            x, _, _, _ = reader.window(name, **EVERYTHING, buckets=160)
            assert len(x) == 160
        fastest = min(fastest, time.monotonic() - start)
    assert reader.rows == 1_000_000
    assert fastest < 0.5
    start = time.monotonic()
    steps, _ = reader.columns("train/loss")
    assert len(steps) == 1_000_000
    assert time.monotonic() - start < 1.0


def test_a_full_disk_makes_rows_wait_and_whole_ones_stay(run: RunDirectory) -> None:
    """A real limit: the file cannot grow beyond 1,000 bytes, so a write ends inside a row."""
    begin(run, 1)
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from core.run.directory import RunDirectory; from core.run.metrics import MetricsWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "run = RunDirectory(Path(sys.argv[1])); writer = MetricsWriter(run.attempt(1), ['a', 'b', 'c'])\n"
        "def add(n): writer.append(seq=1, step=n, wall=0.0, tokens=n, values=[float(n), 0.0, 0.0])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "for n in range(1, 101): add(n)\n"
        "print(writer.blocked, run.attempt(1).metrics.stat().st_size % 56, writer.lost)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "add(101); print(writer.blocked); writer.close()\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert answer.stdout.split() == ["True", "0", "0", "False"]
    reader = MetricsReader(run)
    reader.refresh()
    assert reader.columns("train/loss")[1].tolist() == list(range(1, 102))


def test_rows_that_do_not_fit_the_memory_kept_for_them_are_counted(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(run, 1)
    monkeypatch.setattr(metrics, "KEPT_BYTES", 10 * 56)

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = MetricsWriter(run.attempt(1), DENSE)
    with monkeypatch.context() as full:
        full.setattr(metrics, "write_all", fill)
        for step in range(1, 16):
            writer.append(seq=1, step=step, wall=0, tokens=0, values=[0.0] * 3)
    assert writer.lost == 5
    writer.append(seq=1, step=16, wall=0, tokens=0, values=[0.0] * 3)
    writer.close()
    reader = MetricsReader(run)
    reader.refresh()
    assert reader.columns("step")[1].tolist() == [*range(1, 11), 16]
