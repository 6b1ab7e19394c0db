"""An event as a line of text, shorter than in the console's log where a pipe wants one line a second."""

from __future__ import annotations

from core.run.events import AnyEvent, Evaluated, Metrics, Progress, Sampled, Started
from tui.commands.output import shown, shown_lines
from tui.commands.picture import Picture
from tui.services.safe_text import size_words
from tui.services.words import duration_text, event_words, group_of, value_text

_SHORT = {
    "train/loss": "loss",
    "train/learning_rate": "lr",
    "train/grad_norm": "grad norm",
    "train/tokens_per_second": "tok/s",
    "eval/loss": "held-out loss",
    "eval/perplexity": "perplexity",
}
_LONGEST_SAMPLE = 300


def line(event: AnyEvent, picture: Picture) -> str:
    """Return an event as one line in which nothing can move the cursor; `picture` has taken it already."""
    match event:
        case Started():
            facts = "  ".join(f"{shown(name)} {_fact(value)}" for name, value in event.facts.items())
            return f"started  {shown(event.phase)}  {facts}".rstrip()
        case Progress():
            return progress_line(event)
        case Metrics():
            rest = picture.remaining_seconds
            eta = "" if rest is None else f"  ETA {duration_text(rest)}"
            return f"{step_text(picture, event.step)}  {named_values(event.values)}{eta}"
        case Evaluated():
            work = f"({event.tokens:,} tokens, {event.seconds:.1f} s)"
            return f"evaluated  step {event.step:,}  {named_values(event.values)}  {work}"
        case Sampled():
            return f"sample  step {event.step:,}  {sample_line(event)}"
        case _:
            return " ".join(part.strip() for part in shown_lines(event_words(event)[0]))


def named_values(values: dict[str, float]) -> str:
    """Return the values of several series in a line: loss 4.213  lr 0.0021."""
    return "  ".join(f"{shown(_short(name))} {_measured(value)}" for name, value in values.items())


def _short(name: str) -> str:
    group = group_of(name)
    return _SHORT.get(name, name.removeprefix("train/")) if group is None else f"of {group}"


def step_text(picture: Picture, step: int) -> str:
    """Return step 10/1,000, or step 10 where the end is not known."""
    return f"step {step:,}/{picture.steps:,}" if picture.steps else f"step {step:,}"


def progress_line(event: Progress) -> str:
    """Return how far work without steps has come, as a line."""
    total = "" if event.total is None else f" of {_amount(event.total, event.unit)}"
    share = f"  {event.done / event.total:.0%}" if event.total else ""
    unit = "" if event.unit == "bytes" else f" {event.unit}"
    return shown(f"{event.stage}  {_amount(event.done, event.unit)}{total}{unit}{share}  {event.note}").rstrip()


def sample_line(event: Sampled) -> str:
    """Return prompt and continuation in one line, line ends as ⏎."""
    prompt, text = (shown(part.replace("\n", "⏎")) for part in (event.prompt, event.text))
    return f"{prompt} → {text}"[:_LONGEST_SAMPLE]


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return size_words(value)
    return f"{value:,.0f}" if value == int(value) else value_text(value)


def _measured(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else value_text(value)


def _fact(value: str | int | float | bool) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return value_text(value)
        case str():
            return shown(value)
