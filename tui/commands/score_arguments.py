"""The arguments of `footplate score`, and what answers them."""

from __future__ import annotations

import argparse

from tui.commands.context import Context

SCORE_EXAMPLES = """\
examples:
  footplate score my-reward answers.jsonl          one line a row: its place and its score
  footplate score my-reward pairs.parquet --json   of pairs both scores and the margin

The rows may have any form that fine-tuning or a reward model reads; of a conversation the last answer is scored. They
are laid by the template that the reward model was trained with. What they are together is said on standard error.
"""


def add_score(score: argparse.ArgumentParser) -> None:
    """Add the arguments of `score`."""
    score.add_argument("run", metavar="RUN", help="a finished run of phase reward")
    score.add_argument("file", metavar="FILE", help="rows: a file, or a folder of files")
    score.add_argument("--json", action="store_true", help="print objects, one a line")


def answer_score(asked: argparse.Namespace, context: Context) -> int:
    """Answer `score`."""
    from tui.commands.score import score

    return score(asked.run, asked.file, context, as_json=asked.json)
