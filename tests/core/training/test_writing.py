"""What a rollout consists of: prompts in order, rewards, log-probabilities, and how it becomes micro-batches."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from core.config.alignment import GroupRelative
from core.config.phases import GRPOConfig
from core.errors import DataError
from core.model.batch import IGNORED
from core.training.batches import Batches, Cursor, Deal
from core.training.policy_examples import evaluate, sample
from core.training.policy_loop import planned_updates
from core.training.rollout import (
    Lessons,
    PromptRows,
    RolledOut,
    as_they_are,
    cut,
    epoch_order,
    minibatches,
    packed_responses,
    response_batch,
)
from core.training.writing import Writing, judge, response_seeds, roll_out, write
from tests.core.training.policies import END, PROMPTS, Source, ppo_config, tiny_model, writing_of


def rolled_out(writing: Writing, number: int = 0, each: int = 1) -> RolledOut:
    rolled = roll_out(writing, PROMPTS, number, each=each)
    assert rolled is not None
    return rolled


class PromptShards:
    """Prompts in memory, with the part of TokenShards that their rows use."""

    lengths = np.array([5, 3, 9])

    def document(self, number: int) -> tuple[Any, Any]:
        length = int(self.lengths[number])
        answer = 2 if number == 0 else 0
        return np.arange(length) + 10 * number, np.array([0] * (length - answer) + [1] * answer, np.uint8)


def test_prompts_keep_their_end_and_their_answer() -> None:
    rows = PromptRows(PromptShards(), longest=4)  # type: ignore[arg-type]  # a stand-in of shards
    assert [(p.number, p.ids, p.answer_ids) for p in (rows[0], rows[2])] == [
        (0, (0, 1, 2), (3, 4)), (2, (25, 26, 27, 28), ()),
    ]  # fmt: skip
    assert rows.shortened == 1


def test_the_cursor_alone_decides_which_prompts_come_next() -> None:
    rows = PromptRows(PromptShards(), longest=9)  # type: ignore[arg-type]  # a stand-in of shards

    def batches() -> Batches[Any]:
        return Batches(rows, Deal(2, 2, seed=5), pack=as_they_are)

    first = batches()
    taken = [prompt.number for _ in range(3) for prompt in first.next_step()[0]]
    assert sorted(taken[:3]) == sorted(taken[3:]) == [0, 1, 2]
    second = batches()
    second.move_to(Cursor(0, 2))
    assert [prompt.number for prompt in second.next_step()[0]] == taken[2:4]


def test_targets_are_the_written_tokens_and_nothing_else() -> None:
    rolled = rolled_out(writing_of(ppo_config()))
    rolled = replace(rolled, prompts=tuple(replace(prompt, number=prompt.number + 40) for prompt in rolled.prompts))
    lessons = Lessons(rolled.old * 2, rolled.old * 3, [0, 1, 2, 3], {})
    batch = response_batch(rolled, lessons, [3, 1])
    start = 0
    for number, length, count in zip([3, 1], batch.packed.lengths, batch.lengths, strict=True):
        one = rolled.answered[number]
        row = batch.packed.input_ids[0, start : start + length].tolist()
        targets = batch.packed.targets[0, start : start + length].tolist()
        assert row == [*one.prompt_ids, *one.response.tokens[:-1]]
        assert targets == [IGNORED] * (len(one.prompt_ids) - 1) + [*one.response.tokens]
        assert count == len(one.response.tokens)
        start += length
    ends = np.cumsum(rolled.lengths)
    own = torch.cat([rolled.old[ends[2] : ends[3]], rolled.old[ends[0] : ends[1]]])
    assert torch.equal(batch.old, own)
    assert torch.equal(batch.advantages, 2 * own)
    assert batch.returns is not None
    assert torch.equal(batch.returns, 3 * own)
    assert batch.rows == (43, 41), "documents, and not places in the rollout"


def test_responses_to_one_prompt_share_it_but_its_last_token() -> None:
    """Also one that stands alone, so that it is the same to the bit whichever others are there; few tokens are not."""
    rolled = rolled_out(writing_of(ppo_config()))
    first, second = rolled.answered[:2]
    one, other = replace(first, prompt_ids=(*range(5, 37), 7)), replace(second, prompt_ids=(*range(5, 36), 7))
    same = replace(other, prompt_ids=one.prompt_ids)
    batch = packed_responses([one, same, other], (0, 0, 1), each=2)
    (*prompt, last), texts = one.prompt_ids, [list(each.response.tokens[:-1]) for each in (one, same)]
    assert batch.lengths == (*(1 + len(text) for text in texts), len(other.prompt_ids) + len(texts[1]), 32)
    begin = [last, *texts[0], last, *texts[1]]
    assert batch.input_ids[0].tolist() == [*begin, *other.prompt_ids, *texts[1], *prompt]
    assert batch.targets[0, : len(begin)].tolist() == [*one.response.tokens, *same.response.tokens]
    assert batch.tokens == sum(len(each.prompt_ids) + len(each.response.tokens) - 1 for each in (one, same, other))
    assert packed_responses([one], (0,), each=2).prefixes is not None
    assert packed_responses([one, same], (0, 0), each=1).prefixes is None
    longer = replace(other, prompt_ids=(*range(6, 38), 7))  # as long as the first, and another
    found = packed_responses([one, longer], (0, 1), each=2).prefixes
    assert found is not None
    assert found.count == 2


def test_an_update_is_drawn_from_the_whole_rollout_and_holds_answers_to_a_prompt_side_by_side() -> None:
    order = epoch_order(3, 0, 1, 24)
    updates = cut(order, size=8, micro_size=3, each=4)
    assert [[len(group) for group in groups] for groups in updates] == [[3, 3, 2]] * 3
    for place, groups in enumerate(updates):
        flat = [number for group in groups for number in group]
        assert sorted(flat) == sorted(order[8 * place : 8 * place + 8])
        prompts = [number // 4 for number in flat]
        assert len({*prompts}) == 1 + sum(a != b for a, b in pairwise(prompts))
    assert max(len({number // 4 for group in groups for number in group}) for groups in updates) > 2
    assert cut(order, size=8, micro_size=8, each=1) == [[order[begin : begin + 8]] for begin in (0, 8, 16)]


def test_old_log_probabilities_are_those_of_each_response_alone() -> None:
    """At a temperature, without gradient checkpointing or dropout, whatever else is in the micro-batch."""
    writing = writing_of(ppo_config(rollout={"temperature": 0.6}, batch={"size": 4, "micro_size": 4}))
    rolled = rolled_out(writing)
    start = 0
    for one, length in zip(rolled.answered, rolled.lengths, strict=True):
        ids = torch.tensor([[*one.prompt_ids, *one.response.tokens]])
        logits = writing.actors.policy.model(input_ids=ids).logits[0] / 0.6
        log_p = logits.log_softmax(-1)[len(one.prompt_ids) - 1 : -1]
        alone = log_p.gather(1, torch.tensor(one.response.tokens)[:, None])[:, 0]
        assert torch.allclose(rolled.old[start : start + length], alone, atol=1e-5)
        start += length


def test_every_response_that_teaches_is_gone_through_once_an_epoch_and_in_another_order() -> None:
    config = ppo_config(rollout={"responses": 4}, batch={"size": 2, "micro_size": 1})
    rolled = rolled_out(writing_of(config))
    lessons = Lessons(rolled.old, None, [0, 1, 3], {})
    orders = []
    for epoch in range(4):
        steps = list(minibatches(config, rolled, lessons, epoch=epoch, parts=("policy", "value")))
        assert [[batch.part for batch in step] for step in steps] == [
            ["policy", "policy", "value", "value"], ["policy", "value"],
        ]  # fmt: skip
        assert sum(batch.tokens for step in steps for batch in step) == sum(
            len(rolled.answered[n].prompt_ids) + rolled.lengths[n] - 1 for n in (0, 1, 3)
        )
        orders.append([row for step in steps for batch in step if batch.part == "policy" for row in batch.rows])
    assert all(sorted(order) == [0, 1, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    first, second = (epoch_order(config.seed, rollout, 0, 20) for rollout in (0, 1))
    assert first != second, "nor is it that of each rollout"


def test_a_rollout_depends_on_its_number_and_each_response_on_its_seed() -> None:
    writing = writing_of(ppo_config())
    first, again, other = (rolled_out(writing, number) for number in (0, 0, 1))
    assert first.answered == again.answered
    assert first.answered != other.answered
    for one in first.answered:  # with the space that stands between it and its prompt
        assert one.text == "".join(f" w{token}" for token in one.response.tokens)
    assert response_seeds(3, 7, 2) == response_seeds(3, 7, 9)[:2]
    pairs = rolled_out(writing, each=2)
    assert [one.prompt_ids for one in pairs.answered] == [prompt.ids for prompt in PROMPTS for _ in range(2)]


def test_rewards_are_added_by_weight_and_a_cut_response_may_have_its_own() -> None:
    config = ppo_config(
        rewards=[{"kind": "python", "path": "/a", "weight": 2.0}, {"kind": "python", "path": "/b", "weight": -1.0}],
        ppo={"no_end_reward": -7.0},
        rollout={"max_new_tokens": 2},
    )
    writing = writing_of(config)
    sources = [Source(len), Source(lambda tokens: math.nan if tokens[0] % 2 else 1.0)]
    writing = replace(writing, sources=sources, ends=frozenset({END, *range(0, 20, 3)}))
    answered = write(writing, PROMPTS, each=3, seeds=list(range(12)), temperature=1.0)
    assert answered is not None
    assert {one.response.ended for one in answered} == {True, False}
    for reward, one in zip(judge(writing, answered), answered, strict=True):
        tokens = one.response.tokens
        if not one.response.ended:
            assert reward == -7.0
        elif tokens[0] % 2:
            assert math.isnan(reward)
        else:
            assert reward == 2 * len(tokens) - 1
    grouped = GRPOConfig.model_construct(rewards=config.rewards, grpo=GroupRelative(no_end_reward=-3.0))
    cut = [not one.response.ended for one in answered]
    assert [reward == -3.0 for reward in judge(replace(writing, config=grouped), answered)] == cut
    short: Any = lambda answered: [0.0]  # noqa: E731
    short.name = "short"
    with pytest.raises(DataError, match="reward short: expected 12 numbers, found 1"):
        judge(replace(writing, sources=[short, short]), answered)


def test_a_reward_that_no_float32_holds_is_none() -> None:
    writing = writing_of(ppo_config(), of=lambda tokens: 1e39)
    assert all(map(math.isnan, rolled_out(writing).rewards))


def test_writing_leaves_no_gradient_and_no_flag_behind() -> None:
    model = tiny_model(checkpointing=True)
    writing = writing_of(ppo_config(), model)
    flags = [module.training for module in model.modules()]
    rolled = rolled_out(writing)
    assert flags == [module.training for module in model.modules()]
    assert any(flags), "the layers that checkpoint their activations are in training mode"
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(t is not None and t.requires_grad for t in (rolled.old, rolled.reference, rolled.values))


def test_leaving_gives_nothing_half_done() -> None:
    writing = replace(writing_of(ppo_config()), is_leaving=lambda: True)
    assert roll_out(writing, PROMPTS, 0, each=1) is None
    assert sample(writing, PROMPTS, seeds=[1, 2, 3, 4], step=5) == []
    assert evaluate(writing, PROMPTS, step=5) is None


def test_samples_show_the_reward_and_the_divergence_of_each_token() -> None:
    writing = writing_of(ppo_config())
    with torch.no_grad():
        writing.actors.policy.model.lm_head.weight.mul_(1.5)
    seeds = response_seeds(writing.config.seed, 0, 4)
    samples = sample(writing, PROMPTS, seeds=seeds, step=5)
    rolled = rolled_out(writing)
    assert rolled.reference is not None
    marks = [mark for one in samples for mark in one.marks]
    assert marks == pytest.approx((rolled.old - rolled.reference).tolist(), abs=1e-5)
    assert [one.values["reward"] for one in samples] == [*rolled.rewards]
    assert samples[0].values["kl"] == pytest.approx(sum(samples[0].marks))
    assert len(samples[0].tokens) == samples[0].values["length"] == rolled.lengths[0]
    found = evaluate(writing, PROMPTS, step=5)
    assert found is not None
    assert found.values.keys() == {"eval/reward", "eval/response_length", "eval/ended"}


@pytest.mark.parametrize(
    ("schedule", "steps"), [({"steps": 1}, 8), ({"steps": 9}, 16), ({"epochs": 1.0}, 24), ({"epochs": 0.1}, 8)]
)
def test_a_run_is_whole_rollouts(schedule: dict[str, Any], steps: int) -> None:
    """A rollout of 4 responses in minibatches of 2, four times: 8 updates; 10 prompts take 3 rollouts."""
    config = ppo_config()
    config = config.model_copy(update={"schedule": config.schedule.model_copy(update={"steps": None, **schedule})})
    assert planned_updates(config, 10, each=1, epochs=4) == steps
    with pytest.raises(DataError, match="no prompt"):
        planned_updates(config, 0, each=1, epochs=4)
