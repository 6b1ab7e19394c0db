"""The weights of classes of source code, as a table that rows look up."""

from __future__ import annotations

import numpy as np

from core.config.loss import SyntaxWeights
from core.data.manifest import Manifest
from core.data.tokens.syntax import CLASSES
from core.errors import DataError
from core.training.batches import ClassWeights


def class_weights(weights: SyntaxWeights, manifest: Manifest) -> ClassWeights | None:
    """Return the weight of each class, (classes,), or None where all are 1: then the loss is the plain one.

    Raises: DataError where weights are set and the data carries no marks.
    """
    values = np.array([getattr(weights, name) for name in CLASSES], dtype=np.float32)
    if (values == 1).all():
        return None
    if manifest.syntax is None:
        named = ", ".join(f"{name} {value:g}" for name, value in zip(CLASSES, values, strict=True) if value != 1)
        raise DataError(
            f"loss.syntax_weights: expected data whose tokens are marked by their class, found none in it ({named})",
            hint="Prepare the data with data.syntax (auto, or the name of a language), or leave the weights out.",
        )
    return values
