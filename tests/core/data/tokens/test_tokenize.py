"""Tokenizers: trained, written, loaded; documents to ids and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.tokens.tokenize import encode_documents, pieces
from core.data.tokens.tokenizer_files import copy_tokenizer, load_tokenizer, locate_tokenizer, train_tokenizer
from core.errors import DataError, UsageError

TEXTS = [f"def function_{number}(a, b):\n    return a * {number} + b\n\n\n" for number in range(200)]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    train_tokenizer(TEXTS, vocabulary_size=300, special_tokens=["<|fim|>"], folder=tmp_path / "trained")
    return tmp_path / "trained"


def test_a_trained_tokenizer_has_exactly_the_size_and_the_end_token_first(trained: Path) -> None:
    tokenizer = load_tokenizer(trained)
    assert tokenizer.vocabulary_size == 300
    assert (tokenizer.end_token, tokenizer.end_token_id) == ("<|endoftext|>", 0)
    assert tokenizer.backend.token_to_id("<|fim|>") == 1
    assert tokenizer.prefix_ids == ()
    assert tokenizer.chat_template is None


def test_training_gives_the_same_bytes_in_another_process_and_with_threads(trained: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom core.data.tokens.tokenizer_files import train_tokenizer\n"
        f"train_tokenizer({TEXTS!r}, vocabulary_size=300, special_tokens=['<|fim|>'], "
        f"folder=Path({str(tmp_path)!r}) / 'b')"
    )
    environment = {
        "PYTHONPATH": str(Path(__file__).parents[4]),
        "PYTHONHASHSEED": "7",
        "TOKENIZERS_PARALLELISM": "true",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (trained / name).read_bytes()


def test_too_little_text_for_the_vocabulary_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 5000 tokens, the text has only \d+(.|\n)*Set it to \d+ or less"):
        train_tokenizer(TEXTS[:3], vocabulary_size=5000, folder=tmp_path)


def test_transformers_loads_what_was_trained(trained: Path) -> None:
    code = (
        "import sys\nfrom transformers import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(trained)!r}, local_files_only=True)\n"
        "print(len(t), t.eos_token_id, t.bos_token_id, t.pad_token_id, t('return a')['input_ids'])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    ids = load_tokenizer(trained).encode(["return a"], control=False, continued=False)[0]
    assert answer.stdout == f"300 0 0 0 {ids}\n", answer.stderr


def test_a_document_ends_with_the_end_token_and_holds_it_nowhere_else(trained: Path) -> None:
    """Also where the text has the string of the end token in it."""
    tokenizer = load_tokenizer(trained)
    text = "split on <|endoftext|> and <|fim|> here"
    (ids,) = encode_documents(tokenizer, [text])
    assert ids[-1] == 0
    assert 0 not in ids[:-1]
    assert 1 not in ids
    assert tokenizer.backend.decode(ids.tolist(), skip_special_tokens=False) == text + "<|endoftext|>"


def test_a_document_begins_with_what_the_tokenizer_puts_there(sentence_piece: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(sentence_piece())
    (ids,) = encode_documents(tokenizer, ["The quick brown fox"])
    assert ids.tolist() == [*tokenizer.backend.encode("The quick brown fox").ids, tokenizer.end_token_id]
    assert ids[0] == tokenizer.begin_token_id


@pytest.mark.parametrize("size", [1, 50, 200])
@pytest.mark.parametrize("text", ["".join(TEXTS[:9]), "x" * 1000, "a\n\n\nb  c\n" * 90, "日本語 " * 200])
def test_pieces_of_a_long_text_make_the_text(text: str, size: int) -> None:
    cut = list(pieces(text, size))
    assert "".join(cut) == text
    assert max(map(len, cut)) <= 2 * size
    assert len(cut) > 1


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece"])
def test_a_long_document_has_the_ids_of_the_whole(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(request.getfixturevalue(kind)())
    text = "The quick brown fox jumps over the lazy dog.\nprint a line\nof two words and\nfour five six\n" * 20
    (whole,) = encode_documents(tokenizer, [text])
    monkeypatch.setattr("core.data.tokens.tokenize.pieces", lambda text: pieces(text, 64))
    (cut,) = encode_documents(tokenizer, [text])
    assert cut.tolist() == whole.tolist()


def test_a_limit_in_the_file_cuts_nothing(byte_level: Callable[..., Path]) -> None:
    """Some published tokenizer.json files truncate to 512 tokens and pad, silently."""
    folder = byte_level()
    values = json.loads((folder / "tokenizer.json").read_text())
    values["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(values))
    (ids,) = encode_documents(load_tokenizer(folder), ["one two three four five six"])
    assert len(ids) > 10


def test_the_end_token_comes_from_the_configuration_or_is_asked_for(byte_level: Callable[..., Path]) -> None:
    assert load_tokenizer(byte_level(end="<|im_end|>")).end_token == "<|im_end|>"
    folder = byte_level()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(DataError, match=r"expected tokenizer_config.json beside it with an eos_token"):
        load_tokenizer(folder)  # <|endoftext|> and <|im_end|> could both be it
    (folder / "special_tokens_map.json").write_text('{"eos_token": {"content": "<|im_end|>"}}')
    assert load_tokenizer(folder).end_token == "<|im_end|>"
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<nowhere>"}')
    with pytest.raises(DataError, match="'<nowhere>'"):
        _ = load_tokenizer(folder).end_token_id


def test_a_tokenizer_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a tokenizer, found nothing there"):
        locate_tokenizer(str(tmp_path / "nope"))
    with pytest.raises(UsageError, match=r"expected a folder with tokenizer\.json"):
        locate_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="expected a tokenizer, found"):
        load_tokenizer(tmp_path)


def test_a_single_file_gets_a_configuration(trained: Path, tmp_path: Path) -> None:
    place = tmp_path / "alone.json"
    shutil.copyfile(trained / "tokenizer.json", place)
    tokenizer = load_tokenizer(place)
    copy_tokenizer(place, tmp_path / "copy", tokenizer)
    copied = load_tokenizer(tmp_path / "copy")
    assert copied.end_token == "<|endoftext|>"
    assert locate_tokenizer(str(place)) == place


def test_chat_templates_are_found_in_their_three_places(byte_level: Callable[..., Path], chatml: str) -> None:
    folder = byte_level()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for value in ("in config", [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "in config"}]):
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": value}))
        assert load_tokenizer(folder).chat_template == "in config"
    (folder / "chat_template.jinja").write_text(chatml)
    assert load_tokenizer(folder).chat_template == chatml
