"""What stands before an answer, and which answer is kept."""

from __future__ import annotations

import pytest

from core.data.formats import Canonical, Conversation, Judged, Preference, Prompt, Turn
from core.data.row_items import prompt_of

ASKED = (Turn("system", "s"), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c", "in"))
KEPT = (*ASKED[:2], Turn("assistant", "b", supervised=False), ASKED[3])
GOOD, BAD = (Turn("assistant", "yes"),), (Turn("assistant", "no"),)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (Conversation((*ASKED, *GOOD)), "yes"),
        (Conversation((*ASKED, Turn("assistant", " \n"))), None),
        (Preference(ASKED, GOOD, BAD), "yes"),
        (Judged(Conversation((*ASKED, *GOOD)), True), "yes"),
        (Judged(Conversation((*ASKED, *BAD)), False), None),
    ],
)
def test_the_prompt_is_what_stands_before_the_last_answer(row: Canonical, answer: str | None) -> None:
    assert prompt_of(row) == Prompt(KEPT, answer)


def test_a_prompt_stays_as_it_is_and_of_several_answers_the_last_is_the_rows() -> None:
    assert prompt_of(Prompt(ASKED, "x")) == Prompt(ASKED, "x")
    longer = Preference(ASKED[:2], (Turn("assistant", "b"), ASKED[3], *GOOD), BAD)
    assert prompt_of(longer) == Prompt(KEPT, "yes")
