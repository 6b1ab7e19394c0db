"""Plain values as YAML 1.2 text, and what an unquoted scalar of such a text means."""

from __future__ import annotations

import re

Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None
Place = tuple[str | int, ...]

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PLAIN = re.compile(r"[A-Za-z0-9_./<(][A-Za-z0-9_ ./~|<>()'+=;@%^$!?*&-]*")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def resolve_plain(text: str) -> Value:
    """Return what an unquoted scalar means in the core schema of YAML 1.2."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if match := _NOT_FINITE.fullmatch(text):
        return float(f"{match[1]}inf") if "n" not in text.lower().replace("inf", "") else float("nan")
    return text


def scalar_text(value: bool | int | float | str | None) -> str:
    """Return a scalar as YAML 1.2 on one line; text is quoted where it would be read as anything else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and not value.endswith(" ") and resolve_plain(value) == value:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if character.isprintable() and (code < 0x7F or 0xA0 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF):
        return character
    named = {"\n": "\\n", "\t": "\\t"}
    return named.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def block_text(value: Value, indent: int = 0) -> str:
    """Return a mapping or a list as YAML lines that begin at column `indent`, or a scalar as one line."""
    margin = " " * indent
    if isinstance(value, dict) and value:
        return "".join(margin + entry_text(key, item, indent) for key, item in value.items())
    if isinstance(value, list) and value and (in_line := _flow_text(value)) is None:
        # A mapping's first key stands behind the dash, so its own margin gives way to the dash.
        return "".join(f"{margin}- {block_text(item, indent + 2).lstrip(' ')}" for item in value)
    if isinstance(value, list):
        return margin + (in_line if value and in_line else "[]") + "\n"
    return margin + ("{}" if isinstance(value, dict) else scalar_text(value)) + "\n"


def entry_text(key: str, value: Value, indent: int) -> str:
    """Return a key and its value as YAML lines; the first has no margin."""
    below = (isinstance(value, dict) and bool(value)) or (isinstance(value, list) and _flow_text(value) is None)
    return f"{scalar_text(key)}:" + ("\n" + block_text(value, indent + 2) if below else " " + block_text(value))


def _flow_text(values: list[Value]) -> str | None:
    if any(isinstance(value, list | dict) for value in values):
        return None
    text = "[" + ", ".join(scalar_text(value) for value in values if not isinstance(value, list | dict)) + "]"
    return text if len(text) <= 80 else None


def shown(value: object) -> str:
    """Return a value as short, printable text for a message."""
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value[:60])) + ("…" if len(value) > 60 else "") + '"'
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, int) and value.bit_length() > 1000:  # str() refuses more than 4,300 digits
        return f"a number of {value.bit_length():,} bits"
    if value is None or isinstance(value, bool | int | float):
        text = "nothing (null)" if value is None else scalar_text(value)
        return text if len(text) <= 60 else text[:60] + "…"
    return f"a Python {type(value).__name__}"


def shown_name(name: str) -> str:
    """Return a key for a message: as it is where it is a plain name, else quoted and cut."""
    return name if _NAME.fullmatch(name) else shown(name)
