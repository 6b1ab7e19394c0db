from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config.loss import SyntaxWeights
from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.tokens import marking
from core.data.tokens.token_view import SyntaxView, TokenView, token_view
from core.data.tokens.tokenizer_files import load_tokenizer

SINGLE = Conversation((Turn("user", "What is two?"), Turn("assistant", "Four, 日ü 😀.")))


def joined(view: TokenView) -> str:
    """The text of the tokens, bytes that stand alone put together again."""
    raw = b""
    for token in view.tokens:
        for number, part in enumerate(token.text.split("<0x")):
            head, sep, tail = part.partition(">")
            raw += part.encode() if not number or not sep else bytes([int(head, 16)]) + tail.encode()
    return raw.decode()


def test_a_conversation_by_its_chat_template(byte_level: Callable[..., Path], chatml: str) -> None:
    view = token_view(SINGLE, load_tokenizer(byte_level(chatml)), "chat", place="rows:1")
    text = "<|im_start|>user\nWhat is two?<|im_end|>\n<|im_start|>assistant\nFour, 日ü 😀.<|im_end|>"
    assert view.text == text
    assert joined(view) == text
    assert (view.place, view.template, view.left_out, view.faults, view.further) == ("rows:1", "chat", 0, (), ())
    assert [token.text for token in view.tokens if token.special] == [
        "<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>",
    ]  # fmt: skip
    assert "".join(token.text for token in view.tokens if token.supervised).startswith("Four,")
    assert view.tokens[-1].supervised
    assert view.special == 4
    assert view.supervised == sum(token.supervised for token in view.tokens) > 5


def test_bytes_that_are_no_character_alone_are_shown_as_bytes(byte_level: Callable[..., Path]) -> None:
    view = token_view("a 😀\n", load_tokenizer(byte_level()), None)
    assert [token.text for token in view.tokens] == [
        "a", " ", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "\n", "<|endoftext|>",
    ]  # fmt: skip
    # Of a text the loss counts everything but the first token, before which nothing stands.
    assert [token.supervised for token in view.tokens] == [False, *[True] * 7]
    assert [token.special for token in view.tokens] == [*[False] * 7, True]
    assert view.template is None


def test_bytes_beside_whole_characters(byte_level: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(byte_level())
    texts = {token.text for token in token_view("日本語 Zwölf", tokenizer, None).tokens}
    assert not any("\ufffd" in text or "Ġ" in text or "Ã" in text for text in texts)


def test_classes_and_weights_of_a_document(byte_level: Callable[..., Path]) -> None:
    by = SyntaxView("auto", "Python", SyntaxWeights(keyword=2, name=0))
    view = token_view("if x:", load_tokenizer(byte_level()), None, syntax=by)
    shown = [(token.text, token.syntax, token.weight, token.supervised) for token in view.tokens]
    assert shown[-5:] == [
        ("f", "keyword", 2, True), (" ", "whitespace", 1, True), ("x", "name", 0, False), (":", "operator", 1, True),
        ("<|endoftext|>", "other", 1, True),
    ]  # fmt: skip
    assert view.as_json()["tokens"][-2] == {
        "id": view.tokens[-2].id, "text": ":", "loss": True, "special": False, "class": "operator", "weight": 1.0,
    }  # fmt: skip
    assert view.as_json()["counts"]["loss"] == view.supervised == len(view.tokens) - 2


def test_classes_of_an_answer_without_weights(byte_level: Callable[..., Path], chatml: str) -> None:
    row = Conversation((Turn("user", "if"), Turn("assistant", "```py\nif\n```")))
    view = token_view(row, load_tokenizer(byte_level(chatml)), "chat", syntax=SyntaxView("auto"))
    assert "".join(token.text for token in view.tokens if token.syntax == "keyword") == "if"
    assert {token.weight for token in view.tokens} == {None}
    assert "weight" not in view.as_json()["tokens"][0]
    plain = token_view(row, load_tokenizer(byte_level(chatml)), "chat")
    assert {token.syntax for token in plain.tokens} == {None}
    assert set(plain.as_json()["tokens"][0]) == {"id", "text", "loss", "special"}
    assert [token.id for token in plain.tokens] == [token.id for token in view.tokens]


def test_a_lexer_that_fails_is_a_fault_of_the_row(
    byte_level: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str, language: str) -> None:
        raise RowError("syntax", "expected text that it can read")

    monkeypatch.setattr(marking, "code_classes", fail)
    view = token_view("if", load_tokenizer(byte_level()), None, syntax=SyntaxView("python", "Python"))
    assert (view.tokens, view.faults) == ((), ("expected text that it can read",))


@pytest.mark.parametrize(
    ("kind", "scheme"), [("sentence_piece", "first"), ("byte_fallback", "llama"), ("byte_fallback", "gemma")]
)
def test_metaspaces_are_spaces(request: pytest.FixtureRequest, kind: str, scheme: str) -> None:
    view = token_view(SINGLE, load_tokenizer(request.getfixturevalue(kind)(scheme=scheme)), "alpaca")
    assert not any("▁" in token.text for token in view.tokens)
    assert view.tokens[0].text == "<s>"
    assert view.tokens[0].special
    assert view.tokens[-1].text == "</s>"
    if kind == "byte_fallback":
        counted = TokenView("", None, "", tuple(token for token in view.tokens if token.supervised))
        assert joined(counted) == "Four, 日ü 😀.</s>"
        assert "<0xF0>" in [token.text for token in view.tokens]


def test_an_unknown_token_is_a_special_one(sentence_piece: Callable[..., Path]) -> None:
    view = token_view("☃", load_tokenizer(sentence_piece()), None)
    assert [(token.text, token.special) for token in view.tokens if token.text == "<unk>"] == [("<unk>", True)]


def test_special_strings_in_the_data_are_ordinary_text(byte_level: Callable[..., Path], chatml: str) -> None:
    forged = Conversation((Turn("user", "<|im_end|>"), Turn("assistant", "<|im_end|>")))
    view = token_view(forged, load_tokenizer(byte_level(chatml)), "chat")
    assert view.special == 4


def test_a_row_that_is_cut_says_how_much_was_left_out(byte_level: Callable[..., Path], chatml: str) -> None:
    tokenizer = load_tokenizer(byte_level(chatml))
    long = Conversation((Turn("user", "one two three " * 50), Turn("assistant", "Four.")))
    whole = token_view(long, tokenizer, "chat")
    view = token_view(long, tokenizer, "chat", max_tokens=40)
    assert len(view.tokens) == 40
    assert view.left_out == len(whole.tokens) - 40
    assert view.tokens == whole.tokens[-40:]
    assert view.text == whole.text
    assert not view.faults


def test_an_answer_that_does_not_fit_is_shown_whole_with_its_fault(byte_level: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(byte_level())
    whole = token_view(SINGLE, tokenizer, "alpaca")
    view = token_view(SINGLE, tokenizer, "alpaca", max_tokens=8)
    assert view.tokens == whole.tokens
    assert view.faults == ("over_long_answers: such rows have an answer that alone is longer than data.max_tokens",)
    cut = token_view(SINGLE, tokenizer, "alpaca", max_tokens=8, accept=["cut_answers"])
    assert len(cut.tokens) == 8
    assert cut.faults == view.faults


def test_a_row_that_the_template_refuses_says_why(byte_level: Callable[..., Path]) -> None:
    double = Conversation((*SINGLE.turns, *SINGLE.turns))
    view = token_view(double, load_tokenizer(byte_level()), "alpaca")
    assert not view.tokens
    assert "expected one user turn and its answer" in view.faults[0]


def test_a_rewriting_template_shows_every_example(byte_level: Callable[..., Path], thinking: str) -> None:
    double = Conversation((*SINGLE.turns, Turn("user", "And?"), Turn("assistant", "Five.")))
    view = token_view(double, load_tokenizer(byte_level(thinking)), "chat")
    assert len(view.further) == 1
    assert view.text.endswith("<think></think>Four, 日ü 😀.<|im_end|>")
    assert view.further[0].text.endswith("<think></think>Five.<|im_end|>")


def test_a_view_is_json(byte_level: Callable[..., Path]) -> None:
    view = token_view(SINGLE, load_tokenizer(byte_level()), "alpaca", place="rows:1")
    values = json.loads(json.dumps(view.as_json()))
    assert values["place"] == "rows:1"
    assert values["template"] == "alpaca"
    assert values["text"].startswith("### Instruction:\nWhat is two?")
    assert values["tokens"][-1] == {"id": 0, "text": "<|endoftext|>", "loss": True, "special": True}
    assert values["tokens"][0]["loss"] is False
    assert values["counts"] == {"tokens": len(view.tokens), "loss": view.supervised, "special": 1}
    assert values["faults"] == values["further"] == []
    assert token_view("a", load_tokenizer(byte_level()), None).as_json()["template"] == "none"
