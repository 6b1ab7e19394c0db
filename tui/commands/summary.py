"""What a command says when a run that it watched has ended."""

from __future__ import annotations

import math

from core.errors import ExitCode
from core.run.directory import RunDirectory
from core.run.events import Failed, Stopped
from core.run.status import RunStatus
from tui.commands.context import Context
from tui.commands.output import shown, shown_lines
from tui.commands.picture import Picture
from tui.services.safe_text import safe_lines
from tui.services.words import group_of, value_text

_SAMPLE_LINES = 12


def tell_result(run: RunDirectory, picture: Picture, context: Context) -> None:
    """Print what came out: what the model wrote, the held-out loss, where the result lies."""
    for sample in picture.samples:
        # Pre-training continues the prompt, fine-tuning answers it.
        join = "" if picture.phase == "pretrain" else "\n"
        print(file=context.output)
        for text in safe_lines(f"{sample.prompt}{join}{sample.text}", lines=_SAMPLE_LINES):
            print(f"    {text}", file=context.output)
    if picture.samples:
        print(file=context.output)
    if (loss := held_out_words(picture)) is not None:
        print(loss, file=context.output)
    if run.has_model:
        print(f"model: {shown(str(run.model))}", file=context.output)
    if (run.data / "manifest.json").exists():
        print(f"data: {shown(str(run.data))}", file=context.output)


def held_out_words(picture: Picture) -> str | None:
    """Return the last held-out loss, with its share of what a guess costs where the run says enough for that.

    A loss that comes with a perplexity is one of tokens: a guess costs ln(vocabulary). Of another one the fact
    guess_loss says it. The losses of groups of sources stand behind it.
    """
    if picture.held_out is None or "eval/loss" not in picture.held_out.values:
        return None
    loss = picture.held_out.values["eval/loss"]
    vocabulary, guess = picture.facts.get("vocabulary_size"), picture.facts.get("guess_loss")
    share = ""
    if isinstance(guess, int | float) and guess > 0:
        share = f", {loss / guess:.0%} of {value_text(guess)}, what a guess costs"
    elif "eval/perplexity" in picture.held_out.values and isinstance(vocabulary, int | float) and vocabulary > 1:
        share = f", {loss / math.log(vocabulary):.0%} of ln({vocabulary:,.0f}), what a uniform guess costs"
    groups = [
        f"{shown(group)} {value_text(value)}"
        for name, value in picture.held_out.values.items()
        if (group := group_of(name)) is not None
    ]
    return f"held-out loss: {value_text(loss)}{share}" + (f" ({', '.join(groups)})" if groups else "")


def tell_what_next(run: RunDirectory, picture: Picture, status: RunStatus, context: Context) -> None:
    """Say how the run ended and what can be done with it now."""
    name = shown(run.name)
    match status.word:
        case "finished" if (run.model / "reward.json").is_file():
            context.say(f"{name} is finished. Let it judge: footplate score {name} FILE")
        case "finished" if run.has_model:
            context.say(f"{name} is finished. Let it write: footplate sample {name} --prompt '...'")
        case "finished" if (run.data / "manifest.json").exists():
            context.say(f"{name} is finished. Train on it: data: {{kind: run, run: {name}}} in a preset")
        case "finished":
            context.say(f"{name} is finished.")
        case "stopped":
            context.say(f"{name} has stopped{_at(picture)}. Go on: footplate resume {name}")
        case "preempted":
            context.say(f"{name} left because of a signal, saved{_at(picture)}. Go on: footplate resume {name}")
        case "failed":
            _tell_failure(run, picture, status, context)
        case _:
            context.say(f"{name}: {shown(status.words or status.word)}. Go on: footplate resume {name}")


def _tell_failure(run: RunDirectory, picture: Picture, status: RunStatus, context: Context) -> None:
    name = shown(run.name)
    if isinstance(picture.end, Failed) and picture.end.attempt == status.attempt:
        first, *rest = shown_lines(picture.end.message) or [f"exit code {status.exit_code}"]
        context.say(f"{name} failed: {first}")
        for text in [*rest, *shown_lines(picture.end.hint)]:
            context.say(f"  {text.strip()}")
    else:
        context.say(f"{name} {shown(status.words or f'failed, exit code {status.exit_code}')}")
    if run.stages.exists():
        return  # the hint above has named the stage, its log and how to go on
    output = f"Its output: footplate logs {name}."
    if status.exit_code == ExitCode.CHECKPOINT:
        context.say(f"  {output}")  # a plain resume would be refused again
        return
    has_checkpoint = run.checkpoints.is_dir() and any(run.checkpoints.glob("step-*"))
    again = "Go on from its last checkpoint" if has_checkpoint else "Once the cause is mended, start it again"
    change = "" if has_checkpoint else "; to change its configuration: --set section.field=VALUE"
    context.say(f"  {output} {again}: footplate resume {name}{change}")


def _at(picture: Picture) -> str:
    return f" at step {picture.end.step:,}" if isinstance(picture.end, Stopped) and picture.end.step else ""
