"""How commands and the monitor name the held-out loss of a group of sources."""

from __future__ import annotations

from typing import Any

import pytest

from core.run.events import Evaluated, Series, Started
from tui.commands.lines import line
from tui.commands.picture import Picture
from tui.commands.summary import held_out_words
from tui.services.monitor_text import fact_lines, head_lines
from tui.services.run_view import RunView
from tui.services.styled import Line

VALUES = {"eval/loss": 3.0, "eval/perplexity": 20.1, "eval/loss_medical": 2.5, "eval/loss_general": 3.25}
EVALUATED = Evaluated(step=5, values=VALUES, tokens=10, seconds=0.1)
STARTED = Started(
    phase="pretrain",
    steps=10,
    series=tuple(Series(name=name, title=f"title of {name}", panel="loss", lower_is_better=True) for name in VALUES),
)


def words(shown: Line) -> str:
    return "".join(text.text for text, _ in shown.left)


def test_a_line_names_each_group() -> None:
    assert line(EVALUATED, Picture()) == (
        "evaluated  step 5  held-out loss 3  perplexity 20.1  of medical 2.5  of general 3.25  (10 tokens, 0.1 s)"
    )


def test_the_last_words_name_each_group(at: Any) -> None:
    picture = Picture()
    picture.take(at(EVALUATED, 0))
    assert held_out_words(picture) == "held-out loss: 3 (medical 2.5, general 3.25)"


@pytest.mark.parametrize(
    ("facts", "values", "share"),
    [
        ({"vocabulary_size": 4096}, {"eval/loss": 4.158883, "eval/perplexity": 64.0}, ", 50% of ln(4,096), what a uni"),
        ({"vocabulary_size": 4096, "guess_loss": 0.693147}, {"eval/loss": 0.346574}, ", 50% of 0.6931, what a guess"),
        ({"vocabulary_size": 4096}, {"eval/loss": 0.5}, ""),
    ],
    ids=["tokens", "pairs", "neither"],
)
def test_a_loss_is_set_beside_what_a_guess_costs(
    at: Any, facts: dict[str, float], values: dict[str, float], share: str
) -> None:
    picture = Picture()
    picture.take(at(Started(phase="any", steps=1, facts=facts), 0))
    picture.take(at(Evaluated(step=1, values=values, tokens=1, seconds=0.1), 1))
    words = held_out_words(picture)
    assert words is not None
    assert words.startswith(f"held-out loss: {values['eval/loss']:.4g}{share}")
    assert ("guess" in words) == bool(share)


def test_the_monitor_names_each_group() -> None:
    view = RunView("run")
    view.apply([STARTED, EVALUATED])
    assert "eval 3   ppl 20.1   eval medical 2.5   eval general 3.25" in words(head_lines(view, None, None, 120)[2])
    assert "best eval medical 2.5 @ 5" in [words(one) for one in fact_lines(view, None)]
    assert [one.name for one in view.panels()["loss"]] == list(VALUES)
