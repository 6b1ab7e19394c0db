"""Rows of JSON: a value a line, one array, one object of records, and the object that SQuAD is; in constant memory.

Inside an array or an object nothing tells where the next record begins after a syntax error, so there it is an error;
a broken line is a bad row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.readers.json_window import Decoder, Window
from core.data.readers.lines import WHOLE, Span, lines_of
from core.data.readers.opening import opened
from core.data.rows import Row
from core.data.tally import RowError, Tally, show
from core.errors import DataError


def read_json_lines(path: Path, tally: Tally, span: Span = WHOLE) -> Iterator[Row]:
    """Yield one row for every line that is not blank: an object, or a string as the column `text`.

    A line above 64 MiB, invalid UTF-8 or JSON, a repeated key, and a value that is neither are bad rows.

    Raises: DataError where the file cannot be read or decompressed.
    """
    decoder = Decoder()
    with lines_of(path, span) as lines:
        for line in lines:
            if line.data is not None and line.data.isspace():
                continue
            tally.rows += 1
            try:
                row = Row(_record(decoder.decode(line.text())), line.place)
            except RowError as error:
                tally.refuse(line.place, RowError(error.code, f"{error} (the line begins at byte {line.offset})"))
                continue
            yield row


def read_json_array(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row for every element of a JSON array: an object, or a string as the column `text`.

    Raises: DataError where it is no array, or breaks off.
    """
    with opened(path) as file:
        window = Window(file, path)
        yield from _elements(window, tally)
        window.end()


def read_json_object(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield the records of an object: each of its objects, with its key as `id`, and those in its arrays.

    A record that has an `id` of its own has the key as `key`. What is neither object nor array says something about
    the whole and is passed over.

    Raises: DataError where it is no object, breaks off, or has no records.
    """
    before = tally.rows
    others: list[str] = []
    with opened(path) as file:
        window = Window(file, path)
        for key, place in window.members():
            match window.peek():
                case "[":
                    yield from _elements(window, tally)
                case "{":
                    try:
                        record = _record(window.next_value())
                    except RowError as error:
                        tally.rows += 1
                        tally.refuse(place, error)
                        continue
                    tally.rows += 1
                    yield Row({"key" if "id" in record else "id": key, **record}, place)
                case _:
                    window.next_value()
                    others.append(key)
        window.end()
    if others and tally.rows == before:
        raise DataError(
            f"{path}: expected an object whose values are records or lists of them, found the keys "
            f"{', '.join(map(show, others[:10]))} with single values",
            hint="Write one record a line (JSON Lines), or a list of records.",
        )


def read_squad(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row a question of SQuAD 1.1 or 2.0: context, question, answers, is_impossible, title, id.

    Source: Rajpurkar et al. 2016 and 2018, https://rajpurkar.github.io/SQuAD-explorer/; `answers` are the distinct
    texts of a question's answers, in order; [] where there is none.

    Raises: DataError where it is no JSON object, or breaks off.
    """
    with opened(path) as file:
        window = Window(file, path)
        for key, _ in window.members():
            if key != "data":
                window.next_value()
                continue
            for place in window.elements():
                try:
                    article = _record(window.next_value())
                except RowError as error:
                    tally.rows += 1
                    tally.refuse(place, error)
                    continue
                yield from _questions(article, place, tally)
        window.end()


def _elements(window: Window, tally: Tally) -> Iterator[Row]:
    for place in window.elements():
        try:
            row = Row(_record(window.next_value()), place)
        except RowError as error:
            tally.rows += 1
            tally.refuse(place, error)
            continue
        tally.rows += 1
        yield row


def _record(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"text": value}
    raise RowError("json", f"expected a JSON object, found {type(value).__name__}")


def _questions(article: dict[str, Any], place: str, tally: Tally) -> Iterator[Row]:
    title = article.get("title")
    for paragraph in _objects(article.get("paragraphs"), place, "paragraphs", tally):
        context = paragraph.get("context")
        for question in _objects(paragraph.get("qas"), place, "qas", tally):
            tally.rows += 1
            where = f"{place}:question {show(question.get('id'))}"
            try:
                yield Row({"title": title, "context": context, **_question(context, question)}, where)
            except RowError as error:
                tally.refuse(where, error)


def _question(context: object, question: dict[str, Any]) -> dict[str, Any]:
    text = question.get("question")
    if not isinstance(context, str) or not isinstance(text, str):
        raise RowError("squad", f"expected a context and a question, found {show(context)} and {show(text)}")
    answers = question.get("answers", [])
    if not isinstance(answers, list) or not all(
        isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers
    ):
        raise RowError("squad", f"expected a list of answers with text, found {show(answers)}")
    return {
        "question": text,
        "answers": list(dict.fromkeys(answer["text"] for answer in answers)),
        "is_impossible": bool(question.get("is_impossible", False)),
        "id": question.get("id"),
    }


def _objects(value: object, place: str, key: str, tally: Tally) -> Iterator[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        yield from value
    else:
        tally.rows += 1
        tally.refuse(place, RowError("squad", f"expected {key} to be a list of objects, found {show(value)}"))
