"""The places of the console. All but the first are imported when they are first shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from tui.screens.runs import RunsScreen


def presets_screen() -> Screen[None]:
    """Return the menu of presets; imported when it is first shown."""
    from tui.screens.presets import PresetsScreen

    return PresetsScreen()


def data_screen() -> Screen[None]:
    """Return the Data screen; imported when it is first shown."""
    from tui.screens.data import DataScreen

    return DataScreen()


def monitor_screen() -> Screen[None]:
    """Return the monitor; imported when it is first shown, with numpy and plotext."""
    from tui.screens.monitor import MonitorScreen

    return MonitorScreen()


PLACES: dict[str, str | Callable[[], Screen[Any]]] = {
    "runs": RunsScreen,
    "data": data_screen,
    "configure": presets_screen,
    "monitor": monitor_screen,
}
