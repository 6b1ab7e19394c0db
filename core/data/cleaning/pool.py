"""A function over all units, on every core, with progress and a way to stop."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Protocol

from core.errors import FootplateError, OutOfMemoryError
from core.run.processes import die_with_parent

UnitWork = Callable[[Path, int, int, Callable[[int], None]], None]
"""Takes the work folder, the number of the pass, the unit, and what hears of its documents. A function of a module."""

class OverUnits(Protocol):
    """Calls a function for every unit of `sizes`, here or elsewhere; see `over_units`."""

    def __call__(
        self, function: UnitWork, work: Path, number: int, sizes: dict[int, int], pulse: Callable[[Heard], None]
    ) -> None:
        """Call it."""


_HEARD_SECONDS = 0.25
_POLL_SECONDS = 0.05
_SMALL_BYTES = 16 * 2**20
_SMALL_PER_PROCESS = 8 * 2**20
"""Below so many bytes a process takes longer to start than to do the work."""


@dataclass
class Heard:
    """How far the units of a pass have come: documents read in each that is not done yet."""

    open: dict[int, int] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)


def over_units(
    function: UnitWork,
    work: Path,
    number: int,
    sizes: dict[int, int],
    pulse: Callable[[Heard], None],
) -> None:
    """Call `function` for every unit of `sizes` (unit → bytes), and `pulse` about twenty times a second meanwhile.

    Where `pulse` raises, the processes are ended; units that are done stay so.
    Raises: what the function raises; OutOfMemoryError where a process was killed.
    """
    total = sum(sizes.values())
    processes = min(len(os.sched_getaffinity(0)), len(sizes), max(1, total // _SMALL_PER_PROCESS))
    heard = Heard()
    if processes <= 1 or total < _SMALL_BYTES:
        for unit in sizes:
            _here(function, work, number, unit, heard, pulse)
        return
    # Longest first, so that no core waits for one that began the longest last.
    _in_processes(function, work, number, sorted(sizes, key=lambda unit: (-sizes[unit], unit)), pulse, processes)


def apart(function: UnitWork, work: Path, size: int, pulse: Callable[[Heard], None]) -> None:
    """Call `function` once, for `size` bytes; where these are many in a process of its own, which a stop ends at once.

    Raises: as `over_units`.
    """
    if size < _SMALL_BYTES:
        _here(function, work, 0, 0, Heard(), pulse)
    else:
        _in_processes(function, work, 0, [0], pulse, 1)


def _here(
    function: UnitWork, work: Path, number: int, unit: int, heard: Heard, pulse: Callable[[Heard], None]
) -> None:
    def hear(documents: int) -> None:
        heard.open[unit] = documents
        pulse(heard)

    function(work, number, unit, hear)
    heard.open.pop(unit, None)
    heard.done.append(unit)
    pulse(heard)


def _in_processes(
    function: UnitWork,
    work: Path,
    number: int,
    units: Sequence[int],
    pulse: Callable[[Heard], None],
    processes: int,
) -> None:
    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    heard = Heard()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(os.getpid(), queue))
    children: dict[int, Any] = {}
    try:
        futures = {pool.submit(_call, function, work, number, unit): unit for unit in units}
        children = dict(pool._processes or {})
        waiting: set[Future[Any]] = set(futures)
        while waiting:
            ready, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            while not queue.empty():
                unit, documents = queue.get()
                heard.open[unit] = documents
            for future in ready:
                _raise_found(future)
                heard.open.pop(futures[future], None)
                heard.done.append(futures[future])
            pulse(heard)
    except BaseException:
        # A unit that is at work cannot be asked to stop; what it wrote is under other names.
        for child in {**children, **(pool._processes or {})}.values():
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _raise_found(future: Future[Any]) -> None:
    try:
        found = future.result()
    except BrokenProcessPool as error:
        raise OutOfMemoryError(
            "a process that worked on the data was killed, probably because memory ran out",
            hint="Resume to go on where it was; close other programs, or allow it fewer cores (taskset -c 0 ...).",
        ) from error
    if found is not None:
        raise found


_said: dict[str, Any] = {}


def _begin(parent: int, queue: SimpleQueue[tuple[int, int]]) -> None:
    die_with_parent(parent)
    _said["queue"] = queue


def _call(function: UnitWork, work: Path, number: int, unit: int) -> FootplateError | OSError | None:
    last = [time.monotonic()]

    def hear(documents: int) -> None:
        now = time.monotonic()
        if now - last[0] >= _HEARD_SECONDS:
            last[0] = now
            _said["queue"].put((unit, documents))

    try:
        function(work, number, unit, hear)
    except (FootplateError, OSError) as error:
        return error
    return None
