"""A small helper process that speaks the lines of core/query.py, for the Data screen: `python data_helper.py FOLDER`.

It reads lines of text as documents and really applies the length filter, so that figures follow the draft. What a file
is called says how it behaves: slow.txt takes its time, counting.txt takes it for the trial only, broken.txt is refused,
columns.txt has no text, dead.txt ends the helper. Every question is written to FOLDER/questions.jsonl.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

EDGES = [0, 20, 40, 60, 80, 100, 120]
TOKENS = [("<|im_start|>", False, True), ("user\n", False, False), ("Name", False, False), (" a river", False, False),
          ("<|im_end|>", False, True), ("\n", False, False), ("The", True, False), (" Loire", True, False),
          (".", True, False), ("<|im_end|>", True, True)]  # fmt: skip


def texts(path: str) -> list[str]:
    name = Path(path).name
    if name == "broken.txt":
        raise ValueError(f"{name}: line 3: expected UTF-8, found byte 0xFF")
    if name == "dead.txt":
        os._exit(9)
    if name == "slow.txt":
        time.sleep(60)
    return Path(path).read_text(encoding="utf-8").splitlines()


def inspect(question: dict[str, Any]) -> dict[str, Any]:
    path = question["source"]["path"]
    found = texts(path)
    is_chat = "chat" in Path(path).name
    return {"container": "json_lines" if is_chat else "text", "format": "messages" if is_chat else "documents",
            "rows": len(found), "bad_rows": 1, "documents": len(found), "complete": True,
            "repaired": {}, "unusable_rows": 0,
            "column_details": [{"name": "text", "type": "text", "rows": len(found), "example": found[0][:30]}],
            "left_out": [{"what": "notes.lst", "reason": found[0][:30]}],
            "errors": [f"{Path(path).name}:3: {found[-1][:40]}"], "files": [],
            "bytes": sum(map(len, found))}  # fmt: skip


def documents(data: dict[str, Any]) -> list[str]:
    return [text for source in data["sources"] for text in texts(source["path"])]


def name_of(question: dict[str, Any]) -> str:
    return Path(question["data"]["sources"][0]["path"]).name


def preview(question: dict[str, Any]) -> dict[str, Any]:
    found = documents(question["data"])
    start, count = question["start"], question["rows"]
    rows = [{"number": start + n, "source": 0, "place": f"a.txt:{start + n + 1}", "kind": "document", "text": text,
             "characters": len(text)} for n, text in enumerate(found[start : start + count])]  # fmt: skip
    if name_of(question) == "columns.txt":
        rows = [{"place": row["place"], "kind": "columns", "values": {"title": row["text"], "size": 3}} for row in rows]
    if question["data"]["kind"] == "instructions":
        rows = [{"place": row["place"], "kind": "conversation", "turns": [
            {"role": "user", "text": row["text"], "supervised": False},
            {"role": "assistant", "text": "The Loire.", "supervised": True}]} for row in rows]  # fmt: skip
    return {"kind": question["data"]["kind"], "start": start, "total": len(found), "rows": rows, "bad_rows": 1}


def filter_report(question: dict[str, Any]) -> dict[str, Any]:
    """Try the length filters in their order; every other kind drops nothing."""
    if name_of(question) == "columns.txt":
        return {"documents": 0, "kept": 0, "bad_rows": 10, "errors": ["/a/columns.txt:1: expected the field 'text'"]}
    if name_of(question) == "counting.txt":
        print(
            json.dumps({"type": "progress", "stage": "reading", "done": 400, "total": 1000, "unit": "rows"}), flush=True
        )
        time.sleep(60)
    left = documents(question["data"])
    came, filters, dropped, languages = len(left), [], [], {"en": len(left) - 1, "fr": 1}
    for number, one in enumerate(question["data"]["filters"]):
        rules: dict[str, int] = {}
        kept = []
        for text in left:
            rule = ""
            if one["kind"] == "length" and len(text) < one["min_characters"]:
                rule = "length.too_short"
            elif one["kind"] == "length" and len(text) > one["max_characters"]:
                rule = "length.too_long"
            if rule:
                rules[rule] = rules.get(rule, 0) + 1
                dropped.append({"filter": number, "rule": rule, "value": f"characters: {len(text)}",
                                "place": f"a.txt:{left.index(text) + 1}", "text": text})  # fmt: skip
            else:
                kept.append(text)
        counts = {"input": len(left), "kept": len(kept), "dropped": rules, "changed": {}}
        filters.append({"filter": one["kind"], "settings": {}, "counts": counts, "threshold": None})
        left = kept
    bars = [sum(low <= len(text) < high for text in left) for low, high in pairwise(EDGES)]
    return {"documents": came, "kept": len(left), "filters": filters, "dropped": dropped, "languages": languages,
            "lengths": {"edges": EDGES, "counts": bars}, "complete": False,
            "estimate": {"documents": 10 * len(left), "tokens": 200 * len(left), "bytes": 400 * len(left),
                         "exact": False}}  # fmt: skip


def tokens(question: dict[str, Any]) -> dict[str, Any]:
    text = documents(question["data"])[question["row"]]
    marked = [("<|begin|>", False, True), (text, False, False), *TOKENS]
    shown = [{"id": n, "text": words, "loss": loss, "special": special} for n, (words, loss, special) in
             enumerate(marked)]  # fmt: skip
    if question["data"]["syntax"] is not None:
        classes = ["other", "name", *["whitespace", "keyword", "name", "string", "operator"] * 2]
        shown = [{**one, "class": name} for one, name in zip(shown, classes, strict=True)]
    return {"row": question["row"], "place": "a.txt:1", "tokens": shown, "template": "chat", "faults": [],
            "text": "".join(words for words, _, _ in marked), "left_out": 0, "further": []}  # fmt: skip


def main(folder: Path) -> None:
    verbs = {"inspect": inspect, "preview": preview, "filter_report": filter_report, "tokens": tokens}
    for line in sys.stdin:
        with (folder / "questions.jsonl").open("a", encoding="utf-8") as log:
            log.write(line)
        question = json.loads(line)
        try:
            answer = {"type": "result", **verbs[question["verb"]](question)}
        except (ValueError, OSError) as error:
            answer = {"type": "error", "message": str(error), "hint": "Fix the file.", "exit_code": 5}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
