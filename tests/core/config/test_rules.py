"""F82: rules over several fields, all reported at once and none of them hidden by a wrong field."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.presets import Draft, place_of, problems, set_value
from core.config.rules import cross_field_problems
from core.config.shapes import inner_value
from core.config.yaml_text import Value
from tests.core.config.cases import instruction_data, text_data, training, valid_cases

CASES = list(valid_cases())


def pretrain() -> dict[str, Any]:
    return training("pretrain", text_data())


def sft(tokenizer: str = "load") -> dict[str, Any]:
    return training("sft", instruction_data(tokenizer=tokenizer))


def adapted() -> dict[str, Any]:
    return {**sft(), "model": {"kind": "gguf", "path": "smollm2"}, "adapter": {"kind": "qlora"}}


def changed(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The values with `section__field=value`; `...` removes the field."""
    values = copy.deepcopy(values)
    for name, value in changes.items():
        *sections, last = name.split("__")
        within = values
        for section in sections:
            within = within[section]
        if value is ...:
            del within[last]
        else:
            within[last] = value
    return values


def filtered(*filters: dict[str, Any], instructions: bool = False, **fields: Any) -> dict[str, Any]:
    data = instruction_data() if instructions else text_data()
    return {"phase": "prepare", "about": {"title": "A case"}, "data": {**data, "filters": list(filters), **fields}}


def coded(**fields: Any) -> dict[str, Any]:
    return filtered(instructions=True, **{"template": "code", **fields})


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "two thresholds": (filtered({"kind": "perplexity", "model": "m", "max_perplexity": 9.0, "percentile": 9.0}),
                       "data.filters.0.percentile", "stands beside"),
    "no threshold": (filtered({"kind": "ngram_perplexity", "model": "m"}), "data.filters.0.percentile", "is missing"),
    "bounds": (filtered({"kind": "length", "min_characters": 200_000}), "data.filters.0.min_characters", "at most"),
    "answers of texts": (filtered({"kind": "instruction_quality"}), "data.filters.0.kind", "instructions"),
    "lines of answers": (filtered({"kind": "c4_quality"}, instructions=True), "data.filters.0.kind", "text"),
    "prompts of texts": (filtered({"kind": "exact_duplicates", "on": "prompt"}), "data.filters.0.on", "whole"),
    "tokens without weights": (filtered(mix={"by": "epochs", "tokens": 10}), "data.mix.tokens", "by weight"),
    "a share of once": (changed(pretrain(), data={**text_data(), "sources": [
        {"kind": "path", "path": "a", "share": 2.0}]}), "data.sources.0.share", "epochs, tokens or weight"),
    "pairs to imitate": (filtered(instructions=True, format="preference"), "data.format", "no single answer"),
    "micro size": (changed(pretrain(), batch__size=100, batch__micro_size=24), "batch.size",
                   "the nearest are 96 and 120 (or a micro_size of 20 or 25)"),
    "micro size above size": (changed(pretrain(), batch__size=8, batch__micro_size=12), "batch.size",
                              "the nearest are 12 (or a micro_size of 8)"),
    "warm-up": (changed(pretrain(), schedule__warmup_steps=10), "schedule.warmup_steps", "below schedule.steps (10)"),
    "steps and epochs": (changed(pretrain(), schedule__epochs=1), "schedule.epochs", "beside schedule.steps"),
    "neither steps nor epochs": (changed(pretrain(), schedule__steps=None), "schedule.steps", "one of them"),
    "no length": (changed(pretrain(), schedule__steps=...), "schedule.steps", "schedule.epochs"),
    "decay": (changed(training("pretrain", text_data(), schedule="warmup_stable_decay"), schedule__decay_ratio=0.9,
                      schedule__warmup_steps=2), "schedule.decay_ratio", "at most 0.8"),
    "hidden size": (changed(pretrain(), model__hidden_size=30), "model.hidden_size", "the nearest are 28 and 32"),
    "odd head": (changed(pretrain(), model__hidden_size=36), "model.hidden_size", "even"),
    "key value heads": (changed(pretrain(), model__key_value_heads=3), "model.key_value_heads", "nearest: 2 or 4"),
    "gpt2 key value heads": (changed(pretrain(), model__architecture="gpt2", model__key_value_heads=2),
                             "model.key_value_heads", "llama only"),
    "gpt2 rope": (changed(pretrain(), model__architecture="gpt2", model__rope_theta=5.0), "model.rope_theta",
                  "llama only"),
    "context": (changed(pretrain(), model__context_length=32), "batch.sequence_length", "model.context_length (32)"),
    "default context": (changed(pretrain(), batch__sequence_length=4096), "batch.sequence_length", "(2,048)"),
    "long examples": (changed(sft(), data__max_tokens=65), "data.max_tokens", "batch.sequence_length (64)"),
    "long examples by default": (changed(sft(), data__max_tokens=...), "data.max_tokens", "batch.sequence_length (64)"),
    "no held-out split": (changed(pretrain(), cadence={"evaluate_steps": 5}, data__held_out_fraction=0),
                          "cadence.evaluate_steps", "data.held_out_fraction is 0"),
    "no prompts": (changed(pretrain(), cadence={"sample_steps": 5}), "cadence.sample_steps", "sampling.prompts"),
    "cold sampling": (changed(pretrain(), sampling={"temperature": 1e-30}), "sampling.temperature", "at least 0.01"),
    "tokenizer of a scratch model": (changed(pretrain(), data__tokenizer={"kind": "model"}), "data.tokenizer.kind",
                                     "train or load"),
    "default tokenizer of a scratch model": (changed(sft(), data__tokenizer=...), "data.tokenizer.kind",
                                             "train or load"),
    "new tokenizer of an old model": (changed(pretrain(), model={"kind": "gguf", "path": "smollm2"}),
                                      "data.tokenizer.kind", "model or load"),
    "new tokenizer of a preset's model": (changed(pretrain(), model={"kind": "preset", "preset": "quickstart"}),
                                          "data.tokenizer.kind", "model or load"),
    "prepare without a model": ({"phase": "prepare", "about": {"title": "x"},
                                 "data": instruction_data(tokenizer="model")}, "data.tokenizer.kind", "train or load"),
    "prepare without a tokenizer": ({"phase": "prepare", "about": {"title": "x"},
                                     "data": changed({"data": instruction_data()}, data__tokenizer=...)["data"]},
                                    "data.tokenizer.kind", "train or load"),
    "small vocabulary": (changed(pretrain(), data__tokenizer={"kind": "train", "vocabulary_size": 260,
                                                              "special_tokens": ["a", "b", "c", "d"]}),
                         "data.tokenizer.vocabulary_size", "at least 261"),
    "special token twice": (changed(pretrain(), data__tokenizer={"kind": "train", "special_tokens": ["a", "a"]}),
                            "data.tokenizer.special_tokens", "twice"),
    "end of text": (changed(pretrain(), data__tokenizer={"kind": "train", "special_tokens": ["<|endoftext|>"]}),
                    "data.tokenizer.special_tokens", "always there"),
    "empty special token": (changed(pretrain(), data__tokenizer={"kind": "train", "special_tokens": [""]}),
                            "data.tokenizer.special_tokens", "empty"),
    "chat template": (changed(sft("train"), data__template="chat"), "data.template", "has no chat template"),
    "rows": (changed(sft(), data__sources=[{"kind": "json", "path": "a"}, {"kind": "files", "path": "a"}]),
             "data.sources.1.kind", "json, parquet, hub, functions"),
    "functions as texts": (filtered(sources=[{"kind": "functions"}]), "data.sources.0.kind", "data.kind instructions"),
    "code tokens of a new tokenizer": (coded(tokenizer={"kind": "train", "special_tokens": ["<|code|>"]}),
                                       "data.tokenizer.special_tokens", 'missing: "<|/code|>"'),
    "comment tokens of a new tokenizer": (
        coded(tokenizer={"kind": "train", "special_tokens": ["<|code|>", "<|/code|>"]},
              code_tokens={"mark_comments": True}),
        "data.tokenizer.special_tokens", 'missing: "<|comment|>", "<|/comment|>"'),
    "one code token for both": (coded(code_tokens={"code_begin": "`", "code_end": "`"}), "data.code_tokens.code_end",
                                "another token than data.code_tokens.code_begin"),
    "the end of text as a code token": (
        coded(tokenizer={"kind": "train", "special_tokens": ["<|code|>"]}, code_tokens={"code_end": "<|endoftext|>"}),
        "data.code_tokens.code_end", "not the end of text"),
    "marked comments of another template": (coded(template="alpaca", code_tokens={"mark_comments": True}),
                                            "data.code_tokens.mark_comments", "data.template code"),
    "gaps of a new tokenizer": (filtered(fill_in_the_middle={"rate": 0.5}), "data.tokenizer.special_tokens",
                                'data.fill_in_the_middle sets; missing: "<|fim_prefix|>"'),
    "one token for two gaps": (
        filtered(
            fill_in_the_middle={"rate": 0.5, "suffix_token": "<|fim_prefix|>"},
            tokenizer={"kind": "load", "path": "gpt2"},
        ),
        "data.fill_in_the_middle.suffix_token", "another token than data.fill_in_the_middle.prefix_token"),
    "a token of space": (filtered(tokenizer={"kind": "load", "path": "gpt2", "added_tokens": [" the"]}),
                         "data.tokenizer.added_tokens", "must not begin or end with space"),
    "a token added twice": (filtered(tokenizer={"kind": "load", "path": "gpt2", "added_tokens": ["a", "a"]}),
                            "data.tokenizer.added_tokens", "twice"),
    "packed text": (changed(pretrain(), data={"kind": "run", "run": "x", "pack": False}), "data.pack", "instructions"),
    "instructions across": (changed(sft(), data={"kind": "run", "run": "x", "attend_across_documents": True}),
                            "data.attend_across_documents", "text"),
    "unknown lexer": (filtered(syntax="pyton"), "data.syntax", "similar are python"),
    "lexer of responses": (changed(sft(), data__syntax="klingon"), "data.syntax", "a lexer of Pygments"),
    "rows without file names": (filtered(syntax="auto", sources=[{"kind": "json", "path": "a"}]), "data.syntax",
                                "name the language"),
    "lines of files": (filtered(syntax="auto", sources=[{"kind": "files", "path": "a", "document": "line"}]),
                       "data.syntax", "name the language"),
    "weights without marks": (changed(pretrain(), loss={"syntax_weights": {"comment": 0.5}}),
                              "loss.syntax_weights.comment", "set data.syntax"),
    "nothing to learn": (changed(pretrain(), data__syntax="python", loss={"syntax_weights": dict.fromkeys(
        ("keyword", "name", "operator", "literal", "string", "comment", "whitespace", "other"), 0)}),
        "loss.syntax_weights.other", "nothing would be learnt"),
    "flash attention in fp32": (changed(pretrain(), model__attention="flash_attention_2", precision={"dtype": "fp32"}),
                                "precision.dtype", "no fp32"),
    "additions to random weights": (changed(pretrain(), adapter={"kind": "lora"}), "adapter.kind", "scratch"),
    "4 bits of random weights": (changed(pretrain(), adapter={"kind": "qlora"}), "adapter.kind", "scratch"),
    "gradients in fp16": (changed(adapted(), adapter__compute_dtype="fp16", precision={"dtype": "bf16"}),
                          "adapter.compute_dtype", "precision.dtype bf16"),
    "gradients in fp16 by default": (changed(adapted(), adapter__compute_dtype="fp16"), "adapter.compute_dtype",
                                     "precision.dtype auto"),
    "nothing to evaluate on first": (changed(pretrain(), cadence={"evaluate_first": True}, data__held_out_fraction=0),
                                     "cadence.evaluate_first", "data.held_out_fraction is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_the_only_problem_and_says_what_would_hold(name: str) -> None:
    values, path, words = BROKEN[name]
    (problem,) = problems(Draft(values))
    assert problem.path == path
    assert words in problem.message
    assert problem.found or "missing" in problem.message or "beside" in problem.message


@pytest.mark.parametrize("values", CASES, ids=range(len(CASES)))
def test_a_valid_configuration_breaks_no_rule(values: dict[str, Any]) -> None:
    assert list(cross_field_problems(values)) == []


@pytest.mark.parametrize(
    "values",
    [
        changed(pretrain(), schedule__warmup_steps=9),
        changed(pretrain(), schedule__steps=None, schedule__epochs=0.5),
        changed(pretrain(), batch__size=4, batch__micro_size=4),
        changed(pretrain(), batch__sequence_length=2048),
        changed(pretrain(), model__architecture="gpt2", model__hidden_size=36),
        changed(pretrain(), data__held_out_fraction=0),
        changed(sft("train"), data__template="alpaca"),
        changed(sft(), data__template="chat"),
        coded(tokenizer={"kind": "train", "special_tokens": ["<|code|>", "<|/code|>"]}),
        coded(code_tokens={"code_begin": "<code>", "code_end": "</code>", "comment_begin": "<code>"}),
        filtered(
            fill_in_the_middle={"rate": 0.5},
            tokenizer={"kind": "load", "path": "gpt2", "added_tokens": ["<|fim_prefix|>"]},
        ),
        changed(pretrain(), data__tokenizer={"kind": "train", "vocabulary_size": 260, "special_tokens": list("abc")}),
        changed(pretrain(), model={"kind": "gguf", "path": "smollm2"}, data__tokenizer={"kind": "load", "path": "x"}),
        changed(pretrain(), cadence={"sample_steps": 5}, sampling={"prompts": ["a"], "temperature": 0.01}),
        changed(pretrain(), sampling={"temperature": 0}),
        changed(pretrain(), data__syntax="C++", loss={"syntax_weights": {"comment": 0, "name": 2.5}}),
        changed(pretrain(), data={"kind": "run", "run": "x"}, loss={"syntax_weights": {"comment": 0}}),
        changed(sft(), data__syntax="auto", loss={"syntax_weights": {"keyword": 2}}),
    ],
)
def test_the_edge_of_a_rule_holds(values: dict[str, Any]) -> None:
    assert problems(Draft(values)) == []


def test_rules_hold_together_and_beside_wrong_fields() -> None:
    values = changed(
        pretrain(), batch__size=100, batch__micro_size=24, schedule__warmup_steps=20, schedule__peak_learning_rate="x",
        model__layers=0, model__hidden_size=30, model__context_length=16, cadence={"sample_steps": 1, "log_steps": 0},
    )  # fmt: skip
    assert {problem.path for problem in problems(Draft(values))} == {
        "batch.size", "schedule.warmup_steps", "schedule.peak_learning_rate", "model.layers", "model.hidden_size",
        "batch.sequence_length", "cadence.sample_steps", "cadence.log_steps",
    }  # fmt: skip


def test_each_pair_of_broken_rules_is_reported_together() -> None:
    """Two broken rules in different sections of the same phase: both are named."""
    broken = {name: (values, path) for name, (values, path, _) in BROKEN.items() if values["phase"] == "pretrain"}
    valid = pretrain()
    for (one, path_one), (other, path_other) in itertools.combinations(broken.values(), 2):
        sections = [{key for key in case if case[key] != valid.get(key)} for case in (one, other)]
        if sections[0] & sections[1]:
            continue
        both = {**valid, **{key: one[key] for key in sections[0]}, **{key: other[key] for key in sections[1]}}
        found = {problem.path for problem in problems(Draft(both))}
        assert {path_one, path_other} <= found | _silenced(both)


def _silenced(values: dict[str, Any]) -> set[str]:
    """Paths whose rule the other change has made meaningless, by taking the field away."""
    paths = {path for _, path, _ in BROKEN.values()} | {"cadence.evaluate_steps", "data.tokenizer.kind"}
    if values["model"]["kind"] != "scratch" or values["data"]["kind"] == "run":
        return paths
    return set()


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([[], {"a": 1}])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_rules_never_raise_on_a_partial_or_wrong_draft(values: dict[str, Any], data: st.DataObject) -> None:
    draft = Draft(copy.deepcopy(values))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(_places(draft.values))))
        if data.draw(st.booleans()):
            within: Value = draft.values
            for step in place[:-1]:
                within = inner_value(within, step)
            assert isinstance(within, dict | list)
            del within[place[-1]]  # type: ignore[arg-type]
            if not draft.values:
                return
        else:
            draft = set_value(draft, place, data.draw(JUNK))
    for problem in cross_field_problems(draft.values):
        assert place_of(problem.path)
    assert all(str(problem) for problem in problems(draft))


def _places(value: Value, place: tuple[str | int, ...] = ()) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*place, step)
        yield from _places(item, (*place, step))
