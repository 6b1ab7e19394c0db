"""What a console asks of a run: one small file a request, in the run's own folder.

A request is made under another name and renamed, so the worker never sees half of one. The folder is no more open
than the run: who may not write there cannot ask. Garbage is refused once and moved to done/, never obeyed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.private import folder, make_folder, open_at, write_atomic

Verb = Literal["stop", "checkpoint", "evaluate", "sample"]
VERBS: tuple[str, ...] = get_args(Verb)
MAX_BYTES = 16 * 1024
MAX_REQUESTS = 100
_NONCE = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")


@dataclass(frozen=True)
class Request:
    """One thing that a console asks; `attempt` is the attempt that ran when it was asked, 0 before the first."""

    nonce: str
    verb: Verb
    arguments: dict[str, Any]
    attempt: int


@dataclass(frozen=True)
class Rejected:
    """A file in the control folder that is no request, and why; `name` is the file's."""

    name: str
    reason: str


def request(run: RunDirectory, verb: Verb, **arguments: str | int | float | bool) -> str:
    """Ask something of a run and return the nonce that its RequestHandled will carry.

    Raises: UsageError where the arguments are too long; StorageError where the disk is full.
    """
    nonce = f"{time.time_ns():016x}-{secrets.token_hex(8)}"
    attempts = run.attempts()
    values = {
        "v": 1,
        "nonce": nonce,
        "verb": verb,
        "arguments": arguments,
        "attempt": attempts[-1].number if attempts else 0,
    }
    data = json.dumps(values, ensure_ascii=True).encode("ascii")
    if len(data) > MAX_BYTES:
        raise UsageError(f"a request of {len(data)} bytes", hint=f"The limit is {MAX_BYTES} bytes: shorten the text.")
    make_folder(run.control, root=run.path)
    write_atomic(run.control / f"{nonce}.json", data, root=run.path)
    return nonce


def scan(run: RunDirectory) -> tuple[list[Request], list[Rejected]]:
    """Return what waits in the control folder, oldest first, and what lies there without being a request."""
    requests: list[Request] = []
    rejected: list[Rejected] = []
    try:
        with folder(run.control, root=run.path) as control:
            names = sorted(name for name in os.listdir(control) if name.endswith(".json") and not name.startswith("."))
            for name in names[:MAX_REQUESTS]:
                try:
                    requests.append(_read(control, name, run))
                except FileNotFoundError:
                    continue
                except (OSError, UsageError, ValueError, RecursionError) as error:
                    rejected.append(Rejected(name, str(error).splitlines()[0] if str(error) else type(error).__name__))
    except FileNotFoundError:
        pass
    except (OSError, UsageError) as error:
        rejected.append(Rejected("", str(error)))
    return requests, rejected


def settle(run: RunDirectory, handled: Request | Rejected) -> bool:
    """Move a request to done/; return False where that is not possible (a full disk, a folder not ours)."""
    name = f"{handled.nonce}.json" if isinstance(handled, Request) else handled.name
    if not name:
        return False
    try:
        make_folder(run.control_done, root=run.path)
        with folder(run.control, root=run.path) as control, folder(run.control_done, root=run.path) as done:
            os.rename(name, name, src_dir_fd=control, dst_dir_fd=done)
    except (OSError, UsageError):
        return False
    return True


def _read(control: int, name: str, run: RunDirectory) -> Request:
    nonce = name.removesuffix(".json")
    if not _NONCE.fullmatch(nonce):
        raise ValueError("its name is not a nonce")
    if os.path.lexists(run.control_done / name):
        raise ValueError("it was handled before")
    descriptor = open_at(control, name, os.O_RDONLY, run.control / name)
    try:
        found = os.fstat(descriptor)
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others than its owner may write it")
        if found.st_size > MAX_BYTES:
            raise ValueError(f"{found.st_size} bytes; the limit is {MAX_BYTES}")
        values = json.loads(os.read(descriptor, MAX_BYTES + 1))
    finally:
        os.close(descriptor)
    if not isinstance(values, dict) or set(values) != {"v", "nonce", "verb", "arguments", "attempt"}:
        raise ValueError("it does not have exactly v, nonce, verb, arguments, attempt")
    if values["v"] != 1 or values["nonce"] != nonce:
        raise ValueError("another version, or another nonce than its name")
    if values["verb"] not in VERBS:
        raise ValueError(f"its verb is none of {', '.join(VERBS)}")
    arguments, attempt = values["arguments"], values["attempt"]
    if not isinstance(arguments, dict) or not all(isinstance(v, str | int | float) for v in arguments.values()):
        raise ValueError("its arguments are not texts and numbers by name")
    if not isinstance(attempt, int) or isinstance(attempt, bool):
        raise ValueError("its attempt is not a number")
    return Request(nonce, values["verb"], arguments, attempt)
