"""Makes runs, starts them detached, and signals them. The only room of core/run that reads the environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import core
from core.errors import FootplateError, RunHeldError, StorageError, UsageError
from core.run.directory import Home, RunDirectory, check_run_name
from core.run.lock import lock_state
from core.run.private import check_parents, make_folder, write_atomic
from core.run.processes import send
from core.run.records import read_process
from core.run.runs import free_names

_PASSED = {
    "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TZ", "USER", "VIRTUAL_ENV",
    "CC", "CXX", "GLIBC_TUNABLES", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
}  # fmt: skip
_PASSED_PREFIXES = (
    "CONDA_", "CUBLAS", "CUDA_", "CUDNN_", "FOOTPLATE_", "GLOO_", "HF_", "HIP_", "KMP_", "LC_", "MALLOC_", "MKL_",
    "NCCL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON", "PYTORCH_", "ROCR_", "SLURM_", "TOKENIZERS_", "TORCH",
    "TRITON_", "XDG_",
)  # fmt: skip
# Memory that glibc keeps and lays in huge pages instead of mapping and faulting it anew for each large tensor: 6,065
# tokens a second became 7,209 on the quick start, for 5 % more memory. OMP_WAIT_POLICY stays the user's: PASSIVE
# saves a run that shares its cores (476 against 1,500) and costs one that does not half its speed (6,600 to 3,100).
_DEFAULTS = (
    {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    }
    if sys.platform == "linux"
    else {}
)
_ERRORS = {error.__name__: error for error in (RunHeldError, StorageError, UsageError)}


def create_run(home: Home, name: str | None, stem: str, config_yaml: str) -> RunDirectory:
    """Make a run with its configuration and return it; without a name it is the stem, then stem-1, stem-2, ...

    Raises: UsageError for a bad or taken name, or a home that others could tamper with; StorageError.
    """
    if name is not None:
        check_run_name(name)
    make_home(home)
    for candidate in [name] if name is not None else free_names(home, stem):
        run = RunDirectory(home.runs / candidate)
        try:
            make_folder(run.path, new=True)
        except FileExistsError:
            continue
        write_atomic(run.config, config_yaml.encode("utf-8"), root=run.path)
        return run
    raise UsageError(f"there is a run named {name} already", hint="Choose another --name, or resume that run.")


def make_home(home: Home) -> None:
    """Make the home with its folders, private to this user.

    Raises: UsageError where another user could exchange what lies there; StorageError where it cannot be written.
    """
    try:
        check_parents(home.runs)
        for path in reversed((home.path, *home.path.parents)):
            if not path.exists():
                path.mkdir(mode=0o700)  # not parents=True, which leaves the mode of those between to the umask
        for folder in (home.runs, home.cache, home.presets):
            make_folder(_real(home) / folder.name, root=_real(home))
    except OSError as error:
        raise StorageError(
            f"{home.path} cannot be used as a home: {error.strerror}",
            hint="Set FOOTPLATE_HOME to a folder that you may write.",
        ) from error


def launch(run: RunDirectory, *, worker: Sequence[str] = ()) -> int:
    """Start a run's supervisor, detached from this process and its terminal, and return the number of the attempt.

    It returns once the supervisor holds the run. `worker` is a command to run in place of core.worker.
    Raises: RunHeldError where another process holds it; StorageError; UsageError; FootplateError.
    """
    if run.path.parent.name != run.home.runs.name:
        raise UsageError(
            f"{run.path} does not lie in the runs folder of a home",
            hint="Move it to $FOOTPLATE_HOME/runs/ to start it.",
        )
    make_home(run.home)
    read_end, write_end = os.pipe()
    command = [
        sys.executable,
        "-P",
        "-m",
        "core.run.supervise",
        "--ready",
        str(write_end),
        "--",
        str(run.path.absolute()),
    ]
    with tempfile.TemporaryFile() as words, os.fdopen(read_end, "rb") as ready:
        try:
            supervisor = subprocess.Popen(
                [*command, *worker],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env=child_environment(os.environ, run.home),
                pass_fds=[write_end],
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        answer = ready.readline()
        if answer:
            # It outlives this process; until then somebody has to take its exit status.
            threading.Thread(target=supervisor.wait, name=f"wait {run.name}", daemon=True).start()
            return _attempt(json.loads(answer))
        code = supervisor.wait()
        words.seek(0)
        last = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise FootplateError(
            f"the supervisor of {run.name} ended with code {code} before it held the run: {' '.join(last)}",
            hint="Run `footplate doctor`.",
        )


def _attempt(answer: Mapping[str, object]) -> int:
    match answer:
        case {"attempt": int(number)}:
            return number
        case {"error": {"type": str(kind), "message": str(message), "hint": str(hint)}}:
            raise _ERRORS.get(kind, FootplateError)(message, hint=hint)
        case _:
            raise FootplateError(f"the supervisor said {answer!r}")


def terminate(run: RunDirectory, number: int = signal.SIGTERM) -> bool:
    """Send a signal to the supervisor of a run, which passes it on; return False where none holds the run here."""
    attempts = run.attempts()
    record = read_process(attempts[-1]) if attempts else None
    return record is not None and lock_state(run).state == "held" and send(record.identity, number)


def child_environment(environment: Mapping[str, str], home: Home) -> dict[str, str]:
    """Return what a supervisor and its worker get to see: what they need, and private folders for their caches."""
    passed = _DEFAULTS | {
        name: value for name, value in environment.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    passed.pop("FOOTPLATE_RUN_MARKER", None)
    private = {
        "TORCHINDUCTOR_CACHE_DIR": home.cache / "inductor",
        "TRITON_CACHE_DIR": home.cache / "triton",
        "TORCH_EXTENSIONS_DIR": home.cache / "extensions",
        "TMPDIR": home.cache / "tmp",
    }
    for folder in private.values():
        make_folder(_real(home) / "cache" / folder.name, root=_real(home))
    passed |= {name: str(folder) for name, folder in private.items()}
    passed |= {"FOOTPLATE_HOME": str(home.path), "PYTHONUNBUFFERED": "1"}
    source = Path(core.__file__).resolve().parent.parent
    if source not in {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}:
        # A checkout: with -P the current folder is not searched, and the run outlives it anyway.
        passed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), passed.get("PYTHONPATH", ""))))
    return passed


def _real(home: Home) -> Path:
    """Return the home without links: a home may be one, to a larger disk, but nothing inside it."""
    return Path(os.path.realpath(home.path))
