from __future__ import annotations

import pytest

from core.data.filters.truncation import break_off

LONG = "The river rises in the hills in the north and runs down to the wide and shallow sea"

BROKEN = [
    "The river is wide. It rises in the hills and then it ru",
    "The river is wide. It rises in the",
    "It rises in the hills of the",
    "You need flour, eggs, sugar,",
    "There are three things that you need:",
    "He looked at her and said, “",
    f"{LONG}.\n\n{LONG}",
    "1. Wash the rice well.\n2. Boil the water.\n3. Put the rice into the",
    "1. Wash the rice well.\n2. Boil the water.\n3. Put the rice in",
    "Here is the code:\n\n```python\ndef f(x):\n    return x",
    "Here is the code:\n\n~~~~\nx = 1\n~~~",
    "One:\n```\na\n```\nTwo:\n```\nb",
    "这条河很宽。它发源于北方的山区，然后流",
    "We looked at **the long river. It rises in the hills and runs**",
]
WHOLE = [
    "",
    "Paris",
    "The wide river",
    "The river is wide.",
    "Is it wide? Yes!",
    'She said: "It is wide."',
    "It is wide (and deep.)",
    "The river is wide. It is called the Danube (Europe)",
    "The answer is 42",
    "It has risen by 12 %",
    "#### 72",
    "- red\n- green\n- blue",
    "1. Wash the rice\n2. Boil the water\n3. Put it in",
    "1. Point Loma University\n2. San Diego State",
    "1. San Diego State University\n2. Point Loma Nazarene University",
    "1. Wash the rice well.\n2. Put the rice in water",
    "1. Wash the rice\n2. Boil the water.\n3. Drain it well.\n4. Put the rice in",
    f"{LONG}\n\n{LONG} again",
    f"{LONG}.\n\n    print the river. Then print the hills and go",
    "```python\ndef f(x):\n    return x\n```",
    "Here it is:\n\n```\nx\n```",
    "def f(x):\n    y = x + 1\n    return y",
    "SELECT name FROM river WHERE width > 3 AND name",
    "See the page. It stands at https://example.com/the/long/page",
    "| a | b |\n|---|---|\n| c | d |",
    "It was a nice day. Thank you 😀",
    "这条河很宽。它流入大海。",
    "这条河很宽！",
    "แม่น้ำกว้างมาก. แม่น้ำไหลลงสู่ทะเล และ ไหล ต่อ ไป",
    "**The river is wide.**",
    "A line without an end mark\nand another one of a poem",
    LONG,
]


@pytest.mark.parametrize("answer", BROKEN)
def test_what_breaks_off(answer: str) -> None:
    assert break_off(answer)


@pytest.mark.parametrize("answer", WHOLE)
def test_what_is_whole(answer: str) -> None:
    assert break_off(answer) == ""


def test_the_end_is_shown() -> None:
    answer = "The river is wide. It rises in the hills and then it ru"
    assert break_off(answer) == answer[-40:]
    assert break_off("```python\nx") == "open block of code: ```python"
