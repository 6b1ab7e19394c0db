from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from tui.commands import data_tokens
from tui.commands.context import Context
from tui.commands.data_tokens import Tokens, tokens
from tui.commands.query import QueryError

PRESET = """\
phase: prepare
about: {title: mine}
data:
  kind: instructions
  sources: [{kind: json, path: rows.jsonl}]
  tokenizer: {kind: load, path: words}
  template: chat
"""
TRAINING = """\
phase: sft
about: {title: mine}
model: {kind: scratch, layers: 1, hidden_size: 16, heads: 2}
data:
  kind: instructions
  sources: [{kind: json, path: rows.jsonl}]
  tokenizer: {kind: load, path: words}
  template: chat
  max_tokens: 64
  syntax: python
loss: {syntax_weights: {keyword: 2, name: 0}}
schedule: {kind: constant, peak_learning_rate: 0.001, steps: 1}
batch: {size: 1, micro_size: 1, sequence_length: 64}
"""
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a preset, rows and a byte-level tokenizer, as the folder that the command is given in."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path / "words"
    folder.mkdir()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate([*specials, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    (folder / "chat_template.jinja").write_text(CHAT)
    (tmp_path / "mine.yaml").write_text(PRESET)
    rows = [{"prompt": "one", "completion": "yes"}, {"prompt": "a\x1b[2Jb", "completion": "ab\ncd"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _printed(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_tokens_of_a_preset_in_marks(here: Path, piped: Context) -> None:
    assert tokens("mine.yaml", Tokens(row=1), piped, as_json=False) == 0
    text = _printed(piped.output)
    assert text.startswith(f"row 1  prompt_completion  {here}/rows.jsonl:2\n")
    assert "the loss counts 6 (" in text
    assert "    user\n" not in text
    assert "  ░ ⟪<|im_start|>⟫▏u▏s▏e▏r▏⏎▏\n  ░ a▏␛▏[▏2▏J▏b▏⟪<|im_end|>⟫▏⟪<|im_start|>⟫▏a▏" in text
    assert text.endswith("  █ a▏b▏⏎▏\n  █ c▏d▏⟪<|im_end|>⟫▏\n")
    assert "\x1b" not in text


def test_tokens_as_json(here: Path, piped: Context) -> None:
    tokens("mine.yaml", Tokens(max_tokens=20, template="alpaca"), piped, as_json=True)
    (line,) = _printed(piped.output).splitlines()
    answer = json.loads(line)
    assert (answer["template"], len(answer["tokens"]), answer["counts"]["loss"]) == ("alpaca", 20, 4)
    assert answer["left_out"] > 0
    assert "type" not in answer


def test_classes_and_weights_of_a_training(here: Path, piped: Context) -> None:
    (here / "mine.yaml").write_text(TRAINING)
    (here / "rows.jsonl").write_text(json.dumps({"prompt": "one", "completion": "if x"}) + "\n")
    tokens("mine.yaml", Tokens(), piped, as_json=False)
    text = _printed(piped.output)
    words = " ".join(text.split())
    assert "/k keyword ×2, 2 tokens; /n name ×0, 0 tokens; /w whitespace ×1, 1 token; other ×1, 1 token" in words
    assert text.endswith("  █ i/k▏f/k▏ /w▏\n  ░ x/n▏\n  █ ⟪<|im_end|>⟫▏\n")
    tokens("mine.yaml", Tokens(), piped, as_json=True)
    answer = json.loads(_printed(piped.output).splitlines()[-1])
    assert [(one["class"], one["weight"], one["loss"]) for one in answer["tokens"][-5:]] == [
        ("keyword", 2, True), ("keyword", 2, True), ("whitespace", 1, True), ("name", 0, False), ("other", 1, True),
    ]  # fmt: skip


def test_both_sides_of_a_pair_and_the_answer_of_a_prompt_have_a_head(here: Path, piped: Context) -> None:
    row = {"prompt": "one", "chosen": "yes", "rejected": "no"}
    (here / "rows.jsonl").write_text(json.dumps(row) + "\n")
    tokens("rows.jsonl", Tokens(tokenizer="words"), piped, as_json=False)
    text = _printed(piped.output)
    better, worse = text.split("\nthe worse answer (rejected)\n")
    assert "\nthe better answer (chosen)\n" in better
    assert better.rstrip().endswith("█ y▏e▏s▏⟪<|im_end|>⟫▏")
    assert worse.endswith("█ n▏o▏⟪<|im_end|>⟫▏\n")
    (here / "mine.yaml").write_text(PRESET.replace("instructions", "prompts"))
    tokens("mine.yaml", Tokens(), piped, as_json=False)
    said = _printed(piped.output).removeprefix(text)
    assert "\nthe prompt, up to where the response begins\n" in said
    assert "\nthe answer that comes with it\n3 tokens: the loss counts 0 (0%)" in said


def test_an_error_of_the_helper_keeps_its_exit_code(here: Path, piped: Context) -> None:
    with pytest.raises(QueryError, match="there is no row 7") as caught:
        tokens("mine.yaml", Tokens(row=7), piped, as_json=False)
    assert int(caught.value.exit_code) == 2
    assert _printed(piped.output) == ""


@pytest.mark.parametrize("wish", [Tokens(row=-1), Tokens(template="x"), Tokens(max_tokens=0), Tokens(tokenizer="")])
def test_what_cannot_be_meant(wish: Tokens, here: Path, piped: Context) -> None:
    with pytest.raises(UsageError):
        tokens("mine.yaml", wish, piped, as_json=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What the helper was asked; it answers with one row whatever the question is."""
    questions: list[Mapping[str, Any]] = []

    def answer(question: Mapping[str, Any], context: Context, *, seconds: float) -> dict[str, Any]:
        questions.append(question)
        shown = [
            {"id": 1, "text": "<|begin|>", "loss": False, "special": True},
            *({"id": 2, "text": f"日本{n}", "loss": n > 20, "special": False} for n in range(40)),
            {"id": 3, "text": "\u202e[red]", "loss": True, "special": True},
        ]
        counts = {"tokens": 42, "loss": 20, "special": 2}
        view = {"text": "t", "tokens": shown, "counts": counts, "left_out": 3, "faults": ["no_end_of_turn: \x1b"]}
        return {"type": "result", "row": 0, "place": "p:1", "format": "alpaca", "template": "chat", **view,
                "further": [view], "tokenizer": "/t", "stands_in": True}  # fmt: skip

    monkeypatch.setattr(data_tokens, "ask", answer)
    return questions


def test_marks_are_there_without_colour_and_lines_fit(
    asked: list[Mapping[str, Any]], here: Path, on_terminal: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", "60")
    tokens("mine.yaml", Tokens(), on_terminal, as_json=False)
    coloured = _printed(on_terminal.output)
    bare = {"LANG": "C", "TERM": "xterm", "NO_COLOR": "1"}
    plain = Context(on_terminal.home, bare, io.StringIO(), io.StringIO(), True)
    tokens("mine.yaml", Tokens(), plain, as_json=False)
    text = _printed(plain.output)
    assert "\x1b[32m" in coloured
    assert "\u202e" not in coloured
    assert text.isascii() is False  # the data's own letters
    assert "  . <<<|begin|>>>|日本0|" in text
    assert "  # 日本21|" in text
    assert max(cell_len(line) for line in text.splitlines() if line.startswith(("  .", "  #"))) <= 60
    assert "! no_end_of_turn" in text
    assert "example 2 of 2" in text
    assert "42 tokens, 3 more cut off: the loss counts 20 (48%), 2 special" in text
    assert "smollm2 stands in" in _printed(plain.words)


def test_paths_are_absolute_and_names_stay_names(asked: list[Mapping[str, Any]], here: Path, piped: Context) -> None:
    tokens("mine.yaml", Tokens(tokenizer="words"), piped, as_json=True)
    tokens("mine.yaml", Tokens(tokenizer="smollm2"), piped, as_json=True)
    assert [question["tokenizer"] for question in asked] == [str(here / "words"), "smollm2"]
    assert asked[0]["data"]["sources"][0]["path"] == str(here / "rows.jsonl")
    assert "template" not in asked[0]
