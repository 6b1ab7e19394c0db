"""Not built yet."""

from __future__ import annotations

from core.config.phases import RewardConfig
from core.run.session import Outcome, Session


def run(config: RewardConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Not built yet."""
    raise NotImplementedError
