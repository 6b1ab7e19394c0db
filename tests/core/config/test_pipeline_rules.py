"""Rules over the stages of a pipeline, and `--set NAME.section.field=VALUE`."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.phases import PipelineConfig, PrepareConfig
from core.config.presets import Draft, problems, resolve
from core.errors import ConfigurationError
from tests.core.config.cases import alignment, instruction_data, pipeline, preference_data, prepare, text_data, training


def trained(model: dict[str, Any], data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {**training("sft", data or instruction_data(tokenizer="model"), "run"), "model": model}


def stage(name: str) -> dict[str, str]:
    return {"kind": "run", "run": name}


PREPARED, SCRATCH = prepare(text_data()), training("pretrain", text_data())
JUDGE = alignment("reward")

BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "itself": (pipeline(SCRATCH, trained(stage("b"))), "pipeline.1.model.run", "this stage itself"),
    "later": (pipeline(trained(stage("b")), SCRATCH), "pipeline.0.model.run", "stage 2, which comes later"),
    "a model of data": (pipeline(PREPARED, trained(stage("a"))), "pipeline.1.model.run", "is of phase prepare"),
    "a model that scores": (pipeline(JUDGE, trained(stage("a"))), "pipeline.1.model.run", "writes text"),
    "data of a model": (pipeline(SCRATCH, trained({"kind": "gguf", "path": "smollm2"}, stage("a"))),
                        "pipeline.1.data.run", "prepared data, and a is of phase pretrain"),
    "text as instructions": (pipeline(PREPARED, trained({"kind": "gguf", "path": "smollm2"}, stage("a"))),
                             "pipeline.1.data.run", "prepares instructions, and a prepares text"),
    "a policy as judge": (pipeline(SCRATCH, alignment("ppo", rewards=[{"kind": "exact"}, stage("a")])),
                          "pipeline.1.rewards.1.run", "a reward model, and a is of phase pretrain"),
    "one name for two": ({**pipeline(SCRATCH), "pipeline": pipeline(SCRATCH)["pipeline"] * 2}, "pipeline.1.name",
                         "earlier stage too"),
    "a name of a field": ({**pipeline(), "pipeline": [{**SCRATCH, "name": "about"}]}, "pipeline.0.name",
                          "must not be one of about, phase, pipeline"),
    "a rule of a stage": (pipeline(PREPARED, {**SCRATCH, "batch": {"size": 5, "micro_size": 2, "sequence_length": 9}}),
                          "pipeline.1.batch.size", "multiple of batch.micro_size"),
    "no stages": (pipeline(), "pipeline", "1 to 100"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_the_only_problem_and_says_what_would_hold(name: str) -> None:
    values, path, words = BROKEN[name]
    (problem,) = problems(Draft(values))
    assert problem.path == path
    assert words in problem.message
    assert problem.found


def test_a_stage_may_name_a_run_and_several_stages_may_take_one() -> None:
    assert problems(Draft(pipeline(trained(stage("other-1")), trained(stage("a")), trained(stage("a"))))) == []
    assert problems(Draft(pipeline(JUDGE, {**JUDGE, "model": stage("a")}))) == [], "a reward model of another one"
    pairs = prepare({**preference_data(), "tokenizer": {"kind": "load", "path": "x"}})
    assert problems(Draft(pipeline(pairs, alignment("reward", stage("a")), alignment("dpo", stage("a"))))) == []


def test_set_reaches_a_stage_by_its_name_in_any_order() -> None:
    draft = Draft(pipeline(PREPARED, SCRATCH))
    config = resolve(draft, ["b.schedule.floor_ratio=0.3", "b.seed=5", "about.title=new", "b.schedule.kind=linear"])
    assert isinstance(config, PipelineConfig)
    first, second = config.pipeline
    assert (config.about.title, first.seed, second.seed) == ("new", 17, 5)
    assert not isinstance(second, PrepareConfig)
    assert second.schedule.kind == "linear"
    assert second.schedule.floor_ratio == 0.3
    assert resolve(draft, ["pipeline.1.seed=5"]) == resolve(draft, ["b.seed=5"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b.schedule.stepz=3", "--set b.schedule.stepz=3: pipeline.1.schedule.stepz: is not a field"),
        ("b.batch.size=5", "--set b.batch.size=5: pipeline.1.batch.size: must be a multiple"),
        ("z.batch.size=5", "--set z.batch.size=5: z: is not a field"),
        (
            "schedule.steps=5",
            "--set schedule.steps=5: schedule: is not a field of phase pipeline; allowed here: phase, "
            "about, pipeline, a, b",
        ),
    ],
)
def test_a_set_that_reaches_no_field_is_named_as_it_was_written(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(Draft(pipeline(PREPARED, SCRATCH)), [text])
    assert any(str(problem).startswith(words) for problem in caught.value.problems), caught.value


def test_a_stage_that_was_misspelt_is_suggested() -> None:
    draft = Draft({**pipeline(), "pipeline": [{**PREPARED, "name": "corpus"}]})
    with pytest.raises(ConfigurationError, match=r"corpsu: is not a field of phase pipeline.*; did you mean corpus\?"):
        resolve(draft, ["corpsu.seed=5"])
