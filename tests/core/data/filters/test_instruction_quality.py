from __future__ import annotations

from typing import Any

import pytest

from core.config.filters import InstructionFilter
from core.data.filters.instruction_quality import instruction_quality_filter
from core.data.filters.verdict import Dropped
from core.data.formats import Conversation, Turn

REFUSAL = "I'm sorry, but I can't help with that."
CUT = "The river is wide. It rises in the hills and"


def _verdict(*turns: Turn, **changes: Any) -> Dropped | None:
    return instruction_quality_filter(InstructionFilter(kind="instruction_quality", **changes))(Conversation(turns))


def _pair(answer: str, question: str = "How wide is it?", **changes: Any) -> Dropped | None:
    return _verdict(Turn("user", question), Turn("assistant", answer), **changes)


def test_a_good_row_stays() -> None:
    assert _pair("It is wide.") is None


@pytest.mark.parametrize(
    ("answer", "changes", "verdict"),
    [
        (REFUSAL, {}, Dropped("instruction_quality.refusal", "I'm sorry, but I can't help")),
        (REFUSAL, {"refusals": False}, None),
        (CUT, {}, Dropped("instruction_quality.truncated", CUT[-40:])),
        (CUT, {"truncated": False}, None),
        ("  \n ", {}, Dropped("instruction_quality.response_too_short", "0 < 1")),
        (" Yes. ", {"min_response_characters": 5}, Dropped("instruction_quality.response_too_short", "4 < 5")),
        (" Yes. ", {"min_response_characters": 4}, None),
        ("x" * 11, {"max_response_characters": 10}, Dropped("instruction_quality.response_too_long", "11 > 10")),
        ("x" * 10, {"max_response_characters": 10}, None),
    ],
)
def test_each_rule(answer: str, changes: dict[str, Any], verdict: Dropped | None) -> None:
    assert _pair(answer, **changes) == verdict


def test_the_prompt_is_all_that_is_said_to_the_model() -> None:
    turns = [Turn("system", "12345"), Turn("user", "123", "45"), Turn("assistant", "It is."), Turn("user", "12345"),
             Turn("assistant", "It is.")]  # fmt: skip
    assert _verdict(*turns, max_prompt_characters=15) is None
    assert _verdict(*turns, max_prompt_characters=14) == Dropped("instruction_quality.prompt_too_long", "15 > 14")


def test_every_answer_that_is_learned_is_looked_at() -> None:
    first, last = [Turn("user", "a"), Turn("assistant", REFUSAL)], [Turn("user", "b"), Turn("assistant", "It is.")]
    found = _verdict(*first, *last)
    assert found is not None
    assert found == _verdict(*last, *first)
    unlearned = [Turn("user", "a"), Turn("assistant", REFUSAL, supervised=False)]
    assert _verdict(*unlearned, *last) is None


def test_a_user_may_refuse() -> None:
    assert _pair("It is wide.", question=REFUSAL) is None
