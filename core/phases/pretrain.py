"""Pre-training: next-token prediction on documents.

The textbook's loss (cross entropy of the shifted labels) with three changes: the mean is over all target tokens of the
optimizer step and not over micro-batches, attention stays inside a document, and no target crosses a document's end.
Where loss.syntax_weights are set, that mean is by weight; the held-out loss stays the plain one.
"""

from __future__ import annotations

from core.config.phases import PretrainConfig
from core.data.prepare import PreparationStopped
from core.data.tokens.shards import TokenShards
from core.model.load import resolve_model
from core.run.session import Outcome, Session
from core.training.batches import TextRows
from core.training.held_out import held_out_parts
from core.training.next_token import Material, train
from core.training.setup import left_before_training, prepared_tokens
from core.training.syntax_weights import class_weights


def run(config: PretrainConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Train the model of `config` on its documents, from the start or from the newest checkpoint."""
    # 1. data: token shards, made now unless they lie in the cache or an earlier run made them
    try:
        model_folder = resolve_model(config.model, session.run.home, progress=session.progress, session=session)
        tokens = prepared_tokens(config, session, kind="text", model=model_folder)
    except PreparationStopped:
        return left_before_training(session)

    # 2. rows: the stream of documents cut into sequences
    length, across = config.batch.sequence_length, config.data.attend_across_documents
    weights = class_weights(config.loss.syntax_weights, tokens.manifest)
    rows = TextRows(TokenShards(tokens.folder, "train"), length=length, across=across, weights=weights)
    held = TokenShards(tokens.folder, "held_out")
    held_out = held_out_parts(
        tokens.manifest.held_out,
        lambda documents: TextRows(held, length=length, across=across, documents=documents),
    )

    # 3. model, loop, export
    material = Material(tokens, rows, held_out, template="none", model_folder=model_folder)
    return train(config, session, material, allow_inexact=allow_inexact)
