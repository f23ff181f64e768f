"""What a cache file survives: writers killed at random moments, and many that share it.

    python -m benchmarks.cache_crash [--kills 100] [--seconds 60] [--json results/cache_crash.json]

Kills: two processes write to one file, `kill -9` ends them at a random moment, and the next two go
on; at last every entry that any of them was told is stored must be served, by its key and as its
own nearest neighbour, with its own answer. Sharing: 8 threads and 4 processes write, read and touch
entries of three spaces in one file; every entry must be there, and no space may see another's.
Raises where anything is lost or wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.integration_tests.cache_processes.test_sqlite_processes import kill_under_load, soak


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="times that both writers are killed")
    parser.add_argument("--seconds", type=float, default=60, help="for which the file is shared")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_under_load(Path(folder, "killed.db"), options.kills)
        print(
            f"kill -9 of 2 writers, {options.kills} times: {killed['acknowledged']:,} entries "
            f"acknowledged, 0 lost, 0 wrong answers, integrity ok"
        )
        shared = soak(Path(folder, "shared.db"), options.seconds)
        print(
            f"8 threads + 4 processes, {options.seconds:g} s: {shared['added']:,} entries added "
            f"and looked up, 0 errors, 0 lost, 0 of another space"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"kills": killed, "shared": shared}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
