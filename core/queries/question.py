"""A question to the helper process: one JSON object, checked before anything is done for it."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UsageError

LONGEST_LINE = 1 << 20
"""Bytes of a question or an answer."""


class Question(BaseModel):
    """What every question has: a verb, and no field that nobody knows."""

    model_config = ConfigDict(strict=True, extra="forbid")

    verb: str

    @classmethod
    def of(cls, question: dict[str, Any]) -> Self:
        """Return a question from JSON. UsageError names the first field that does not hold."""
        try:
            return cls.model_validate_json(json.dumps(question))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
