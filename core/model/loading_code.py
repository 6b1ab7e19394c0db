"""The lines of Python that load an export with transformers and peft alone."""

from __future__ import annotations

from core.model.base_record import AdapterRecord

BASE = "FOLDER_OF_THE_BASE"
"""Stands for the base where it is not from the hub."""

SCORING = (
    "The score of a conversation is the model's one logit, read at the last token that is not padding: give it the "
    "whole text, as the template lays out prompt and answer, with the token that ends the answer's turn."
)
"""How a reward model is used."""


def loading_code(base: str, record: AdapterRecord | None, *, rows_are_frozen: bool, scores: bool = False) -> str:
    """Return code that makes `model` and `tokenizer` of the folder that it runs in.

    `record` is that of an adapter alone, None for a whole model. With `rows_are_frozen` the adapter does not hold the
    rows of added tokens: the base gets them as `grow_embeddings` makes them. With `scores` the model is a reward model.
    """
    loader = "AutoModelForSequenceClassification" if scores else "AutoModelForCausalLM"
    lines = [f"from transformers import {loader}, AutoTokenizer", ""]
    if record is None:
        lines.append(f'model = {loader}.from_pretrained(".")')
    else:
        lines[0:0] = ["from peft import PeftModel"]
        labels = ", num_labels=1" if scores else ""
        lines.append(f"base = {loader}.from_pretrained({base or BASE!r}{labels}{_revision(base, record)})")
        matrices = ["base.get_input_embeddings()"] + ([] if scores else ["base.get_output_embeddings()"])
        lines += _growing(record, matrices if rows_are_frozen else [])
        lines.append('model = PeftModel.from_pretrained(base, ".")')
    lines.append('tokenizer = AutoTokenizer.from_pretrained(".")')
    return "\n".join(lines)


def _revision(base: str, record: AdapterRecord) -> str:
    revision = record.model.get("revision") if base else None
    return f", revision={revision!r}" if revision else ""


def _growing(record: AdapterRecord, matrices: list[str]) -> list[str]:
    """Return the lines that give the base rows; those of `matrices` become the mean of the rows before them."""
    if not record.added_tokens:
        return []
    end = record.vocabulary_size
    old = end - len(record.added_tokens)
    # Many a base has spare rows: to resize it would take them away, and what was trained would not fit.
    lines = [
        f"if base.get_input_embeddings().weight.shape[0] < {end}:  # it gained tokens",
        f"    base.resize_token_embeddings({end})",
    ]
    if matrices:
        lines += [
            f"for layer in ({', '.join(matrices)}{',' if len(matrices) == 1 else ''}):",
            f"    layer.weight.data[{old}:{end}] = layer.weight.data[:{old}].double().mean(0).to(layer.weight.dtype)",
        ]
    return lines
