"""From rows with preferences, and prompts, to token shards: what comes out, what is left out, what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.preferences import PreferenceData, PromptData
from core.data.manifest import Split
from core.data.prepare import Prepared, prepare
from core.data.progress import Work, silent
from core.data.splits import is_held_out
from core.data.tokens.answered import answer_text
from core.data.tokens.shards import TokenShards, verify
from core.data.tokens.sides import Side, pair_of, prompt_of
from core.data.tokens.templates import render_prompt
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "held_out")
LONG = "The quick brown fox " * 30


def pair(number: int, chosen: str = "", rejected: str = "") -> dict[str, Any]:
    return {"prompt": f"Say {number}.", "chosen": chosen or f"It is {number}.", "rejected": rejected or "No."}


def judged(number: int, label: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Say {number}."}, {"role": "assistant", "content": f"It is {number}."}]
    return {"messages": messages, "label": label}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines."""

    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def make(tmp_path: Path, byte_level: Callable[..., Path], chatml: str) -> Callable[..., Prepared]:
    """Prepare preferences or prompts of some files with a tokenizer that has a chat template."""
    model = byte_level(chatml)

    def making(kind: str, *paths: Path, folder: str = "data", sources: Any = None, **fields: Any) -> Prepared:
        given = sources or [{"kind": "json", "path": str(path)} for path in paths]
        values = json.dumps({"kind": kind, "sources": given, "held_out_fraction": 0.2, **fields})
        section: type[PreferenceData] | type[PromptData] = PreferenceData if kind == "preferences" else PromptData
        work = Work(silent, lambda: False)
        return prepare(section.model_validate_json(values), tmp_path / folder, seed=1, model_tokenizer=model, work=work)

    return making


Make = Callable[..., Prepared]
Written = Callable[..., Path]


def documents(made: Prepared, split: Split) -> list[tuple[Any, Any]]:
    shards = TokenShards(made.folder, split)
    found = [shards.document(number) for number in range(shards.documents)]
    assert all(marks is not None for _, marks in found)
    return found


def texts(made: Prepared, side: Side) -> tuple[str, str]:
    decode = load_tokenizer(made.tokenizer).backend.decode
    at = int(side.supervised.argmax())
    return (decode(side.ids[:at].tolist(), skip_special_tokens=False),
            decode(side.ids[at:].tolist(), skip_special_tokens=False))  # fmt: skip


# ---------------------------------------------------------------- preferences


def both_sides(ids: Any, marks: Any) -> tuple[Side, Side]:
    sides = pair_of(ids, marks)
    assert len(sides) == 2
    return sides


def test_pairs_and_judged_answers_come_back_from_their_shards(written: Written, make: Make) -> None:
    pairs = written([pair(number) for number in range(40)], "pairs.jsonl")
    singles = written([judged(number, number % 3 == 0) for number in range(30)], "judged.jsonl")
    made = make("preferences", pairs, singles)
    manifest = verify(made.folder)
    assert (manifest.kind, manifest.template, manifest.syntax) == ("preferences", "chat", None)
    assert [source.format for source in manifest.sources] == ["preference", "judged"]
    seen: dict[str, set[int]] = {"pair": set(), "good": set(), "bad": set()}
    for split in SPLITS:
        record = manifest.splits[split]
        counted = ones = 0
        for ids, marks in documents(made, split):
            sides = pair_of(ids, marks)
            counted += int((marks & 1).sum())
            ones += len(sides) == 1
            prompt, answer = texts(made, sides[0])
            number = int("".join(filter(str.isdigit, answer)))
            assert prompt == f"<|im_start|>user\nSay {number}.<|im_end|>\n<|im_start|>assistant\n"
            assert answer == f"It is {number}.<|im_end|>"
            assert is_held_out(f"Say {number}.", seed=1, fraction=0.2) == (split == "held_out")
            if len(sides) == 2:
                assert texts(made, sides[1]) == (prompt, "No.<|im_end|>")
            seen["pair" if len(sides) == 2 else "bad" if sides[0].is_worse else "good"].add(number)
        assert (record.judged, record.supervised_tokens) == (ones, counted)
    assert seen["pair"] == set(range(40))
    assert seen["good"] == set(range(0, 30, 3))
    assert seen["bad"] == set(range(30)) - seen["good"]


def test_all_answers_to_a_prompt_stay_on_one_side(written: Written, make: Make) -> None:
    rows = [{"instruction": f"Say {number}.", "output": ["a", "b", "c", "d"]} for number in range(20)]
    made = make("preferences", written(rows))
    found = {split: [str(ids[marks == 0].tolist()) for ids, marks in documents(made, split)] for split in SPLITS}
    assert sum(map(len, found.values())) == 20 * 6
    assert not set(found["train"]) & set(found["held_out"])
    assert len(set(found["held_out"])) * 6 == len(found["held_out"]) > 0


def test_equal_pairs_are_left_out_and_counted(written: Written, make: Make) -> None:
    rows = [pair(number, *(["same", "same"] if number % 5 == 0 else [])) for number in range(40)]
    made = make("preferences", written(rows), max_bad_rows=0.5)
    assert made.manifest.dropped == {"equal_pair": 8}
    assert made.manifest.sources[0].bad == {"equal_pair": 8}
    assert sum(record.documents for record in made.manifest.splits.values()) == 32
    with pytest.raises(DataError, match="8 of 40 rows"):
        make("preferences", written(rows), folder="again")


def test_pairs_that_become_equal_as_tokens_are_counted_with_the_others(
    written: Written, tmp_path: Path, sentence_piece: Callable[..., Path], brackets: str
) -> None:
    rows = [pair(number, *(["same", "same "] if number in (3, 5) else [])) for number in range(40)]
    rows.append(pair(99, "same", "same"))
    source = {"kind": "json", "path": str(written(rows))}
    values = {"kind": "preferences", "sources": [source], "held_out_fraction": 0.2, "max_bad_rows": 0.1}
    data = PreferenceData.model_validate_json(json.dumps(values))
    work = Work(silent, lambda: False)
    made = prepare(data, tmp_path / "data", seed=1, model_tokenizer=sentence_piece(brackets), work=work)
    assert made.manifest.dropped == {"equal_pair": 3}
    assert made.manifest.sources[0].documents == 38
    assert any("the same tokens twice" in error for error in made.manifest.sources[0].errors)


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_an_answer_that_does_not_fit_is_a_bad_row_or_left_out(written: Written, make: Make, side: str) -> None:
    rows = [pair(number, **({side: LONG} if number in (4, 8) else {})) for number in range(40)]
    path = written(rows)
    with pytest.raises(DataError, match=r"2 of 40 rows .* cannot be used"):
        make("preferences", path, max_tokens=60)
    some = make("preferences", path, max_tokens=60, max_bad_rows=0.1)
    assert (some.manifest.sources[0].bad, some.manifest.dropped) == ({"over_long": 2}, {"over_long": 2})
    # What is accepted is no bad row: any number of them may be left out.
    made = make("preferences", path, max_tokens=60, max_bad_rows=0.0, accept=["dropped_answers"], folder="accepted")
    source = made.manifest.sources[0]
    assert (source.bad, source.repaired, source.documents) == ({}, {"over_long_left_out": 2}, 38)
    assert made.manifest.dropped == {"over_long": 2}


def test_the_end_of_a_turn_is_there_after_truncation(written: Written, make: Make) -> None:
    rows = [{**pair(number), "prompt": f"{LONG} {number}"} for number in range(40)]
    made = make("preferences", written(rows), max_tokens=40)
    end = load_tokenizer(made.tokenizer).backend.token_to_id("<|im_end|>")
    for split in SPLITS:
        for ids, marks in documents(made, split):
            for side in pair_of(ids, marks):
                assert len(side.ids) <= 40
                assert (side.ids[-1], side.supervised[-1]) == (end, True)
            assert max(len(side.ids) for side in pair_of(ids, marks)) == 40


def test_a_worse_answer_can_be_made(written: Written, make: Make) -> None:
    rows = [{"instruction": f"Say {number}.", "output": f"It is {number} now."} for number in range(40)]
    path = written(rows)
    made = make("preferences", path, damage={"rule": "cut", "strength": 0.25})
    for split in SPLITS:
        for ids, marks in documents(made, split):
            better, worse = (texts(made, side)[1] for side in pair_of(ids, marks))
            assert better.endswith(" now.<|im_end|>")
            assert worse == better.replace(" now.", "")
    assert sum(record.documents for record in made.manifest.splits.values()) == 40
    other = make("preferences", path, damage={"rule": "cut", "strength": 0.5}, folder="other")
    assert other.manifest.made_from != made.manifest.made_from


def test_rows_with_one_answer_need_a_rule_and_pairs_take_none(written: Written, make: Make) -> None:
    rows = written([{"instruction": "Say.", "output": "It."}] * 3)
    with pytest.raises(DataError, match=r"expected pairs of answers \(preference, transcript_pair, ranked, judged\), "
                                        r"found rows with one answer \(alpaca\)") as caught:  # fmt: skip
        make("preferences", rows)
    assert "data.damage.rule" in (caught.value.hint or "")
    for given, words in ((pair(1), "pairs of a chosen and a rejected answer"), (judged(1, True), "judged good or bad"),
                         ({"prompt": "q"}, "prompts without answers")):  # fmt: skip
        path = written([given] * 3)
        with pytest.raises(DataError, match=f"which data.damage.rule cut makes worse, found .*{words}"):
            make("preferences", path, damage={"rule": "cut"})
    with pytest.raises(DataError, match="found prompts without answers"):
        make("preferences", path)


def test_the_same_rows_give_the_same_bytes(written: Written, make: Make) -> None:
    path = written([{"instruction": f"Say {number}.", "output": f"It is {number} now."} for number in range(40)])
    kinds = [make("preferences", path, damage={"rule": "other_answer"}, folder=name).folder for name in "ab"]
    hashes = [{file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.*")}
              for folder in kinds]  # fmt: skip
    assert hashes[0] == hashes[1]
    marks = next(kinds[0].glob("train-*.supervised"))
    marks.write_bytes(marks.read_bytes().replace(b"\3", b"\1"))
    with pytest.raises(DataError, match=r"supervised: .* another content"):
        verify(kinds[0])


def test_groups_and_a_mix(written: Written, make: Make) -> None:
    sources = [
        {"kind": "json", "path": str(written([pair(number) for number in range(30)], "a.jsonl")), "group": "first"},
        {"kind": "json", "path": str(written([judged(n, True) for n in range(30, 60)], "b.jsonl")), "group": "second",
         "share": 2.0},
    ]  # fmt: skip
    made = make("preferences", sources=sources, mix={"by": "epochs"})
    train, held_out = made.manifest.train, made.manifest.held_out
    singles = [number for number in range(30, 60) if not is_held_out(f"Say {number}.", seed=1, fraction=0.2)]
    assert train.judged == 2 * len(singles)
    assert [group.name for group in held_out.groups] == ["first", "second"]
    found = documents(made, "held_out")
    for group, count in zip(held_out.groups, (2, 1), strict=True):
        (where,) = group.ranges
        for ids, marks in found[where.first : where.first + where.documents]:
            assert len(pair_of(ids, marks)) == count


def test_filters_see_a_pair_whole_or_its_prompt(written: Written, make: Make) -> None:
    rows = [pair(number) for number in range(40)] + [{**pair(7), "rejected": "Nothing."}]
    path = written(rows)
    for part, dropped in (("prompt", 1), ("whole", 0)):
        made = make("preferences", path, filters=[{"kind": "exact_duplicates", "on": part}], folder=part)
        assert sum(made.manifest.dropped.values()) == dropped
    masked = make("preferences", written([pair(n, rejected=f"mail to m{n}@firm.com") for n in range(40)]),
                  filters=[{"kind": "personal_data"}], folder="masked")  # fmt: skip
    for ids, marks in documents(masked, "train"):
        _, worse = both_sides(ids, marks)
        assert "@firm.com" not in texts(masked, worse)[1]


def test_preferences_can_train_their_own_tokenizer(written: Written, make: Make) -> None:
    path = written([pair(number) for number in range(40)])
    made = make("preferences", path, tokenizer={"kind": "train", "vocabulary_size": 300})
    assert (made.manifest.template, made.manifest.stop_token_ids) == ("alpaca", [0])
    better, worse = both_sides(*documents(made, "train")[0])
    assert texts(made, worse) == (texts(made, better)[0], "No.<|endoftext|>")


# ---------------------------------------------------------------- prompts

ROWS: dict[str, tuple[dict[str, Any], str | None]] = {
    "prompts": ({"prompt": "Say it."}, None),
    "text": ({"text": "Say it."}, None),
    "question_answer": ({"question": "Say it.", "answer": "2 + 2\n#### 4"}, "2 + 2\n#### 4"),
    "alpaca": ({"instruction": "Say it.", "output": "Four."}, "Four."),
    "messages": (
        {"messages": [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "Four."}]}, "Four.",
    ),
    "preference": ({"prompt": "Say it.", "chosen": "Four.", "rejected": "Five."}, "Four."),
    "ranked": ({"instruction": "Say it.", "output": ["Four.", "Five.", "Six."]}, "Four."),
    "judged good": ({"prompt": "Say it.", "completion": "Four.", "label": True}, "Four."),
    "judged bad": ({"prompt": "Say it.", "completion": "Five.", "label": False}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ROWS))
def test_rows_of_every_kind_give_their_prompt_and_answer(name: str, written: Written, make: Make) -> None:
    row, answer = ROWS[name]
    made = make("prompts", written([row] * 3), held_out_fraction=0)
    manifest = verify(made.folder)
    assert (manifest.kind, manifest.train.documents, manifest.train.judged) == ("prompts", 3, 0)
    ids, marks = documents(made, "train")[2]
    asked, answered = prompt_of(ids, marks)
    assert asked.tolist() == render_prompt(made.tokenizer, "chat", "Say it.")
    assert answer_text(load_tokenizer(made.tokenizer), answered.tolist()) == (answer or "")
    assert manifest.train.supervised_tokens == 3 * len(answered)


def test_instructions_preferences_and_prompts_of_the_same_rows_split_alike(written: Written, make: Make) -> None:
    """What the policy is judged on was then trained on by no phase before."""
    path = written([{"instruction": f"Say {number}.", "output": f"It is {number}."} for number in range(60)])
    prompts = make("prompts", path, folder="prompts")
    pairs = make("preferences", path, folder="pairs", damage={"rule": "cut"})
    for split in SPLITS:
        asked = {str(prompt_of(*found)[0].tolist()) for found in documents(prompts, split)}
        assert asked == {str(ids[marks == 0].tolist()) for ids, marks in documents(pairs, split)}
        assert asked


def test_the_last_answer_of_a_conversation_is_the_rows_answer(written: Written, make: Make) -> None:
    turns = [("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    made = make("prompts", written([row] * 2), held_out_fraction=0)
    tokenizer = load_tokenizer(made.tokenizer)
    asked, answer = prompt_of(*documents(made, "train")[0])
    text = tokenizer.backend.decode(asked.tolist(), skip_special_tokens=False)
    assert text.endswith("one<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n")
    assert answer_text(tokenizer, answer.tolist()) == "two"


def test_a_prompt_of_a_row_is_taken_once(written: Written, make: Make) -> None:
    made = make("prompts", written([{"instruction": "Say.", "output": ["a", "b", "c"]}] * 2), held_out_fraction=0)
    source = made.manifest.sources[0]
    assert (source.documents, source.repaired) == (2, {"repeated_prompts_left_out": 4})


def test_answers_that_the_tokenizer_cannot_write_are_bad_rows(
    written: Written, tmp_path: Path, sentence_piece: Callable[..., Path]
) -> None:
    rows = [{"instruction": f"Say {number}.", "output": "Four ☃" if number == 5 else "Four."} for number in range(20)]
    values = {"kind": "prompts", "sources": [{"kind": "json", "path": str(written(rows))}], "held_out_fraction": 0}
    data = PromptData.model_validate_json(json.dumps({**values, "max_bad_rows": 0.1}))
    work = Work(silent, lambda: False)
    made = prepare(data, tmp_path / "data", seed=1, model_tokenizer=sentence_piece(), work=work)
    assert made.manifest.sources[0].bad == {"answer": 1}
    assert "Four ☃" in made.manifest.sources[0].errors[0]
    strict = PromptData.model_validate_json(json.dumps(values))
    with pytest.raises(DataError, match="1 of 20 rows"):
        prepare(strict, tmp_path / "strict", seed=1, model_tokenizer=sentence_piece(), work=work)
