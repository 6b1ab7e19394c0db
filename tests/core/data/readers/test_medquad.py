"""MedQuAD: one row a pair."""

from __future__ import annotations

from pathlib import Path

from core.data.readers.medquad import read_medquad
from core.data.tally import Tally

XML = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000099" source="MADE" url="http://health.example/cold">
<Focus>Common Cold</Focus>
<FocusAnnotations><UMLS><CUIs><CUI>C0009443</CUI></CUIs></UMLS></FocusAnnotations>
<QAPairs>
    <QAPair pid="1">
        <Question qid="0000099-1" qtype="information">What is (are) Common Cold ?</Question>
        <Answer>A cold is mild &amp; common.

                It passes in
                a week.</Answer>
    </QAPair>
    <QAPair pid="2"><Question qid="0000099-2" qtype="treatment">How to treat it?</Question><Answer/></QAPair>
    <QAPair pid="3"><Answer>Of what?</Answer></QAPair>
</QAPairs>
</Document>"""


def test_pairs_are_rows_with_their_topic(tmp_path: Path) -> None:
    path = tmp_path / "0000099.xml"
    path.write_text(XML)
    tally = Tally("medquad", 1.0)
    rows = list(read_medquad(path, tally))
    assert [row.values for row in rows] == [{
        "question": "What is (are) Common Cold ?", "answer": "A cold is mild & common.\n\nIt passes in\na week.",
        "qtype": "information", "focus": "Common Cold", "source": "MADE", "url": "http://health.example/cold",
        "qid": "0000099-1",
    }]  # fmt: skip
    assert (tally.rows, tally.empty, tally.bad) == (3, 1, {"format": 1})
    assert tally.errors[0].startswith(f"{path}:row 3: expected a QAPair to have a Question")
