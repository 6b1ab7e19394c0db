"""Questions with lettered options as conversations: MedQA and MedMCQA.

MedQA (Jin et al. 2020): question, options {"A": ..., "B": ...} or a list, answer_idx (a letter), answer (its text).
MedMCQA (Pal et al. 2022): question, opa to opd, cop (which is right), exp (why, may be missing). The data set on the
hub counts cop from 0, with -1 where the answer is withheld; its first release, as JSON lines, counts from 1. Which of
them a file is, its first 200 rows say: a 4 means from 1, a 0 from 0, neither the hub's way. A row that says otherwise
is a bad row.

The options are the input of the question; the answer is the letter with its text, then the explanation after a blank
line.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from core.config.sources import Columns
from core.data.formats.columns import has, lookup, names, optional_text, required, required_text
from core.data.formats.conversation import Conversation, Turn
from core.data.rows import Row
from core.data.sources.reading import check_text
from core.data.tally import RowError, show

QUESTION = ("question", "Question")
_OPTIONS = ("opa", "opb", "opc", "opd", "ope")
_LOOKED_AT = 200


def is_multiple_choice(values: dict[str, Any], columns: Columns) -> bool:
    """Whether a row has a question, options, and which of them is right."""
    if not has(values, names(columns.prompt, *QUESTION)):
        return False
    if all(key in values for key in ("opa", "opb", "cop")):
        return True
    return isinstance(values.get("options"), dict | list) and "answer_idx" in values


def first_number(stream: Iterable[Row]) -> tuple[Iterator[Row], int]:
    """Return the stream again, and from which number, 0 or 1, its rows count their options."""
    stream = iter(stream)
    head = list(islice(stream, _LOOKED_AT))
    said = {str(row.values.get("cop")) for row in head}
    return chain(head, stream), int("4" in said and "0" not in said)


def from_options(values: dict[str, Any], columns: Columns, first: int, repairs: set[str]) -> list[Conversation]:
    """Return the conversation of a row, none where its answer is withheld; numbers count from `first`.

    Raises: RowError where the row lacks something, with what was expected.
    """
    question = required_text(values, names(columns.prompt, *QUESTION))
    options = _options(values)
    letter = _right(values, list(options), first)
    if letter is None:
        repairs.add("unanswered_left_out")
        return []
    _check_answer(values, options, letter)
    if first:
        repairs.add("options_counted_from_one")
    listed = "\n".join(f"{name}. {text}" for name, text in options.items())
    because = optional_text(values, names(columns.response, "exp", "explanation")).strip()
    answer = f"{letter}. {options[letter]}"
    system = optional_text(values, names(columns.system, "system"))
    head = (Turn("system", system),) if system else ()
    said = Turn("assistant", f"{answer}\n\n{because}" if because else answer)
    return [Conversation((*head, Turn("user", question, listed), said))]


def _options(values: dict[str, Any]) -> dict[str, str]:
    """Return the options by their letters; of MedMCQA those that have a text."""
    if "opa" in values:
        named = {letter: values.get(key) for letter, key in zip(string.ascii_uppercase, _OPTIONS, strict=False)}
        named = {letter: text for letter, text in named.items() if text not in (None, "")}
    else:
        named = _listed(required(values, ("options",)))
    if len(named) < 2:
        raise RowError("format", f"expected two options at least, found {show(named)}")
    for letter, text in named.items():
        if not isinstance(text, str) or not text.strip():
            raise RowError("format", f"expected text in option {letter}, found {show(text)}")
        check_text(text)
    return {letter: str(text).strip() for letter, text in named.items()}


def _listed(options: object) -> dict[str, Any]:
    if isinstance(options, dict):
        return {str(key): text for key, text in options.items() if text is not None}
    if not isinstance(options, list) or len(options) > len(string.ascii_uppercase):
        raise RowError("format", f"expected an object or a list in 'options', found {show(options)}")
    pairs = [one for one in options if isinstance(one, dict) and {"key", "value"} <= one.keys()]
    if pairs and len(pairs) == len(options):
        return {str(one["key"]): one["value"] for one in pairs}
    return dict(zip(string.ascii_uppercase, options, strict=False))


def _right(values: dict[str, Any], letters: list[str], first: int) -> str | None:
    """Return the letter of the right option, None where it is withheld."""
    said = lookup(values, ("cop", "answer_idx"))
    if said in (None, "", -1, "-1"):
        return None
    text = str(said).strip()
    by_letter = next((letter for letter in letters if letter.lower() == text.lower()), None)
    if by_letter is not None:
        return by_letter
    every = letters if "opa" not in values else list(string.ascii_uppercase[: len(_OPTIONS)])
    if text.isdecimal() and first <= int(text) < first + len(every) and every[int(text) - first] in letters:
        return every[int(text) - first]
    expected = f"one of {', '.join(letters)} or a number from {first} to {first + len(letters) - 1}"
    raise RowError("format", f"expected as the right option {expected}, found {show(said)}")


def _check_answer(values: dict[str, Any], options: dict[str, str], letter: str) -> None:
    stated = values.get("answer")
    if isinstance(stated, str) and stated.strip() not in ("", options[letter], letter):
        raise RowError(
            "format", f"expected the answer of option {letter}, {show(options[letter])}, found {show(stated)}"
        )
