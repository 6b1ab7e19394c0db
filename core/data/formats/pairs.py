"""Rows of one question and its answer as conversations: Alpaca, Dolly, prompt and completion, question and answer.

Rules: a blank input is no input. `history` of Alpaca rows, [[question, answer], ...], are earlier turns, all of them
supervised. `instances` of self-instruct's seed tasks, [{input, output}, ...], give one conversation each. A prompt
that is the text of an Alpaca template is taken apart into its instruction and input, so that any template can write
it. A prompt in the form of a transcript (Human: ... Assistant:) becomes its turns. Of several answers the first is
taken. A question without an answer gives nothing. PubMedQA's decision (yes, no, maybe) follows the long answer. What is
no text, such as a number, becomes its JSON. Rows that these rules change are counted as repaired.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from core.config.sources import Columns
from core.data.formats.columns import as_text, has, lookup, names, optional_text, required, required_text
from core.data.formats.conversation import Conversation, Turn
from core.data.formats.messages import finished, turns_of
from core.data.formats.transcripts import is_transcript, transcript_turns
from core.data.sources.reading import check_text
from core.data.tally import RowError, show

PairFormat = Literal["alpaca", "dolly", "prompt_completion", "question_answer"]

PROMPT: dict[PairFormat, tuple[str, ...]] = {
    "alpaca": ("instruction",),
    "dolly": ("instruction",),
    "prompt_completion": ("prompt",),
    "question_answer": ("question", "Question", "QUESTION", "text"),
}
INPUT: dict[PairFormat, tuple[str, ...]] = {
    "alpaca": ("input",),
    "dolly": ("context",),
    "prompt_completion": (),
    "question_answer": ("context", "contexts", "CONTEXTS", "Body", "options"),
}
RESPONSE: dict[PairFormat, tuple[str, ...]] = {
    "alpaca": ("output", "response"),
    "dolly": ("response",),
    "prompt_completion": ("completion", "response", "canonical_solution"),
    "question_answer": (
        "answer", "answers", "Answer", "LONG_ANSWER", "long_answer", "response", "rationale", "code", "ground_truth",
    ),
}  # fmt: skip
SYSTEM = ("system", "system_prompt")
_ALPACA_TEXT = re.compile(
    r"\A(?:Below is an instruction[^\n]*\n+)?### Instruction:\n(?P<instruction>.+?)"
    r"(?:\n+### Input:\n(?P<input>.+?))?\n+### Response:\s*\Z",
    re.DOTALL,
)


def from_pair(values: dict[str, Any], shape: PairFormat, columns: Columns, repairs: set[str]) -> list[Conversation]:
    """Return the conversations of a row; what was changed is added to `repairs`.

    Raises: RowError where the row lacks something, with what was expected.
    """
    asked = prompt_turns(values, shape, columns, repairs)
    instances = values.get("instances") if shape == "alpaca" else None
    if instances is not None and not has(values, names(columns.response, *RESPONSE[shape])):
        return _from_instances(asked, instances)
    answers = names(columns.response, *RESPONSE[shape])
    answer = required(values, answers)
    if isinstance(answer, list) and any(isinstance(message, dict) and "role" in message for message in answer):
        return [finished([*asked, *turns_of(answer, answers[0], repairs)], repairs)]
    if shape == "question_answer":
        text = _one_answer(answer, repairs)
        if not text.strip():
            repairs.add("unanswered_left_out")
            return []
        check_text(text)
        text += _decision(values, columns)
    else:
        text = required_text(values, answers)
    return [finished([*asked, Turn("assistant", text)], repairs)]


def prompt_turns(values: dict[str, Any], shape: PairFormat, columns: Columns, repairs: set[str]) -> list[Turn]:
    """Return what stands before the answer: system, earlier turns, the question with its input.

    Raises: RowError where the row lacks something, with what was expected.
    """
    system = optional_text(values, names(columns.system, *SYSTEM))
    head = [Turn("system", system)] if system else []
    keys = names(columns.prompt, *PROMPT[shape])
    asked = lookup(values, keys)
    if isinstance(asked, list):
        turns = _ending_with_a_question(turns_of(asked, keys[0], repairs, system=system))
        return [Turn(turn.role, turn.content, supervised=turn.role != "assistant") for turn in turns]
    question = required_text(values, keys)
    if shape == "prompt_completion":
        if found := _ALPACA_TEXT.match(question):
            repairs.add("alpaca_text_taken_apart")
            return [*head, Turn("user", found["instruction"], found["input"] or "")]
        if is_transcript(question):
            return [*head, *_ending_with_a_question(transcript_turns(question, "prompt", open_end=True))]
    history = _history(values.get("history")) if shape == "alpaca" else []
    return [*head, *history, Turn("user", question, _input(values, shape, columns))]


def _ending_with_a_question(turns: list[Turn]) -> list[Turn]:
    if not turns or turns[-1].role != "user":
        raise RowError("format", "expected a prompt that ends with the user's turn, found one that does not")
    return turns


def _from_instances(asked: list[Turn], instances: object) -> list[Conversation]:
    if not isinstance(instances, list) or not instances:
        raise RowError("format", f"expected a list of input and output in 'instances', found {show(instances)}")
    *before, question = asked
    result = []
    for number, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise RowError("format", f"expected input and output in instances[{number}], found {show(instance)}")
        user = Turn("user", question.content, optional_text(instance, ("input",)))
        result.append(Conversation((*before, user, Turn("assistant", required_text(instance, ("output",))))))
    return result


def _input(values: dict[str, Any], shape: PairFormat, columns: Columns) -> str:
    keys = names(columns.input, *INPUT[shape])
    if shape != "question_answer":
        return optional_text(values, keys)
    parts = [_joined(values[key]) for key in keys if values.get(key) is not None] if not columns.input else []
    text = "\n\n".join(part for part in parts if part.strip()) or _joined(lookup(values, keys))
    check_text(text)
    return text if text.strip() else ""


def _joined(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("contexts"), list):  # PubMedQA as `datasets` has it
        value = value["contexts"]
    if isinstance(value, list):
        return "\n".join(as_text(part) for part in value)
    return "" if value is None else as_text(value)


def _decision(values: dict[str, Any], columns: Columns) -> str:
    """Return what PubMedQA decides besides its long answer, as a last line."""
    decision = values.get("final_decision")
    is_long = any(key in values for key in ("LONG_ANSWER", "long_answer"))
    return f"\n\nAnswer: {decision}" if is_long and not columns.response and isinstance(decision, str) else ""


def _history(history: object) -> list[Turn]:
    if history is None:
        return []
    if not isinstance(history, list):
        raise RowError("format", f"expected a list of question and answer in 'history', found {show(history)}")
    turns: list[Turn] = []
    for number, pair in enumerate(history):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RowError("format", f"expected a question and its answer in history[{number}], found {show(pair)}")
        if not all(text.strip() for text in pair):
            raise RowError("empty_turn", f"expected text in history[{number}], found nothing")
        for text in pair:
            check_text(text)
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return turns


def _one_answer(answer: object, repairs: set[str]) -> str:
    if isinstance(answer, dict) and "text" in answer:  # SQuAD: {"text": [...], "answer_start": [...]}
        answer = answer["text"]
    if isinstance(answer, list) and all(isinstance(one, dict) and "text" in one for one in answer):
        answer = [one["text"] for one in answer]
    if isinstance(answer, list) and all(isinstance(one, str) for one in answer):
        if len(set(answer)) > 1:
            repairs.add("further_answers_left_out")
        return answer[0] if answer else ""
    return "" if answer is None else as_text(answer)
