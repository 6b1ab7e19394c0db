"""The held-out split in parts: every document once, by group, and what is said of a group without any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from core.data.manifest import DocumentRange, GroupRecord, SplitRecord
from core.training.batches import Row
from core.training.held_out import HeldOut, empty_groups, group_series, held_out_parts


@dataclass
class Documents:
    """A row for each document, which has its number as its only token."""

    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Row:
        return Row(np.array([self.numbers[index]]), np.array([1]), (1,))


def split(documents: int, **groups: list[tuple[int, int]]) -> SplitRecord:
    records = [
        GroupRecord(name=name, ranges=[DocumentRange(first=first, documents=count) for first, count in ranges])
        for name, ranges in groups.items()
    ]
    return SplitRecord(documents=documents, tokens=0, supervised_tokens=0, shards=[], groups=records)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (split(4), {None: [0, 1, 2, 3]}),
        (split(0), {None: []}),
        (split(4, a=[(0, 4)]), {"a": [0, 1, 2, 3]}),
        (split(9, a=[(1, 2), (7, 1)], b=[(4, 3)]), {"a": [1, 2, 7], "b": [4, 5, 6], None: [0, 3, 8]}),
        (split(3, b=[(1, 2)], a=[(0, 1)]), {"b": [1, 2], "a": [0]}),
        (split(2, a=[]), {"a": [], None: [0, 1]}),
    ],
)
def test_every_document_is_in_one_part(record: SplitRecord, expected: dict[str | None, list[int]]) -> None:
    parts = held_out_parts(record, Documents)
    found = {part.group: [int(part.rows[i].ids[0]) for i in range(len(part.rows))] for part in parts}
    assert found == expected
    assert list(found) == list(expected)


def test_a_few_groups_are_drawn_beside_the_loss_of_training_and_many_apart() -> None:
    def panels(count: int) -> set[str]:
        return {one.panel for one in group_series([HeldOut(f"g{n}", Documents(range(1))) for n in range(count)])}

    assert panels(3) == {"loss"}
    assert panels(4) == {"held-out loss by group"}
    (one,) = group_series([HeldOut(None, Documents(range(3))), HeldOut("medical", Documents(range(2)))])
    assert (one.name, one.lower_is_better) == ("eval/loss_medical", True)


def test_a_group_without_held_out_documents_is_told_unless_nothing_is_held_out() -> None:
    empty, full = HeldOut("rare", Documents(range(0))), HeldOut("general", Documents(range(2)))
    (notice,) = empty_groups([empty, full])
    assert notice.code == "empty_group"
    assert "rare" in notice.message
    assert not list(empty_groups([empty]))
