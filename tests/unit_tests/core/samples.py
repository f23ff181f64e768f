"""Small recordings made on the spot, and slices of real ones where they are there."""

from __future__ import annotations

import gzip
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

REAL = Path(__file__).parents[4] / "shared" / "data" / "recordings"
PRICES = {"small": [0.1, 0.1], "large": [2.0, 6.0]}

Row = dict[str, Any]


def answer(text: str, **more: Any) -> Row:
    """An answer as a row of a recording has it."""
    return {"text": text, "input_tokens": 20, "output_tokens": 1, **more}


def rows(n: int, *, skill: float = 0.9, seed: int = 0) -> list[Row]:
    """Queries about colours; "small" is right on short ones, "large" nearly always.

    Args:
        n: How many.
        skill: Share of easy queries.
        seed: Decides the texts.
    """
    draw = random.Random(seed)
    made = []
    for i in range(n):
        gold, other = draw.sample(["red", "green", "blue"], 2)
        easy = draw.random() < skill
        words = "plain" if easy else "murky dim"
        sure = -0.05 if easy else -1.5
        made.append(
            {
                "id": f"q{i}",
                "query": f"a {words} {gold} thing number {i}",
                "reference": gold,
                "answers": {
                    "small": answer(gold if easy else other, confidence=sure),
                    "large": answer(gold if draw.random() < 0.98 else other, confidence=-0.02),
                },
            }
        )
    return made


def write(path: Path, lines: list[Row]) -> Path:
    """Write JSON Lines."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def write_prices(folder: Path, prices: dict[str, list[float]] | None = None) -> Path:
    """Write a file for --prices."""
    path = folder / "prices.json"
    path.write_text(json.dumps(PRICES if prices is None else prices))
    return path


def real_rows(name: str, n: int) -> list[Row]:
    """The first rows of a real recording; skips the test where there is none."""
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, n)]
