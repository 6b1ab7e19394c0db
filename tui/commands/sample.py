"""`sample` and `fetch`: what needs the heavy libraries once, in a helper process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError
from core.run.runs import find_run_with_model
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import shown
from tui.commands.query import ask
from tui.services.safe_text import safe_text
from tui.services.words import count_text

_SECONDS = 600
"""A large model takes minutes to load; while it writes or downloads it says so."""


@dataclass(frozen=True)
class Wish:
    """What to write, and how."""

    prompt: str
    max_new_tokens: int
    temperature: float
    seed: int

    def check(self) -> None:
        """Raise UsageError for numbers that cannot be meant."""
        if not 1 <= self.max_new_tokens <= 100_000:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens}", hint="From 1 to 100,000.")
        if not 0 <= self.temperature <= 100:
            raise UsageError(f"--temperature {self.temperature}", hint="From 0 (the likeliest token) to 100.")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed {self.seed}", hint="From 0 to 4,294,967,295.")
        if not self.prompt:
            raise UsageError("--prompt is empty", hint="Give the model at least one token to begin with.")


def sample(text: str, wish: Wish, context: Context, *, as_json: bool) -> int:
    """Print how the model of a run goes on from a prompt.

    Raises: UsageError where the run has no model; what the helper answers.
    """
    wish.check()
    run = find_run_with_model(context.home, text)
    question = {
        "verb": "sample",
        "run": str(run.path),
        "prompt": wish.prompt,
        "max_new_tokens": wish.max_new_tokens,
        "temperature": wish.temperature,
        "seed": wish.seed,
    }
    answer = ask(question, context, seconds=_SECONDS)
    written = str(answer.get("text", ""))
    if as_json:
        values = {"run": run.name, "prompt": wish.prompt, "text": written, "seed": wish.seed}
        write(context, f"{json.dumps(values)}\n")
    else:
        # A model that was only pre-trained goes on with the prompt; one with a template answers it.
        begin = wish.prompt if answer.get("template") == "none" else ""
        write(context, f"{safe_text(begin + written)}\n")
    return 0


def fetch(what: str, context: Context) -> int:
    """Bring a model into the cache and print the folder in which it lies."""
    said = ""

    def tell(progress: Mapping[str, Any]) -> None:
        nonlocal said
        stage, total = shown(str(progress.get("stage", ""))), progress.get("total")
        share = f" of {count_text(float(total))}" if isinstance(total, int | float) and total else ""
        text = f"{stage} {count_text(float(progress.get('done', 0)))}{share} {shown(str(progress.get('unit', '')))}"
        if text != said:
            said = text
            context.say(text)

    context.say(f"Fetching {shown(what)} into {shown(str(context.home.cache))} ...")
    answer = ask({"verb": "fetch", "what": what}, context, seconds=_SECONDS, progress=tell)
    write(context, f"{shown(str(answer.get('folder', '')))}\n")
    return 0
