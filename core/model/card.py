"""The README of an exported model, written from its run (Mitchell et al. 2019, arXiv:1810.03993).

It is made to be published: of places on this machine only the last part of their path is said, and no name of a host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.config.adapter import Full
from core.config.data import PreparedData
from core.config.presets import draft_of
from core.config.saving import compact
from core.config.yaml_text import Value, block_text
from core.model.base_record import AdapterRecord
from core.model.gguf_export import GGUFReport
from core.model.loading_code import SCORING, loading_code
from core.model.markdown import escaped, fenced, sparkline, table
from core.model.merge import MergeReport
from core.model.run_record import RunRecord
from core.run.events import Evaluated

Form = Literal["full", "merged", "adapter"]
_MANY = 12
_PATH = re.compile(r"""(?<![\w.:/])(?:~|\.{1,2})?/[^,()'"→:;]*/""")
"""The same in what a run says of itself, of which too much is left out rather than too little."""
_PHASES = {
    "pretrain": "Pre-trained on documents",
    "sft": "Fine-tuned on instructions",
    "reward": "A reward model, trained on pairs of answers",
    "dpo": "Trained on pairs of answers",
    "ppo": "Trained against rewards with proximal policy optimisation",
    "grpo": "Trained against rewards with group relative policy optimisation",
}
_NAMED_BY = ("path", "run", "preset", "kind")
"""What of a model's section names it."""
_LEADING = re.compile(r"(?<=[ (])[~/.][^,()]*/")
"""All of a path but its last part, where it stands in words."""


@dataclass(frozen=True)
class Exported:
    """What stands in the folder beside the card.

    base: the name of the base on the hub, "" where it is not from there. dtype: how weights are stored.
    """

    form: Form
    dtype: str
    parameters: int
    base: str = ""
    record: AdapterRecord | None = None
    merge: MergeReport | None = None
    gguf: GGUFReport | None = None


def card(run: RunRecord, made: Exported) -> str:
    """Return the text of README.md: the hub's header as YAML, then what a person wants to know."""
    parts = [
        f"# {escaped(run.config.about.title)}",
        _summary(run, made),
        "## How to load",
        _loading(run, made),
        "## Data",
        *_data(run),
        "## Training",
        *_training(run),
        "## Evaluation",
        _evaluation(run),
        "## Marks",
        _marks(run, made),
        "## Configuration",
        "What differs from the defaults.",
        fenced(block_text(_without_places(compact(draft_of(run.config).values))), "yaml"),
        "## Made with",
        _made_with(run),
    ]
    return f"---\n{_header(run, made)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _header(run: RunRecord, made: Exported) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    tags, task = ["footplate", run.config.phase], "text-classification" if _scores(run) else "text-generation"
    if made.form != "full":
        tags.append(run.config.adapter.kind)
    results = [
        EvalResult(
            task_type=task,
            dataset_type="held-out",
            dataset_name="held-out part of the training data",
            metric_type=name.removeprefix("eval/"),
            metric_value=value,
        )
        for name, value in (run.evaluated[-1].values if run.evaluated else {}).items()
        if math.isfinite(value)
    ]
    data = ModelCardData(
        base_model=made.base or None,
        eval_results=results or None,
        library_name="peft" if made.form == "adapter" else "transformers",
        license="unknown",
        model_name=run.name,
        pipeline_tag=task,
        tags=tags,
    )
    return str(data.to_yaml()).strip()


def _summary(run: RunRecord, made: Exported) -> str:
    phase = _PHASES[run.config.phase]
    what = {
        "full": "All parameters were trained.",
        "merged": f"Trained as a low-rank adapter ({run.config.adapter.kind}), which is merged into its base here.",
        "adapter": f"A low-rank adapter ({run.config.adapter.kind}): its base is needed to use it.",
    }[made.form]
    base = f" Base: {_base_words(made)}." if made.record is not None or made.base else ""
    size = f"{made.parameters:,} parameters, stored as {made.dtype}."
    return f"{phase} over {run.finished.step or 0:,} steps. {what}{base} {size}"


def _scores(run: RunRecord) -> bool:
    return run.config.phase == "reward"


def _base_words(made: Exported) -> str:
    if made.record is None:
        return escaped(made.base)
    section = made.record.model
    named = made.base or _place(str(next(section[key] for key in _NAMED_BY if section.get(key))))
    quantized = made.record.quantization
    how = f", in {quantized.kind} while it was trained" if quantized else ""
    return f"{escaped(named)} (weights' digest {made.record.digest[:16]}{how})"


def _loading(run: RunRecord, made: Exported) -> str:
    adapter = run.config.adapter
    record = made.record if made.form == "adapter" else None
    frozen = not isinstance(adapter, Full) and adapter.embeddings == "frozen"
    text = fenced(loading_code(made.base, record, rows_are_frozen=frozen, scores=_scores(run)), "python")
    if _scores(run):
        text += f"\n\n{SCORING}"
        if run.manifest is not None:
            text += f" It was trained on the template {run.manifest.template}."
    if made.gguf is not None:
        text += f"\n\nFor llama.cpp: {escaped(made.gguf.file.name)} ({made.gguf.outtype})."
    return text


def _data(run: RunRecord) -> list[str]:
    manifest = run.manifest
    if manifest is None:
        return ["The prepared data cannot be read any more on the machine that this was exported from."]
    head = ["source", "documents", "tokens in training", "tokens held out"]
    rows = [
        [
            _LEADING.sub("…/", source.source),
            f"{source.documents:,}",
            f"{source.train_tokens:,}",
            f"{source.held_out_tokens:,}",
        ]
        for source in manifest.sources[:_MANY]
    ]
    parts = [table(head, rows)]
    if len(manifest.sources) > _MANY:
        parts.append(f"And {len(manifest.sources) - _MANY} further sources.")
    licences = sorted({found or "unknown" for source in manifest.sources for found in source.licences.values()})
    if licences:
        parts.append(f"Licences found in the sources: {', '.join(map(escaped, licences))}.")
    filters = [] if isinstance(run.config.data, PreparedData) else [item.kind for item in run.config.data.filters]
    dropped = [f"{escaped(reason)} {count:,}" for reason, count in list(manifest.dropped.items())[:_MANY]]
    parts.append(f"Filters: {', '.join(map(escaped, filters)) or 'none'}. Dropped: {', '.join(dropped) or 'nothing'}.")
    parts.append(
        f"In all {manifest.train.tokens:,} tokens to train on ({manifest.train.supervised_tokens:,} that the loss "
        f"counts), {manifest.held_out.tokens:,} held out; vocabulary {manifest.vocabulary_size:,}; "
        f"digest {manifest.digest[:16]}."
    )
    return parts


def _training(run: RunRecord) -> list[str]:
    facts = {**run.started.facts, **run.finished.facts}
    memory = facts.get("peak_memory_bytes")
    rows = [
        ("device", facts.get("device")),
        ("number type", facts.get("dtype")),
        ("threads", facts.get("threads")),
        ("tokens a step", facts.get("tokens_per_step")),
        ("time, with preparing and waiting", f"{run.seconds:,.0f} s" if run.seconds else None),
        ("peak memory", f"{float(memory) / 1e9:.2f} GB" if isinstance(memory, int | float) and memory else None),
        ("seed", run.config.seed),
    ]
    parts = [table(["", ""], [[name, _words(value)] for name, value in rows if value is not None])]
    if run.losses is not None:
        first, least, last = run.losses
        parts.append(
            f"Training loss: {_number(first[1])} at step {first[0]:,}, lowest {_number(least[1])} at step "
            f"{least[0]:,}, last {_number(last[1])} at step {last[0]:,}."
        )
        parts.append(fenced(sparkline([value for _, value in run.loss]), "text"))
    return parts


def _evaluation(run: RunRecord) -> str:
    if not run.evaluated:
        return "Nothing was held out, so nothing was evaluated."
    names = list(dict.fromkeys(name for event in run.evaluated for name in event.values))
    rows = [
        [f"{event.step:,}", *(_number(event.values[name]) if name in event.values else "" for name in names)]
        for event in _spread(run.evaluated)
    ]
    return table(["step", *map(escaped, names)], rows)


def _marks(run: RunRecord, made: Exported) -> str:
    marks = [
        f"resumed at step {event.step:,}, {'exactly' if event.exact else 'not exactly'}"
        + (f" ({'; '.join(event.notes)})" if event.notes and not event.exact else "")
        for event in run.resumed
    ]
    if run.went_on:
        marks.append("the run was continued after this model was made; the configuration is that of the continuation")
    seen: dict[str, list[str]] = {}
    for notice in run.notices:
        if notice.level != "info":
            seen.setdefault(notice.code, []).append(notice.message)
    marks += [
        f"{messages[0]}" + (f" ({len(messages)} times)" if len(messages) > 1 else "") for messages in seen.values()
    ]
    if made.merge is not None:
        marks += _merge_words(made.merge)
    if made.gguf is not None:
        marks.append(f"GGUF ({made.gguf.outtype}) against this folder: {_apart(made.gguf.logits.as_json())}")
    return "\n".join(f"- {escaped(_PATH.sub('…/', mark))}" for mark in marks) or "None."


def _merge_words(report: MergeReport) -> list[str]:
    words = [f"merged against base and adapter in float32: {_apart(report.merged.as_json())}"]
    if report.quantized is not None:
        words.append(
            "merged against the quantised base with the adapter, which is what was trained: "
            + _apart(report.quantized.as_json())
        )
    if report.stored is not None:
        words.append(f"stored as {report.dtype} against float32: {_apart(report.stored.as_json())}")
    return words


def _apart(found: Mapping[str, float]) -> str:
    return (
        f"logits differ by {found['largest']:.3g} at most and {found['mean']:.3g} in the mean "
        f"({found['relative']:.2g} of the largest logit)"
    )


def _made_with(run: RunRecord) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))
    return f"Footplate. {escaped(versions)}"


def _without_places(value: Any) -> Value:
    """Return a value of the configuration in which paths are their last part only."""
    match value:
        case dict():
            return {name: _without_places(inner) for name, inner in value.items()}
        case list():
            return [_without_places(inner) for inner in value]
        case str():
            return _place(value)
        case _:
            return value  # type: ignore[no-any-return]


def _place(text: str) -> str:
    """Return a path of this machine as …/ and its last part; any other text as it is."""
    if not text.startswith(("/", "~", "./", "../")) or "\n" in text:
        return text
    return f"…/{text.rstrip('/').rpartition('/')[2]}"


def _spread(items: Sequence[Evaluated]) -> list[Evaluated]:
    """Return at most 12 of some items, evenly, the first and the last among them."""
    if len(items) <= _MANY:
        return list(items)
    return [items[round(at * (len(items) - 1) / (_MANY - 1))] for at in range(_MANY)]


def _number(value: float) -> str:
    return f"{value:.4g}"


def _words(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
