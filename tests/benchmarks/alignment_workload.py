"""What the entrants of an alignment race share, made once: `python -m tests.benchmarks.alignment_workload PLAN`.

Footplate prepares pairs and prompts and deals them out as in any run; the tokens of each step are then written down, so
that the others train on the very same ones in the same order. A reward model with an untrained head is written too:
every reward race begins with that head, and PPO is judged by it.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tests.benchmarks.rows import made_rows
from tests.benchmarks.workload import BETAS, EPSILON, LEARNING_RATE, MAX_GRAD_NORM, SEED, WEIGHT_DECAY, Dtype, Plan

Method = Literal["reward", "dpo", "grpo", "ppo"]
METHODS: tuple[Method, ...] = ("reward", "dpo", "grpo", "ppo")
BETA = 0.1
CLIP = 0.2
KL_COEFFICIENT = 0.05
EPOCHS = 4
"""Of PPO on each rollout, as in the textbook's step."""
TEMPERATURE = 1.0
REWARD_RUN = "judge"
REWARD_FUNCTION = """\
def reward(prompts, responses, answers):
    return [len(set(response)) / 100 for response in responses]
"""
"""How many different characters a response has: hardly ever the same for a whole group, and it costs nothing."""


@dataclass(frozen=True)
class AlignmentPlan:
    """What to make: `base` has the model; pairs and prompts are files of rows, `steps` how many of each are dealt out.

    pairs_a_step: of reward and DPO. responses: of a rollout, in groups of `group` for GRPO. new_tokens: their longest.
    """

    base: Plan
    pairs: str
    prompts: str
    steps: int
    pairs_a_step: int
    responses: int
    group: int
    new_tokens: int
    longest: int
    """Tokens of a prompt with its answer, or of a prompt alone, at most."""

    def dumped(self) -> str:
        """Return the plan as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> AlignmentPlan:
        """Return the plan that `dumped` wrote."""
        values = json.loads(text)
        return cls(**{**values, "base": Plan.loaded(json.dumps(values["base"]))})

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return Path(self.base.folder) / "alignment" / self.base.shape.name

    @property
    def pair_steps(self) -> Path:
        """The pairs of every step: a list of steps, each a list of objects of token ids, prompt, chosen, rejected."""
        return self.folder / "pairs.json"

    @property
    def prompt_steps(self) -> dict[Method, Path]:
        """The prompts of every rollout: a list of rollouts, each a list of texts."""
        return {"grpo": self.folder / "grpo.json", "ppo": self.folder / "ppo.json"}

    @property
    def reward_model(self) -> Path:
        """A sequence classifier in the Hugging Face layout."""
        return self.base.home / "runs" / REWARD_RUN / "model"

    @property
    def reward_function(self) -> Path:
        """A Python file with the reward of GRPO."""
        return self.folder / "reward.py"


def entered() -> tuple[AlignmentPlan, Dtype, Method]:
    """Return what the command line of an entrant names: PLAN DTYPE METHOD."""
    path, dtype, method = sys.argv[1:4]
    dtypes: dict[str, Dtype] = {"fp32": "fp32", "bf16": "bf16"}
    methods: dict[str, Method] = {known: known for known in METHODS}
    return AlignmentPlan.loaded(path), dtypes[dtype], methods[method]


def preset(plan: AlignmentPlan, method: Method, *, dtype: Dtype) -> dict[str, Any]:
    """Return Footplate's preset of a race: defaults, where nothing else is said."""
    is_paired = method in ("reward", "dpo")
    size = plan.pairs_a_step if is_paired else plan.responses
    sequence = plan.longest if is_paired else plan.longest + plan.new_tokens
    return {
        "phase": method,
        "about": {"title": "benchmark"},
        "seed": SEED,
        "model": {"kind": "pretrained", "path": str(plan.base.model)},
        "data": {
            "kind": "preferences" if is_paired else "prompts",
            "sources": [{"kind": "path", "path": plan.pairs if is_paired else plan.prompts}],
            "tokenizer": {"kind": "load", "path": str(plan.base.tokenizer)},
            "max_tokens": plan.longest,
            "held_out_fraction": 0.0,
            "max_bad_rows": 1.0,
            **({"accept": ["dropped_answers"]} if is_paired else {}),
        },
        "optimizer": {
            "kind": "adamw", "weight_decay": WEIGHT_DECAY, "betas": list(BETAS), "epsilon": EPSILON,
            "max_grad_norm": MAX_GRAD_NORM,
        },
        "schedule": {"kind": "constant", "peak_learning_rate": LEARNING_RATE / 10, "steps": 1_000_000},
        "batch": {"size": size, "micro_size": size, "sequence_length": sequence},
        "precision": {"dtype": dtype},
        "cadence": {"log_steps": 1},
        **_of_method(plan, method),
    }  # fmt: skip


def _of_method(plan: AlignmentPlan, method: Method) -> dict[str, Any]:
    rollout = {
        "responses": plan.responses, "max_new_tokens": plan.new_tokens, "temperature": TEMPERATURE,
        "micro_size": plan.responses,
    }  # fmt: skip
    match method:
        case "reward":
            return {"reward": {}}
        case "dpo":
            return {"dpo": {"loss": "sigmoid", "beta": BETA}}
        case "grpo":
            rewards = [{"kind": "python", "path": str(plan.reward_function)}]
            return {"rewards": rewards, "rollout": rollout, "grpo": {"group": plan.group, "clip": CLIP}}
        case "ppo":
            ppo = {"epochs": EPOCHS, "clip": CLIP, "kl": "loss", "kl_coefficient": KL_COEFFICIENT, "value": "shared"}
            return {"rewards": [{"kind": "run", "run": REWARD_RUN}], "rollout": rollout, "ppo": ppo}


def write_made_pairs(path: Path) -> None:
    """Write pairs made by code, whose worse answer has its words in another order."""
    path.write_text("".join(json.dumps(row) + "\n" for row in _pairs()), encoding="utf-8")


def write_made_prompts(path: Path) -> None:
    """Write the prompts of rows made by code."""
    path.write_text("".join(json.dumps({"prompt": row["instruction"]}) + "\n" for row in made_rows()), encoding="utf-8")


def _pairs() -> Iterator[dict[str, str]]:
    generator = random.Random(19)
    for row in made_rows():
        words = row["output"].split()
        if len(set(words)) > 1:
            other = generator.sample(words, len(words))
            yield {"prompt": row["instruction"], "chosen": row["output"], "rejected": " ".join([*other[1:], other[0]])}


def main() -> None:
    """Make what the plan says, and print how many tokens the steps have."""
    plan = AlignmentPlan.loaded(sys.argv[1])
    plan.folder.mkdir(parents=True, exist_ok=True)
    plan.base.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    plan.reward_function.write_text(REWARD_FUNCTION, encoding="utf-8")
    pairs = _dealt_pairs(plan)
    plan.pair_steps.write_text(json.dumps(pairs), encoding="utf-8")
    for method, path in plan.prompt_steps.items():
        path.write_text(json.dumps(_dealt_prompts(plan, method)), encoding="utf-8")
    tokens = [sum(len(ids) for pair in step for ids in pair.values()) for step in pairs]
    print(json.dumps({"pair_tokens": tokens}))


def _dealt_pairs(plan: AlignmentPlan) -> list[list[dict[str, list[int]]]]:
    from core.run.session import Session
    from core.training.batches import Batches
    from core.training.pairs import pack_pairs
    from core.training.preference import dealt_out, prepared_preferences

    config, run = _new_run(plan, "reward", f"prepare-pairs-{plan.base.shape.name}")
    with Session.open(run, config, 1) as session:
        preferences = prepared_preferences(config, session)
        rows = preferences.rows("train")
        _write_reward_model(plan, preferences.tokens)
    batches = Batches(rows, dealt_out(config), pack=pack_pairs)
    return [[_as_ids(rows[n]) for batch in batches.next_step() for n in batch.rows] for _ in range(plan.steps)]


def _as_ids(row: Any) -> dict[str, list[int]]:
    better, worse = row.sides
    asked = int(better.supervised.argmax())
    ids = {"prompt": better.ids[:asked], "chosen": better.ids[asked:], "rejected": worse.ids[asked:]}
    return {name: part.tolist() for name, part in ids.items()}


def _write_reward_model(plan: AlignmentPlan, tokens: Any) -> None:
    """Write what a finished reward run leaves, its head as a new one is drawn."""
    from core.model.load import load_folder
    from core.model.reward_model import begin_reward_model, save_reward_model
    from core.model.reward_record import RewardRecord, tokenizer_digest

    _, run = _new_run(plan, "reward", REWARD_RUN)
    tokenizer, manifest = tokens.folder / "tokenizer", tokens.manifest
    model = load_folder(plan.base.model)
    begin_reward_model(model, seed=SEED)
    record = RewardRecord(
        template=manifest.template, code_tokens=manifest.code_tokens, tokenizer_digest=tokenizer_digest(tokenizer)
    )
    ends = manifest.stop_token_ids
    save_reward_model(model, run.model, record=record, tokenizer=tokenizer, stop_token_ids=ends)


def _dealt_prompts(plan: AlignmentPlan, method: Method) -> Sequence[Sequence[str]]:
    from core.data.tokens.shards import TokenShards
    from core.data.tokens.tokenizer_files import load_tokenizer
    from core.run.session import Session
    from core.training.batches import Batches, Deal
    from core.training.rollout import PromptRows, as_they_are
    from core.training.setup import prepared_tokens

    config, run = _new_run(plan, method, f"prepare-{method}-{plan.base.shape.name}")
    with Session.open(run, config, 1) as session:
        tokens = prepared_tokens(config, session, kind="prompts", model=plan.base.model)
    size = plan.responses // (plan.group if method == "grpo" else 1)
    rows = PromptRows(TokenShards(tokens.folder, "train"), longest=plan.longest)
    batches = Batches(rows, Deal(size, size, seed=SEED), pack=as_they_are)
    backend = load_tokenizer(tokens.folder / "tokenizer").backend
    steps: list[list[str]] = []
    for _ in range(plan.steps):
        (prompts,) = batches.next_step()
        texts = [backend.decode(list(prompt.ids), skip_special_tokens=False) for prompt in prompts]
        back = [backend.encode(text, add_special_tokens=False).ids for text in texts]
        assert back == [list(prompt.ids) for prompt in prompts], "a prompt's text gives other tokens"
        steps.append(texts)
    return steps


def _new_run(plan: AlignmentPlan, method: Method, name: str) -> tuple[Any, Any]:
    from core.config.presets import dump_config, read_yaml, resolve
    from core.run.directory import Home
    from core.run.launch import create_run

    config: Any = resolve(read_yaml(json.dumps(preset(plan, method, dtype="fp32")), "benchmark.yaml"))
    return config, create_run(Home(plan.base.home), name, "benchmark", dump_config(config))


if __name__ == "__main__":
    main()
