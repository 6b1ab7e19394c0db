"""`export`: a run's model in a folder of its own, made by the helper process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.run.runs import find_run_with_model
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import shown
from tui.commands.query import ask
from tui.services.exporting import ExportWish, answer_words, default_folder, progress_words

_SECONDS = 6 * 3600
"""A large model takes long to load, to convert and to upload; between two of those the helper says nothing."""


@dataclass(frozen=True)
class Wish:
    """The arguments of the command."""

    to: str | None
    adapter_only: bool
    dtype: str | None
    max_shard_size: str
    gguf: bool
    push: str
    public: bool


def export(text: str, wish: Wish, context: Context, *, as_json: bool) -> int:
    """Export the model of a run, say what was made, and print the folder.

    Raises: UsageError where the run has no model, or --public stands without --push; what the helper answers.
    """
    run = find_run_with_model(context.home, text)
    if wish.public and not wish.push:
        raise UsageError("--public says how --push uploads, and there is no --push", hint="Add --push NAME.")
    place = Path(wish.to).expanduser().absolute() if wish.to else default_folder(run)
    wanted = ExportWish(
        place, wish.adapter_only, wish.dtype, wish.max_shard_size, wish.gguf, wish.push, private=not wish.public
    )
    said = ""

    def tell(progress: Mapping[str, Any]) -> None:
        nonlocal said
        if (words := progress_words(progress)) != said:
            said = words
            context.say(shown(words))

    answer = ask(wanted.question(run), context, seconds=_SECONDS, progress=tell)
    if as_json:
        write(context, f"{json.dumps({name: value for name, value in answer.items() if name != 'type'})}\n")
        return 0
    for line in answer_words(answer):
        context.say(shown(line))
    write(context, f"{shown(str(answer.get('folder', '')))}\n")
    return 0
