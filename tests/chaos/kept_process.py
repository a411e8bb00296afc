"""Keeps documents until it is killed: ``python kept_process.py DIRECTORY FIRST``.

The number of each that is kept is printed.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from pointsman.config.kept import LastGood
from pointsman.config.sources.base import Fetched, Version

NAME = "s3://b/c.yaml"
MAX_BYTES = 300_000


def documents(number: int) -> Fetched:
    """Each number has bytes of its own, of many sizes."""
    text = f"{number} ".encode() * (1 + number * 7919 % (MAX_BYTES // 8))
    return Fetched(kind="s3", name=NAME, main=NAME, documents={NAME: text}, version=Version(str(number), 0.0))


def main() -> None:
    """Say a number only after it is kept: from then on it, or a later one, has to be found."""
    kept = LastGood(Path(sys.argv[1]), NAME)
    for number in count(int(sys.argv[2])):
        kept.keep(documents(number), str(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
