"""Build the lexicon of the cache's guards: `frugal_core/data/lexicon.json.gz`.

    python -m benchmarks.lexicon --wordnet FOLDER

FOLDER holds WordNet's database files (data.noun, index.noun, ...): https://wordnet.princeton.edu.
Word frequencies are counted in the question pairs beside the repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugal_core.cache.wording import read
from frugal_core.language import stem

OUTPUT = Path(__file__).resolve().parents[1] / "frugal_core" / "data" / "lexicon.json.gz"
PAIRS = Path(__file__).resolve().parents[2] / "shared" / "data" / "duplicates"
VOCABULARY = OUTPUT.with_name("minilm_vocab.txt")
SENSES = 3
"""Of a word's meanings, WordNet's commonest count."""
_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Synset:
    """One meaning: its words, and pointers (symbol, part of speech, offset, source, target)."""

    words: list[str]
    pointers: list[tuple[str, str, str, int, int]]


def synsets(folder: Path) -> dict[tuple[str, str], Synset]:
    """Every meaning in WordNet, by part of speech and offset; format: wndb(5)."""
    found = {}
    for part, name in _FILES.items():
        for line in _rows(folder / f"data.{name}"):
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            words = [re.sub(r"\(.*\)", "", fields[4 + 2 * i]).lower() for i in range(count)]
            start = 5 + 2 * count
            pointers = []
            for i in range(int(fields[start - 1])):
                symbol, offset, target, ends = fields[start + 4 * i : start + 4 * i + 4]
                to = "a" if target == "s" else target
                pointers.append((symbol, to, offset, int(ends[:2], 16), int(ends[2:], 16)))
            found[part, fields[0]] = Synset(words, pointers)
    return found


def senses(folder: Path) -> dict[tuple[str, str, str], int]:
    """How common a meaning of a word is: 0 for its first; by word, part of speech and offset."""
    ranks = {}
    for part, name in _FILES.items():
        for line in _rows(folder / f"index.{name}"):
            fields = line.split()
            offsets = fields[-int(fields[2]) :]
            for rank, offset in enumerate(offsets):
                ranks[fields[0], part, offset] = rank
    return ranks


def questions() -> list[str]:
    """Distinct questions of the pairs."""
    path = PAIRS / "quora_pairs_dev.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    return sorted({text for pair in pairs for text in (pair["a"], pair["b"])})


def _rows(path: Path) -> Iterator[str]:
    with path.open(encoding="latin-1") as lines:
        yield from (line for line in lines if not line.startswith("  "))


def _pairs(words: Iterable[tuple[str, str]], known: set[str]) -> list[tuple[str, str]]:
    stems = {tuple(sorted((stem(a), stem(b)))) for a, b in words if {a, b} <= known}
    return sorted((a, b) for a, b in stems if a != b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True)
    folder = parser.parse_args().wordnet
    texts = questions()
    frequencies: Counter[str] = Counter()
    known = {word for word in VOCABULARY.read_text("utf-8").split() if _WORD.fullmatch(word)}
    for text in texts:
        wording = read(text)
        frequencies.update(set(wording.stems))
        known.update(wording.words)
    meanings, ranks = synsets(folder), senses(folder)
    antonyms, derived, synonyms = [], [], set()
    for (part, offset), synset in meanings.items():
        for symbol, to, target, source, end in synset.pointers:
            if not source:  # between meanings, not between words
                continue
            ends = synset.words[source - 1], meanings[to, target].words[end - 1]
            if symbol == "!":
                antonyms.append(ends)
            elif symbol in ("+", "\\"):
                derived.append(ends)
        common = {
            stem(word)
            for word in synset.words
            if word in known and ranks.get((word, part, offset), SENSES) < SENSES
        }
        if common:
            synonyms.add(tuple(sorted(common)))
    data: dict[str, Any] = {
        "texts": len(texts),
        "frequencies": {word: n for word, n in sorted(frequencies.items()) if n > 1},
        "synonyms": sorted(synonyms),
        "antonyms": _pairs(antonyms, known),
        "derived": _pairs(derived, known),
    }
    OUTPUT.write_bytes(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0))
    sizes = ", ".join(f"{len(v):,} {k}" for k, v in data.items() if not isinstance(v, int))
    print(f"{OUTPUT.name}: {sizes}; {OUTPUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
