from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core import query
from core.run.directory import Home


def _ask(home: Home, question: dict[str, Any]) -> dict[str, Any]:
    answers = io.StringIO()
    query.serve(io.BytesIO(json.dumps({"verb": "tokens", **question}).encode() + b"\n"), answers, home)
    (line,) = answers.getvalue().splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"ask {n}", "completion": f"say {n} {n}"}) + "\n" for n in range(4)))
    return {"kind": "instructions", "sources": [{"kind": "json", "path": str(path)}]}


SCRATCH = {"kind": "scratch", "layers": 1, "hidden_size": 16, "heads": 2}
CHAT = ["<|im_start|>", "user", "ask", "2", "<|im_end|>", "<|im_start|>", "assistant", "say", "2", "2", "<|im_end|>"]


def test_the_tokens_of_a_row_and_what_the_loss_counts(home: Home, data: dict[str, Any], words: Path) -> None:
    found = _ask(home, {"data": data, "row": 2, "tokenizer": str(words)})
    assert [token["text"] for token in found["tokens"]] == CHAT
    assert [token["text"] for token in found["tokens"] if token["loss"]] == ["say", "2", "2", "<|im_end|>"]
    assert [token["text"] for token in found["tokens"] if token["special"]] == [CHAT[0], CHAT[4], CHAT[5], CHAT[10]]
    assert found["counts"] == {"tokens": 11, "loss": 4, "special": 4}
    assert (found["row"], found["format"], found["template"]) == (2, "prompt_completion", "chat")
    assert found["place"].endswith("rows.jsonl:3")
    assert (found["tokenizer"], found["stands_in"]) == (str(words), False)


def test_template_and_length_may_be_chosen(home: Home, data: dict[str, Any], words: Path) -> None:
    (words / "chat_template.jinja").unlink()
    question = {"data": data, "row": 1, "tokenizer": str(words)}
    assert _ask(home, question)["template"] == "alpaca"
    assert "this one has none" in _ask(home, {**question, "template": "chat"})["message"]
    cut = _ask(home, {**question, "max_tokens": 8})
    assert (len(cut["tokens"]), cut["left_out"] > 0, cut["max_tokens"]) == (8, True, 8)


def test_a_document_counts_every_token_but_the_first(home: Home, words: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ask 1 2")
    text = {"kind": "text", "sources": [{"kind": "files", "path": str(tmp_path / "a.txt")}],
            "tokenizer": {"kind": "load", "path": str(words)}}  # fmt: skip
    found = _ask(home, {"data": text})
    assert [(token["text"], token["loss"]) for token in found["tokens"]] == [
        ("ask", False), ("1", True), ("2", True), ("<|endoftext|>", True),
    ]  # fmt: skip
    assert (found["template"], found["format"]) == ("none", "documents")


@pytest.mark.parametrize(
    "where", ["the data's", "the model's", "prepared", "a run's data", "a run's model", "the model of a run", "fetched"]
)
def test_where_a_tokenizer_may_lie(where: str, home: Home, data: dict[str, Any], words: Path, tmp_path: Path) -> None:
    """Each place has the same tokenizer; that it is found there is what `tokenizer` of the answer says."""
    question: dict[str, Any] = {"data": data}
    place = words
    match where:
        case "the data's":
            question["data"] = {**data, "tokenizer": {"kind": "load", "path": str(words)}}
        case "the model's":
            question["model"] = {"kind": "pretrained", "path": str(words)}
        case "prepared":
            question["prepared"] = str(tmp_path / "made")
            place = tmp_path / "made" / "tokenizer"
        case "a run's data":
            question["tokenizer"] = "first"
            place = home.runs / "first" / "data" / "tokenizer"
        case "a run's model":
            question["tokenizer"] = "first"
            place = home.runs / "first" / "model"
        case "the model of a run":
            question["model"] = {"kind": "run", "run": "first"}
            place = home.runs / "first" / "model"
        case "fetched":
            question["tokenizer"] = "smollm2"
            place = home.fetched["smollm2"]
    if place != words:
        shutil.copytree(words, place)
    found = _ask(home, question)
    assert found["type"] == "result", found
    assert (found["tokenizer"], found["stands_in"], len(found["tokens"])) == (str(place), False, 11)


def test_a_question_trains_no_preset(home: Home, data: dict[str, Any]) -> None:
    refused = _ask(home, {"data": data, "model": {"kind": "preset", "preset": "quickstart"}})
    assert (refused["type"], refused["exit_code"]) == ("error", 2)
    assert "no run of the preset quickstart is finished yet" in refused["message"]
    assert refused["hint"] == "Run `footplate run quickstart` first."
    assert not list(home.runs.glob("*"))


def test_one_stands_in_for_a_tokenizer_that_is_to_be_trained(home: Home, data: dict[str, Any], words: Path) -> None:
    question = {"data": {**data, "tokenizer": {"kind": "train"}}}
    refused = _ask(home, question)
    assert (refused["type"], refused["exit_code"]) == ("error", 2)
    assert "--tokenizer" in refused["hint"]
    shutil.copytree(words, home.fetched["smollm2"])
    assert _ask(home, question)["stands_in"] is True


def test_a_tokenizer_that_changed_is_read_anew(home: Home, data: dict[str, Any], words: Path) -> None:
    question = {"data": data, "tokenizer": str(words)}
    assert _ask(home, question)["counts"]["loss"] == 4
    settings = words / "chat_template.jinja"
    settings.write_text(settings.read_text().replace("'<|im_end|>'", "'<|endoftext|>'"))
    assert _ask(home, question)["tokens"][-1]["text"] == "<|endoftext|>"


@pytest.mark.parametrize(
    ("change", "code", "words_said"),
    [
        ({"row": 99}, 2, "there is no row 99"),
        ({"row": -1}, 2, "row"),
        ({"tokenizer": "/no/such/place"}, 2, "/no/such/place"),
        ({"tokenizer": ""}, 2, "tokenizer"),
        ({"template": "vicuna"}, 2, "template"),
        ({"max_tokens": 0}, 2, "max_tokens"),
        ({"tokenizer": None, "model": SCRATCH}, 2, "from scratch"),
        ({"tokenizer": None, "model": {"kind": "gguf", "path": "smollm2"}}, 2, "not on this machine yet"),
    ],
)
def test_a_wrong_question_is_answered_by_an_error(
    change: dict[str, Any], code: int, words_said: str, home: Home, data: dict[str, Any], words: Path
) -> None:
    answer = _ask(home, {"data": data, "tokenizer": str(words), **change})
    assert (answer["type"], answer["exit_code"]) == ("error", code)
    assert words_said in answer["message"]


def test_a_pair_of_answers_is_not_to_be_imitated(home: Home, data: dict[str, Any], words: Path) -> None:
    Path(data["sources"][0]["path"]).write_text('{"prompt": "ask", "chosen": "say", "rejected": "1"}\n')
    answer = _ask(home, {"data": data, "tokenizer": str(words)})
    assert (answer["type"], answer["exit_code"]) == ("error", 5)
    assert "preference" in answer["message"]


def test_a_document_whose_middle_comes_last_is_shown_as_it_is_cut(home: Home, words: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ask 1 2 3 4 5 6 7 8 9")
    marks = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    text = {"kind": "text", "sources": [{"kind": "files", "path": str(tmp_path / "a.txt")}],
            "tokenizer": {"kind": "load", "path": str(words), "added_tokens": marks},
            "fill_in_the_middle": {"rate": 1.0, "suffix_first_rate": 0.0}}  # fmt: skip
    found = [_ask(home, {"data": text, "seed": seed}) for seed in (1, 1, 2)]
    shown = [[token["text"] for token in answer["tokens"]] for answer in found]
    for texts in shown:
        assert [name for name in texts if name in marks] == marks
        assert texts[0] == marks[0]
    assert shown[0] == shown[1] != shown[2]
    assert all(answer["text"].startswith("ask 1") for answer in found)


def test_the_code_template_shows_its_tokens_also_with_a_tokenizer_that_only_stands_in(
    home: Home, data: dict[str, Any], words: Path
) -> None:
    shutil.copytree(words, home.fetched["smollm2"])
    tokenizer = {"kind": "train", "special_tokens": ["<|code|>", "<|/code|>"]}
    found = _ask(home, {"data": {**data, "tokenizer": tokenizer, "template": "code"}, "row": 1})
    assert (found["template"], found["stands_in"]) == ("code", True)
    counted = [token["text"] for token in found["tokens"] if token["loss"]]
    assert counted == ["<|code|>", "say", "1", "1", "<|/code|>", "<|endoftext|>"]
    refused = _ask(home, {"data": {**data, "template": "code"}, "row": 1})
    assert "data.code_tokens.code_begin: expected a special token" in refused["message"]


def pairs(data: dict[str, Any], *rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    Path(data["sources"][0]["path"]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {**data, "kind": "preferences", **fields}


def test_a_pair_is_shown_with_both_sides(home: Home, data: dict[str, Any], words: Path) -> None:
    section = pairs(data, {"prompt": "ask", "chosen": "say 1", "rejected": "say 2 2"})
    better = _ask(home, {"data": section, "tokenizer": str(words)})
    (worse,) = better["further"]
    for view, side, answer in ((better, "chosen", ["say", "1"]), (worse, "rejected", ["say", "2", "2"])):
        assert (view["side"], view["left_out"], view["faults"]) == (side, 0, [])
        assert [token["text"] for token in view["tokens"] if token["loss"]] == [*answer, "<|im_end|>"]
        assert view["counts"]["loss"] == len(answer) + 1
        assert view["text"].endswith(f"assistant {' '.join(answer)}<|im_end|>")
    asked = [[token["text"] for token in view["tokens"] if not token["loss"]] for view in (better, worse)]
    assert asked[0] == asked[1] == ["<|im_start|>", "user", "ask", "<|im_end|>", "<|im_start|>", "assistant"]
    cut = _ask(home, {"data": section, "tokenizer": str(words), "max_tokens": 8})
    assert [(len(view["tokens"]), view["left_out"]) for view in (cut, *cut["further"])] == [(7, 2), (8, 2)]


@pytest.mark.parametrize(
    ("row", "words_said"),
    [
        ({"prompt": "ask", "chosen": "say " * 9, "rejected": "1"}, "fewer than 9 tokens"),
        ({"prompt": "ask", "chosen": "say 1", "rejected": "say  1"}, "the same tokens twice"),
    ],
)
def test_what_keeps_a_pair_out_is_said_beside_its_tokens(
    row: dict[str, Any], words_said: str, home: Home, data: dict[str, Any], words: Path
) -> None:
    found = _ask(home, {"data": pairs(data, row), "tokenizer": str(words), "max_tokens": 9})
    for view in (found, *found["further"]):
        assert words_said in view["faults"][0]
        assert view["tokens"]
    assert len(found["further"]) == 1


@pytest.mark.parametrize(("label", "side"), [(True, "good"), (False, "bad")])
def test_a_judged_answer_has_one_side(
    label: bool, side: str, home: Home, data: dict[str, Any], words: Path
) -> None:
    section = pairs(data, {"prompt": "ask", "completion": "say 1", "label": label})
    found = _ask(home, {"data": section, "tokenizer": str(words)})
    assert (found["side"], found["further"], found["counts"]["loss"]) == (side, [], 3)


def test_a_damaged_answer_hangs_on_the_seed(home: Home, data: dict[str, Any], words: Path) -> None:
    row = {"prompt": "ask", "completion": "1 2 3 4 5 6 7 8 9"}
    section = pairs(data, row, damage={"rule": "shuffle_words"})
    views = [_ask(home, {"data": section, "tokenizer": str(words), "seed": seed}) for seed in (1, 1, 2)]
    said = [[[t["text"] for t in view["tokens"] if t["loss"]] for view in (one, *one["further"])] for one in views]
    assert said[0] == said[1] != said[2]
    assert [one[0][:-1] for one in said] == [row["completion"].split()] * 3


def test_of_a_prompt_the_loss_counts_nothing(home: Home, data: dict[str, Any], words: Path) -> None:
    found = _ask(home, {"data": {**data, "kind": "prompts"}, "row": 2, "tokenizer": str(words)})
    assert (found["side"], found["counts"]["loss"], found["counts"]["tokens"]) == ("prompt", 0, 7)
    assert found["text"] == "<|im_start|>user ask 2<|im_end|><|im_start|>assistant "
    (answer,) = found["further"]
    assert (answer["side"], answer["text"], answer["template"]) == ("answer", "say 2 2", "none")
    assert [(token["text"], token["loss"]) for token in answer["tokens"]] == [
        ("say", False), ("2", False), ("2", False),
    ]  # fmt: skip
