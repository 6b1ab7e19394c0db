"""Events as lines of text."""

from __future__ import annotations

from core.run.events import Failed
from tui.commands.lines import line
from tui.commands.picture import Picture


def test_a_message_of_several_lines_is_one_without_gaps() -> None:
    event = Failed(exit_code=4, message="it differs:\n    a: 1 → 2\n    b\x1b", hint="Undo it.\nOr go on.")
    assert line(event, Picture()) == "failed with code 4: it differs: a: 1 → 2 b␛: Undo it. Or go on."
