"""What is counted while conversations become tokens, and what is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from core.config.data import Accepted
from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.tokens.examples import Example, ExampleEncoder, cut, stop_token_ids
from core.data.tokens.faults import Faults
from core.data.tokens.templates import render_prompt
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

SINGLE = Conversation((Turn("user", "What is two and two?"), Turn("assistant", "Four.")))
DOUBLE = Conversation((*SINGLE.turns, Turn("user", "And three?"), Turn("assistant", "Five.")))
SILENT = Conversation((SINGLE.turns[0], Turn("assistant", "Four.", supervised=False)))


def encode(
    folder: Path, conversations: Sequence[Conversation], *, max_tokens: int = 10_000, accept: Sequence[Accepted] = ()
) -> tuple[list[list[Example] | RowError], Faults]:
    tokenizer = load_tokenizer(folder)
    encoder = ExampleEncoder(tokenizer, "chat" if tokenizer.chat_template else "alpaca", max_tokens, accept=accept)
    places = [f"rows:{number}" for number, _ in enumerate(conversations, start=1)]
    return encoder.encode(conversations, places=places), encoder.faults


def only(found: list[list[Example] | RowError]) -> Example:
    (examples,) = found
    assert not isinstance(examples, RowError)
    (example,) = examples
    return example


def text_of(folder: Path, ids: list[int]) -> str:
    return str(load_tokenizer(folder).backend.decode(ids, skip_special_tokens=False))


def test_sound_rows_have_no_faults(byte_level: Callable[..., Path], chatml: str) -> None:
    for folder in (byte_level(chatml, name="chat"), byte_level(name="alpaca")):
        _, faults = encode(folder, [SINGLE, SINGLE])
        assert (faults.rows, faults.counts) == (2, {})


def test_two_begin_tokens_are_counted_and_kept(sentence_piece: Callable[..., Path], begun_chatml: str) -> None:
    folder = sentence_piece("{{- bos_token }}" + begun_chatml)
    found, faults = encode(folder, [SINGLE, DOUBLE])
    assert faults.counts == {"double_begin": 2}
    assert faults.places["double_begin"] == ["rows:1", "rows:2"]
    first = found[0]
    assert not isinstance(first, RowError)
    begin = load_tokenizer(folder).begin_token_id
    assert first[0].ids[:3].tolist().count(begin or 0) == 2
    # What a model goes on from is what it was trained on.
    assert render_prompt(folder, "chat", "What is two and two?") == first[0].ids[~first[0].supervised].tolist()
    with pytest.raises(DataError, match="two begin tokens"):
        stop_token_ids(load_tokenizer(folder), "chat")
    assert stop_token_ids(load_tokenizer(folder), "chat", ["double_begin"])


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] }}<|im_end|> footer\n{% endfor %}",
    ],
)
def test_an_answer_without_an_end_is_counted_and_nothing_else_is_supervised(
    byte_level: Callable[..., Path], template: str
) -> None:
    folder = byte_level(template)
    found, faults = encode(folder, [DOUBLE, SILENT])
    assert faults.counts == {"no_end_of_turn": 1, "unlabelled_rows": 1}
    double = found[0]
    assert not isinstance(double, RowError)
    labels = text_of(folder, double[0].ids[double[0].supervised].tolist())
    assert labels.replace("<|im_start|>", "").replace("<|im_end|> footer", "") == "Four.Five."
    with pytest.raises(DataError, match="without a special token at its end"):
        stop_token_ids(load_tokenizer(folder), "chat")
    assert stop_token_ids(load_tokenizer(folder), "chat", ["no_end_of_turn"]) == [0]


def test_an_unknown_token_is_no_end(sentence_piece: Callable[..., Path]) -> None:
    folder = sentence_piece("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    _, faults = encode(folder, [Conversation((SINGLE.turns[0], Turn("assistant", "Four ☃")))])
    assert faults.counts == {"no_end_of_turn": 1}


def test_an_answer_that_is_not_to_be_counted_is_not(byte_level: Callable[..., Path], chatml: str) -> None:
    found, faults = encode(byte_level(chatml, name="chat"), [SILENT, SINGLE])
    assert faults.counts == {"unlabelled_rows": 1}
    assert faults.places == {"unlabelled_rows": ["rows:1"]}
    silent, spoken = found
    assert not isinstance(silent, RowError)
    assert not isinstance(spoken, RowError)
    assert silent[0].ids.tolist() == spoken[0].ids.tolist()
    assert not silent[0].supervised.any()
    alpaca = only(encode(byte_level(name="alpaca"), [SILENT])[0])
    assert not alpaca.supervised.any()


def test_a_row_that_the_template_refuses_has_no_faults(byte_level: Callable[..., Path]) -> None:
    found, faults = encode(byte_level(), [DOUBLE])
    assert isinstance(found[0], RowError)
    assert not faults.rows


def test_an_answer_that_does_not_fit_is_counted_and_left_out(byte_level: Callable[..., Path]) -> None:
    folder = byte_level()
    answer = int(only(encode(folder, [SINGLE])[0]).supervised.sum())
    found, faults = encode(folder, [SINGLE], max_tokens=answer + 1)
    assert not faults.counts
    found, faults = encode(folder, [SINGLE], max_tokens=answer, accept=["dropped_answers"])
    assert faults.counts == {"over_long_answers": 1}
    assert isinstance(found[0], RowError)
    assert found[0].code == "over_long"


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece"])
def test_a_cut_answer_keeps_its_beginning_and_loses_its_end(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)()
    long = Conversation((Turn("user", "one two three " * 20), Turn("assistant", "The quick brown fox " * 20)))
    whole = only(encode(folder, [long])[0])
    found, faults = encode(folder, [long], max_tokens=40, accept=["cut_answers"])
    example = only(found)
    assert faults.counts == {"over_long_answers": 1}
    assert len(example.ids) == 40
    assert int(example.supervised.sum()) == 20
    begin = int(whole.supervised.argmax())
    assert example.ids[20:].tolist() == whole.ids[begin : begin + 20].tolist()
    assert example.supervised.tolist() == [False] * 20 + [True] * 20
    assert example.ids[-1] != whole.ids[-1]
    head = 1 if kind == "sentence_piece" else 0
    assert example.ids[:20].tolist() == [*whole.ids[:head], *whole.ids[begin - 20 + head : begin]]


def example_of(ids: list[int], supervised: list[bool]) -> Example:
    return Example(np.array(ids, dtype=np.int64), np.array(supervised, dtype=np.bool_))


def test_cut_by_hand() -> None:
    # question 1 2, answer 3, question 4 5 6, answer 7 8 9 10 11
    ids, flags = list(range(1, 12)), [False, False, True, False, False, False, *[True] * 5]
    kept = cut(example_of(ids, flags), max_tokens=5, keep_first=False)
    assert (kept.ids.tolist(), kept.supervised.tolist()) == ([5, 6, 7, 8, 9], [False, False, True, True, True])
    begun = cut(example_of(ids, flags), max_tokens=5, keep_first=True)
    assert (begun.ids.tolist(), begun.supervised.tolist()) == ([1, 6, 7, 8, 9], [False, False, True, True, True])
    # A short question leaves room for the answer.
    short = cut(example_of([1, 2, 3, 4, 5, 6], [False, *[True] * 5]), max_tokens=5, keep_first=True)
    assert (short.ids.tolist(), short.supervised.tolist()) == ([1, 2, 3, 4, 5], [False, True, True, True, True])


def test_an_earlier_answer_in_the_kept_question_is_not_supervised() -> None:
    ids, flags = [1, 2, 3, 4, 5, 6, 7, 8], [False, True, True, False, True, True, True, True]
    kept = cut(example_of(ids, flags), max_tokens=4, keep_first=False)
    assert (kept.ids.tolist(), kept.supervised.tolist()) == ([3, 4, 5, 6], [False, False, True, True])


def test_a_rewriting_template_drops_only_the_example_that_does_not_fit(
    byte_level: Callable[..., Path], thinking: str
) -> None:
    folder = byte_level(thinking)
    long = Conversation((*SINGLE.turns, Turn("user", "And?"), Turn("assistant", "The quick brown fox " * 40)))
    found, faults = encode(folder, [long], max_tokens=60, accept=["dropped_answers"])
    example = only(found)
    assert text_of(folder, example.ids[example.supervised].tolist()) == "<think></think>Four.<|im_end|>"
    assert faults.counts == {"over_long_answers": 1}
    found, _ = encode(folder, [long], max_tokens=60, accept=["cut_answers"])
    assert not isinstance(found[0], RowError)
    assert [len(one.ids) <= 60 and bool(one.supervised.any()) for one in found[0]] == [True, True]
    unsupervised = Conversation(tuple(Turn(t.role, t.content, supervised=False) for t in DOUBLE.turns))
    assert not only(encode(folder, [unsupervised])[0]).supervised.any()
