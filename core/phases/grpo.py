"""Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300): responses to one prompt are compared.

There is no value function: what a response is worth is its reward beside those of the others to the same prompt. Beside
the paper: groups whose rewards are all equal are left out and counted, the clip may be wider above than below, and the
mean may go over tokens, or the standard deviation and the length may stay out of it (`GroupRelative`). The loop of
rollouts, and the way from the configuration to the exported policy, are those of PPO.
"""

from __future__ import annotations

from core.config.phases import GRPOConfig
from core.run.events import Series
from core.run.session import Outcome, Session
from core.training.group_policy import GroupPolicy, group_lessons
from core.training.policy_setup import Method, train_policy

FLAT_GROUPS = Series(name="train/flat_groups", title="groups without signal", panel="groups without signal")


def run(config: GRPOConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Improve the policy of `config` on its prompts, from the start or from the newest checkpoint."""
    grpo = config.grpo
    method = Method(
        # 1. each prompt is answered by a whole group
        each=grpo.group,
        # 2. the advantage of a response is its reward within its group
        learn=lambda rolled, _: group_lessons(rolled, grpo),
        memory={},
        # 3. updates: the clipped loss, and the KL divergence from the reference beside it
        objective=lambda actors: GroupPolicy(actors.policy, grpo, config.rollout),
        epochs=grpo.epochs,
        stop_kl=grpo.stop_kl,
        series=(FLAT_GROUPS,),
    )
    return train_policy(config, session, method, allow_inexact=allow_inexact)
