"""MedQuAD: questions and answers on health, in XML files of one topic each.

Source: Ben Abacha and Demner-Fushman 2019, https://arxiv.org/abs/1901.08079
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.data.readers.xml_stream import paragraphs_of, text_of, xml_records
from core.data.rows import Row
from core.data.tally import RowError, Tally


def read_medquad(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row a question-answer pair: question, answer, qtype, focus, source, url, qid.

    A pair whose answer was withheld (three of the twelve collections have none, for copyright) is counted as empty.
    """
    for record in xml_records(path, frozenset({"Document"}), tally):
        document = record.element
        known = {
            "focus": text_of(document.find("Focus")),
            "source": document.get("source", ""),
            "url": document.get("url", ""),
        }
        for number, pair in enumerate(document.iter("QAPair"), 1):
            tally.rows += 1
            place = f"{path}:row {number}"
            question = pair.find("Question")
            if question is None or not text_of(question):
                tally.refuse(place, RowError("format", "expected a QAPair to have a Question, found none"))
                continue
            answer = paragraphs_of(pair.find("Answer"))
            if not answer:
                tally.empty += 1
                continue
            values = {"question": text_of(question), "answer": answer, "qtype": question.get("qtype", "")}
            yield Row({**values, **known, "qid": question.get("qid", "")}, place)
