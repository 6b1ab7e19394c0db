"""Rewards from a function in a file: what is called, and what every way of going wrong says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core.config.rewards import PythonReward
from core.errors import UsageError
from core.model.responses import Response
from core.training.python_reward import PythonSource, python_reward
from core.training.rewards import Answered


def answered(*texts: str, answer: str | None = None) -> list[Answered]:
    return [Answered((1, 2), Response((1, 2), (3,), True), " Say it:\n", text, answer) for text in texts]


def source_of(folder: Path, text: str, function: str = "reward") -> PythonSource:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return python_reward(PythonReward(kind="python", path=str(path), function=function), str.strip, place="rewards.2")


def test_the_function_is_given_three_lists_and_its_numbers_come_back(tmp_path: Path) -> None:
    text = "def length(*lists):\n    return [len(''.join(one)) for one in zip(*lists)]"
    source = source_of(tmp_path, text, "length")
    assert source(answered("ab", "", answer="xyz")) == [12.0, 10.0]  # the prompt without what `bare` takes away
    assert (source.name, source.digest) == ("length", hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize(
    "expression", ["numpy.array([1, 2])", "torch.tensor([1.0, 2.0])", "(True, 2)", "[numpy.int64(1), 2.0]"]
)
def test_numbers_of_other_libraries_are_numbers(tmp_path: Path, expression: str) -> None:
    source = source_of(tmp_path, f"import numpy, torch\ndef reward(*lists):\n    return {expression}\n")
    assert source(answered("a", "b")) == [1.0, 2.0]


def test_a_file_may_have_dataclasses_with_annotations_as_text(tmp_path: Path) -> None:
    lines = [
        "from __future__ import annotations", "from dataclasses import dataclass", "@dataclass", "class Rule:",
        "    weight: float", "def reward(p, r, a):", "    return [Rule(0.5).weight for _ in r]",
    ]  # fmt: skip
    assert source_of(tmp_path, "\n".join(lines))(answered("a")) == [0.5]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [1.0]", "reward returned 1 values, expected 2"),
        ("return 1.0", r"reward returned 1.0 \(float\), expected a list of 2 numbers"),
        ("return None", r"reward returned None \(NoneType\)"),
        ("return [1.0, None]", r"reward returned None \(NoneType\) at index 1, expected a number"),
        ("return ['1', 2]", r"reward returned '1' \(str\) at index 0"),
        ("return [1.0, 10**400]", r"reward returned 10*\.\.\. \(int\) at index 1"),
        ("return [1.0, [2.0]]", r"reward returned \[2.0\] \(list\) at index 1"),
        ("return 1 / 0", r"reward raised ZeroDivisionError: division by zero \(line 2\)"),
        ("import json; return json.loads('{')", r"reward raised JSONDecodeError: .* \(line 2\)"),
        ("raise SystemExit(3)", r"reward raised SystemExit: 3 \(line 2\)"),
    ],
)
def test_what_a_function_does_wrong_is_said(tmp_path: Path, body: str, words: str) -> None:
    source = source_of(tmp_path, f"def reward(prompts, responses, answers):\n    {body}\n")
    with pytest.raises(UsageError, match=rf"mine\.py: {words}"):
        source(answered("a", "b"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", r"mine\.py has no function reward"),
        ("reward = 3", r"mine\.py has 3 \(int\), which is no function, as reward"),
        ("def reward(:", r"mine\.py: running it raised SyntaxError"),
        ("\nimport nowhere_to_be_found", r"ModuleNotFoundError: .*nowhere_to_be_found.* \(line 2\)"),
    ],
)
def test_what_a_file_does_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        source_of(tmp_path, text)


def test_the_function_is_to_be_named_where_it_can_be_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        source_of(tmp_path, "x = 1")
    assert caught.value.hint == "Name it in rewards.2.function."


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"rewards\.2\.path: .*none\.py cannot be read: No such file"):
        python_reward(PythonReward(kind="python", path=str(tmp_path / "none.py")), str.strip, place="rewards.2")
