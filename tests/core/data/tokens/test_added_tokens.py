"""Special tokens added to a tokenizer: where their ids are, who loads them, what stays text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer

from core.config.data import TextData
from core.data.fingerprints import cache_key, encoding_key, with_known_tokenizer
from core.data.prepare import prepare
from core.data.progress import Work, silent
from core.data.tokens.added_tokens import add_tokens, check_special, with_added_tokens
from core.data.tokens.shards import TokenShards
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

WORK = Work(silent, lambda: False)
NEW = ["<|code|>", "<|/code|>"]


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece", "byte_fallback"])
def test_new_tokens_get_the_last_ids_in_order_and_are_special(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)()
    before = load_tokenizer(folder)
    assert add_tokens(folder, [*NEW, before.end_token]) == NEW
    after = load_tokenizer(folder)
    size = before.vocabulary_size
    assert after.vocabulary_size == size + 2
    assert [after.backend.token_to_id(token) for token in NEW] == [size, size + 1]
    assert set(after.special_tokens) == {*before.special_tokens, *NEW}
    assert (after.end_token_id, after.prefix_ids) == (before.end_token_id, before.prefix_ids)
    assert after.encode(["a <|code|> b"], control=True, continued=True)[0].count(size) == 1
    for control in (True, False):
        words = "def add(a, b): return a"
        assert after.encode([words], control=control, continued=True) == before.encode(
            [words], control=control, continued=True
        )
    assert add_tokens(folder, NEW) == []
    assert load_tokenizer(folder).vocabulary_size == size + 2


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece", "byte_fallback"])
def test_the_same_string_in_the_data_stays_text(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind)()
    add_tokens(folder, NEW)
    tokenizer = load_tokenizer(folder)
    numbers = {tokenizer.backend.token_to_id(token) for token in NEW}
    for continued in (True, False):
        ids = tokenizer.encode(["a <|code|>b<|/code|>"], control=False, continued=continued)[0]
        assert not numbers & set(ids)


def test_transformers_gives_the_same_ids(byte_level: Callable[..., Path]) -> None:
    folder = byte_level()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    # As older versions of transformers write it.
    config["added_tokens_decoder"] = {"0": {"content": "<|endoftext|>", "special": True}}
    config["additional_special_tokens"] = ["<|im_start|>"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": "<|endoftext|>", "additional_special_tokens": [{"content": "<|im_start|>"}]})
    )
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": 2}))
    add_tokens(folder, NEW)
    text = "<|code|>def f(a):\n    pass<|/code|> b"
    code = (
        "import json, sys\nfrom transformers import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(folder)!r}, local_files_only=True)\n"
        f"ids = t.encode({text!r}, add_special_tokens=False)\n"
        "print(json.dumps([ids, len(t), t.decode(ids, skip_special_tokens=True)]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ids, size, decoded = json.loads(answer.stdout.splitlines()[-1])
    tokenizer = load_tokenizer(folder)
    assert [ids] == tokenizer.encode([text], control=True, continued=False)
    assert size == tokenizer.vocabulary_size
    assert decoded == "def f(a):\n    pass b"
    written = json.loads((folder / "tokenizer_config.json").read_text())
    assert [written["added_tokens_decoder"][str(size - 2)][key] for key in ("content", "special")] == [NEW[0], True]
    names = json.loads((folder / "special_tokens_map.json").read_text())["additional_special_tokens"]
    assert names[1:] == written["additional_special_tokens"][1:] == NEW
    assert json.loads((folder / "added_tokens.json").read_text())[NEW[1]] == size - 1


def test_an_added_token_that_text_could_become_is_made_special_and_keeps_its_id(
    byte_level: Callable[..., Path],
) -> None:
    folder = byte_level()
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_tokens([AddedToken("<|fim_prefix|>", special=False, normalized=False)])
    backend.save(str(folder / "tokenizer.json"))
    before = load_tokenizer(folder)
    number = before.backend.token_to_id("<|fim_prefix|>")
    text = ["a<|fim_prefix|>b"]
    assert number in before.encode(text, control=False, continued=False)[0]
    assert add_tokens(folder, ["<|fim_prefix|>", *NEW]) == NEW
    after = load_tokenizer(folder)
    assert after.backend.token_to_id("<|fim_prefix|>") == number
    assert number not in after.encode(text, control=False, continued=False)[0]
    assert "<|fim_prefix|>" in after.special_tokens


def test_a_word_of_the_vocabulary_is_refused(byte_level: Callable[..., Path]) -> None:
    folder = byte_level()
    with pytest.raises(DataError, match=r"found 'e', which is token \d+ of the vocabulary"):
        add_tokens(folder, ["e"])


@pytest.mark.parametrize(("text", "found"), [("{", "Expecting"), ("[]", "list")])
def test_a_broken_file_beside_the_tokenizer_is_named(byte_level: Callable[..., Path], text: str, found: str) -> None:
    folder = byte_level()
    (folder / "added_tokens.json").write_text(text)
    with pytest.raises(DataError, match=rf"added_tokens\.json: expected a JSON object, found.*{found}"):
        add_tokens(folder, NEW)


def test_a_tokenizer_in_memory_stays_as_it_is(byte_level: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(byte_level())
    other, new = with_added_tokens(tokenizer, NEW)
    assert new == NEW
    assert other.vocabulary_size == tokenizer.vocabulary_size + 2
    assert tokenizer.backend.token_to_id(NEW[0]) is None
    assert with_added_tokens(other, NEW) == (other, [])


def test_control_tokens_must_be_special(byte_level: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(byte_level())
    check_special(tokenizer, {"data.a": "<|im_end|>"})
    with pytest.raises(DataError, match=r"data\.b: expected a special token.*'e', which is an ordinary one"):
        check_special(tokenizer, {"data.a": "<|im_end|>", "data.b": "e"})
    with pytest.raises(DataError, match=r"data\.b: expected a special token.*'<x>', which it does not have") as caught:
        check_special(tokenizer, {"data.b": "<x>", "data.c": "<y>"})
    assert caught.value.hint is not None
    assert 'data.tokenizer.added_tokens: ["<x>", "<y>"]' in caught.value.hint
    with pytest.raises(DataError, match=r"a token of its own, found '<\|endoftext\|>', the tokenizer's end of text"):
        check_special(tokenizer, {"data.b": "<|endoftext|>"})


def _data(folder: Path, tokenizer: Path, *added: str) -> TextData:
    (folder / "lines.txt").write_text("a <|code|> b\nadd(a, b)\n")
    return TextData.model_validate(
        {
            "kind": "text",
            "sources": [{"kind": "files", "path": str(folder / "lines.txt"), "document": "line"}],
            "tokenizer": {"kind": "load", "path": str(tokenizer), "added_tokens": list(added)},
            "held_out_fraction": 0.0,
        }
    )


def test_prepared_data_has_the_grown_tokenizer_and_names_what_is_new(
    tmp_path: Path, byte_level: Callable[..., Path]
) -> None:
    folder = byte_level()
    size = load_tokenizer(folder).vocabulary_size
    data = _data(tmp_path, folder, "<|im_start|>", *NEW)
    made = prepare(data, tmp_path / "made", seed=1, model_tokenizer=None, work=WORK)
    assert made.manifest.added_tokens == NEW
    assert made.manifest.vocabulary_size == size + 2 == load_tokenizer(made.tokenizer).vocabulary_size
    shards = TokenShards(made.folder, "train")
    assert max(int(shards.document(number)[0].max()) for number in range(2)) < size
    assert load_tokenizer(folder).vocabulary_size == size  # the tokenizer that was named is not touched
    again = prepare(_data(tmp_path, made.tokenizer, *NEW), tmp_path / "again", seed=1, model_tokenizer=None, work=WORK)
    assert again.manifest.added_tokens == []


def test_added_tokens_name_another_preparation(tmp_path: Path, byte_level: Callable[..., Path]) -> None:
    folder = byte_level()
    plain, added, other = (_data(tmp_path, folder, *tokens) for tokens in ([], NEW, NEW[::-1]))
    for key in (lambda data: cache_key(data, 1, None), lambda data: encoding_key(data, None)):
        assert len({key(plain), key(added), key(other)}) == 3
    known = _data(tmp_path, Path("known"), *NEW)
    found = with_known_tokenizer(known, {"known": folder}).tokenizer
    assert found.model_dump() == {"kind": "load", "path": str(folder), "added_tokens": NEW}
