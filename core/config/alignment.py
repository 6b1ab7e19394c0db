"""What a reward model, DPO, PPO and GRPO have of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class RewardModelling(Section):
    """The pairwise loss of a reward model (Ouyang et al. 2022, arXiv:2203.02155, equation 1)."""

    margin: float = Field(default=0.0, ge=0, le=100)
    """By how much the better answer's score is to lie above the worse one's: -log sigmoid(better - worse - margin)."""
    centring: float = Field(default=0.0, ge=0, le=100)
    """Weight of (better + worse)^2, which keeps scores around zero (Eisenstein et al. 2023, arXiv:2312.09244)."""


class DirectPreference(Section):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its kin."""

    loss: Literal["sigmoid", "ipo", "hinge", "orpo", "kto"] = "sigmoid"
    """sigmoid: DPO, equation 7. ipo: Azar et al. 2023, arXiv:2310.12036, equation 17. hinge: SLiC, Zhao et al. 2023,
    arXiv:2305.10425. orpo: without a reference, Hong et al. 2024, arXiv:2403.07691. kto: answers judged one by one,
    Ethayarajh et al. 2024, arXiv:2402.01306; of a pair the better one is good, the worse one bad."""
    beta: float = Field(default=0.1, gt=0, le=100)
    """How strongly the policy is held to the reference; the weight of the odds ratio for orpo."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs that are taken to be the wrong way round (sigmoid only): conservative DPO."""
    length_normalised: bool = False
    """Divide log-probabilities by the number of the response's tokens. Always so for ipo and orpo."""
    likelihood_weight: float = Field(default=0.0, ge=0, le=100)
    """Weight of the mean cross entropy of the better answers besides (Pang et al. 2024, arXiv:2404.19733). With orpo
    it is 1 and this must be 0."""
    good_weight: float = Field(default=1.0, ge=0, le=100)
    """Weight of good answers (kto)."""
    bad_weight: float = Field(default=1.0, ge=0, le=100)
    """Weight of bad answers (kto)."""
    reference: Literal["cached", "each_step"] = "cached"
    """Log-probabilities of the model that training starts from. cached: computed once before the first step, and kept
    for other runs on the same data. each_step: computed again at each step with the adapter switched off (lora and
    qlora only)."""


class Rollout(Section):
    """What the policy writes between two rounds of updates."""

    responses: int = Field(default=64, ge=1, le=1_000_000)
    """Responses of a rollout; a multiple of batch.size, and for GRPO of the group's size."""
    max_new_tokens: int = Field(default=512, ge=1, le=100_000)
    """Longest response in tokens."""
    temperature: float = Field(default=1.0, ge=0.01, le=100)
    """Logits are divided by this, both when a response is drawn and when its probability is computed."""
    micro_size: int = Field(default=32, ge=1, le=100_000)
    """How many responses are written at once, those of prompts of similar length together."""


Offloaded = Literal["policy", "reference", "value", "reward"]


class ProximalPolicy(Section):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on whole responses."""

    epochs: int = Field(default=4, ge=1, le=1000)
    """How often each rollout is gone through."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far the ratio of new to old probability counts: equation 7."""
    value: Literal["separate", "shared"] = "separate"
    """separate: the value function has a model of its own (with lora and qlora an adapter of its own on the same base).
    shared: it is a head on the policy, whose layers learn from both losses."""
    value_begins_with: Literal["policy", "reward"] = "policy"
    """What a separate value function begins as: the policy, or the reward model where the one reward is a run."""
    value_weight: float = Field(default=0.5, gt=0, le=100)
    """Weight of the value loss."""
    value_clip: float | None = Field(default=0.2, gt=0, le=100)
    """Clip new values around the old ones by this. Empty: no clipping."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount of later rewards, a token."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Decay of generalised advantage estimation (Schulman et al. 2015, arXiv:1506.02438)."""
    whiten_advantages: bool = True
    """Give the advantages of a rollout's tokens mean 0 and variance 1."""
    kl: Literal["reward", "loss"] = "reward"
    """Where the KL divergence from the reference counts: taken from the reward of each token, or added to the loss."""
    kl_coefficient: float = Field(default=0.05, ge=0, le=1e6)
    """Weight of the KL divergence. 0: no reference is needed, and neither kl nor kl_estimator counts."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """How it is estimated from one token (http://joschu.net/blog/kl-approx.html)."""
    kl_target: float | None = Field(default=None, gt=0, le=1e6)
    """Adapt the coefficient so that the KL divergence of a response comes to this many nats (Ziegler et al. 2019,
    arXiv:1909.08593, section 2.2). Empty: the coefficient stays. With kl: reward only."""
    kl_horizon: int = Field(default=10_000, ge=1, le=1_000_000_000)
    """Responses over which the coefficient adapts."""
    entropy_weight: float = Field(default=0.0, ge=0, le=100)
    """Weight of the policy's entropy, which the loss rewards."""
    reward_clip: float | None = Field(default=None, gt=0, le=1e6)
    """Clip rewards to -x..x, after they were normalised. Empty: no clipping."""
    normalise_rewards: bool = False
    """Divide rewards by their running standard deviation after taking their running mean away."""
    no_end_reward: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reward of a response that was cut at rollout.max_new_tokens, in the place of its own. Empty: its own."""
    stop_kl: float | None = Field(default=None, gt=0, le=1000)
    """Leave out the remaining updates of a rollout once the policy has moved from the one that wrote it by so many nats
    a token. Empty: never."""
    offload: list[Offloaded] = Field(default=[], max_length=4)
    """Models that wait in the main memory while another computes."""


class GroupRelative(Section):
    """Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300)."""

    group: int = Field(default=8, ge=2, le=10_000)
    """Responses to each prompt."""
    epochs: int = Field(default=1, ge=1, le=1000)
    """How often each rollout is gone through."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far below 1 the ratio of new to old probability counts."""
    clip_high: float | None = Field(default=None, gt=0, le=100)
    """How far above 1 (Yu et al. 2025, arXiv:2503.14476, section 3.1). Empty: as far as below."""
    loss: Literal["sequence", "token", "constant"] = "sequence"
    """sequence: mean over the tokens of a response, then over responses (GRPO, equation 3). token: mean over all tokens
    (DAPO, equation 8). constant: sum over tokens divided by rollout.max_new_tokens (Liu et al. 2025,
    arXiv:2503.20783)."""
    scale: Literal["group", "none"] = "group"
    """Divide a group's advantages by the standard deviation of its rewards, or not (arXiv:2503.20783)."""
    drop_flat_groups: bool = True
    """Leave out groups whose rewards are all equal: nothing is learned from them."""
    kl_coefficient: float = Field(default=0.0, ge=0, le=1e6)
    """Weight of the KL divergence from the reference in the loss (k3). 0: no reference is needed."""
    stop_kl: float | None = Field(default=None, gt=0, le=1000)
    """Leave out the remaining updates of a rollout once the policy has moved from the one that wrote it by so many nats
    a token. Empty: never."""
    no_end_reward: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Reward of a response that was cut at rollout.max_new_tokens, in the place of its own. Empty: its own."""


StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""Name of a stage of a pipeline."""
