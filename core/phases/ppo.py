"""Not built yet."""

from __future__ import annotations

from core.config.phases import PPOConfig
from core.run.session import Outcome, Session


def run(config: PPOConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Not built yet."""
    raise NotImplementedError
