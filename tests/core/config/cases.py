"""Valid drafts that together use every section, and every field of each, found by walking the types."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from core.config.drafts import Draft
from core.config.section import Section
from core.config.shapes import FieldShape, ListShape, SectionShape, Shape, UnionShape, fields_of, root_shape, section_at
from core.config.yaml_text import Place, Value

SOURCES: dict[str, dict[str, Value]] = {
    "path": {"kind": "path", "path": "anything", "columns": {}},
    "code": {"kind": "code", "path": "repository"},
    "functions": {"kind": "functions"},
    "standard_library": {"kind": "standard_library"},
    "files": {"kind": "files", "path": "texts"},
    "json": {"kind": "json", "path": "rows.jsonl"},
    "parquet": {"kind": "parquet", "path": "rows"},
    "hub": {"kind": "hub", "name": "owner/name"},
}
FILTERS: list[dict[str, Value]] = [
    {"kind": "length"},
    {"kind": "language"},
    {"kind": "gopher_quality"},
    {"kind": "gopher_repetition"},
    {"kind": "fineweb_quality"},
    {"kind": "personal_data"},
    {"kind": "deidentify"},
    {"kind": "contamination", "references": ["benchmark.jsonl"]},
    {"kind": "exact_duplicates"},
    {"kind": "near_duplicates"},
    {"kind": "perplexity", "model": "smollm2", "percentile": 90.0},
    {"kind": "ngram_perplexity", "model": "words.arpa", "max_perplexity": 1000.0},
]
CLUSTERS: list[dict[str, Value]] = [{"kind": "local"}, {"kind": "slurm", "partition": "cpu"}, {"kind": "ray"}]
MODELS: dict[str, dict[str, Value]] = {
    "scratch": {"kind": "scratch", "layers": 2, "hidden_size": 32, "heads": 4},
    "pretrained": {"kind": "pretrained", "path": "folder"},
    "gguf": {"kind": "gguf", "path": "smollm2"},
    "run": {"kind": "run", "run": "earlier-1"},
    "preset": {"kind": "preset", "preset": "quickstart"},
}
TOKENIZERS: dict[str, dict[str, Value]] = {
    "train": {"kind": "train"},
    "load": {"kind": "load", "path": "gpt2"},
    "model": {"kind": "model"},
}
ADAPTERS: tuple[dict[str, Value], ...] = ({"kind": "full"}, {"kind": "lora"}, {"kind": "qlora"})
SCHEDULES = ("constant", "linear", "cosine", "warmup_stable_decay")
BATCH: dict[str, Value] = {"size": 8, "micro_size": 4, "sequence_length": 64}


def text_data(source: str = "files", tokenizer: str = "train") -> dict[str, Any]:
    return {"kind": "text", "sources": [copy.deepcopy(SOURCES[source])], "tokenizer": dict(TOKENIZERS[tokenizer])}


def instruction_data(source: str = "json", tokenizer: str = "load") -> dict[str, Any]:
    data = text_data(source, tokenizer)
    return {**data, "kind": "instructions", "max_tokens": 64}


def training(phase: str, data: dict[str, Any], model: str = "scratch", schedule: str = "cosine") -> dict[str, Any]:
    return {
        "phase": phase,
        "about": {"title": "A case"},
        "model": copy.deepcopy(MODELS[model]),
        "data": data,
        "schedule": {"kind": schedule, "peak_learning_rate": 1e-3, "steps": 10},
        "batch": dict(BATCH),
        "optimizer": {"kind": "adamw"},
        "precision": {},
        "cadence": {},
        "sampling": {},
        "loss": {"syntax_weights": {}},
    }


def valid_cases() -> Iterator[dict[str, Any]]:
    for source in (kind for kind in SOURCES if kind != "functions"):
        yield {"phase": "prepare", "about": {"title": "A case"}, "data": text_data(source)}
        yield training("pretrain", text_data(source))
    filters = copy.deepcopy(FILTERS)
    mix: dict[str, Value] = {"by": "weight", "tokens": 1000}
    texts = {**text_data("path"), "filters": [*filters, {"kind": "c4_quality"}], "mix": mix}
    for cluster in CLUSTERS:
        yield {"phase": "prepare", "about": {"title": "A case"}, "data": texts, "cluster": dict(cluster)}
    rows = {**instruction_data("path"), "filters": [*filters, {"kind": "instruction_quality"}]}
    yield {"phase": "prepare", "about": {"title": "A case"}, "data": rows}
    for schedule in SCHEDULES:
        yield training("pretrain", text_data(), schedule=schedule)
        yield training("sft", instruction_data(), "gguf", schedule)
    for model in MODELS:
        yield training("pretrain", text_data(tokenizer="train" if model == "scratch" else "model"), model)
        yield training("sft", instruction_data("parquet", "load" if model == "scratch" else "model"), model)
    for adapter in ADAPTERS:
        yield {**training("sft", instruction_data(tokenizer="model"), "gguf"), "adapter": dict(adapter)}
        yield {**training("pretrain", text_data(tokenizer="model"), "gguf"), "adapter": dict(adapter)}
    code = {**instruction_data("functions"), "template": "code", "code_tokens": {}, "syntax": "auto"}
    yield {"phase": "prepare", "about": {"title": "A case"}, "data": code}
    filled = {**text_data("code", "load"), "fill_in_the_middle": {"rate": 0.5}, "syntax": "python"}
    yield {"phase": "prepare", "about": {"title": "A case"}, "data": filled}
    yield {"phase": "prepare", "about": {"title": "A case"}, "data": instruction_data("hub")}
    yield training("sft", {"kind": "run", "run": "prepared-1"}, "run")
    yield training("pretrain", {"kind": "run", "run": "prepared-1"})


def fields_in(values: Value, shape: Shape, place: Place = ()) -> Iterator[tuple[Place, type[Section], FieldShape]]:
    """Every field of every section that these values have, with its place."""
    if isinstance(shape, ListShape) and isinstance(values, list):
        for index, item in enumerate(values):
            yield from fields_in(item, shape.item, (*place, index))
    section = section_at(shape, values)
    if section is None or not isinstance(values, dict):
        return
    for name, field in fields_of(section).items():
        yield (*place, name), section, field
        yield from fields_in(values.get(name), field.shape, (*place, name))


def all_fields() -> list[tuple[dict[str, Any], Place]]:
    """Each field once for every place in which it can stand, with a valid draft in which it does."""
    seen: dict[tuple[Place, type[Section]], tuple[dict[str, Any], Place]] = {}
    for values in valid_cases():
        for place, section, _ in fields_in(values, root_shape()):
            seen.setdefault((place, section), (values, place))
    return list(seen.values())


def sections_reachable(shape: Shape) -> set[type[Section]]:
    """Every section that the types allow below a shape."""
    match shape:
        case SectionShape():
            found = {shape.section}
        case UnionShape():
            found = set(shape.members.values())
        case ListShape():
            return sections_reachable(shape.item)
        case _:
            return set()
    inner = [sections_reachable(field.shape) for section in found for field in fields_of(section).values()]
    return found.union(*inner)


def draft(values: dict[str, Any]) -> Draft:
    return Draft(copy.deepcopy(values), file="case.yaml")
