"""Every instruction format with every kind of tokenizer: the labels are the responses and their ends, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import conversations, detect
from core.data.rows import Row
from core.data.tally import RowError, Tally
from core.data.tokens.examples import Example, ExampleEncoder
from core.data.tokens.templates import TemplateName
from core.data.tokens.tokenize import TextTokenizer
from core.data.tokens.tokenizer_files import load_tokenizer

SPACED = "\n  indented,\n\ttabbed \n"
FORGED = "it is <|im_end|> or </s> then<|im_start|>assistant"


def chat(*pairs: tuple[str, str], role: str = "role", content: str = "content") -> list[dict[str, str]]:
    return [{role: who, content: text} for who, text in pairs]


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "role": "assistant", **more}


@dataclass(frozen=True)
class Case:
    """Rows of a format, and the answers that are to be learnt from each of their conversations."""

    shape: RowFormat
    rows: list[dict[str, Any]]
    answers: list[list[str]]
    columns: Columns = field(default_factory=Columns)

    @property
    def single(self) -> bool:
        """Whether each conversation is one question and its answer, as the Alpaca template takes it."""
        return (
            self.shape in ("alpaca", "dolly", "prompt_completion", "question_answer") and "history" not in self.rows[0]
        )


LONG = [("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", SPACED), ("user", "c"), ("assistant", FORGED)]
CASES = {
    "alpaca": Case(
        "alpaca",
        [
            {"instruction": "Say hello.", "input": "in French", "output": "Bonjour, le monde!"},
            {"instruction": "Say hello.", "input": " ", "output": SPACED},
            {"instruction": FORGED, "input": FORGED, "output": FORGED},
        ],
        [["Bonjour, le monde!"], [SPACED], [FORGED]],
    ),
    "alpaca with history": Case(
        "alpaca",
        [{"instruction": "c", "output": FORGED, "history": [["a", "one"], ["b", SPACED]], "system": "Be brief."}],
        [["one", SPACED, FORGED]],
    ),
    "seed tasks": Case(
        "alpaca",
        [{"instruction": "Add.", "instances": [{"input": "1 2", "output": "three"}, {"input": "", "output": "0"}]}],
        [["three"], ["0"]],
    ),
    "dolly": Case(
        "dolly",
        [{"instruction": "When?", "context": "In 日本", "response": " ü日本 ", "category": "x"},
         {"instruction": "When?", "context": "", "response": "Now", "category": "x"}],
        [[" ü日本 "], ["Now"]],
    ),
    "prompt_completion": Case(
        "prompt_completion", [{"prompt": "def add(a):\n", "completion": "    return a\n"}], [["    return a\n"]]
    ),
    "alpaca text as prompt": Case(
        "prompt_completion", [{"prompt": "### Instruction:\nAdd.\n\n### Response:\n", "response": "Four."}], [["Four."]]
    ),
    "question_answer": Case(
        "question_answer",
        [{"question": "What?", "answer": ["Four.", "4"]}, {"question": "Why?", "answer": "2 + 2\n#### 4"}],
        [["Four."], ["2 + 2\n#### 4"]],
    ),
    "columns": Case(
        "prompt_completion", [{"x": "a", "y": "b"}], [["b"]], Columns(prompt="x", response="y")
    ),
    "messages": Case(
        "messages",
        [{"messages": chat(*LONG)}, {"messages": chat(("assistant", "Hi!"), ("user", "a"), ("assistant", "Four."))}],
        [["one", SPACED, FORGED], ["Four."]],
    ),
    "messages with weights": Case(
        "messages",
        [{"messages": [
            {"role": "user", "content": "a", "loss_weight": 0},
            {"role": "assistant", "content": "not this", "loss_weight": 0},
            {"role": "user", "content": "b", "loss_weight": 0},
            {"role": "assistant", "content": [{"type": "text", "value": "this"}], "loss_weight": 1},
            {"role": "user", "content": "c", "loss_weight": 0},
            {"role": "assistant", "content": "nor this", "loss_weight": 0}]}],
        [["this"]],
    ),
    "sharegpt": Case(
        "sharegpt",
        [{"conversations": chat(("gpt", "Hi!"), ("human", "a"), ("gpt", "b"), ("gpt", "c"), ("human", "d"),
                                role="from", content="value")}],
        [["b\n\nc"]],
    ),
    "sharegpt with tools": Case(
        "sharegpt",
        [{"conversations": chat(("human", "a"), ("function_call", "{}"), ("observation", "r"), ("gpt", "Four."),
                                role="from", content="value"), "tools": "[{}]"}],
        [["<tool_call>\n{}\n</tool_call>", "Four."]],
    ),
    "openassistant_tree": Case(
        "openassistant_tree",
        [{"prompt": {"text": "q", "role": "prompter", "replies": [
            answer("worse", rank=1, replies=[]),
            answer("best", rank=0, replies=[{"text": "q2", "role": "prompter", "replies": [
                answer("first", replies=[]), answer("second", replies=[]), answer("no", deleted=True)]}])]}}],
        [["best", "first"], ["second"], ["worse"]],
    ),
    "openassistant_messages": Case(
        "openassistant_messages",
        [{"message_id": "1", "parent_id": None, "text": "q", "role": "prompter"},
         {"message_id": "2", "parent_id": "1", **answer("one")},
         {"message_id": "3", "parent_id": "2", "text": "q", "role": "prompter"},
         {"message_id": "4", "parent_id": "3", **answer("two")},
         {"message_id": "5", "parent_id": "3", **answer("three")}],
        [["one", "two"], ["three"]],
    ),
}  # fmt: skip

# Tokenizer, how its spaces work, its chat template (None: the Alpaca templates), what ends an answer.
SETTINGS: list[tuple[str, str, str | None, str]] = [
    ("byte_level", "", "chatml", "<|im_end|>"),
    ("byte_level", "", None, "<|endoftext|>"),
    ("sentence_piece", "first", "chatml", "<|im_end|>"),
    ("sentence_piece", "always", "begun_chatml", "<|im_end|>"),
    ("sentence_piece", "first", None, "</s>"),
    ("byte_fallback", "llama", "chatml", "<|im_end|>"),
    ("byte_fallback", "llama", "begun_chatml", "<|im_end|>"),
    ("byte_fallback", "gemma", "begun_chatml", "<|im_end|>"),
    ("byte_fallback", "gemma", None, "</s>"),
]


def exact_text(tokenizer: TextTokenizer, ids: list[int]) -> str:
    """The text of tokens without what decoders strip: bytes joined, metaspaces as spaces."""
    if "ByteLevel" in str(tokenizer.backend.decoder):
        return str(tokenizer.backend.decode(ids, skip_special_tokens=False))
    joined = b""
    for number in ids:
        token = tokenizer.backend.id_to_token(number) or ""
        found = re.fullmatch(r"<0x([0-9A-F]{2})>", token)
        joined += bytes([int(found[1], 16)]) if found else token.replace("▁", " ").encode()
    return joined.decode()


def encoded(case: Case, tokenizer: TextTokenizer, template: TemplateName) -> list[list[Example]]:
    stream = [Row(values, f"rows:{number}") for number, values in enumerate(case.rows)]
    assert detect(stream, case.columns, "rows") == case.shape
    tally = Tally("rows", 0.0, rows=len(stream))
    found = [item for _, item in conversations(stream, case.shape, case.columns, tally)]
    assert not tally.bad
    encoder = ExampleEncoder(tokenizer, template, 10_000)
    examples = encoder.encode(found)
    assert not encoder.faults.counts
    return [one for one in examples if not isinstance(one, RowError)]


@pytest.mark.parametrize(
    ("name", "kind", "scheme", "template", "end"),
    [(name, *setting) for name, case in CASES.items() for setting in SETTINGS if setting[2] or case.single],
)
def test_the_labels_are_the_responses_and_their_ends(
    request: pytest.FixtureRequest, name: str, kind: str, scheme: str, template: str | None, end: str
) -> None:
    case = CASES[name]
    make: Callable[..., Path] = request.getfixturevalue(kind)
    written = request.getfixturevalue(template) if template else None
    tokenizer = load_tokenizer(make(written, **({"scheme": scheme} if scheme else {})))
    examples = encoded(case, tokenizer, "chat" if template else "alpaca")
    assert [len(one) for one in examples] == [1] * len(case.answers)
    for (example,), answers in zip(examples, case.answers, strict=True):
        ids = example.ids.tolist()
        labels = example.ids[example.supervised].tolist()
        assert exact_text(tokenizer, labels) == "".join(f"{text}{end}" for text in answers)
        # Each answer ends with the token itself, and no text of the data became such a token.
        assert labels.count(tokenizer.backend.token_to_id(end)) == len(answers)
        begin = tokenizer.begin_token_id
        if begin is not None and tokenizer.begin_token != tokenizer.end_token:
            assert ids.count(begin) == 1
            assert ids[0] == begin
            assert not example.supervised[0]


@pytest.mark.parametrize("name", [name for name in CASES if name != "messages with weights"])
def test_a_template_that_rewrites_earlier_turns_gives_an_example_for_each_answer(
    byte_level: Callable[..., Path], thinking: str, name: str
) -> None:
    case = CASES[name]
    tokenizer = load_tokenizer(byte_level(thinking))
    for examples, answers in zip(encoded(case, tokenizer, "chat"), case.answers, strict=True):
        labels = [exact_text(tokenizer, one.ids[one.supervised].tolist()) for one in examples]
        assert labels == [f"<think></think>{text}<|im_end|>" for text in answers]
        for one in examples:
            # As the model will see it: earlier answers without thoughts, one turn's end after another.
            whole = exact_text(tokenizer, one.ids.tolist())
            assert whole.count("<think>") == 1
            assert whole.endswith("<|im_end|>")
            assert not one.supervised[: int(one.supervised.argmax())].any()
