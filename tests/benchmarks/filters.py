"""Filters: documents a second and core of length, Gopher quality and Gopher repetition, beside datatrove's.

And of telling the language, on its own. The sides judge the same slice of the documents in turns, each in a process of
its own, in an order that is reversed every time; a ratio is of the same slice, so a machine that is busy with something
else slows all alike. Reading and writing are not counted on any side, nor what datatrove's pipeline costs besides its
filters.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.options import Options
from tests.benchmarks.referee import ROOT, environment

_SLICES = 24
_SHOWN_DIFFERENCES = 40
RULES = {
    "length": ("length.too_short", "length.too_long"),
    "gopher_short_doc": ("gopher_quality.too_few_words",),
    "gopher_long_doc": ("gopher_quality.too_many_words",),
    "gopher_below_avg_threshold": ("gopher_quality.short_words",),
    "gopher_above_avg_threshold": ("gopher_quality.long_words",),
    "gopher_too_many_hashes": ("gopher_quality.hashes",),
    "gopher_too_many_ellipsis": ("gopher_quality.ellipses",),
    "gopher_too_many_bullets": ("gopher_quality.bullet_lines",),
    "gopher_too_many_end_ellipsis": ("gopher_quality.ellipsis_lines",),
    "gopher_below_alpha_threshold": ("gopher_quality.alphabetic_words",),
    "gopher_enough_stop_words": ("gopher_quality.stop_words",),
    "dup_para_frac": ("gopher_repetition.duplicate_paragraphs",),
    "dup_para_char_frac": ("gopher_repetition.duplicate_paragraph_characters",),
    "dup_line_frac": ("gopher_repetition.duplicate_lines",),
    "dup_line_char_frac": ("gopher_repetition.duplicate_line_characters",),
    **{f"top_{n}_gram": (f"gopher_repetition.top_{n}_gram",) for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": (f"gopher_repetition.duplicate_{n}_grams",) for n in range(5, 11)},
    "": ("",),
}
"""datatrove's rule: Footplate's of the same meaning."""


def measure(options: Options) -> dict[str, Any]:
    """Return documents a second, and beside datatrove the ratio, the agreement and every document that differs.

    Raises: RuntimeError where a side ends early; ValueError where there are no documents.
    """
    path = options.folder / "documents.jsonl"
    texts = list(_texts(options))
    if not texts:
        raise ValueError(f"{options.documents}: expected JSON lines with a text, found none")
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    sides = {"footplate": Path(sys.executable), "language": Path(sys.executable)}
    if options.datatrove is not None:
        sides["datatrove"] = options.datatrove
    processes = {name: _started(name, python, path, options) for name, python in sides.items()}
    try:
        courses = _judged(processes, len(texts))
    finally:
        for process in processes.values():
            _close(process)
    facts: dict[str, Any] = {"documents": len(texts), "characters": sum(map(len, texts)), "load": os.getloadavg()[0]}
    for name, answers in courses.items():
        facts[f"{name}_documents_per_second"] = len(texts) / sum(answer["seconds"] for answer in answers)
        facts[f"{name}_documents_per_cpu_second"] = len(texts) / sum(answer["cpu_seconds"] for answer in answers)
    return {**facts, **_compared(courses, texts)} if "datatrove" in courses else facts


def _compared(courses: dict[str, list[dict[str, Any]]], texts: list[str]) -> dict[str, Any]:
    pairs = list(zip(courses["datatrove"], courses["footplate"], strict=True))
    ratios = [theirs["cpu_seconds"] / ours["cpu_seconds"] for theirs, ours in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    ours, theirs = (_rules(courses[name]) for name in ("footplate", "datatrove"))
    kept = sum(bool(mine) == bool(other) for mine, other in zip(ours, theirs, strict=True))
    differences = [
        f"{number}: footplate {mine or 'keeps it'}, datatrove {other or 'keeps it'}: {texts[number][:60]!r}"
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True))
        if mine not in RULES.get(other, ())
    ]
    for line in differences[:_SHOWN_DIFFERENCES]:
        print(f"  document {line}")
    whole = [sum(answer["cpu_seconds"] for answer in courses[name]) for name in ("datatrove", "footplate")]
    return {
        "ratio_of_cpu_time": whole[0] / whole[1],
        "median_ratio_of_a_slice": statistics.median(ratios),
        "lower_quartile": low,
        "upper_quartile": high,
        "dropped_by_footplate": sum(map(bool, ours)),
        "dropped_by_datatrove": sum(map(bool, theirs)),
        "same_verdict": kept / len(texts),
        "same_rule": 1 - len(differences) / len(texts),
        "differences": differences,
    }


def _rules(answers: list[dict[str, Any]]) -> list[str]:
    return [rule for answer in answers for rule in answer["rules"]]


def _texts(options: Options) -> Iterator[str]:
    if options.documents is None:
        yield from _docstrings(100 if options.quick else 2000)
        return
    for line in options.documents.read_text(encoding="utf-8").split("\n"):
        if line.strip() and isinstance(text := json.loads(line).get("text"), str) and text:
            yield text


def _docstrings(most: int) -> Iterator[str]:
    """Yield the docstrings of modules of the standard library, a module's as one document: prose that is at hand."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")) + sorted(
        Path(sysconfig.get_path("stdlib")).glob("[a-z]*/*.py")
    )
    for path in paths[:most]:
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
        if text := "\n\n".join(filter(None, map(ast.get_docstring, nodes))):
            yield text


def _started(name: str, python: Path, path: Path, options: Options) -> subprocess.Popen[str]:
    command = [str(python), str(Path(__file__).with_name("filter_entrant.py")), name, str(path)]
    env = environment(1)
    if name == "datatrove":
        env.pop("PYTHONPATH")
    with (options.folder / f"filters-{name}.log").open("ab") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        _answer(process, name)
    except RuntimeError as error:
        _close(process)
        raise RuntimeError(f"{error}: {(options.folder / f'filters-{name}.log').read_text()[-300:]}") from None
    return process


def _judged(processes: dict[str, subprocess.Popen[str]], number: int) -> dict[str, list[dict[str, Any]]]:
    courses: dict[str, list[dict[str, Any]]] = {name: [] for name in processes}
    bounds = [number * part // _SLICES for part in range(_SLICES + 1)]
    for part in range(_SLICES):
        order = list(processes) if part % 2 == 0 else list(reversed(processes))
        for name in order:
            pipe = processes[name].stdin
            assert pipe is not None
            pipe.write(f"{bounds[part]} {bounds[part + 1]}\n")
            pipe.flush()
            courses[name].append(_answer(processes[name], name))
    return courses


def _answer(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the side of {name} ended with {process.wait(timeout=30)}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
