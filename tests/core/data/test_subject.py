from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.data import InstructionData, TextData
from core.config.model import GGUFModel
from core.config.preferences import PreferenceData, PromptData
from core.config.sources import Columns, PathSource
from core.data.subject import columns_from, data_of_path, find_subject
from core.errors import ConfigurationError, UsageError
from core.run.directory import Home

PRESET = """\
phase: prepare
about: {title: mine}
data:
  kind: text
  sources: [{kind: files, path: texts}]
  tokenizer: {kind: train, vocabulary_size: 300}
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "completion": "a", "text": "t"}) + "\n" for n in range(3)))
    return path


def test_rows_of_a_known_format_are_instructions(rows: Path) -> None:
    data = data_of_path(str(rows))
    assert isinstance(data, InstructionData)
    assert data.sources == [PathSource(kind="path", path=str(rows))]
    assert data.format == "auto"


@pytest.mark.parametrize(
    ("row", "section"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, PreferenceData),
        ({"instruction": "q", "output": ["a", "b"]}, PreferenceData),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": True},
         PreferenceData),
        ({"prompt": "q"}, PromptData),
    ],
)  # fmt: skip
def test_pairs_are_preferences_and_questions_alone_are_prompts(
    row: dict[str, object], section: type, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 2)
    assert isinstance(data_of_path(str(tmp_path / "rows.jsonl")), section)


def test_a_pipeline_has_no_data_of_its_own(tmp_path: Path, home: Home) -> None:
    home.presets.mkdir()
    stage = f"name: tokens, {PRESET.strip().replace(chr(10), chr(10) + '    ')}".replace("name: tokens, ", "")
    (home.presets / "chain.yaml").write_text(
        f"phase: pipeline\nabout: {{title: c}}\npipeline:\n  - name: tokens\n    {stage}\n"
    )
    (tmp_path / "texts").mkdir()
    with pytest.raises(UsageError, match="chain is a pipeline"):
        find_subject("chain", home, tmp_path)


def test_other_rows_and_texts_are_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "b.txt").write_text("one\n")
    for name in ("a.jsonl", "b.txt"):
        assert isinstance(data_of_path(str(tmp_path / name)), TextData)


def test_what_is_said_beats_what_is_seen(rows: Path) -> None:
    assert isinstance(data_of_path(str(rows), columns=Columns(text="text")), TextData)
    assert isinstance(data_of_path(str(rows), "text"), TextData)
    asked = data_of_path(str(rows), shape="prompts")
    assert isinstance(asked, PromptData)
    assert asked.format == "prompts"
    (source,) = data_of_path(str(rows), shape="json_lines").sources
    assert isinstance(source, PathSource)
    assert source.format == "json_lines"


def test_a_format_that_there_is_not_is_refused(rows: Path) -> None:
    with pytest.raises(UsageError, match="'alpakka'") as caught:
        data_of_path(str(rows), shape="alpakka")
    assert "alpaca" in caught.value.hint


def test_a_path_is_found_from_the_folder_of_who_asks(rows: Path, home: Home) -> None:
    subject = find_subject("rows.jsonl", home, rows.parent)
    assert isinstance(subject.data.sources[0], PathSource)
    assert subject.data.sources[0].path == str(rows)
    assert subject.preset == ""


def test_a_preset_by_name_and_by_file(tmp_path: Path, home: Home) -> None:
    (tmp_path / "texts").mkdir()
    home.presets.mkdir()
    (home.presets / "mine.yaml").write_text(PRESET)
    for text in ("mine", str(home.presets / "mine.yaml")):
        subject = find_subject(text, home, tmp_path)
        assert subject.preset == "mine"
        assert subject.data.sources[0].path == str(tmp_path / "texts")  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="says itself"):
        find_subject("mine", home, tmp_path, shape="alpaca")


def test_a_preset_brings_its_model(home: Home, tmp_path: Path) -> None:
    (tmp_path / "instructions.jsonl").touch()
    subject = find_subject("sft-smollm2", home, tmp_path)
    assert isinstance(subject.model, GGUFModel)
    with pytest.raises(ConfigurationError, match="there is no"):
        find_subject("sft-smollm2", home, tmp_path / "elsewhere")


@pytest.mark.parametrize("text", ["", "nothing-there", "no/such/file.jsonl", "a\0b"])
def test_neither_preset_nor_path(text: str, home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        find_subject(text, home, tmp_path)


def test_columns() -> None:
    assert columns_from(["text=body", "prompt=a=b"]) == Columns(text="body", prompt="a=b")
    assert columns_from([]) == Columns()


@pytest.mark.parametrize("texts", [["text"], ["=a"], ["text="], ["body=text"], ["text=a", "text=b"]])
def test_wrong_columns(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        columns_from(texts)
