"""Supervised fine-tuning: next-token prediction on instructions and conversations.

Beside the textbook's loop: the loss counts the responses only, their end-of-turn token included; several examples share
a sequence without seeing one another (checked on this model when it is loaded); and the mean is over all response
tokens of the optimizer step. Where loss.syntax_weights are set, that mean is by weight; the held-out loss stays plain.
"""

from __future__ import annotations

from core.config.phases import SFTConfig
from core.data.prepare import PreparationStopped
from core.data.tokens.shards import TokenShards
from core.errors import DataError
from core.model.load import resolve_model
from core.run.session import Outcome, Session
from core.training.batches import InstructionRows
from core.training.held_out import held_out_parts
from core.training.next_token import Material, train
from core.training.setup import left_before_training, prepared_tokens
from core.training.syntax_weights import class_weights


def run(config: SFTConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Fine-tune the model of `config` on its instructions, from the start or from the newest checkpoint."""
    # 1. data: examples as tokens, with a mark on those that the loss counts
    try:
        model_folder = resolve_model(config.model, session.run.home, progress=session.progress, session=session)
        tokens = prepared_tokens(config, session, kind="instructions", model=model_folder)
    except PreparationStopped:
        return left_before_training(session)

    # 2. rows: examples packed into sequences
    length, pack = config.batch.sequence_length, config.data.pack
    trained, held = TokenShards(tokens.folder, "train"), TokenShards(tokens.folder, "held_out")

    longest = max((int(shards.lengths.max()) for shards in (trained, held) if shards.documents), default=0)
    if longest > length:
        raise DataError(
            f"batch.sequence_length is {length}, and the longest example has {longest} tokens",
            hint="Prepare the data with data.max_tokens of at most batch.sequence_length, or raise the latter.",
        )

    weights = class_weights(config.loss.syntax_weights, tokens.manifest)
    rows = InstructionRows(trained, length=length, pack=pack, weights=weights)
    held_out = held_out_parts(
        tokens.manifest.held_out,
        lambda documents: InstructionRows(held, length=length, pack=pack, documents=documents),
    )

    # 3. model, loop, export
    material = Material(tokens, rows, held_out, template=tokens.manifest.template, model_folder=model_folder)
    return train(config, session, material, allow_inexact=allow_inexact)
