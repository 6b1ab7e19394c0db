"""Not built yet."""

from __future__ import annotations

from core.config.phases import PipelineConfig
from core.run.session import Outcome, Session


def run(config: PipelineConfig, session: Session) -> Outcome:
    """Not built yet."""
    raise NotImplementedError
