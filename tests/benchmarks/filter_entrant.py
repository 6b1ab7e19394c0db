"""One side of the contest of filters: reads a slice `start stop` a line, judges those documents, says how long it took.

`footplate` and `language` run in this repository's environment; `datatrove` in one of its own, and imports nothing
from here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

MIN_CHARACTERS, MAX_CHARACTERS = 50, 100_000


def main() -> None:
    """Judge what is asked for until the input ends."""
    side, path = sys.argv[1], Path(sys.argv[2])
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").split("\n") if line]
    judge = {"footplate": _footplate, "language": _language, "datatrove": _datatrove}[side]()
    judge(texts[0])  # loads what is loaded late
    print(json.dumps({"ready": len(texts)}), flush=True)
    for line in sys.stdin:
        start, stop = map(int, line.split())
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        rules = [judge(text) for text in texts[start:stop]]
        took = time.perf_counter() - seconds, time.process_time() - cpu_seconds
        print(json.dumps({"seconds": took[0], "cpu_seconds": took[1], "rules": rules}), flush=True)


def _footplate() -> Callable[[str], str]:
    from core.config.filters import GopherQualityFilter, GopherRepetitionFilter, LengthFilter
    from core.data.filters.build import text_filter
    from core.data.filters.verdict import Dropped

    filters = [
        text_filter(LengthFilter(kind="length", min_characters=MIN_CHARACTERS, max_characters=MAX_CHARACTERS)),
        text_filter(GopherQualityFilter(kind="gopher_quality")),
        text_filter(GopherRepetitionFilter(kind="gopher_repetition")),
    ]

    def judge(text: str) -> str:
        for check in filters:
            if isinstance(verdict := check(text), Dropped):
                return verdict.rule
        return ""

    return judge


def _language() -> Callable[[str], str]:
    from core.data.filters.language import identifier

    identify = identifier()
    return lambda text: identify(text)[0]


def _datatrove() -> Callable[[str], str]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter, LambdaFilter

    filters = [
        LambdaFilter(lambda document: MIN_CHARACTERS <= len(document.text) <= MAX_CHARACTERS),
        GopherQualityFilter(),
        GopherRepetitionFilter(),
    ]

    def judge(text: str) -> str:
        document = Document(text=text, id="")
        for check in filters:
            # Called as its pipeline calls it, without what the pipeline itself costs.
            verdict = check.filter(document)
            if verdict is not True:
                return verdict[1] if isinstance(verdict, tuple) else "length"
        return ""

    return judge


if __name__ == "__main__":
    main()
