"""Prepare: sources → documents → tokenizer → token shards on disk, with a manifest of hashes.

The result lies in the run's `data/`; training phases name it with `data: {kind: run, run: NAME}`.
"""

from __future__ import annotations

import time

from core.config.phases import PrepareConfig
from core.data.fingerprints import with_known_tokenizer
from core.data.manifest import read_manifest
from core.data.prepare import PreparationStopped, is_prepared, prepare
from core.run.events import Finished, Resumed, Started, Stopped
from core.run.session import Outcome, Session


def run(config: PrepareConfig, session: Session) -> Outcome:
    """Prepare the data of `config` into the run's directory; made whole or not at all.

    Raises: DataError, UsageError, StorageError.
    """
    begin = time.monotonic()
    session.start(Started(phase="prepare", facts={"sources": len(config.data.sources), "kind": config.data.kind}))
    if session.attempt > 1:
        session.emit(Resumed(step=0, checkpoint="", notes=("data is made whole or not at all: begins again",)))
    if not is_prepared(session.run.data):
        try:
            with session.section("preparing"):
                prepare(
                    with_known_tokenizer(config.data, session.run.home.fetched),
                    session.run.data,
                    seed=config.seed,
                    model_tokenizer=None,
                    progress=session.progress,
                    should_stop=lambda: session.leaving() is not None,
                )
        except PreparationStopped:
            reason = session.leaving() or "asked"
            session.emit(Stopped(step=0, reason=reason, message="nothing was kept; a resume begins again"))
            return reason

    manifest = read_manifest(session.run.data)
    facts: dict[str, str | int | float | bool] = {
        "data": str(session.run.data),
        "seconds": round(time.monotonic() - begin, 1),
        "vocabulary_size": manifest.vocabulary_size,
    }
    for split, counts in manifest.splits.items():
        facts[f"{split}_documents"] = counts.documents
        facts[f"{split}_tokens"] = counts.tokens
    session.emit(Finished(facts=facts))
    return "finished"
