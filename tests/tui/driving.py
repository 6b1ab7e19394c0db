"""Driving the console in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.run.directory import Home
from tui.console import FootplateApp

ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


def console(home: Home, **environment: str) -> FootplateApp:
    return FootplateApp(home, environment={**ENVIRONMENT, **environment})


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds; the threads of the console take their time on a busy machine."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about in time")


def screen_text(app: FootplateApp) -> str:
    """What is on the screen, line by line."""
    height = app.size.height
    rows = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in row) for row in rows[:height])
