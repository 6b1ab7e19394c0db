"""Valid drafts that together use every section, and every field of each, found by walking the types."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
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
REWARDS: tuple[dict[str, Value], ...] = (
    {"kind": "run", "run": "judge"},
    {"kind": "classifier", "path": "owner/name"},
    {"kind": "python", "path": "rewards.py"},
    {"kind": "exact"},
    {"kind": "regex", "pattern": "[0-9]+"},
)
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


def preference_data(source: str = "json") -> dict[str, Any]:
    return {"kind": "preferences", "sources": [copy.deepcopy(SOURCES[source])], "max_tokens": 64}


def prompt_data(source: str = "json") -> dict[str, Any]:
    return {"kind": "prompts", "sources": [copy.deepcopy(SOURCES[source])], "max_tokens": 32}


def alignment(phase: str, data: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A preset of phase reward, dpo, ppo or grpo, with every section that it may have."""
    has_rollouts = phase in ("ppo", "grpo")
    values = training(phase, data or (prompt_data() if has_rollouts else preference_data()), "gguf")
    del values["loss"]
    if phase != "dpo":
        del values["sampling"]
    if has_rollouts:
        values["rewards"] = [dict(reward) for reward in REWARDS]
        values["rollout"] = {"responses": 16, "max_new_tokens": 32}
    return {**values, phase: {}, **sections}


def prepare(data: dict[str, Any]) -> dict[str, Any]:
    return {"phase": "prepare", "about": {"title": "A case"}, "data": data}


def pipeline(*stages: dict[str, Any]) -> dict[str, Any]:
    """A pipeline of presets, named a, b, c."""
    named = [{**copy.deepcopy(stage), "name": "abcdefghij"[index]} for index, stage in enumerate(stages)]
    return {"phase": "pipeline", "about": {"title": "A case"}, "pipeline": named}


def valid_cases() -> Iterator[dict[str, Any]]:
    yield from _likelihood_cases()
    yield from _alignment_cases()
    yield _whole_path()


def _alignment_cases() -> Iterator[dict[str, Any]]:
    loaded = {"tokenizer": dict(TOKENIZERS["load"])}
    damaged = {**preference_data("functions"), "damage": {"rule": "cut"}, "code_tokens": {}, "mix": {}}
    yield prepare({**damaged, **loaded, "template": "code"})
    yield prepare({**prompt_data("parquet"), **loaded, "filters": [{"kind": "exact_duplicates", "on": "prompt"}]})
    for phase in ("reward", "dpo", "ppo", "grpo"):
        for adapter in ADAPTERS:
            yield alignment(phase, adapter=dict(adapter))
        yield alignment(phase, {"kind": "run", "run": "prepared-1"}, model=dict(MODELS["run"]))
    yield alignment("reward", {**preference_data(), "damage": {}, "accept": ["dropped_answers"]})
    for loss in ("sigmoid", "ipo", "hinge", "orpo", "kto"):
        yield alignment("dpo", dpo={"loss": loss})


def _whole_path() -> dict[str, Any]:
    """A stage of each phase, each with what an earlier one made."""
    scratch = training("pretrain", {"kind": "run", "run": "a"})
    tuned = training("sft", instruction_data(tokenizer="model"), "run")
    tuned["model"]["run"] = "b"
    model = {"kind": "run", "run": "c"}
    scored = [{"kind": "run", "run": "d"}]
    return pipeline(
        prepare(text_data()), scratch, tuned, alignment("reward", model=model), alignment("dpo", model=model),
        alignment("ppo", model=model, rewards=scored), alignment("grpo", model=model, rewards=scored),
    )  # fmt: skip


def _likelihood_cases() -> Iterator[dict[str, Any]]:
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


@cache
def all_fields() -> list[tuple[dict[str, Any], Place]]:
    """Each field once for every place in which it can stand, with a valid draft in which it does: not to be changed."""
    seen: dict[tuple[Place, type[Section]], tuple[dict[str, Any], Place]] = {}
    for values in valid_cases():
        for place, section, _ in fields_in(values, root_shape()):
            seen.setdefault(_outside_of_pipelines(place, section), (values, place))
    return list(seen.values())


def _outside_of_pipelines(place: Place, section: type[Section]) -> tuple[Place, type[Section]]:
    """A field of a stage as that of its preset, of which it has all: a pipeline takes six times as long to check."""
    is_stage = len(place) == 3 and place[0] == "pipeline"
    return (place[2:] if place[0] == "pipeline" else place), section.__bases__[-1] if is_stage else section


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
