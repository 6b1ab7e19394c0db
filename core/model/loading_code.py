"""The lines of Python that load an export with transformers and peft alone."""

from __future__ import annotations

from core.model.base_record import AdapterRecord

BASE = "FOLDER_OF_THE_BASE"
"""Stands for the base where it is not from the hub."""


def loading_code(base: str, record: AdapterRecord | None, *, rows_are_frozen: bool) -> str:
    """Return code that makes `model` and `tokenizer` of the folder that it runs in.

    `record` is that of an adapter alone, None for a whole model. With `rows_are_frozen` the adapter does not hold the
    rows of added tokens: the base gets them as `grow_embeddings` makes them.
    """
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if record is None:
        lines.append('model = AutoModelForCausalLM.from_pretrained(".")')
    else:
        lines[0:0] = ["from peft import PeftModel"]
        lines.append(f"base = AutoModelForCausalLM.from_pretrained({base or BASE!r}{_revision(base, record)})")
        lines += _growing(record, rows_are_frozen=rows_are_frozen)
        lines.append('model = PeftModel.from_pretrained(base, ".")')
    lines.append('tokenizer = AutoTokenizer.from_pretrained(".")')
    return "\n".join(lines)


def _revision(base: str, record: AdapterRecord) -> str:
    revision = record.model.get("revision") if base else None
    return f", revision={revision!r}" if revision else ""


def _growing(record: AdapterRecord, *, rows_are_frozen: bool) -> list[str]:
    if not record.added_tokens:
        return []
    end = record.vocabulary_size
    old = end - len(record.added_tokens)
    # Many a base has spare rows: to resize it would take them away, and what was trained would not fit.
    lines = [
        f"if base.get_input_embeddings().weight.shape[0] < {end}:  # it gained tokens",
        f"    base.resize_token_embeddings({end})",
    ]
    if rows_are_frozen:
        lines += [
            "for layer in (base.get_input_embeddings(), base.get_output_embeddings()):",
            f"    layer.weight.data[{old}:{end}] = layer.weight.data[:{old}].double().mean(0).to(layer.weight.dtype)",
        ]
    return lines
