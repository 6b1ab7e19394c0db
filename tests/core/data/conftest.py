"""Small tokenizers of two kinds, built here: byte-level BPE, and one with metaspaces like SentencePiece."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CHATML = """
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# In the manner of Llama 2: brings its own begin token, ends an answer with the end token, trims what is said.
BRACKETS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% else %}{{ raise_exception('no system turn') }}"
    "{% endif %}{% endfor %}"
)

# In the manner of Qwen 3: only the last answer has its (empty) thoughts.
THINKING = """
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' and loop.last %}
{{- '<think></think>' }}
{%- endif %}
{{- message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

WORDS = [
    "### Instruction:\nSay hello.\n\n### Input:\nin French\n\n### Response:\nBonjour, le monde!",
    "<|im_start|>user\nWhat is two and two?<|im_end|>\n<|im_start|>assistant\nFour.<|im_end|>\n",
    "The quick brown fox jumps over the lazy dog. Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. 日本語",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n",
]


@pytest.fixture
def byte_level(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a byte-level BPE tokenizer that ends text with <|endoftext|>."""

    def make(chat_template: str | None = None, *, end: str = "<|endoftext|>", name: str = "byte_level") -> Path:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=specials,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(WORDS, trainer)
        return _saved(tokenizer, tmp_path / name, {"eos_token": end}, chat_template)

    return make


@pytest.fixture
def sentence_piece(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a unigram tokenizer with metaspaces that puts <s> before every text."""

    def make(chat_template: str | None = None, *, scheme: str = "first", name: str = "sentence_piece") -> Path:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        trainer = trainers.UnigramTrainer(
            vocab_size=200,
            special_tokens=["<unk>"],
            unk_token="<unk>",
            initial_alphabet=sorted(
                set("".join(WORDS)) | set(string.ascii_letters + string.digits + string.punctuation + "\t\n")
            ),
            show_progress=False,
        )
        tokenizer.train_from_iterator(WORDS * 4, trainer)
        tokenizer.add_special_tokens(
            [AddedToken(name, special=True, normalized=False) for name in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")]
        )
        begin = tokenizer.token_to_id("<s>")
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
        names = {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
        return _saved(tokenizer, tmp_path / name, names, chat_template)

    return make


@pytest.fixture
def byte_fallback(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a BPE whose unknown characters become bytes (<0xE6>), with <s> before every text.

    `scheme` llama: a space is put before every text, as Llama 2 and Mistral do; gemma: none is.
    """

    def make(chat_template: str | None = None, *, scheme: str = "llama", name: str = "byte_fallback") -> Path:
        draft = Tokenizer(models.BPE())
        draft.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        draft.train_from_iterator(WORDS[:2], trainers.BpeTrainer(vocab_size=200, show_progress=False))
        learnt = json.loads(draft.to_str())["model"]
        names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learnt["vocab"]]
        vocabulary = {token: number for number, token in enumerate(dict.fromkeys(names))}
        merges = [tuple(pair) for pair in learnt["merges"]]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        spaces = normalizers.Replace(" ", "▁")
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        if scheme == "llama":
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
            steps.append(decoders.Strip(" ", 1, 0))
        else:
            tokenizer.normalizer = spaces
        tokenizer.decoder = decoders.Sequence(steps)
        specials = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
        tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        config = {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
        return _saved(tokenizer, tmp_path / name, config, chat_template)

    return make


def _saved(tokenizer: Tokenizer, folder: Path, names: dict[str, str], chat_template: str | None) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    values = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template)
    return folder


@pytest.fixture
def chatml() -> str:
    """A chat template that writes every turn between <|im_start|> and <|im_end|>."""
    return CHATML


@pytest.fixture
def begun_chatml() -> str:
    """The same, with the begin token written by the template."""
    return "{{- bos_token }}" + CHATML


@pytest.fixture
def thinking() -> str:
    """A chat template that drops the thoughts of earlier answers, in the manner of Qwen 3."""
    return THINKING


@pytest.fixture
def brackets() -> str:
    """A chat template that brings its own begin token and trims content."""
    return BRACKETS


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five files a unit, so that a small corpus has several."""
    monkeypatch.setattr("core.data.cleaning.plan.GROUP_PARTS", 5)
