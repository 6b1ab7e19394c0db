"""A Python file is read for the function that it is to have, and never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.python_file import wrong_function


def test_what_cannot_be_run_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def reward(prompts):\n    return [1.0\n")
    field, message = wrong_function(path, "reward") or ("", "")
    assert (field, message) == ("path", f"{path} is no Python that can be run: line 2: '[' was never closed")
    path.write_bytes(b"reward = 1\0")
    assert (wrong_function(path, "reward") or ("",))[0] == "path"


def test_the_functions_that_there_are_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise SystemExit\ndef score(p): ...\nclass Inner:\n    def reward(self): ...\n")
    assert wrong_function(path, "reward") == ("function", f"{path} has no function reward; it has score")
    path.write_text("def outer():\n    reward = 1\n")
    assert wrong_function(path, "reward") == ("function", f"{path} has no function reward; it has outer")
    path.write_text("print(1)")
    assert wrong_function(path, "reward") == ("function", f"{path} has no function reward; it has none")


@pytest.mark.parametrize(
    "text",
    [
        "def reward(p, r, a): ...", "async def reward(p, r, a): ...", "class reward: ...", "reward = len",
        "import x as reward", "from x import reward", "from x import *", "a, (b, *reward) = f()",
        "try:\n    def reward(): ...\nexcept Exception: ...", "if a:\n    reward = b", "with a as reward: ...",
        "for reward in a: ...", "(reward := len)", "globals()['reward'] = len", "def f():\n    global reward",
        "import sys\nsys.modules[__name__] = f()", "def __getattr__(name): ...", "match a:\n    case [reward]: ...",
    ],
)  # fmt: skip
def test_a_name_that_may_come_from_anywhere_is_left_to_the_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert wrong_function(path, "reward") is None
