"""Lists of sections in a form: folding their items, adding one, taking one out, moving one. Pure.

An item is what stands at an index, such as a reward, a source, or a stage of a pipeline.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from core.config.drafts import set_value
from core.config.fields import Slot
from core.config.shapes import FieldShape, ListShape, SectionShape, TextShape, UnionShape, fields_of, shapes_along
from core.config.yaml_text import Place, Value
from tui.forms.form_state import FormState, value_at


def item_of(form: FormState, slot: Slot) -> Place | None:
    """Return the innermost item of a list of sections that a row belongs to, None where it is in none."""
    lists = {other.path for other in form.slots if other.kind == "yaml"}
    for length in range(len(slot.path), 0, -1):
        place = slot.path[:length]
        if isinstance(place[-1], int) and place[:-1] in lists:
            return place
    return None


def list_of(form: FormState, slot: Slot) -> Place | None:
    """Return the list of sections that a row is, or stands in."""
    if slot.kind == "yaml":
        return slot.path
    item = item_of(form, slot)
    return item[:-1] if item is not None else None


def kinds_of(form: FormState, place: Place) -> list[tuple[str, str]]:
    """Return what may be added to a list, (tag, what it is); of a list whose items are all of one kind ("", "")."""
    *_, (shape, _) = shapes_along(place, form.draft.values)
    item = shape.item if isinstance(shape, ListShape) else None
    if isinstance(item, UnionShape):
        return [(tag, " ".join((inspect.getdoc(one) or "").split())) for tag, one in item.members.items()]
    return [("", "")] if isinstance(item, SectionShape) else []


def add_item(form: FormState, place: Place, tag: str, *, after: int) -> Place:
    """Add an item of a kind behind the one at index `after` and return its place; what it needs is still to be said."""
    *_, (shape, _) = shapes_along(place, form.draft.values)
    item: dict[str, Value] = {}
    if isinstance(shape, ListShape) and isinstance(shape.item, UnionShape):
        item = {shape.item.discriminator: tag, **_named(form, place, fields_of(shape.item.members[tag]), tag)}
    items = _items(form, place)
    at = max(0, min(after + 1, len(items)))
    form.folded = {_moved(one, place, lambda index: index + (index >= at)) for one in form.folded}
    form.change(set_value(form.draft, place, [*items[:at], item, *items[at:]]))
    return (*place, at)


def _named(form: FormState, place: Place, fields: Mapping[str, FieldShape], tag: str) -> dict[str, Value]:
    """Return the name that an item begins with, where it has one: that of its kind, with a number if that is taken."""
    field = fields.get("name")
    if field is None or not field.required or not isinstance(field.shape, TextShape):
        return {}
    taken = {item.get("name") for item in _items(form, place) if isinstance(item, dict)}
    numbered = (tag if number == 1 else f"{tag}-{number}" for number in range(1, len(taken) + 2))
    return {"name": next(name for name in numbered if name not in taken)}


def remove_item(form: FormState, item: Place) -> None:
    """Take an item out of its list."""
    *place, at = item
    assert isinstance(at, int)
    items = _items(form, tuple(place))
    kept = {one for one in form.folded if one[: len(item)] != item}
    form.folded = {_moved(one, tuple(place), lambda index: index - (index > at)) for one in kept}
    form.change(set_value(form.draft, tuple(place), [*items[:at], *items[at + 1 :]]))


def move_item(form: FormState, item: Place, by: int) -> Place:
    """Exchange an item with a neighbour and return its new place; at the ends it stays where it is."""
    *place, at = item
    assert isinstance(at, int)
    items, to = _items(form, tuple(place)), at + by
    if not 0 <= to < len(items):
        return item
    swap = {at: to, to: at}
    form.folded = {_moved(one, tuple(place), lambda index: swap.get(index, index)) for one in form.folded}
    items[at], items[to] = items[to], items[at]
    form.change(set_value(form.draft, tuple(place), items))
    return (*place, to)


def toggle_fold(form: FormState, slot: Slot) -> Place | None:
    """Fold the item that a row belongs to, or open it; return its place, None where there is none."""
    item = item_of(form, slot)
    if item is not None:
        form.folded = form.folded ^ {item}
    return item


def _items(form: FormState, place: Place) -> list[Value]:
    found = value_at(form.draft.values, place)
    return list(found) if isinstance(found, list) else []


def _moved(folded: Place, place: Place, to: Callable[[int], int]) -> Place:
    """Return a folded place after the items of the list at `place` have got other indices."""
    depth = len(place)
    if folded[:depth] != place or len(folded) <= depth:
        return folded
    index = folded[depth]
    return (*place, to(index), *folded[depth + 1 :]) if isinstance(index, int) else folded
