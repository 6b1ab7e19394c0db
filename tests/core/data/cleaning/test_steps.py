"""What a filter sees of a row."""

from __future__ import annotations

import pytest

from core.config.filters import InstructionFilter
from core.data.cleaning.steps import Value, keys_of, step_of
from core.data.duplicates import exact_key
from core.data.filters.verdict import Dropped
from core.data.formats import Conversation, Judged, Preference, Prompt, Turn

ASKED = (Turn("system", "s"), Turn("user", "q", "in"), Turn("assistant", "a"), Turn("user", "r"))
GOOD, BAD = (Turn("assistant", "yes"),), (Turn("assistant", "no"),)
WHOLE = "s\nq\nin\na\nr"
PARTS: list[tuple[Value, dict[str, str]]] = [
    ("text", {"whole": "text"}),
    (Conversation((*ASKED, *GOOD)), {"whole": f"{WHOLE}\nyes", "prompt": "s\nq\nin\nr", "response": "a\nyes"}),
    (Preference(ASKED, GOOD, BAD), {"whole": f"{WHOLE}\nyes\nno", "prompt": WHOLE, "response": "yes\nno"}),
    (Judged(Conversation((*ASKED, *BAD)), False), {"whole": f"{WHOLE}\nno", "prompt": WHOLE, "response": "no"}),
    (Prompt(ASKED, "yes"), {"whole": f"{WHOLE}\nyes", "prompt": WHOLE, "response": "yes"}),
    (Prompt(ASKED), {"whole": WHOLE, "prompt": WHOLE, "response": ""}),
]


@pytest.mark.parametrize(("value", "part", "text"), [(v, p, t) for v, parts in PARTS for p, t in parts.items()])
def test_the_parts_of_a_row(value: Value, part: str, text: str) -> None:
    from core.config.filters import ExactDuplicatesFilter

    config = ExactDuplicatesFilter.model_validate({"kind": "exact_duplicates", "on": part})
    keys, _ = keys_of(config)
    assert keys is not None
    assert keys(value).tolist() == exact_key(text, normalise=config.normalise).tolist()


def test_an_instruction_filter_judges_good_answers_only() -> None:
    judge = step_of(InstructionFilter(kind="instruction_quality", min_response_characters=3, max_prompt_characters=99))
    assert judge(Preference(ASKED, GOOD, BAD)) is None
    assert isinstance(judge(Preference(ASKED, BAD, GOOD)), Dropped)
    assert judge(Judged(Conversation((ASKED[1], *BAD)), False)) is None
    assert isinstance(judge(Judged(Conversation((ASKED[1], *BAD)), True)), Dropped)
