"""Prepare: sources → documents → tokenizer → token shards on disk, with a manifest of hashes.

The result lies in the run's `data/`; training phases name it with `data: {kind: run, run: NAME}`.
"""

from __future__ import annotations

import time
from functools import partial

from core.config.filters import PerplexityFilter
from core.config.phases import PrepareConfig
from core.config.preferences import Preparable
from core.data.cleaning.clean import Means
from core.data.cleaning.scoring import Scorer
from core.data.cluster import over_cluster
from core.data.fingerprints import with_known_tokenizer
from core.data.manifest import read_manifest
from core.data.prepare import PreparationStopped, is_prepared, prepare
from core.data.progress import Work
from core.run.directory import Home
from core.run.events import Finished, Resumed, Started, Stopped
from core.run.session import Outcome, Session


def run(config: PrepareConfig, session: Session) -> Outcome:
    """Prepare the data of `config` into the run's directory; whole or not at all.

    Goes on where an earlier attempt was left.

    Raises: DataError, UsageError, StorageError.
    """
    begin = time.monotonic()
    session.start(Started(phase="prepare", facts={"sources": len(config.data.sources), "kind": config.data.kind}))
    if session.attempt > 1:
        session.emit(Resumed(step=0, checkpoint="", notes=("goes on with the units that are not done yet",)))
    if not is_prepared(session.run.data):
        try:
            work = Work(session.progress, lambda: session.leaving() is not None)
            with session.section("preparing"):
                data = _with_models(config.data, session.run.home)
                prepare(
                    with_known_tokenizer(data, session.run.home.fetched),
                    session.run.data,
                    seed=config.seed,
                    model_tokenizer=None,
                    work=work,
                    means=_means(config, session.run.home, work),
                )
        except PreparationStopped:
            reason = session.leaving() or "asked"
            session.emit(Stopped(step=0, reason=reason, message="what is done is kept; a resume goes on"))
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


def _with_models(data: Preparable, home: Home) -> Preparable:
    """Return `data` with the folders of the models that its filters name: by them a changed model is noticed.

    Raises: UsageError where one is not there: now, not when everything is read.
    """
    if not any(isinstance(asked, PerplexityFilter) for asked in data.filters):
        return data
    from core.evaluation.perplexity import model_folder

    filters = [
        asked.model_copy(update={"model": str(model_folder(asked.model, home))})
        if isinstance(asked, PerplexityFilter)
        else asked
        for asked in data.filters
    ]
    return data.model_copy(update={"filters": filters})


def _means(config: PrepareConfig, home: Home, work: Work) -> Means:
    def language_model(asked: PerplexityFilter) -> Scorer:
        from core.evaluation.perplexity import scorer_for  # torch, only where a filter needs it

        scorer = scorer_for(asked, home)
        scorer.between = work.ask
        return scorer

    if config.cluster is None:
        return Means(language_model, keeps_work=True)
    return Means(language_model, partial(over_cluster, cluster=config.cluster), keeps_work=True)
