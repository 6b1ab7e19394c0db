"""Runs llama.cpp's converter as a program: `python -m core.model.gguf_runner CONVERTER ARGUMENT ...`.

The converter knows the pre-tokenizers of published models by hash. A tokenizer that was trained here is none of them,
so what it splits text by is read from its tokenizer.json instead; one that cannot be named is still refused.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_GPT2 = "gpt-2"


def main() -> None:
    """Run the converter that the first argument names, with the arguments that follow."""
    script = Path(sys.argv[1]).resolve()
    sys.argv = [str(script), *sys.argv[2:]]
    sys.path.insert(0, str(script.parent))  # its own modules, and its own state of the library `gguf`
    try:
        from conversion.base import ModelBase, TextModel  # type: ignore[import-not-found]
    except ImportError:  # llama.cpp before 2026 has one file, without what is adapted here
        pass
    else:
        adapt(TextModel)
        ModelBase.load_hparams = staticmethod(with_context_length(ModelBase.load_hparams))
    runpy.run_path(str(script), run_name="__main__")


def adapt(model_class: Any) -> None:
    """Let a tokenizer trained here be named, and one without tokenizer.model be read without sentencepiece."""
    known: Callable[[Any, Any], str] = model_class.get_vocab_base_pre
    read: Callable[[Any], tuple[Any, Any, Any]] = model_class._create_vocab_sentencepiece

    def pre_tokenizer(self: Any, tokenizer: Any) -> str:
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            if not splits_as_gpt2(Path(self.dir_model)):
                raise
            return _GPT2

    def sentencepiece(self: Any) -> tuple[Any, Any, Any]:
        if not (Path(self.dir_model) / "tokenizer.model").is_file():
            raise FileNotFoundError("tokenizer.model")  # as it would say itself, were sentencepiece installed
        return read(self)

    model_class.get_vocab_base_pre = pre_tokenizer
    model_class._create_vocab_sentencepiece = sentencepiece


def with_context_length(load: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return `load` with GPT-2's n_ctx, which transformers no longer writes: it is n_positions."""

    def loaded(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        values = load(*arguments, **keywords)
        if "n_positions" in values:
            values.setdefault("n_ctx", values["n_positions"])
        return values

    return loaded


def splits_as_gpt2(folder: Path) -> bool:
    """Tell whether a folder's tokenizer splits text by GPT-2's expression alone (Radford et al. 2019)."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    splits = tokenizer.get("pre_tokenizer") or {}
    return (
        tokenizer.get("normalizer") is None
        and splits.get("type") == "ByteLevel"
        and splits.get("use_regex", True)
        and not splits.get("add_prefix_space", True)
    )


if __name__ == "__main__":
    main()
