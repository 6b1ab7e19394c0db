"""The version of Footplate."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the installed version, or words where only the source lies here."""
    try:
        return metadata.version("footplate")
    except metadata.PackageNotFoundError:
        return "not installed (running from source)"
