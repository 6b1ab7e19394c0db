"""How unlikely a causal language model finds texts: exp of the mean negative log-likelihood of a token, in nats.

Another scale than KenLM's, which counts words and takes powers of ten (core/data/ngram_perplexity.py); on the same
probabilities of the same pieces both give the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.config.filters import PerplexityFilter
from core.config.model import GGUFModel, PretrainedModel, RunModel
from core.data.tokens.tokenize import TextTokenizer, encode_documents, pieces
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import NumericError, UsageError
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.fetch import SMOLLM2
from core.model.head import head_logits
from core.model.load import load_folder
from core.model.reading import Reading, all_logits, hidden_states
from core.model.resolve import resolve_model
from core.model.verification import verify_reading
from core.run.directory import Home
from core.run.runs import find_run
from core.training.device import choose_device

_CHARACTERS_A_TOKEN = 16
"""Text looked at first for each token that may be scored; more is read where a tokenizer makes longer ones of it."""


@dataclass(frozen=True)
class Likelihoods:
    """What a model gave texts. Shapes (texts,): the sum of negative log-likelihoods in nats, and the tokens scored."""

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]

    @property
    def perplexities(self) -> NDArray[np.float64]:
        """exp(nats / tokens) of each text; NaN where no token was scored, inf where it is beyond float64."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            perplexities: NDArray[np.float64] = np.exp(self.nats / self.tokens)
        return perplexities

    @property
    def perplexity(self) -> float:
        """The perplexity of all texts together: each token counts the same, wherever it stands."""
        tokens = int(self.tokens.sum())
        if not tokens:
            return math.nan
        mean = math.fsum(self.nats) / tokens
        return math.exp(mean) if mean < 700 else math.inf


class CausalScorer:
    """Perplexities of texts under one model."""

    def __init__(
        self, folder: Path, *, device: str | None = None, max_tokens: int = 1024, batch_tokens: int = 4096
    ) -> None:
        """Load the model and the tokenizer of `folder` (the Hugging Face layout) in float32.

        `device` is a name of torch's, None for the first GPU or else the CPU. A text is scored up to `max_tokens`
        tokens, or as many as the model has positions where those are fewer; `batch_tokens` go through the model at
        once, a longer text alone.
        Raises: UsageError for a folder without such a model or tokenizer, or whose tokens the model has no rows for.
        """
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._folder = folder
        self._device = torch.device(device) if device else choose_device()
        self._tokenizer = load_tokenizer(folder)
        self._model = load_folder(folder).to(self._device).eval()
        _check_vocabulary(self._model, self._tokenizer, folder)
        self._reading = verify_reading(self._model, "auto")
        positions = getattr(self._model.config, "max_position_embeddings", None) or max_tokens
        self._max_tokens, self._batch_tokens = min(max_tokens, positions), batch_tokens
        self.between: Callable[[], object] = lambda: None
        """Called before each batch: a stop is raised here."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the perplexity of each text, (texts,); see `likelihoods`."""
        return self.likelihoods(texts).perplexities

    def likelihoods(self, texts: Sequence[str]) -> Likelihoods:
        """Return the likelihoods of texts.

        Scored are all tokens of a text but the first, which is the begin token where the tokenizer adds one; no end
        token is added. Texts are packed end to end, each attending only to itself. Log-softmax is in float32, sums
        over a text in float64. Which texts share a batch, and their order, moves a sum by at most 1e-6 of itself.
        Raises: NumericError where the model gives something that is not finite.
        """
        nats, tokens = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
        for numbers, batch in self._batches(texts):
            self.between()
            lengths = [length - 1 for length in batch.lengths]
            parts = torch.split(self._token_nats(batch), lengths)
            nats[numbers] = [part.sum(dtype=torch.float64).item() for part in parts]
            tokens[numbers] = lengths
        if not np.isfinite(nats).all():
            raise NumericError(
                f"the model in {self._folder} gives text number {np.flatnonzero(~np.isfinite(nats))[0]} of a batch "
                "a likelihood that is not finite",
                hint="Its weights may be damaged, or be made for numbers of another type. Take another model.",
            )
        return Likelihoods(nats, tokens)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], PackedBatch]]:
        numbers: list[int] = []
        documents: list[list[int]] = []
        waiting = 0
        for number, ids in enumerate(first_tokens(self._tokenizer, texts, self._max_tokens)):
            if len(ids) < 2:
                continue
            if documents and waiting + len(ids) > self._batch_tokens:
                yield numbers, _packed(documents)
                numbers, documents, waiting = [], [], 0
            numbers.append(number)
            documents.append(ids)
            waiting += len(ids)
        if documents:
            yield numbers, _packed(documents)

    @torch.no_grad()
    def _token_nats(self, batch: PackedBatch) -> Tensor:
        """Return the negative log-likelihoods of all targets, float32 (targets,)."""
        batch = batch.to(self._device)
        targets = batch.targets[0]
        is_scored = targets != IGNORED
        targets = targets[is_scored]
        blocks = _logits(self._model, self._reading, batch, is_scored)
        nats = [
            F.cross_entropy(logits.float(), wanted, reduction="none")
            for logits, wanted in zip(blocks, torch.split(targets, self._reading.chunk), strict=True)
        ]
        return torch.cat(nats).cpu()


def scorer_for(config: PerplexityFilter, home: Home) -> CausalScorer:
    """Return the scorer of a filter: `model` is a folder, a .gguf file, a run, smollm2, or a name on the hub.

    Raises: UsageError where it is none of them.
    """
    folder = model_folder(config.model, home)
    return CausalScorer(folder, device=None, max_tokens=config.max_tokens, batch_tokens=config.batch_tokens)


def model_folder(name: str, home: Home) -> Path:
    """Return the folder of a model that a filter names; see `scorer_for`."""
    place = Path(name).expanduser()
    if name == SMOLLM2 or (place.is_file() and place.suffix == ".gguf"):
        found = resolve_model(GGUFModel(kind="gguf", path=name), home)
        assert found is not None
        return found
    if (place / "config.json").is_file():
        return place
    try:
        run = find_run(home, name)
    except UsageError:
        if "/" not in name or place.exists() or place.is_absolute():
            raise
        found = resolve_model(PretrainedModel(kind="pretrained", path=name), home)
        assert found is not None
        return found
    if not run.has_model:
        raise UsageError(f"model: the run {run.name} has made no model", hint="`footplate runs` shows their state.")
    found = resolve_model(RunModel(kind="run", run=run.name), home)  # of a low-rank run the merged model
    assert found is not None
    return found


def first_tokens(tokenizer: TextTokenizer, texts: Sequence[str], limit: int) -> Iterator[list[int]]:
    """Yield the first `limit` tokens of each text, the begin token included where the tokenizer adds one.

    Of a long text no more is tokenized than is needed; it is cut where tokenizers cut too (`pieces`).
    """
    characters = _CHARACTERS_A_TOKEN * limit
    heads = [next(pieces(text, characters)) for text in texts]
    for text, head, ids in zip(texts, heads, encode_documents(tokenizer, heads), strict=True):
        size = characters
        while len(ids) - 1 < limit and len(head) < len(text):
            size *= 4
            head = next(pieces(text, size))
            (ids,) = encode_documents(tokenizer, [head])
        yield ids[:-1][:limit].tolist()


def _logits(model: Any, reading: Reading, batch: PackedBatch, is_scored: Tensor) -> Iterator[Tensor]:
    """Yield the logits of the scored positions, `reading.chunk` positions at a time."""
    if reading.head == "keep":
        yield from torch.split(all_logits(model, reading, batch)[is_scored], reading.chunk)
        return
    of_hidden = head_logits(model, reading.head)
    for hidden in torch.split(hidden_states(model, reading, batch)[is_scored], reading.chunk):
        yield of_hidden(hidden)


def _packed(documents: list[list[int]]) -> PackedBatch:
    return packed(documents, [[*ids[1:], IGNORED] for ids in documents])


def _check_vocabulary(model: Any, tokenizer: TextTokenizer, folder: Path) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if tokenizer.vocabulary_size > rows:
        raise UsageError(
            f"the tokenizer in {folder} has {tokenizer.vocabulary_size} tokens, the model embeds {rows}",
            hint="The folder must hold the tokenizer that belongs to the model.",
        )
