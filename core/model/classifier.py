"""Scores by a sequence classifier in the Hugging Face layout, which reads text with its own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.config.model import PretrainedModel
from core.errors import UsageError
from core.model.base_record import weights_digest
from core.model.resolve import folder_or_hub

_MICRO_SIZE = 16


@dataclass(frozen=True)
class TextClassifier:
    """A classifier in evaluation mode and float32, its tokenizer, and the digest of its weights."""

    model: Any
    tokenizer: Any
    digest: str

    def of_texts(self, texts: Sequence[str]) -> list[float]:
        """Return the first logit of each text, whatever others stand beside it."""
        return self._scores([self.tokenizer(text)["input_ids"] for text in texts])

    def of_answers(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Return the first logit of each prompt with its response.

        They are a user's and an assistant's turn where the tokenizer has a chat template, a pair of texts where it
        separates the two of a pair, and else one text.
        """
        pairs = zip(prompts, responses, strict=True)
        return self._scores([self._encoded(prompt, response) for prompt, response in pairs])

    def _encoded(self, prompt: str, response: str) -> list[int]:
        tokenizer = self.tokenizer
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        added = [tokenizer.num_special_tokens_to_add(pair=is_pair) for is_pair in (False, True)]
        texts = (prompt, response) if added[1] > added[0] else (prompt + response,)
        ids = tokenizer(*texts)["input_ids"]
        return ids

    def _scores(self, rows: list[list[int]]) -> list[float]:
        limit, pad = self._limit(), self.model.config.pad_token_id
        rows = [row[-limit:] for row in rows]  # the end of the response stays
        if empty := [number for number, row in enumerate(rows) if not row]:
            raise UsageError(f"text {empty[0]} has no token for the classifier to read")
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        # Without a token of its own to pad with, a classifier takes one text at a time.
        size = 1 if pad is None else _MICRO_SIZE
        found = [0.0] * len(rows)
        for start in range(0, len(order), size):
            numbers = order[start : start + size]
            for number, score in zip(numbers, self._batch([rows[number] for number in numbers], pad), strict=True):
                found[number] = score
        return found

    def _batch(self, rows: list[list[int]], pad: int | None) -> list[float]:
        longest, place = max(map(len, rows)), next(self.model.parameters()).device
        filled = [row + [0 if pad is None else pad] * (longest - len(row)) for row in rows]
        mask = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
        with torch.no_grad(), torch.autocast(place.type, enabled=False):
            logits = self.model(
                input_ids=torch.tensor(filled, device=place), attention_mask=mask.long().to(place)
            ).logits
        scores: list[float] = logits[:, 0].float().tolist()
        return scores

    def _limit(self) -> int:
        positions = getattr(self.model.config, "max_position_embeddings", None)
        longest: int = self.tokenizer.model_max_length
        return min(longest, positions or longest)


def load_classifier(path: str, *, device: torch.device | None = None) -> TextClassifier:
    """Return the classifier in a folder or on the hub, in float32, with nothing to train.

    Raises: UsageError for a model that is no sequence classifier, that needs code of its own, or lacks a tokenizer.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = folder_or_hub(PretrainedModel(kind="pretrained", path=path), field="rewards.path")
    try:
        with torch.random.fork_rng(devices=[]):  # a head that is not there is drawn
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=torch.float32,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"the classifier in {folder} cannot be loaded: {error}",
            hint="Code that comes with a model is never run; the architecture must be one that transformers has.",
        ) from error
    if absent := sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]])):
        raise UsageError(
            f"the weights in {folder} lack {len(absent)} tensors of {type(model).__name__}, such as {absent[0]}",
            hint="A language model is no classifier: name one that was trained to score texts.",
        )
    model.requires_grad_(False)
    return TextClassifier(model.to(device).eval() if device else model.eval(), tokenizer, weights_digest(folder))
