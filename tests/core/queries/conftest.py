from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A tokenizer of whole words with a chat template; <|im_end|> ends a turn, <|endoftext|> a document."""
    folder = tmp_path / "words"
    folder.mkdir()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    said = ["ask", "say", "user", "assistant", "?", *map(str, range(10))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate([*specials, *said])}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    (folder / "chat_template.jinja").write_text(CHAT)
    return folder
