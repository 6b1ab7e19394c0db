"""Measure Footplate: `python -m tests.benchmarks [NAME ...] [--data PATH] [--json FILE] [--quick]`.

On an idle machine of two cores all of it takes about an hour; `--model`, `--dtype` and `--steps` cut it down.

Names (all, where none is given):

- training: Footplate's own path, loop and run directory included, beside bare loops with the same model, rows,
  optimizer, precision and threads: dense-full, dense-supervised, documents-supervised. To reach: 0.98 of the best.
- peers: the same beside transformers.Trainer and TRL's SFTTrainer with packing, without gradient checkpointing as
  Footplate runs, and once with it, as SFTConfig has it unless told otherwise.
- adapters: LoRA in fp32 and bf16 and QLoRA (NF4, double quantisation) on the attention layers, rank 16, beside a bare
  loop with peft (documents-supervised) and TRL's SFTTrainer with peft. To reach: 0.98 of the bare loop; LoRA 1.7 times
  TRL in fp32 and 2 times in bf16, with at most 0.93 and 0.85 of its memory.
- compiled: Footplate with `model.compile: true` beside itself without, and the bare loop; the time of compiling apart.
- reward, dpo, grpo: TRL's RewardTrainer, DPOTrainer and GRPOTrainer on the same tokens, SmolLM2: 2 `--pairs` a step of
  at most 512 tokens a side; 8 responses of at most 64 tokens in groups of 4 to `--prompts`. To reach: DPO 2.5 times as
  many pairs a second with at most 0.6 of the memory, reward 1.5 times, GRPO 1.5 times. TRL asks the reference in each
  step, Footplate once before the first: the column "reference counted" is as if each pair were seen once only.
- ppo: beside the textbook's own step as a plain loop (plain_ppo.py), 8 responses, 4 epochs; Footplate has a value
  function besides. To reach: 1.5 times. A step is a whole rollout with its updates, here and for grpo.
- records: events and rows written and read a second; opening a run of 1,000,000 steps for six charts.
- console: first paint, the monitor of that run, CPU and bytes a second of watching it, on a pseudo-terminal.
- data: training a tokenizer, encoding, and a whole preparation of 16 MB of the standard library.
- filters: documents a second and core of length, Gopher quality and Gopher repetition on `--documents`, and of telling
  their language; where `--datatrove` names a Python that has it, beside datatrove, with the share of the same verdicts
  and every other one. An environment of its own, for it brings another fastText: `python -m venv DIR && DIR/bin/pip
  install 'datatrove[processing]' spacy orjson`. To reach: 5 times as many, 0.99 the same.

How it is measured. Each training runs in a process of its own, so that its peak memory (VmHWM) is its own. The
processes are loaded first and then make one step at a time in turns, on the same rows, in an order that is reversed
every time; a step's time is all that passes between two steps of that loop. "Footplate is 1.20 x" is the median over
steps of the other's time by Footplate's for the same step, made just before or after: a machine that is busy with
something else slows both alike. Quartiles say how far to trust it; the ratio of CPU time is the same from the
processor's side. Losses are compared over all steps: an entrant whose losses differ does other work.
Tokens a second count tokens that are not padding. The two columns of use of the matrix units are explained in
matrix.py.

`--data` takes instruction rows (JSON or JSON lines: instruction, input or context, output or response; or prompt and
response); without it rows are made by code with the lengths of Dolly's. SmolLM2 is fetched once into `--home`; what
needs it is left out, and said, where that fails. `--quick` has tiny sizes and proves only that all works. JSON goes to
`--json`. The exit code is 1 where something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import alignment, console, filters, preparation, records, report, training
from tests.benchmarks.alignment_workload import METHODS
from tests.benchmarks.options import Options
from tests.benchmarks.referee import alone, environment

TRAINING = ("training", "peers", "adapters", "compiled")
OTHERS: dict[str, tuple[str, Callable[[Options], dict[str, Any]]]] = {
    "records": ("events and rows", records.measure),
    "console": ("console", console.measure),
    "data": ("data", preparation.measure),
    "filters": ("filters", filters.measure),
}
NAMES = (*TRAINING, *METHODS, *OTHERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is named, print tables, write JSON."""
    asked = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary folder goes
    names = tuple(asked.names) or NAMES
    document: dict[str, Any] = {"machine": machine(asked.threads), "results": {}, "failures": {}}
    print(" · ".join(f"{key} {value}" for key, value in document["machine"].items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="footplate-benchmarks-") as name:
        options = Options(
            folder=Path(name), data=asked.data, smollm2=_smollm2(names, asked, Path(name)), threads=asked.threads,
            quick=asked.quick, steps=asked.steps, models=tuple(asked.model), dtypes=tuple(asked.dtype),
            documents=asked.documents, datatrove=asked.datatrove, pairs=asked.pairs, prompts=asked.prompts,
        )  # fmt: skip
        _measure_training([name for name in names if name in TRAINING], options, document)
        _measure_alignment(names, options, document)
        for name in names:
            if name in OTHERS:
                _measure_other(name, options, document)
    document["machine"]["load at the end"] = os.getloadavg()[0]
    if asked.json is not None:
        asked.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, words in document["failures"].items():
        print(f"\nNOT MEASURED {name}: {words}")
    return 1 if document["failures"] else 0


def _measure_training(names: list[str], options: Options, document: dict[str, Any]) -> None:
    done: list[dict[str, Any]] = []
    document["results"]["training"] = done
    if names and not options.quick and options.smollm2 is None:
        document["failures"]["smollm2"] = "it could not be fetched; see above"
    try:
        for result in training.measure(names, options):
            done.append(result)
            print(f"\n{report.training_table(result)}", flush=True)
            for entry in result["entrants"]:
                if "failure" in entry:
                    document["failures"][f"{result['name']} {result['dtype']} {entry['name']}"] = entry["failure"]
    except (RuntimeError, ValueError, OSError) as error:
        document["failures"]["training"] = str(error)
    document["results"]["summary"] = training.summary(done)
    print("\n" + "\n".join(document["results"]["summary"]), flush=True)


def _measure_alignment(names: Sequence[str], options: Options, document: dict[str, Any]) -> None:
    done: list[dict[str, Any]] = []
    document["results"]["alignment"] = done
    try:
        for result in alignment.measure(names, options):
            done.append(result)
            print(f"\n{alignment.alignment_table(result)}", flush=True)
            for entry in result["entrants"]:
                if "failure" in entry:
                    document["failures"][f"{result['method']} {result['dtype']} {entry['name']}"] = entry["failure"]
    except (RuntimeError, ValueError, OSError) as error:
        document["failures"]["alignment"] = str(error)
    document["results"]["alignment summary"] = alignment.summary(done)
    print("\n" + "\n".join(document["results"]["alignment summary"]), flush=True)


def _measure_other(name: str, options: Options, document: dict[str, Any]) -> None:
    title, measure = OTHERS[name]
    try:
        facts = measure(options)
    except (RuntimeError, ValueError, OSError) as error:
        document["failures"][name] = str(error)
        return
    document["results"][name] = facts
    print(f"\n{report.facts_table(title, facts)}", flush=True)


def machine(threads: int) -> dict[str, Any]:
    """Return what figures depend on: processor, cores, versions, and how busy the machine is already."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "python": platform.python_version(),
        **{
            name: _version(name)
            for name in ("torch", "transformers", "peft", "bitsandbytes", "trl", "textual", "tokenizers")
        },
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "load at the beginning": os.getloadavg()[0],
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "not installed"


def _smollm2(names: Sequence[str], asked: argparse.Namespace, folder: Path) -> Path | None:
    if asked.quick or not set(names) & {*TRAINING, *METHODS}:
        return None
    env = {key: value for key, value in environment(asked.threads).items() if key != "HF_HUB_OFFLINE"}
    try:
        answer = alone("tests.benchmarks.fetching", [str(asked.home)], env=env, log=folder / "fetching.log")
    except RuntimeError as error:
        print(f"SmolLM2 is left out: {error}", flush=True)
        return None
    return Path(answer["folder"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help=f"of {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, metavar="PATH", help="instruction rows, JSON or JSON lines")
    parser.add_argument("--pairs", type=Path, metavar="PATH", help="rows with a better and a worse answer")
    parser.add_argument("--prompts", type=Path, metavar="PATH", help="rows that ask, for GRPO and PPO")
    parser.add_argument("--documents", type=Path, metavar="PATH", help="JSON lines with a text, for the filters")
    parser.add_argument("--datatrove", type=Path, metavar="PYTHON", help="the Python of an environment with datatrove")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that it works")
    parser.add_argument("--steps", type=int, metavar="N", help="measured steps of a training, in place of 6 to 24")
    parser.add_argument("--model", action="append", default=[], choices=training.MODELS,
                        help="only this model (may be repeated)")  # fmt: skip
    parser.add_argument("--dtype", action="append", default=[], choices=["fp32", "bf16"],
                        help="only this number type (may be repeated)")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", default=len(os.sched_getaffinity(0)),
                        help="threads of every process (default: the cores of this machine)")  # fmt: skip
    parser.add_argument("--home", type=Path, metavar="PATH", default=Path.home() / ".cache" / "footplate-tests",
                        help="where SmolLM2 is kept between calls (default: %(default)s)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
