from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import Judged, Preference, Prompt, Turn

Reader = Callable[..., Any]

ASKED = {"role": "user", "content": "q"}
GOOD, BAD = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
SHORT = Preference((Turn("user", "q"),), (Turn("assistant", "good"),), (Turn("assistant", "bad"),))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"question": "q", "chosen": "good", "rejected": "bad"},
        {"instruction": "q", "chosen_response": "good", "rejected_response": "bad"},
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"prompt": "q", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"chosen_messages": [ASKED, GOOD], "rejected_messages": [ASKED, BAD]},
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": "good", "rejected": "bad"},
        {"chosen": "q\ngood", "rejected": "q\nbad"},
    ],
)
def test_a_pair_in_any_shape(read: Reader, row: dict[str, Any]) -> None:
    found = read("preference", row)
    assert found.items == [SHORT], found.tally.errors


def test_an_instruction_keeps_its_input_and_system(read: Reader) -> None:
    row = {"instruction": "q", "input": "in", "system": "s", "chosen": "good", "rejected": "bad"}
    assert read("preference", row).items[0].prompt == (Turn("system", "s"), Turn("user", "q", "in"))


def test_the_prompt_of_two_dialogues_is_what_they_share(read: Reader) -> None:
    chosen = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: good answer"
    rejected = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: good grief"
    assert read("transcript_pair", {"chosen": chosen, "rejected": rejected}).items == [
        Preference(
            (Turn("user", "a"), Turn("assistant", "b", supervised=False), Turn("user", "c")),
            (Turn("assistant", "good answer"),),
            (Turn("assistant", "good grief"),),
        )
    ]


def test_dialogues_that_part_at_a_question_part_before_the_answer_before_it(read: Reader) -> None:
    chosen = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d"
    rejected = "\n\nHuman: a\n\nAssistant: b\n\nHuman: other\n\nAssistant: d"
    found = read("transcript_pair", {"chosen": chosen, "rejected": rejected}).items[0]
    assert found.prompt == (Turn("user", "a"),)
    assert [turn.content for turn in found.chosen] == ["b", "c", "d"]
    assert [turn.content for turn in found.rejected] == ["b", "other", "d"]


def test_a_transcript_keeps_what_only_looks_like_a_head(read: Reader) -> None:
    chosen = "\n\nHuman: a\nAssistant: no head\n\nAssistant: b"
    found = read("transcript_pair", {"chosen": chosen, "rejected": "\n\nHuman: a\nAssistant: no head\n\nAssistant: c"})
    assert found.items[0].prompt == (Turn("user", "a\nAssistant: no head"),)


def test_ranked_answers_give_every_pair(read: Reader) -> None:
    row = {"instruction": "q", "input": "", "output": ["1", "2", "3"], "history": [["h", "g"]]}
    found = read("ranked", row)
    assert [(item.chosen[0].content, item.rejected[0].content) for item in found.items] == [
        ("1", "2"), ("1", "3"), ("2", "3"),
    ]  # fmt: skip
    assert [turn.content for turn in found.items[0].prompt] == ["h", "g", "q"]
    again = read("ranked", {"instruction": "q", "output": ["1", "1", "2"]})
    assert len(again.items) == 2
    assert dict(again.tally.repaired) == {"equal_answers_left_out": 1}


def test_a_judged_answer(read: Reader) -> None:
    rows = [{"messages": [ASKED, GOOD], "label": True}, {"prompt": "q", "completion": "bad", "label": 0}]
    first, second = read("judged", *rows).items
    assert isinstance(first, Judged)
    assert isinstance(second, Judged)
    assert first.label is True
    assert second.label is False
    assert first.conversation.turns == (SHORT.prompt[0], SHORT.chosen[0])
    assert second.conversation.turns == (SHORT.prompt[0], SHORT.rejected[0])


def test_prompts_alone(read: Reader) -> None:
    found = read("prompts", {"prompt": "q"}, {"turns": ["q", "then"]}, {"prompt": [ASKED]}, {"instruction": "q"})
    assert found.items == [Prompt((Turn("user", "q"),))] * 4
    assert dict(found.tally.repaired) == {"later_questions_left_out": 1}
    mapped = read("prompts", {"text": "q"}, columns=Columns(prompt="text"))
    assert mapped.items == [Prompt((Turn("user", "q"),))]


def test_columns_of_other_names(read: Reader) -> None:
    columns = Columns(prompt="ask", chosen="win", rejected="lose")
    assert read("preference", {"ask": "q", "win": "good", "lose": "bad"}, columns=columns).items == [SHORT]
    judged = read("judged", {"talk": [ASKED, GOOD], "ok": 1}, columns=Columns(messages="talk", label="ok"))
    assert judged.items[0].label is True


@pytest.mark.parametrize(
    ("shape", "row", "code", "words"),
    [
        ("preference", {"prompt": "q", "chosen": "a", "rejected": "a"}, "equal_pair", "found the same twice"),
        ("preference", {"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]}, "equal_pair", "found the same twice"),
        ("preference", {"chosen": "a", "rejected": "a"}, "equal_pair", "found the same twice"),
        ("preference", {"chosen": "good", "rejected": "gone"}, "no_prompt", "begin with the same lines"),
        ("preference", {"prompt": "q", "chosen": "a"}, "format", "expected the key 'rejected'"),
        ("preference", {"prompt": "q", "chosen": "", "rejected": "a"}, "empty_turn", "expected text in 'chosen'"),
        ("preference", {"prompt": [ASKED], "chosen": [ASKED], "rejected": [GOOD]}, "no_response", "the chosen side"),
        ("preference", {"prompt": [GOOD], "chosen": [GOOD], "rejected": [BAD]}, "no_prompt", "ends with the user's"),
        ("preference", {"prompt": [], "chosen": [GOOD], "rejected": [BAD]}, "format", "a prompt with a turn"),
        ("transcript_pair", {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "x"}, "format", "a dialogue"),
        ("transcript_pair", {"chosen": "\n\nHuman: a\n\nAssistant: ", "rejected": "x"}, "empty_turn", "in turn 1"),
        ("ranked", {"instruction": "q", "output": ["a"]}, "no_response", "at least two answers"),
        ("ranked", {"instruction": "q", "output": ["a", "a"]}, "equal_pair", "found 2 times 'a'"),
        ("ranked", {"instruction": "q", "output": ["a", ""]}, "empty_turn", "expected text in 'output'"),
        ("ranked", {"instruction": "q", "output": "a"}, "format", "expected a list of texts"),
        ("judged", {"messages": [ASKED, GOOD], "label": "yes"}, "format", "expected true or false"),
        ("judged", {"messages": [ASKED, GOOD]}, "format", "expected the key 'label'"),
        ("prompts", {"other": "q"}, "format", "expected a prompt under 'prompt' or"),
        ("prompts", {"prompt": [ASKED, GOOD]}, "format", "ends with the user's turn"),
        ("prompts", {"prompt": " "}, "empty_turn", "expected text in 'prompt'"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(
    read: Reader, shape: RowFormat, row: dict[str, Any], code: str, words: str
) -> None:
    found = read(shape, row)
    assert not found.items
    assert dict(found.tally.bad) == {code: 1}
    assert words in found.tally.errors[0]
