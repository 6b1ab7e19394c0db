"""Samples in lines: values, prompt, and tokens by their marks."""

from __future__ import annotations

import math

from core.run.events import Sampled
from tui.services.sample_text import SAMPLE_WIDTH, sample_lines
from tui.services.styled import Line, cell_count


def text_of(one: Line) -> str:
    return "".join(text.text for text, _ in one.left)


def test_values_stand_in_the_head_and_the_prompt_below_it() -> None:
    found = sample_lines(Sampled(step=1200, prompt="a\nb", text="c", values={"reward": 1.25, "kl": math.nan}))
    assert [text_of(one) for one in found] == ["step 1,200  reward 1.25  kl NaN  ", "> a", "> b", "│ c"]
    assert ("NaN  ", "bad") in [(text.text, tone) for text, tone in found[0].left]


def test_tokens_are_marked_by_their_size_and_the_legend_has_the_same_looks() -> None:
    marks = (0.05, 0.1, -0.7, 9.0, math.inf)
    event = Sampled(
        step=1, prompt="p", text="abcde", values={"kl": 1.0}, tokens=tuple("abcde"), marks=marks, mark_title="nats"
    )
    *_, tokens, legend = sample_lines(event)
    assert [tone for _, tone in tokens.left[1:]] == ["plain", "mark1", "mark2", "mark3", "mark3"]
    assert text_of(legend) == "  nats: from 0.1  from 0.5  2 and more  "
    assert [tone for _, tone in legend.left if tone.startswith("mark")] == ["mark1", "mark2", "mark3"]


def test_line_ends_inside_tokens_break_the_line_and_no_line_is_too_long() -> None:
    tokens = ("def", " f():\n", "    ", "return", "\n\n", *("漢" * 9,) * 20)
    found = [text_of(one) for one in sample_lines(Sampled(step=1, prompt="p", text="", tokens=tokens))]
    assert found[1:4] == ["│ def f():", "│     return", "│ "]
    assert max(map(cell_count, found[1:])) <= SAMPLE_WIDTH + 2
    assert sum(line.count("漢") for line in found) == 180
    found = [text_of(one) for one in sample_lines(Sampled(step=1, prompt="p", text="", tokens=("漢" * 50,)))]
    assert found[1].startswith("│ 漢"), "no empty line before a token that is longer than a line"


def test_what_is_long_is_cut_and_says_so() -> None:
    event = Sampled(step=1, prompt="line\n" * 30, text="", values={"reward": 0.0}, tokens=("x\n",) * 400, marks=(1.0,))
    found = [text_of(one) for one in sample_lines(event)]
    assert "> … 23 more lines of the prompt" in found
    assert found[-2] == "│ … 360 more tokens"
    assert len(found) < 60


def test_hostile_tokens_cannot_act() -> None:
    tokens = ("\x1b]0;x\x07", "\u202e", "e" + "\u0301" * 50, "\r", "\x9b31m", "a" * 5000)
    event = Sampled(step=1, prompt="\x1b[2J", text="", values={"\x1b[1m": 1.0}, tokens=tokens, mark_title="\x1b[0m",
                    marks=(3.0,) * 6)  # fmt: skip
    found = sample_lines(event)
    shown = "".join(map(text_of, found))
    assert not any(character in shown for character in "\x1b\x9b\r\u202e\x07")
    assert max(cell_count(text_of(one)) for one in found) < 120
