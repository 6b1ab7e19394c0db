from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from core.config.cluster import Cluster, LocalTasks, SlurmTasks
from core.config.data import TextData
from core.data.cleaning.passes import folder_of, run_unit
from core.data.cleaning.plan import begin, make_plan
from core.data.cleaning.pool import Heard
from core.data.cluster import Units, over_cluster
from core.data.progress import PreparationStopped, Work, silent
from core.errors import DataError, UsageError

UNITS = 5
SLURM = SlurmTasks(kind="slurm", partition="cpu", tasks=3)
ROOT = Path(__file__).parents[3]

# What Slurm's commands do, on one machine and at once: each task of the array, one after the other.
SBATCH = """#!/bin/bash
script="${!#}"
echo "$@" >> "$SLURM_FAKE/sbatch.calls"
cat "$script" >> "$SLURM_FAKE/script"
last=$(grep -oP '(?<=--array=0-)[0-9]+' "$script")
for task in $(seq 0 "$last"); do
  SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=7 SLURM_NODELIST=here bash "$script" >> "$SLURM_FAKE/out" 2>&1
done
echo "Submitted batch job 7"
"""
SRUN = '#!/bin/bash\nwhile [[ "$1" == -* ]]; do [[ "$1" == -n ]] && shift; shift; done\nexec "$@"\n'
COMMANDS = {
    "sbatch": SBATCH,
    "srun": SRUN,
    "scontrol": "#!/bin/bash\necho here\n",
    "squeue": '#!/bin/bash\necho "$@" >> "$SLURM_FAKE/squeue.calls"\nexit 0\n',
    "scancel": '#!/bin/bash\necho "$@" >> "$SLURM_FAKE/scancel.calls"\n',
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with a plan of five units."""
    for number in range(UNITS):
        (tmp_path / f"{number}.jsonl").write_text(f'{{"text": "Text number {number}."}}\n' * (number + 1))
    return planned(tmp_path, tmp_path / "work")


def planned(folder: Path, work: Path) -> Path:
    sources = [{"kind": "json", "path": str(folder / f"{number}.jsonl")} for number in range(UNITS)]
    data = TextData.model_validate({"kind": "text", "sources": sources, "tokenizer": {"kind": "model"}})
    work.mkdir()
    begin(work, make_plan(data, 0, Work(silent, lambda: False)))
    folder_of(work, 0).mkdir()
    return work


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for Slurm's commands; the folder says how they were called."""
    pytest.importorskip("datatrove", reason="datatrove is not installed: pip install 'footplate[cluster]'")
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SLURM_FAKE", str(folder))
    monkeypatch.setattr("core.data.cluster._SETTLE_SECONDS", 0.5)
    monkeypatch.setattr("core.data.cluster._QUEUE_SECONDS", 0.1)
    monkeypatch.setattr("core.data.cluster._LOOK_SECONDS", 0.2)
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> LocalTasks:
    pytest.importorskip("datatrove", reason="datatrove is not installed: pip install 'footplate[cluster]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return LocalTasks(kind="local", tasks=2)


def run(work: Path, cluster: Cluster, units: range = range(UNITS)) -> list[int]:
    told: list[Heard] = []
    over_cluster(run_unit, work, 0, dict.fromkeys(units, 1), told.append, cluster)
    return sorted(told[-1].done)


def content(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder_of(work, 0).iterdir())}


def alone(work: Path, other: Path) -> dict[str, bytes]:
    planned(work.parent, other)
    for unit in range(UNITS):
        run_unit(other, 0, unit)
    return content(other)


def test_the_engine_on_this_machine_makes_the_same_files(work: Path, here: LocalTasks, tmp_path: Path) -> None:
    assert run(work, here) == list(range(UNITS))
    assert content(work) == alone(work, tmp_path / "other")


def test_slurm_makes_the_same_files(work: Path, slurm: Path, tmp_path: Path) -> None:
    assert run(work, SLURM) == list(range(UNITS))
    assert content(work) == alone(work, tmp_path / "other")
    script = (slurm / "script").read_text()
    assert "#SBATCH --partition=cpu" in script
    assert "#SBATCH --array=0-2" in script
    assert "#SBATCH --mem-per-cpu=4G" in script
    assert f"export PATH={Path(sys.executable).parent}:$PATH" in script
    assert "qos" not in script


@pytest.mark.slow(reason="starts the engine several times")
def test_what_is_done_is_not_done_again(work: Path, slurm: Path) -> None:
    run(work, SLURM, range(2))
    marks = {path: path.stat().st_mtime_ns for path in folder_of(work, 0).glob("0000[01].*")}
    assert run(work, SLURM, range(UNITS)) == list(range(UNITS))
    assert marks
    assert all(path.stat().st_mtime_ns == before for path, before in marks.items())


@pytest.mark.slow(reason="starts the engine several times")
def test_a_unit_that_fails_everywhere_says_why(work: Path, slurm: Path) -> None:
    (work.parent / "0.jsonl").unlink()
    with pytest.raises((DataError, UsageError), match=r"0\.jsonl"):
        run(work, SLURM)


def test_tasks_that_end_too_early_are_said(work: Path, slurm: Path) -> None:
    (slurm / "sbatch").write_text('#!/bin/bash\necho "Submitted batch job 7"\n')
    with pytest.raises(UsageError, match="the slurm tasks ended, and 5 of 5 units were not done") as caught:
        run(work, SLURM)
    assert "cluster/run_unit-0" in caught.value.hint


def test_a_refused_job_is_said(work: Path, slurm: Path) -> None:
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'invalid partition' >&2\nexit 1\n")
    with pytest.raises(UsageError, match=r"sbatch refused the job \(exit code 1\)"):
        run(work, SLURM)


def test_without_slurm_it_is_said(work: Path, slurm: Path) -> None:
    for name in COMMANDS:
        (slurm / name).unlink()
    with pytest.raises(UsageError, match="there is no sbatch on this machine"):
        run(work, SLURM)


def test_stopping_cancels_the_job(work: Path, slurm: Path) -> None:
    (slurm / "sbatch").write_text('#!/bin/bash\necho "Submitted batch job 7"\n')
    (slurm / "squeue").write_text("#!/bin/bash\necho RUNNING\n")

    def stop(heard: Heard) -> None:
        raise PreparationStopped

    with pytest.raises(PreparationStopped):
        over_cluster(run_unit, work, 0, {0: 1}, stop, SLURM)
    assert (slurm / "scancel.calls").read_text() == "7\n"


def test_stopping_ends_the_tasks_of_this_machine(work: Path, here: LocalTasks) -> None:
    pulses: list[Heard] = []

    def stop(heard: Heard) -> None:
        pulses.append(heard)
        if len(pulses) > 30:
            raise PreparationStopped

    (work.parent / "0.jsonl").unlink()
    os.mkfifo(work.parent / "0.jsonl")  # a source that gives nothing, for ever
    with pytest.raises(PreparationStopped):
        over_cluster(run_unit, work, 0, dict.fromkeys(range(UNITS), 1), stop, here)
    assert multiprocessing.active_children() == []


@pytest.mark.slow(reason="starts the engine several times")
def test_a_job_that_a_killed_run_left_is_cancelled(work: Path, slurm: Path) -> None:
    left = Units(run_unit, work, 0, ()).folder / "job"
    left.parent.mkdir(parents=True)
    left.write_text("5")
    assert run(work, SLURM) == list(range(UNITS))
    assert (slurm / "scancel.calls").read_text() == "5\n"
    assert not left.exists()


def test_a_queue_that_does_not_answer_is_asked_again(work: Path, slurm: Path) -> None:
    (slurm / "sbatch").write_text('#!/bin/bash\necho "Submitted batch job 7"\n')
    (slurm / "squeue").write_text(
        '#!/bin/bash\necho >> "$SLURM_FAKE/asked"\n'
        'if [ $(wc -l < "$SLURM_FAKE/asked") -lt 5 ]; then echo "Unable to contact slurm controller" >&2\n'
        'else echo "slurm_load_jobs error: Invalid job id specified" >&2; fi\nexit 1\n'
    )
    with pytest.raises(UsageError, match="tasks ended"):
        run(work, SLURM)
    assert (slurm / "asked").read_text().count("\n") >= 5


def test_ranks_share_the_units_and_leave_none(tmp_path: Path) -> None:
    seen: list[int] = []

    def note(work: Path, number: int, unit: int, heard: object) -> None:
        seen.append(unit)

    units = Units(note, tmp_path, 0, tuple(range(10)))
    units.marks.mkdir(parents=True)
    for rank in range(3):
        units(None, rank, 3)
    assert seen == [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
    assert sorted(int(path.name) for path in units.marks.iterdir()) == list(range(10))


@pytest.mark.slow(reason="starts the engine several times")
def test_a_mark_of_an_earlier_call_says_nothing(work: Path, slurm: Path) -> None:
    run(work, SLURM)
    (slurm / "sbatch").write_text('#!/bin/bash\necho "Submitted batch job 7"\n')
    with pytest.raises(UsageError, match="5 of 5 units were not done"):
        run(work, SLURM)


def test_without_datatrove_it_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datatrove.executor", None)
    with pytest.raises(UsageError) as caught:
        run(work, SLURM)
    assert "pip install 'footplate[cluster]'" in caught.value.hint


def test_the_module_brings_no_engine() -> None:
    code = "import sys, core.data.cluster; print(sorted({'datatrove', 'ray', 'torch'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.parametrize(
    "values",
    [{"partition": "cpu\n#SBATCH --wrap=x"}, {"partition": "cpu", "time": "1 day"}, {"partition": "a b"}, {}],
)
def test_words_for_sbatch_are_words(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Cluster).validate_python({"kind": "slurm", **values})
