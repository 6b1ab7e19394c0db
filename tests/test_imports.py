"""What is imported when: the console and the simple commands start without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = {
    "torch", "transformers", "accelerate", "peft", "bitsandbytes", "datasets", "deepspeed", "huggingface_hub",
}  # fmt: skip
CONSOLE = {"textual", "rich", "plotext"}
ARRAYS = {"numpy", "pyarrow"}


def _imported(statement: str, environment: dict[str, str]) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["tui.app", "tui.__main__", "core.run.launch", "core.run.supervise"])
def test_import_without_heavy_libraries(module: str, environment: dict[str, str]) -> None:
    assert not _imported(f"import {module}", environment) & HEAVY


@pytest.mark.parametrize("module", ["core.config.presets", "core.config.schema", "core.run.replay", "core.run.session"])
def test_torch_free_rooms_stay_torch_free(module: str, environment: dict[str, str]) -> None:
    assert not _imported(f"import {module}", environment) & (HEAVY | CONSOLE)


def test_the_supervisor_does_not_import_the_console(environment: dict[str, str]) -> None:
    assert not _imported("import core.run.supervise", environment) & (CONSOLE | {"tui"})


def test_parsing_imports_neither_console_nor_configuration(environment: dict[str, str]) -> None:
    """What `--version` and a mistyped command cost."""
    seen = _imported("import tui.__main__ as m; assert m.main(['--version']) == 0", environment)
    assert not seen & (HEAVY | CONSOLE | ARRAYS | {"pydantic", "ruamel", "psutil"})


@pytest.mark.parametrize("command", [["presets"], ["schema"], ["check", "quickstart"], ["runs"]])
def test_simple_commands_need_no_console_and_no_torch(command: list[str], environment: dict[str, str]) -> None:
    statement = f"import tui.__main__ as m; assert m.main({command!r}) == 0"
    assert not _imported(statement, environment) & (HEAVY | CONSOLE | {"pyarrow", "tokenizers"})


def test_version_answers_at_once(environment: dict[str, str], footplate: list[str]) -> None:
    """0.15 s is the aim on an idle machine; 0.5 s leaves room for a busy one and none for torch or textual."""
    environment.pop("PYTHONDONTWRITEBYTECODE")
    durations = []
    for _ in range(4):
        begin = time.monotonic()
        subprocess.run([*footplate, "--version"], env=environment, check=True, capture_output=True, timeout=30)
        durations.append(time.monotonic() - begin)
    assert min(durations) < 0.5
