"""The models and rows that all processes of a contest share, made once: `python -m tests.benchmarks.workload PLAN`.

Footplate prepares and packs the rows and deals them out as in any run; the sequences of each step are then written
down, so that bare loops and other trainers train on the very same ones in the same order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Dtype = Literal["fp32", "bf16"]
Adapter = Literal["full", "lora", "qlora"]

LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.95)
EPSILON = 1e-8
MAX_GRAD_NORM = 1.0
SEED = 17
RANK = 16
ALPHA = 16.0
IGNORED = -100


@dataclass(frozen=True)
class Shape:
    """A model and the tokens of a step; layers 0 is the real SmolLM2-135M, vocabulary 0 its tokenizer."""

    name: str
    layers: int
    width: int
    heads: int
    vocabulary: int
    sequences: int
    length: int


SMALL = Shape("small", layers=6, width=256, heads=4, vocabulary=0, sequences=4, length=512)
SMALL_4096 = Shape("small-4096", layers=6, width=256, heads=4, vocabulary=4096, sequences=4, length=512)
SMOLLM2 = Shape("smollm2", layers=0, width=0, heads=0, vocabulary=0, sequences=2, length=512)
SMOLLM2_4 = Shape("smollm2-4", layers=0, width=0, heads=0, vocabulary=0, sequences=4, length=512)
TINY = Shape("tiny", layers=2, width=64, heads=2, vocabulary=600, sequences=2, length=128)


@dataclass(frozen=True)
class Plan:
    """What to make: for `shape` in `folder`, from `rows` (JSON lines), `steps` steps; `smollm2` is its folder."""

    shape: Shape
    folder: str
    rows: str
    steps: int
    smollm2: str

    def dumped(self) -> str:
        """Return the plan as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> Plan:
        """Return the plan that `dumped` wrote."""
        values = json.loads(text)
        return cls(**{**values, "shape": Shape(**values["shape"])})

    @property
    def home(self) -> Path:
        """Where Footplate keeps its runs and caches."""
        return Path(self.folder) / "home"

    @property
    def model(self) -> Path:
        """The model in the Hugging Face layout, tokenizer included, that everyone starts from."""
        return Path(self.folder) / "models" / self.shape.name if self.shape.layers else Path(self.smollm2)

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer."""
        return Path(self.folder) / f"tokenizer-{self.shape.vocabulary}" if self.shape.vocabulary else Path(self.smollm2)

    @property
    def steps_file(self) -> Path:
        """The sequences of every step."""
        return Path(self.folder) / f"{self.shape.name}.npz"


@dataclass(frozen=True)
class PackedSequence:
    """One packed sequence. Shapes: ids and targets (tokens,), targets shifted and -100 where no loss counts."""

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: tuple[int, ...]


def learning_rate(adapter: Adapter) -> float:
    """Return the rate of a race: additions that start at zero take ten times as much, or losses would hardly move."""
    return LEARNING_RATE if adapter == "full" else 10 * LEARNING_RATE


def adapter_section(adapter: Adapter) -> dict[str, Any]:
    """Return what is trained in a race: everything, or additions of rank 16 to the attention layers."""
    if adapter == "full":
        return {"kind": "full"}
    quantised = {"quantization": "nf4", "double_quantization": True} if adapter == "qlora" else {}
    return {"kind": adapter, "rank": RANK, "alpha": ALPHA, "dropout": 0.0, "targets": ["attention"], **quantised}


def preset(plan: Plan, *, dtype: Dtype, adapter: Adapter = "full", compiled: bool = False) -> dict[str, Any]:
    """Return Footplate's preset for a plan: defaults, where nothing else is said."""
    shape = plan.shape
    return {
        "phase": "sft",
        "about": {"title": "benchmark"},
        "seed": SEED,
        "model": {"kind": "pretrained", "path": str(plan.model), "compile": compiled},
        "adapter": adapter_section(adapter),
        "data": {
            "kind": "instructions",
            "sources": [{"kind": "json", "path": plan.rows}],
            "tokenizer": {"kind": "load", "path": str(plan.tokenizer)},
            "template": "alpaca",
            "max_tokens": shape.length,
            "accept": ["dropped_answers"],
            "held_out_fraction": 0.0,
            "max_bad_rows": 1.0,
        },
        "optimizer": {
            "kind": "adamw", "weight_decay": WEIGHT_DECAY, "betas": list(BETAS), "epsilon": EPSILON,
            "max_grad_norm": MAX_GRAD_NORM,
        },
        "schedule": {"kind": "constant", "peak_learning_rate": learning_rate(adapter), "steps": 1_000_000},
        "batch": {"size": shape.sequences, "micro_size": shape.sequences, "sequence_length": shape.length},
        "precision": {"dtype": dtype},
        "cadence": {"log_steps": 1},
    }  # fmt: skip


def write_steps(path: Path, steps: Sequence[Sequence[PackedSequence]]) -> None:
    """Write the sequences of each step."""
    flat = [sequence for step in steps for sequence in step]
    np.savez(
        path,
        ids=np.concatenate([sequence.ids for sequence in flat]),
        targets=np.concatenate([sequence.targets for sequence in flat]),
        lengths=np.array([length for sequence in flat for length in sequence.lengths]),
        documents=np.array([len(sequence.lengths) for sequence in flat]),
        sequences=np.array([len(step) for step in steps]),
    )


def read_steps(path: Path) -> list[list[PackedSequence]]:
    """Return what `write_steps` wrote."""
    with np.load(path) as stored:
        values = {name: stored[name] for name in stored.files}
    ends = np.cumsum(values["documents"])[:-1]
    lengths = [tuple(int(length) for length in part) for part in np.split(values["lengths"], ends)]
    cuts = np.cumsum([sum(part) for part in lengths])[:-1]
    parts = zip(np.split(values["ids"], cuts), np.split(values["targets"], cuts), lengths, strict=True)
    sequences = iter([PackedSequence(*part) for part in parts])
    return [[next(sequences) for _ in range(count)] for count in values["sequences"]]


def main() -> None:
    """Make what the plan says, and print what it came to."""
    from core.config.presets import dump_config, read_yaml, resolve
    from core.data.tokens.shards import TokenShards
    from core.data.tokens.tokenizer_files import train_tokenizer
    from core.run.directory import Home
    from core.run.launch import create_run
    from core.run.session import Session
    from core.training.batches import Batches, Deal, InstructionRows
    from core.training.setup import prepared_tokens

    plan = Plan.loaded(sys.argv[1])
    plan.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if plan.shape.vocabulary and not plan.tokenizer.exists():
        lines = Path(plan.rows).read_text(encoding="utf-8").splitlines()
        texts = [text for line in lines for text in json.loads(line).values()]
        train_tokenizer(texts, vocabulary_size=plan.shape.vocabulary, folder=plan.tokenizer)
    config: Any = resolve(read_yaml(json.dumps(preset(plan, dtype="fp32")), "benchmark.yaml"))
    run = create_run(Home(plan.home), f"prepare-{plan.shape.name}", "benchmark", dump_config(config))
    with Session.open(run, config, 1) as session:
        tokens = prepared_tokens(config, session, kind="instructions", model=None)
    if plan.shape.layers:
        _save_fresh_model(plan, tokens.folder, tokens.manifest)

    rows = InstructionRows(TokenShards(tokens.folder, "train"), length=plan.shape.length, pack=True)
    batches = Batches(rows, Deal(plan.shape.sequences, plan.shape.sequences, seed=SEED))
    steps: list[list[PackedSequence]] = []
    for _ in range(plan.steps):
        numbers = [number for batch in batches.next_step() for number in batch.rows]
        steps.append([PackedSequence(rows[n].ids, rows[n].targets, rows[n].lengths) for n in numbers])
    write_steps(plan.steps_file, steps)
    print(json.dumps({**_model_facts(plan.model), **_step_facts(steps)}))


def _save_fresh_model(plan: Plan, folder: Path, manifest: Any) -> None:
    from core.config.model import ScratchModel
    from core.model.load import Vocabulary, build_model, save_model

    shape = plan.shape
    scratch = ScratchModel(
        kind="scratch", layers=shape.layers, hidden_size=shape.width, heads=shape.heads, context_length=2048
    )
    vocabulary = Vocabulary(manifest.vocabulary_size, manifest.end_token_id)
    save_model(
        build_model(scratch, folder=None, vocabulary=vocabulary, seed=SEED),
        folder / "tokenizer",
        plan.model,
    )


def _model_facts(folder: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="np") as file:
        sizes = {name: int(np.prod(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    head = int(config["vocab_size"]) * int(config["hidden_size"])
    outside = sum(size for name, size in sizes.items() if "embed_tokens" in name or "lm_head" in name)
    return {
        "parameters": sum(sizes.values()),
        "body_parameters": sum(sizes.values()) - outside,
        "head_parameters": head,
        "vocabulary": int(config["vocab_size"]),
        "layers": int(config["num_hidden_layers"]),
        "width": int(config["hidden_size"]),
        "feed_forward": int(config["intermediate_size"]),
    }


def _step_facts(steps: Sequence[Sequence[PackedSequence]]) -> dict[str, Any]:
    """Return for each step the tokens, the targets, the documents and the sum of squares of their lengths."""
    return {
        "tokens": [sum(len(s.ids) for s in step) for step in steps],
        "targets": [int(sum((s.targets != IGNORED).sum() for s in step)) for step in steps],
        "documents": [sum(len(s.lengths) for s in step) for step in steps],
        "square_lengths": [sum(length**2 for s in step for length in s.lengths) for step in steps],
    }


if __name__ == "__main__":
    main()
