"""Rules over several fields of a data section; see core/config/rules.py.

rows          sources have rows; a chat template comes with a tokenizer, not with a new one; rows hold what is learned
              from: an answer, two that are compared (or one that is damaged), a prompt; no answer of a pair is cut
filters       a perplexity has one threshold; bounds are in order; filters for answers need rows with answers
mix           shares and tokens count only where data.mix.by takes them
sources       templates of text and names of XML records (core/config/source_rules.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from core.config.partial import ROWS, Partial
from core.config.source_rules import source_problems
from core.config.yaml_text import Value, shown
from core.errors import Problem

_BOUNDS = {
    "length": [("min_characters", 50, "max_characters", 100_000)],
    "gopher_quality": [("min_words", 50, "max_words", 100_000), ("min_word_length", 3, "max_word_length", 10)],
    "instruction_quality": [("min_response_characters", 1, "max_response_characters", 100_000)],
}
_WITHOUT_ANSWERS = ("preference", "transcript_pair", "judged", "prompts")
_COMPARED = ("preference", "transcript_pair", "ranked", "judged")
_ONE_ANSWER = ("alpaca", "dolly", "messages", "sharegpt", "prompt_completion", "question_answer")


def _rows(draft: Partial) -> Iterator[Problem]:
    kind = draft.at("data.kind")
    if kind not in ROWS:
        return
    if draft.at("data.template") == "chat" and draft.at("data.tokenizer.kind") == "train":
        message = "cannot be chat with tokenizer.kind train: a new tokenizer has no chat template; use alpaca"
        yield Problem("data.template", message, found="chat")
    yield from _format(draft)
    for index, source in enumerate(draft.list_at("data.sources")):
        given = source.get("kind") if isinstance(source, dict) else None
        if given in ("files", "standard_library", "code"):
            message = f"must be one of path, json, parquet, hub, functions: {kind} are rows, and this gives text"
            yield Problem(f"data.sources.{index}.kind", message, found=shown(given))


def _format(draft: Partial) -> Iterator[Problem]:
    kind, shape = draft.at("data.kind"), draft.at("data.format")
    if kind == "instructions" and shape in _WITHOUT_ANSWERS:
        message = "has no single answer to learn from; fine-tuning takes conversations"
        yield Problem("data.format", message, found=shown(shape))
    if kind != "preferences":
        return
    rule = draft.at("data.damage.rule", "none")
    if shape == "prompts":
        message = "has no answers to compare; for prompts alone take data.kind prompts"
        yield Problem("data.format", message, found="prompts")
    elif shape in _COMPARED and rule != "none":
        message = f"must be none with data.format {shape}, whose rows have worse answers of their own"
        yield Problem("data.damage.rule", message, found=shown(rule))
    elif shape in _ONE_ANSWER and rule == "none":
        message = f"must be another one with data.format {shape}: a row has one answer, and a pair needs a worse one"
        found = "none" if draft.has("data.damage.rule") else "none, its default"
        yield Problem("data.damage.rule", message, found=found)


def _accepted(draft: Partial) -> Iterator[Problem]:
    for index, fault in enumerate(draft.list_at("data.accept")):
        if draft.at("data.kind") == "preferences" and fault in ("cut_answers", "unlabelled_rows"):
            message = "must be one of dropped_answers, double_begin, no_end_of_turn: a pair has both its answers whole"
            yield Problem(f"data.accept.{index}", message, found=shown(fault))


def _filters(draft: Partial) -> Iterator[Problem]:
    for index, config in enumerate(draft.list_at("data.filters")):
        if isinstance(config, dict):
            yield from _filter(f"data.filters.{index}", config, draft.at("data.kind"))


def _filter(place: str, config: Mapping[str, Value], data: Value) -> Iterator[Problem]:
    kind = config.get("kind")
    if kind in ("perplexity", "ngram_perplexity"):
        given = [name for name in ("max_perplexity", "percentile") if config.get(name) is not None]
        if len(given) != 1:
            message = "stands beside" if given else "is missing, and so is"
            yield Problem(f"{place}.percentile", f"{message} {place}.max_perplexity (give one of them)")
    if kind == "instruction_quality" and data not in ("instructions", "preferences"):
        yield Problem(f"{place}.kind", "looks at answers; take it with data.kind instructions", found=shown(kind))
    if kind == "c4_quality" and data in ROWS:
        yield Problem(f"{place}.kind", "leaves out lines; take it with data.kind text", found=shown(kind))
    part = config.get("on")
    if kind == "exact_duplicates" and part in ("prompt", "response") and data not in ROWS:
        yield Problem(f"{place}.on", "must be whole with data.kind (text)", found=shown(part))
    for low, low_default, high, high_default in _BOUNDS.get(str(kind), []):
        least, most = config.get(low, low_default), config.get(high, high_default)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            yield Problem(f"{place}.{low}", f"must be at most {place}.{high} ({most:,})", found=shown(least))


def _mix(draft: Partial) -> Iterator[Problem]:
    by = draft.at("data.mix.by", "once")
    if draft.has("data.mix.tokens") and by in ("once", "epochs", "tokens"):
        message = "counts only with data.mix.by weight; leave it out"
        yield Problem("data.mix.tokens", message, found=shown(draft.at("data.mix.tokens")))
    for index, source in enumerate(draft.list_at("data.sources")):
        share = source.get("share", 1.0) if isinstance(source, dict) else 1.0
        if by == "once" and share != 1.0:
            message = "counts only with data.mix.by epochs, tokens or weight; set that or leave the share out"
            yield Problem(f"data.sources.{index}.share", message, found=shown(share))


DATA_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_rows, _accepted, _filters, _mix, source_problems)
