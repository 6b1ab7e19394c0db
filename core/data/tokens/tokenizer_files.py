"""Tokenizers as files in the Hugging Face layout: trained, found, loaded, copied."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from core.data.tokens.tokenize import TextTokenizer, pieces
from core.errors import DataError, UsageError

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip
_KNOWN_ENDS = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>")


def train_tokenizer(
    texts: Iterable[str], *, vocabulary_size: int, special_tokens: Sequence[str] = (), folder: Path
) -> None:
    """Train a byte-level BPE on `texts` and write it to `folder` in the Hugging Face layout.

    Ids: <|endoftext|> is 0, the further special tokens follow, then the 256 bytes, then the merges. The pre-tokenizer
    is GPT-2's (Radford et al. 2019). The result depends on the texts only, not on threads.

    Raises: DataError where the texts do not yield so many tokens.
    """
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(dict.fromkeys([END_OF_TEXT, *special_tokens])),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
    found = backend.get_vocab_size()
    if found != vocabulary_size:
        raise DataError(
            f"data.tokenizer.vocabulary_size: expected {vocabulary_size} tokens, the text has only {found}",
            hint=f"Set it to {found} or less, or give more text.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    write_tokenizer_config(folder, end_token=END_OF_TEXT, begin_token=END_OF_TEXT)


def write_tokenizer_config(folder: Path, *, end_token: str, begin_token: str = "") -> None:
    """Write the tokenizer_config.json from which transformers loads tokenizer.json."""
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end_token,
        "pad_token": end_token,
        "clean_up_tokenization_spaces": False,
    }
    if begin_token:
        values["bos_token"] = begin_token
    (folder / "tokenizer_config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def locate_tokenizer(path: str) -> Path:
    """Return the folder or tokenizer.json that a `load` tokenizer names, fetching it from the hub where it is a name.

    Raises: UsageError where it is neither here nor on the hub.
    """
    place = Path(path).expanduser()
    if place.is_file() or (place / "tokenizer.json").is_file():
        return place
    if place.is_dir():
        raise UsageError(
            f"{place}: expected a folder with tokenizer.json, found none in it",
            hint="Load the tokenizer with transformers and save it with save_pretrained to get one.",
        )
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):
        raise UsageError(f"{place}: expected a tokenizer, found nothing there", hint="Name a folder or a hub name.")
    return _fetched(path)


def load_tokenizer(place: Path) -> TextTokenizer:
    """Return the tokenizer of a folder, or of a tokenizer.json alone.

    Raises: UsageError where it is not there; DataError where it cannot be read or names no end token.
    """
    file = place if place.is_file() else place / "tokenizer.json"
    if not file.is_file():
        raise UsageError(f"{place}: expected tokenizer.json, found none", hint="Save it with save_pretrained.")
    try:
        backend = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises nothing narrower for a file that it cannot read
        raise DataError(f"{file}: expected a tokenizer, found: {error}") from error
    # Some published files cut every text at 512 tokens, without a word.
    backend.no_truncation()
    backend.no_padding()
    config = {} if place.is_file() else _config_of(place)
    names = {key: _token_text(config.get(key)) for key in ("eos_token", "bos_token", "pad_token", "unk_token")}
    end = names["eos_token"] or _known_end(backend, file)
    begin = names["bos_token"]
    adds = config.get("add_bos_token")
    if not isinstance(adds, bool):
        adds = bool(begin) and backend.encode("a").ids[:1] == [backend.token_to_id(begin)]
    return TextTokenizer(
        backend=backend,
        end_token=end,
        begin_token=begin,
        adds_begin_token=adds and bool(begin),
        pad_token=names["pad_token"],
        unknown_token=names["unk_token"],
        chat_template=_chat_template(place, config),
    )


def copy_tokenizer(place: Path, folder: Path, tokenizer: TextTokenizer) -> None:
    """Copy the files of a tokenizer to `folder`, as they are; add a configuration where there was none."""
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_file():
        shutil.copyfile(place, folder / "tokenizer.json")
    else:
        for name in TOKENIZER_FILES:
            if (place / name).is_file():
                shutil.copyfile(place / name, folder / name)
    if not (folder / "tokenizer_config.json").exists():
        write_tokenizer_config(folder, end_token=tokenizer.end_token, begin_token=tokenizer.begin_token)


def _config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        file = folder / name
        if not file.is_file():
            continue
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: expected a JSON object, found: {error}") from error
        if not isinstance(values, dict):
            raise DataError(f"{file}: expected a JSON object, found {type(values).__name__}")
        config.update({key: value for key, value in values.items() if value is not None})
    return config


def _token_text(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _known_end(backend: Tokenizer, file: Path) -> str:
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    found = [name for name in _KNOWN_ENDS if name in added]
    if len(found) != 1:
        raise DataError(
            f"{file}: expected tokenizer_config.json beside it with an eos_token, found none",
            hint=f"Add one; the file's special tokens are {', '.join(sorted(added)) or 'none'}.",
        )
    return found[0]


def _chat_template(place: Path, config: dict[str, Any]) -> str | None:
    if place.is_dir() and (place / "chat_template.jinja").is_file():
        return (place / "chat_template.jinja").read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name, as of the tool-using models
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) and template else None


def _fetched(name: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=list(TOKENIZER_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            f"{name}: expected a folder, a tokenizer.json or a name on the hub, found: {error}",
            hint="Check the name and the network; `footplate fetch smollm2` brings a tokenizer that needs no hub.",
        ) from error
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"{name}: expected tokenizer.json on the hub, found none")
    return folder
