"""The command of the benchmarks works, and all that it compares computes the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST_DIFFERENCE = 1e-4  # nats, float32, six steps: other orders of the same sums; another loss differs by 1e-2


@pytest.mark.slow
def test_the_command_measures_everything_and_losses_agree(tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--threads", "1", "--json", str(written)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    document = json.loads(written.read_text(encoding="utf-8"))
    assert document["failures"] == {}
    assert {"training", "records", "console", "data"} <= document["results"].keys()
    entrants = [(race["dtype"], entry) for race in document["results"]["training"] for entry in race["entrants"]]
    assert {"footplate", "footplate, compiled", "trainer", "trl"} <= {entry["name"] for _, entry in entrants}
    adapted = {race["adapter"]: race["entrants"] for race in document["results"]["training"]}
    for kind in ("lora", "qlora"):
        assert {entry["name"] for entry in adapted[kind]} == {"footplate", "bare documents-supervised", "trl"}
    for dtype, entry in entrants:
        assert entry["tokens_per_second"] > 0
        assert entry["peak_bytes"] > 0
        if dtype == "fp32":
            assert entry["largest_loss_difference"] < LARGEST_DIFFERENCE, entry["name"]


@pytest.mark.slow
def test_alignment_is_measured_beside_others_and_losses_agree(tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks", "reward", "dpo", "grpo", "ppo"]
    options = ["--quick", "--threads", "1", "--json", str(written)]
    ended = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    document = json.loads(written.read_text(encoding="utf-8"))
    assert document["failures"] == {}
    races = {race["method"]: race["entrants"] for race in document["results"]["alignment"]}
    assert {method: [entry["name"] for entry in entrants] for method, entrants in races.items()} == {
        "reward": ["footplate", "trl"],
        "dpo": ["footplate", "trl"],
        "grpo": ["footplate", "trl"],
        "ppo": ["footplate", "plain loop"],
    }
    for method, entrants in races.items():
        for entry in entrants:
            assert entry["samples_per_second"] > 0
            assert entry["peak_bytes"] > 0
            if method in ("reward", "dpo"):
                assert entry["largest_loss_difference"] < LARGEST_DIFFERENCE, method
            else:
                assert 0 < entry["response_length"] <= 16
    assert races["dpo"][0]["reference_seconds_a_pair"] > 0
