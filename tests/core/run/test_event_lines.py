"""A sample with its tokens in one line of the log."""

from __future__ import annotations

import json
import math

from core.run.event_lines import encode
from core.run.events import MAX_LINE_BYTES, Sampled, event_adapter


def _read(line: bytes) -> Sampled:
    event = event_adapter.validate_python(json.loads(line))
    assert isinstance(event, Sampled)
    return event


def test_what_was_found_about_a_sample_comes_back() -> None:
    values = {"reward": 1.5, "kl": math.nan, "length": 3.0}
    tokens, marks = ("a", " \x1b[31m", "漢"), (0.25, -math.inf, 0.0)
    found = _read(encode(Sampled(step=4, prompt="p", text="t", values=values, tokens=tokens, marks=marks)))
    assert (found.tokens, found.marks, found.mark_title) == (tokens, marks, "")
    assert found.values["reward"] == 1.5
    assert math.isnan(found.values["kl"])


def test_a_sample_of_an_older_version_is_read() -> None:
    found = _read(b'{"v":1,"seq":3,"attempt":1,"wall":"","mono":1.0,"type":"sampled","step":1,"prompt":"p","text":"t"}')
    assert (found.values, found.tokens, found.marks) == ({}, (), ())


def test_tokens_that_fit_are_all_there_and_others_are_cut_before_the_text_is() -> None:
    text = "word " * 1000
    whole = Sampled(step=1, prompt="p", text=text, tokens=("word ",) * 1000, marks=(1 / 3,) * 1000)
    assert len(_read(encode(whole)).tokens) == 1000

    long = Sampled(step=1, prompt="p", text=text, tokens=("word ",) * 9000, marks=(1 / 3,) * 9000)
    line = encode(long)
    found = _read(line)
    assert MAX_LINE_BYTES / 2 < len(line) <= MAX_LINE_BYTES
    assert found.text == text
    kept = len(found.tokens) - 1
    assert found.tokens == (*long.tokens[:kept], f"… [cut: {9000 - kept} more tokens]")
    assert found.marks == (*long.marks[:kept], 0.0)


def test_a_token_longer_than_a_line_and_a_long_text_leave_a_line() -> None:
    line = encode(Sampled(step=1, prompt="é" * 90_000, text="é" * 90_000, tokens=("é" * 90_000, "b"), marks=()))
    found = _read(line)
    assert len(line) <= MAX_LINE_BYTES
    assert found.tokens == ("… [cut: 2 more tokens]",)
    assert found.marks == ()
    assert "more characters]" in found.text
