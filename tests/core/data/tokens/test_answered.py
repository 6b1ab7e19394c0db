"""Pairs, judged answers and prompts as tokens: prompts as fine-tuning lays them, ends of turns, lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.config.code import CodeTokens
from core.data.formats import Conversation, Judged, Preference, Prompt, Turn
from core.data.tally import RowError
from core.data.tokens.answered import Answered, AnsweredEncoder, Marked, answer_text
from core.data.tokens.examples import Example, ExampleEncoder
from core.data.tokens.faults import Faults
from core.data.tokens.sides import Side, pair_of, prompt_of
from core.data.tokens.templates import TemplateName, render_prompt
from core.data.tokens.tokenizer_files import load_tokenizer

ASKED = (Turn("user", "What is two and two?"),)
EARLIER = (Turn("user", "Hello."), Turn("assistant", "\nBonjour, le monde!\n", supervised=False), *ASKED)
PAIR = Preference(ASKED, (Turn("assistant", "Four."),), (Turn("assistant", "Five, or so."),))
# Tokenizer, its chat template (None: alpaca), what ends an answer.
SETTINGS = [
    ("byte_level", "chatml", "<|im_end|>"),
    ("byte_level", "thinking", "<|im_end|>"),
    ("byte_level", None, "<|endoftext|>"),
    ("sentence_piece", "chatml", "<|im_end|>"),
    ("sentence_piece", "begun_chatml", "<|im_end|>"),
    ("sentence_piece", "brackets", "</s>"),
    ("sentence_piece", None, "</s>"),
    ("byte_fallback", "chatml", "<|im_end|>"),
    ("byte_fallback", None, "</s>"),
]
SETTING = pytest.mark.parametrize(("kind", "template", "end"), SETTINGS)
Folder = Callable[[str, str | None], Path]


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Folder:
    """Make a tokenizer of a kind with a chat template by the name of its fixture."""

    def make(kind: str, template: str | None) -> Path:
        made: Path = request.getfixturevalue(kind)(request.getfixturevalue(template) if template else None)
        return made

    return make


def template_of(folder: Path) -> TemplateName:
    return "chat" if load_tokenizer(folder).chat_template else "alpaca"


def encode(folder: Path, *rows: Answered, max_tokens: int = 10_000) -> tuple[list[Marked | RowError], Faults]:
    tokenizer, faults = load_tokenizer(folder), Faults()
    laid = ExampleEncoder(tokenizer, template_of(folder), max_tokens)
    encoder = AnsweredEncoder(tokenizer, laid, max_tokens)
    return encoder.encode(rows, places=[f"rows:{n}" for n, _ in enumerate(rows)], faults=faults), faults


def only(folder: Path, row: Answered, max_tokens: int = 10_000) -> Marked:
    ((document,), _) = encode(folder, row, max_tokens=max_tokens)
    assert not isinstance(document, RowError), document
    return document


def sides(folder: Path, row: Preference, max_tokens: int = 10_000) -> tuple[Side, Side]:
    found = pair_of(*only(folder, row, max_tokens))
    assert len(found) == 2
    return found


def fine_tuned(folder: Path, *turns: Turn) -> tuple[list[int], list[int]]:
    """Return what stands before the last answer in fine-tuning, and that answer with its end."""
    (examples,) = ExampleEncoder(load_tokenizer(folder), template_of(folder), 10_000).encode([Conversation(turns)])
    assert not isinstance(examples, RowError)
    (example,) = examples
    at = len(example.ids) - int(example.supervised[::-1].argmin())
    return example.ids[:at].tolist(), example.ids[at:].tolist()


@SETTING
def test_both_sides_are_what_fine_tuning_lays(folder: Folder, kind: str, template: str | None, end: str) -> None:
    place = folder(kind, template)
    pair = sides(place, PAIR)
    for side, answer, is_worse in zip(pair, (PAIR.chosen, PAIR.rejected), (False, True), strict=True):
        asked, answered = fine_tuned(place, *ASKED, *answer)
        assert side.ids.tolist() == asked + answered
        assert side.supervised.tolist() == [False] * len(asked) + [True] * len(answered)
        assert side.ids[-1] == load_tokenizer(place).backend.token_to_id(end)
        assert side.is_worse == is_worse
    marks = only(place, PAIR)[1]
    assert marks.dtype == np.uint8
    assert marks.tolist() == sorted(marks.tolist())  # 0..., 1..., 2..., 3...
    assert set(marks.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("kind", "template", "turns"),
    [(kind, template, ASKED) for kind, template, _ in SETTINGS]
    + [(kind, template, EARLIER) for kind, template, _ in SETTINGS if template],  # alpaca takes one question
)
def test_a_prompt_is_what_fine_tuning_lays_before_a_response(
    folder: Folder, kind: str, template: str | None, turns: tuple[Turn, ...]
) -> None:
    place = folder(kind, template)
    ids, marks = only(place, Prompt(turns, "Four."))
    asked, answer = prompt_of(ids, marks)
    for response in ("Four.", "\n\nFive", "日本語"):
        last = Turn("assistant", response)
        if turns is ASKED or template == "thinking":
            assert asked.tolist() == fine_tuned(place, *turns, last)[0]
        else:
            whole, _ = fine_tuned(place, *(Turn(t.role, t.content) for t in turns), last)
            assert asked.tolist() == whole
    assert answer_text(load_tokenizer(place), answer.tolist()).strip() == "Four."
    if turns is ASKED:
        assert asked.tolist() == render_prompt(place, template_of(place), ASKED[0].content)


@pytest.mark.parametrize(
    ("kind", "template", "answer"),
    [
        (kind, template, answer)
        for kind, template, _ in SETTINGS
        for answer in ("Four.", " The quick brown fox\n  jumps", "it is <|im_end|> or </s>")
        if kind != "sentence_piece" or "<" not in answer  # its pieces have no such characters
    ],
)
def test_an_answer_comes_back_from_its_tokens(folder: Folder, kind: str, template: str | None, answer: str) -> None:
    place = folder(kind, template)
    ids, marks = only(place, Prompt(ASKED, answer))
    tokenizer = load_tokenizer(place)
    _, found = prompt_of(ids, marks)
    assert answer_text(tokenizer, found.tolist()).strip() == answer.strip()
    assert not {tokenizer.backend.token_to_id(name) for name in tokenizer.special_tokens} & set(found.tolist())


def test_an_answer_whose_accents_the_tokenizer_composes_is_kept(byte_level: Callable[..., Path]) -> None:
    place = byte_level(None)
    values = json.loads((place / "tokenizer.json").read_text())
    (place / "tokenizer.json").write_text(json.dumps({**values, "normalizer": {"type": "NFC"}}))
    _, answer = prompt_of(*only(place, Prompt(ASKED, "cafe\u0301")))
    assert answer_text(load_tokenizer(place), answer.tolist()) == "caf\u00e9"


def test_an_answer_that_the_tokenizer_cannot_write_is_a_bad_row(folder: Folder) -> None:
    (found, fine), _ = encode(folder("sentence_piece", None), Prompt(ASKED, "Four ☃"), Prompt(ASKED, "Four."))
    assert isinstance(found, RowError)
    assert (found.code, "'Four ☃'" in str(found)) == ("answer", True)
    assert not isinstance(fine, RowError)


# ---------------------------------------------------------------- lengths


@SETTING
@pytest.mark.parametrize("less", [1, 5, 14])
def test_both_sides_lose_the_same_start_and_keep_their_end(
    folder: Folder, kind: str, template: str | None, end: str, less: int
) -> None:
    place = folder(kind, template)
    long = Preference((Turn("user", "The quick brown fox jumps " * 9),), PAIR.chosen, PAIR.rejected)
    whole = sides(place, long)
    longest = max(len(side.ids) for side in whole)
    cut = sides(place, long, longest - less)
    tokenizer = load_tokenizer(place)
    head = 1 if tokenizer.adds_begin_token else 0
    assert max(len(side.ids) for side in cut) == longest - less
    prompts = []
    for before, after in zip(whole, cut, strict=True):
        assert len(before.ids) - len(after.ids) == less
        kept = [*range(head), *range(head + less, len(before.ids))]
        assert after.ids.tolist() == before.ids[kept].tolist()
        assert after.supervised.tolist() == before.supervised[kept].tolist()
        assert after.ids[-1] == tokenizer.backend.token_to_id(end)
        assert after.supervised[-1]
        prompts.append(after.ids[~after.supervised].tolist())
    assert prompts[0] == prompts[1]
    assert prompts[0][:head] == [*tokenizer.prefix_ids]


@pytest.mark.parametrize("which", ["chosen", "rejected"])
def test_an_answer_that_alone_is_longer_is_a_bad_row(folder: Folder, which: str) -> None:
    place = folder("byte_level", "chatml")
    long = (Turn("assistant", "The quick brown fox " * 20),)
    row = Preference(ASKED, *((long, PAIR.rejected) if which == "chosen" else (PAIR.chosen, long)))
    answer = max(int(side.supervised.sum()) for side in sides(place, row))
    fitting = sides(place, row, answer + 1)
    assert max(len(side.ids) for side in fitting) == answer + 1
    ((found,), faults) = encode(place, row, max_tokens=answer)
    assert isinstance(found, RowError)
    assert (found.code, f"fewer than {answer} tokens" in str(found)) == ("over_long", True)
    assert faults.counts == {}


def test_where_one_token_of_the_prompt_fits_it_is_the_one_before_the_answer(folder: Folder) -> None:
    place = folder("sentence_piece", "chatml")
    better, worse = sides(place, PAIR)
    longest = max((better, worse), key=lambda side: len(side.ids))
    answer = int(longest.supervised.sum())
    cut = sides(place, PAIR, answer + 1)
    assert longest.ids[-answer - 1 :].tolist() in [side.ids.tolist() for side in cut]
    assert sides(place, PAIR, answer + 2)[0].ids[0] == load_tokenizer(place).prefix_ids[0], "there is room for both"


def test_sides_of_which_one_has_a_longer_prompt_are_no_pair(folder: Folder) -> None:
    tokenizer = load_tokenizer(folder("byte_level", None))
    encoder = AnsweredEncoder(tokenizer, ExampleEncoder(tokenizer, "alpaca", 9), 9)
    better = Example(np.array([1, 2, 3]), np.array([False, False, True]))
    worse = Example(np.array([1, 2, 5, 3]), np.array([False, False, False, True]))
    with pytest.raises(RowError, match="a template that writes two"):
        encoder.pair(better, worse)


@pytest.mark.parametrize("label", [True, False])
def test_a_judged_answer_is_one_side(folder: Folder, label: bool) -> None:
    place = folder("sentence_piece", "chatml")
    row = Judged(Conversation((*EARLIER, Turn("assistant", "Four."))), label)
    for less in (0, 9):
        whole = only(place, row)
        limit = len(whole[0]) - less
        (side,) = pair_of(*only(place, row, limit))
        assert (len(side.ids), side.is_worse) == (limit, not label)
        _, answer = fine_tuned(place, *ASKED, Turn("assistant", "Four."))
        assert side.ids[side.supervised].tolist() == answer
    ((found,), _) = encode(place, row, max_tokens=len(answer))
    assert isinstance(found, RowError)
    assert found.code == "over_long"


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece"])
def test_a_prompt_loses_its_start_and_keeps_where_the_response_begins(folder: Folder, kind: str) -> None:
    place = folder(kind, "chatml")
    row = Prompt((Turn("user", "The quick brown fox jumps " * 9),), "Four.")
    whole, answer = prompt_of(*only(place, row))
    cut, same = prompt_of(*only(place, row, 20))
    head = 1 if kind == "sentence_piece" else 0
    assert cut.tolist() == [*whole[:head].tolist(), *whole[len(whole) - 20 + head :].tolist()]
    assert (len(cut), same.tolist()) == (20, answer.tolist())


# ---------------------------------------------------------------- rows that are no pairs


def test_answers_that_become_equal_as_tokens_are_an_equal_pair(folder: Folder) -> None:
    """A template that trims makes two answers one, which no comparison of texts sees."""
    place = folder("sentence_piece", "brackets")
    row = Preference(ASKED, (Turn("assistant", "Four."),), (Turn("assistant", " Four. \n"),))
    (found, fine), _ = encode(place, row, PAIR)
    assert isinstance(found, RowError)
    assert (found.code, str(found)) == ("equal_pair", "expected two answers that differ, found the same tokens twice")
    assert not isinstance(fine, RowError)


def test_a_row_that_the_template_refuses_leaves_the_others_as_they_are(folder: Folder) -> None:
    place = folder("byte_level", None)
    several = Preference(EARLIER, PAIR.chosen, PAIR.rejected)
    found, faults = encode(place, PAIR, several, PAIR)
    assert isinstance(found[1], RowError)
    assert found[1].code == "template"
    first, last = found[0], found[2]
    assert not isinstance(first, RowError)
    assert not isinstance(last, RowError)
    assert first[0].tolist() == last[0].tolist() == only(place, PAIR)[0].tolist()
    assert (faults.rows, faults.counts) == (2, {})


def test_answers_of_several_turns_count_the_assistants_turns_only(folder: Folder) -> None:
    place = folder("byte_level", "chatml")
    more = (Turn("assistant", "Four."), Turn("user", "And three?"), Turn("assistant", "Five."))
    better, worse = sides(place, Preference(ASKED, more, PAIR.rejected))
    decode = load_tokenizer(place).backend.decode
    assert decode(better.ids[better.supervised].tolist(), skip_special_tokens=False) == "Four.<|im_end|>Five.<|im_end|>"
    assert better.ids[: int(better.supervised.argmax())].tolist() == worse.ids[~worse.supervised].tolist()


def test_an_earlier_answer_in_the_prompt_is_not_counted(folder: Folder) -> None:
    place = folder("byte_level", "chatml")
    turns = tuple(Turn(turn.role, turn.content) for turn in EARLIER)  # a format may have said that it counts
    for side in sides(place, Preference(turns, PAIR.chosen, PAIR.rejected)):
        assert side.supervised.tolist() == sorted(side.supervised.tolist())


def test_an_answer_without_an_end_of_turn_is_counted_once_a_pair(byte_level: Callable[..., Path]) -> None:
    place = byte_level("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    _, faults = encode(place, PAIR, PAIR)
    assert (faults.rows, faults.counts, faults.places) == (2, {"no_end_of_turn": 2},
                                                           {"no_end_of_turn": ["rows:0", "rows:1"]})  # fmt: skip


def test_template_code(byte_level: Callable[..., Path]) -> None:
    from core.data.tokens.added_tokens import add_tokens

    place = byte_level()
    add_tokens(place, ["<|code|>", "<|/code|>"])
    tokenizer, tokens = load_tokenizer(place), CodeTokens()
    laid = ExampleEncoder(tokenizer, "code", 1000, code_tokens=tokens)
    encoder, faults = AnsweredEncoder(tokenizer, laid, 1000), Faults()
    pair, prompt = encoder.encode([PAIR, Prompt(ASKED, "x = 1")], places=["a", "b"], faults=faults)
    assert not isinstance(pair, RowError)
    assert not isinstance(prompt, RowError)
    decode = tokenizer.backend.decode
    texts = [decode(side.ids[side.supervised].tolist(), skip_special_tokens=False) for side in pair_of(*pair)]
    assert texts == ["<|code|>Four.<|/code|><|endoftext|>", "<|code|>Five, or so.<|/code|><|endoftext|>"]
    asked, answer = prompt_of(*prompt)
    assert asked.tolist() == render_prompt(place, "code", ASKED[0].content, tokens)
    assert answer_text(tokenizer, answer.tolist()) == "x = 1"
