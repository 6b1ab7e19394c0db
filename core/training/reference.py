"""Log-probabilities of all answers under the model that training begins with, computed once and kept for other runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from core.config.phases import DPOConfig
from core.data.construction import write_whole
from core.data.manifest import Split
from core.errors import NumericError, StorageError
from core.model.batch import PackedBatch
from core.model.dropout import evaluating
from core.model.roles import Role, activate
from core.run.events import Notice
from core.run.session import Session
from core.training.batches import Deal, in_order
from core.training.device import device_name
from core.training.engine import Engine
from core.training.pairs import PairRows, References, pack_pairs
from core.training.preference import Preferences
from core.training.preference_objectives import answer_log_probs
from core.training.resume import VERSIONED
from core.training.trainable import Trainable

_HASH_BYTES = 65  # a SHA-256 in hexadecimal and the end of its line
STAGE = "reference"


@dataclass(frozen=True)
class ReferenceModel:
    """The model that training begins with, and how rows are put through it.

    policy: the role that is at work again afterwards. identity: all on which the bits of the result depend, by name.
    """

    engine: Engine
    role: Role
    policy: Role
    deal: Deal
    identity: Mapping[str, Any]


def identity_of(config: DPOConfig, trainable: Trainable, preferences: Preferences, engine: Engine) -> dict[str, Any]:
    """Return all on which the bits of the reference's log-probabilities depend, by name."""
    return {
        "version": 1,
        "data": preferences.tokens.manifest.digest,
        "base": trainable.base_digest or config.model.model_dump(mode="json") | {"seed": config.seed},
        "frozen_weights": trainable.facts.get("frozen_weights", ""),  # in 4 bits they are another model
        "reading": asdict(trainable.reading),
        "length": preferences.length,
        "mismatched": preferences.mismatched,
        "micro_size": config.batch.micro_size,
        "compile": config.model.compile,
        "dtype": engine.dtype,
        "device": device_name(engine.device),
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in VERSIONED},
    }


def reference_log_probs(
    reference: ReferenceModel, rows: Mapping[Split, PairRows], session: Session
) -> dict[Split, References] | None:
    """Return the log-probabilities of all answers of both splits: from the home's cache, or computed and kept there.

    What lies in the cache is whole, or is computed again: its hash stands before it. Returns None where the run is to
    leave on the way. Raises: NumericError where one is not finite; StorageError where the cache cannot be written.
    """
    key = hashlib.sha256(json.dumps(reference.identity, sort_keys=True, default=str).encode()).hexdigest()
    path = session.run.home.cache / "references" / f"{key[:32]}.safetensors"
    kept = _read(path)
    if kept is None:
        if path.exists():
            message = f"{path}: what is kept of the reference there is damaged, and is computed again"
            session.emit(Notice(level="warning", code="reference_damaged", message=message))
        kept = _computed(reference, rows, session)
        if kept is None:
            return None
        _write(path, kept)
    return {split: References(kept[f"{split}.answers"], kept.get(f"{split}.mismatched")) for split in rows}


def references_digest(references: Mapping[Split, References]) -> str:
    """Return a digest of every log-probability: a run that goes on must have the same ones."""
    found = hashlib.sha256()
    for split in sorted(references):
        parts = references[split].answers, references[split].mismatched
        for part in parts:
            found.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def _computed(
    reference: ReferenceModel, rows: Mapping[Split, PairRows], session: Session
) -> dict[str, NDArray[np.float32]] | None:
    """Return what is kept, by name; None where the run is to leave."""
    total, done = sum(len(each) for each in rows.values()), 0
    found: dict[str, NDArray[np.float32]] = {}

    def told(more: int) -> bool:
        nonlocal done
        done += more
        session.progress(STAGE, done, total, "rows")
        return session.leaving() is None

    try:
        with session.section("preparing"), torch.no_grad(), evaluating(reference.role.model):
            for split, each in rows.items():
                if not _fill(reference, each, split, found, told):
                    return None
    finally:
        activate(reference.policy)
    return found


def _fill(
    reference: ReferenceModel,
    rows: PairRows,
    split: Split,
    found: dict[str, NDArray[np.float32]],
    told: Callable[[int], bool],
) -> bool:
    """Put a split's log-probabilities into `found`; False where the run is to leave."""
    answers = np.full((len(rows), 2), np.nan, np.float32)
    mismatched = np.full((len(rows), 2), np.nan, np.float32)
    is_mismatched = False
    deal = reference.deal
    for batch in in_order(rows, micro_size=deal.micro_size, limit=None, pad_to=deal.pad_to, pack=pack_pairs):
        numbers = _places(batch.better.tolist(), batch.rows, batch.documents)
        answers[numbers] = _asked(reference, batch.packed)
        if batch.mismatched is not None:
            mismatched[numbers], is_mismatched = _asked(reference, batch.mismatched), True
        for row, side in zip(*numbers, strict=True):
            if not np.isfinite(answers[row, side]):
                raise NumericError(
                    f"the log-probability of an answer under the reference is {answers[row, side]} (row {row} of "
                    f"{split})",
                    hint="The model that training begins with, or its type of numbers, does not hold for this row.",
                )
        if not told(len(batch.rows)):
            return False
    found[f"{split}.answers"] = answers
    if is_mismatched:
        found[f"{split}.mismatched"] = mismatched
    return True


def _places(better: list[int], rows: tuple[int, ...], documents: int) -> tuple[list[int], list[int]]:
    """Return for each document of a batch its row, and which side of it: 0, or 1 for the worse one of a pair."""
    sides = [int(number - 1 in better) for number in range(documents)]
    row = -1
    numbers: list[int] = []
    for side in sides:
        row += side == 0
        numbers.append(rows[row])
    return numbers, sides


def _asked(reference: ReferenceModel, packed: PackedBatch) -> NDArray[np.float32]:
    engine, role = reference.engine, reference.role

    def log_probs(_: Any) -> torch.Tensor:
        return answer_log_probs(activate(role), role.reading, packed.to(engine.device))

    values: NDArray[np.float32] = engine.call(log_probs).float().cpu().numpy()
    return values


def _read(path: Path) -> dict[str, NDArray[np.float32]] | None:
    """Return what is kept, None where nothing is, or where it is not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    said, rest = content[: _HASH_BYTES - 1], content[_HASH_BYTES:]
    if hashlib.sha256(rest).hexdigest().encode() != said:
        return None
    return dict(safetensors.numpy.load(rest))


def _write(path: Path, kept: Mapping[str, NDArray[np.float32]]) -> None:
    content = safetensors.numpy.save(dict(kept))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    except OSError as error:
        raise StorageError(
            f"{path}: the log-probabilities of the reference could not be kept: {error.strerror or error}",
            hint="Free some space, then resume the run.",
        ) from error
