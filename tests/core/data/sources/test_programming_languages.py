"""The language that a file's name tells."""

from __future__ import annotations

import pytest

from core.data.sources.programming_languages import known_languages, language_of


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", "Python"), ("A.PY", "Python"), ("a.b.rs", "Rust"), ("a.h", "C"), ("a.hpp", "C++"),
        ("a.ts", "TypeScript"),
        ("a.tsx", "TSX"), ("a.jsx", "JavaScript"), ("a.go", "Go"), ("a.m", "Objective-C"), ("a.pl", "Perl"),
        ("a.sql", "SQL"), ("a.v", "verilog"), ("a.cu", "CUDA"), ("Makefile", "Makefile"), ("Dockerfile", "Docker"),
        ("CMakeLists.txt", "CMake"), ("a.txt", None), ("a.bin", None), ("a", None), (".py", None), ("a.", None),
    ],
)  # fmt: skip
def test_names(name: str, language: str | None) -> None:
    assert language_of(name) == language


def test_every_language_that_is_given_is_known() -> None:
    assert {"Python", "C++", "Go", "JavaScript", "Rust", "Shell", "Bash"} & known_languages() >= {
        "Python",
        "Rust",
        "Go",
    }
    assert language_of("a.jsx") in known_languages()
