"""F81: YAML 1.2 and nothing else; whatever a file holds, it is read or refused by line."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.presets import load_preset, read_yaml
from core.config.saving import same
from core.config.yaml_read import read_node
from core.config.yaml_text import block_text, resolve_plain, scalar_text, shown
from core.errors import ConfigurationError, Problem

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


def refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(text, "a.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4), ("1e5", 1e5), ("1.", 1.0), (".5", 0.5), ("-0x1F", "-0x1F"), ("0x1F", 31), ("0o17", 15),
        ("017", 17), ("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"), ("True", True), ("~", None),
        ("2024-01-01", "2024-01-01"), ("12:30:45", "12:30:45"), ("1_000", "1_000"), ("١٢", "١٢"), ("=", "="),
        (".inf", math.inf), ("-.INF", -math.inf), ("+12", 12), ("1e", "1e"), ("<<", "<<"), ("NULL", None),
        ("nUll", "nUll"),
    ],
)  # fmt: skip
def test_a_plain_scalar_means_what_the_core_schema_says(text: str, value: object) -> None:
    found = read_yaml(f"a: {text}").values["a"]
    assert type(found) is type(value)
    assert found == value
    assert resolve_plain(text) == value


def test_not_a_number_is_read_as_such() -> None:
    assert math.isnan(read_yaml("a: .NaN").values["a"])  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(values)
def test_what_is_written_is_read_back(value: object) -> None:
    text = block_text({"a": value})  # type: ignore[dict-item]
    assert same(read_node(text).plain(), {"a": value})  # type: ignore[dict-item]


ODD = "abc:-#?&*!|>%@'\"[]{},~ \n\t\\=<./0123e+_xUu\x00\x07\x85\u2028\ufeff\U0001f600"


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from(ODD), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        assert isinstance(read_yaml(text, "a.yaml").values, dict)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigurationError):
        assert isinstance(load_preset(path).values, dict)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key a twice; it stands in line 1"),
        ("a: 1\nb: {c: 1, c: 2}", 2, "key c twice"),
        ("a: 1\nb: &x 2", 2, "anchor"),
        ("a: 1\nb: *x", 2, "alias"),
        ("a: &a [1]\n*a : 2", 2, "alias"),
        ("a: 1\nb: !!python/object/apply:os.system [echo]", 2, "tag"),
        ("a: 1\nb: !x y", 2, "tag"),
        ("a: 1\nb: !!str 3", 2, "tag"),
        ("a:\n\tb: 1", 2, "\\t"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("%YAML 1.1\n---\na: no", 2, "directive"),
        ("a: 1\n1: 2", 2, "key that is not text"),
        ("a: 1\nnull: 2", 2, "key that is not text"),
        ("a: 1\n? [b]\n: 2", 2, "key is a list or a mapping"),
        ("a: 1\nb: [1, 2", 2, "expected"),
        ("a: 1\nb: \x00", 2, "U+0000"),
        ("a: 1\nb: \x1b[31m", 2, "U+001B"),
        ('a: 1\nb: "\\U99999999"', 2, "not YAML"),
        ("a: 1\nb: " + "9" * 5000, 2, "digits"),
        ("- a\n- b", 1, "must be a mapping"),
        ("word", 1, "must be a mapping"),
    ],
)
def test_what_yaml_allows_and_a_preset_does_not_is_refused_at_its_line(text: str, line: int, words: str) -> None:
    found = refused(text)
    assert any(words in str(problem) and problem.line == line for problem in found), [str(item) for item in found]


def test_several_faults_of_a_text_are_reported_at_once() -> None:
    assert [problem.line for problem in refused("a: &x 1\nb: !y 2\na: 3\n5: 4")] == [1, 2, 3, 4]


@pytest.mark.parametrize("text", ["\U0001f600 \U0010ffff", "\x7f\x85\u2028\ufffe", "\udc00\ud800", r"\ud83d\ude00"])
def test_what_json_escapes_is_read_back(text: str) -> None:
    assert read_yaml(json.dumps({"a": [text]})).values == {"a": [text]}


def test_an_empty_text_says_so() -> None:
    for text in ("", "\n", "# only a comment\n", "---\n", "~"):
        assert "is empty" in str(refused(text)[0])


BOMBS = ["a: [" + "b," * 500_000, "[" * 100_000, "{a: " * 100_000, "- " * 100_000, "a: " + "[" * 500, "? " * 50_000]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_more_than_a_preset_ever_needs_is_refused_at_once(bomb: str) -> None:
    begin = time.monotonic()
    refused(bomb)
    assert time.monotonic() - begin < 5  # 1.5 s at most, alone on two cores


def test_aliases_that_double_thirty_times_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 31)]
    begin = time.monotonic()
    assert len(refused("\n".join(lines))) > 30
    assert time.monotonic() - begin < 2


def test_a_file_of_fifty_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    begin = time.monotonic()
    with pytest.raises(ConfigurationError, match="too large"):
        load_preset(path)
    assert time.monotonic() - begin < 0.5
    assert "too large" in str(refused("a: " + "b" * 2_000_000)[0])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, words in [
        (tmp_path, "is no file"),
        (tmp_path / "pipe.yaml", "is no file"),
        (Path("/dev/zero"), "is no file"),
        (tmp_path / "absent.yaml", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            load_preset(path)


def test_text_that_is_not_utf8_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigurationError) as caught:
        load_preset(path)
    assert caught.value.problems[0].line == 2
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert load_preset(path).values == {"a": 1, "b": 2}


def test_lines_are_those_of_the_keys() -> None:
    draft = read_yaml("# c\na: 1\n\nb:\n  - c: 1\n    d: 2\n  - e\nf:\ng: {h: 1}\n")
    expected = {("a",): 2, ("b",): 4, ("b", 0): 5, ("b", 0, "d"): 6, ("b", 1): 7, ("f",): 8, ("g", "h"): 9}
    assert {place: draft.lines[place] for place in expected} == expected


def test_words_about_a_value_are_short_and_printable() -> None:
    for value in ("a\x1b]0;x\x07b", "x" * 999, 10**5000, [1] * 99, {"a": 1}, object(), "\u202eabc", "\ud800"):
        assert len(shown(value)) < 120
        assert shown(value).isprintable()
    assert shown("1e-4") == '"1e-4"'
    assert scalar_text("true") == '"true"'
    assert scalar_text("plain words") == "plain words"
