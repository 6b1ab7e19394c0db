"""Rows that say which answer is better, or good: pairs, ranked answers, judged answers; and prompts alone.

Rules: where a pair names no prompt, the prompt is what both sides have in common from the start, up to the last
user's turn; for two plain texts, up to the last line break. Of ranked answers every one is paired with every worse
one. Rows whose two sides are equal are bad ones (equal_pair). Of a prompt with several questions the first is taken.
"""

from __future__ import annotations

from itertools import combinations, takewhile
from typing import Any

from core.config.sources import Columns
from core.data.formats.columns import lookup, names, optional_text, required, required_text
from core.data.formats.conversation import Judged, Preference, Prompt, Turn
from core.data.formats.messages import conversation_of, turns_of
from core.data.formats.pairs import PROMPT, SYSTEM, PairFormat, from_pair, prompt_turns
from core.data.formats.transcripts import is_transcript, transcript_turns
from core.data.sources.reading import check_text
from core.data.tally import RowError, show

CHOSEN = ("chosen", "chosen_messages", "chosen_response")
REJECTED = ("rejected", "rejected_messages", "rejected_response")
MESSAGES = ("messages", "conversations", "conversation")
ASKED = ("prompt", "instruction", "question", "conversations", "messages")


def from_pair_of_answers(values: dict[str, Any], columns: Columns, repairs: set[str]) -> Preference:
    """Return a row with a chosen and a rejected answer.

    Raises: RowError where it lacks something, or both are the same.
    """
    better, worse = names(columns.chosen, *CHOSEN), names(columns.rejected, *REJECTED)
    chosen, rejected = required(values, better), required(values, worse)
    asked = _asked(values, columns, repairs)
    if asked is None and isinstance(chosen, str) and isinstance(rejected, str) and not is_transcript(chosen):
        check_text(chosen)
        check_text(rejected)
        _check_unequal(chosen, rejected)
        prompt = _common_lines(chosen, rejected)
        asked, chosen, rejected = [Turn("user", prompt.strip())], chosen[len(prompt) :], rejected[len(prompt) :]
    sides = _side(chosen, better[0], repairs), _side(rejected, worse[0], repairs)
    if asked is None:
        return _parted(*sides)
    return _answered(tuple(asked), *sides)


def from_transcripts(values: dict[str, Any], columns: Columns) -> Preference:
    """Return a row of two dialogues in the form of hh-rlhf.

    Raises: RowError where one of them is none, or both are the same.
    """
    better, worse = names(columns.chosen, *CHOSEN), names(columns.rejected, *REJECTED)
    chosen = transcript_turns(required_text(values, better), better[0])
    rejected = transcript_turns(required_text(values, worse), worse[0])
    return _parted(chosen, rejected)


def from_ranked(values: dict[str, Any], columns: Columns, repairs: set[str]) -> list[Preference]:
    """Return every pair of a row of answers, best first.

    Raises: RowError where there are fewer than two different answers.
    """
    keys = names(columns.response, "output", "responses", "answers")
    answers = required(values, keys)
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise RowError("format", f"expected a list of texts, best first, in {keys[0]!r}, found {show(answers)}")
    if len(answers) < 2:
        raise RowError("no_response", f"expected at least two answers in {keys[0]!r}, found {len(answers)}")
    for answer in answers:
        if not answer.strip():
            raise RowError("empty_turn", f"expected text in {keys[0]!r}, found nothing")
        check_text(answer)
    shape: PairFormat = next((name for name in PROMPT if lookup(values, PROMPT[name]) is not None), "alpaca")
    prompt = tuple(prompt_turns(values, shape, columns, repairs))
    pairs = [(better, worse) for better, worse in combinations(answers, 2) if better != worse]
    if not pairs:
        raise RowError("equal_pair", f"expected answers that differ, found {len(answers)} times {show(answers[0])}")
    if len(set(answers)) < len(answers):
        repairs.add("equal_answers_left_out")
    return [Preference(prompt, (Turn("assistant", better),), (Turn("assistant", worse),)) for better, worse in pairs]


def from_judged(values: dict[str, Any], columns: Columns, repairs: set[str]) -> Judged:
    """Return a row whose answer is said to be good or bad.

    Raises: RowError where it lacks something.
    """
    label = required(values, names(columns.label, "label"))
    if label not in (True, False):  # 1 and 0 are equal to these
        raise RowError("format", f"expected true or false as the label, found {show(label)}")
    keys = names(columns.messages, *MESSAGES)
    messages = lookup(values, keys)
    if messages is not None:
        system = optional_text(values, names(columns.system, *SYSTEM))
        conversation = conversation_of(messages, keys[0], repairs, system=system, tools=values.get("tools"))
    else:
        conversation = from_pair(values, "prompt_completion", columns, repairs)[0]
    return Judged(conversation, bool(label))


def from_prompt(values: dict[str, Any], columns: Columns, repairs: set[str]) -> Prompt:
    """Return a row that only asks.

    Raises: RowError where it lacks a prompt.
    """
    questions = values.get("turns")
    if isinstance(questions, list) and questions and not columns.prompt:
        if len(questions) > 1:
            repairs.add("later_questions_left_out")
        values = {**values, "prompt": questions[0]}
    if not columns.prompt and values.keys() == {"text"}:
        values = {"prompt": values["text"]}
    asked = _asked(values, columns, repairs)
    if asked is None:
        keys = names(columns.prompt, "prompt", "instruction", "question", "turns")
        raise RowError("format", f"expected a prompt under {' or '.join(map(repr, keys))}")
    if not asked or asked[-1].role != "user":
        raise RowError("format", "expected a prompt that ends with the user's turn, found the assistant's")
    return Prompt(tuple(asked))


def _asked(values: dict[str, Any], columns: Columns, repairs: set[str]) -> list[Turn] | None:
    """Return the turns of an explicit prompt; None where the row has none."""
    keys = names(columns.prompt, *ASKED)
    asked = lookup(values, keys)
    if asked is None:
        return None
    if isinstance(asked, list):
        system = optional_text(values, names(columns.system, *SYSTEM))
        turns = turns_of(asked, keys[0], repairs, system=system, tools=values.get("tools"))
        if not turns:
            raise RowError("format", "expected a prompt with a turn, found none")
        return [Turn(turn.role, turn.content, supervised=turn.role != "assistant") for turn in turns]
    shape: PairFormat = next((name for name in PROMPT if values.get(PROMPT[name][0]) is not None), "prompt_completion")
    return prompt_turns(values, "prompt_completion" if columns.prompt else shape, columns, repairs)


def _side(value: object, where: str, repairs: set[str]) -> list[Turn]:
    if is_transcript(value) and isinstance(value, str):
        return transcript_turns(value, where)
    if isinstance(value, str):
        if not value.strip():
            raise RowError("empty_turn", f"expected text in {where!r}, found nothing")
        check_text(value)
        return [Turn("assistant", value)]
    return turns_of([value] if isinstance(value, dict) else value, where, repairs)


def _answered(prompt: tuple[Turn, ...], chosen: list[Turn], rejected: list[Turn]) -> Preference:
    """Return the pair after an explicit prompt, which the sides may repeat."""
    said = [_words(turn) for turn in prompt]
    if chosen[:1] and chosen[0].role != "assistant":
        if [_words(turn) for turn in chosen[: len(said)]] != said:
            return _parted(chosen, rejected)
        chosen, rejected = chosen[len(said) :], rejected[len(said) :]
    return _pair(prompt, tuple(chosen), tuple(rejected))


def _parted(chosen: list[Turn], rejected: list[Turn]) -> Preference:
    """Return the pair of two whole dialogues: what they share is the prompt, up to the last user's turn."""
    _check_unequal(chosen, rejected)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))))
    while shared and chosen[shared - 1].role != "user":
        shared -= 1
    prompt = tuple(
        Turn(turn.role, turn.content, turn.input, supervised=turn.role != "assistant") for turn in chosen[:shared]
    )
    return _pair(prompt, tuple(chosen[shared:]), tuple(rejected[shared:]))


def _pair(prompt: tuple[Turn, ...], chosen: tuple[Turn, ...], rejected: tuple[Turn, ...]) -> Preference:
    if not prompt or prompt[-1].role != "user":
        raise RowError("no_prompt", "expected a prompt that ends with the user's turn, found none")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if not turns or turns[0].role != "assistant" or turns[-1].role != "assistant":
            raise RowError("no_response", f"expected the {name} side to answer the prompt, found no answer at its end")
    _check_unequal(chosen, rejected)
    return Preference(prompt, chosen, rejected)


def _check_unequal(chosen: object, rejected: object) -> None:
    if chosen == rejected:
        raise RowError("equal_pair", "expected two answers that differ, found the same twice")


def _common_lines(chosen: str, rejected: str) -> str:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
    prefix = "".join(character for character, _ in pairs)
    prompt = prefix[: prefix.rfind("\n") + 1]
    if not prompt.strip():
        raise RowError("no_prompt", "expected a prompt, or two texts that begin with the same lines, found neither")
    return prompt


def _words(turn: Turn) -> tuple[str, str]:
    return turn.role, turn.content.strip()
