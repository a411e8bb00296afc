"""Training data in any of the formats that are out there, told apart by what is in the files.

=================  ====================================================================================================
llmrouter          LLMRouter's routing data: JSON lines of ``query, model_name, performance, token_num, task_name``;
                   its query data beside them adds the choices of a question
routerdc           RouterDC: a JSON list of ``question, scores``
avengers           Avengers-Pro: JSON lines of ``query, records, usages, dataset``
llmrouterbench     LLMRouterBench: a JSON file of ``model_name, dataset_name, records`` for each model and data set
routerbench        RouterBench: CSV with a column for each model and one for its ``|total_cost``
gmt                GMTRouter: JSON lines of ``judge, model, conversation``
long               a row for each query and model, as Parquet, CSV or JSON lines: see ``columns``
decisions          the gateway's own decision log, where it keeps prompts; lines that are damaged are passed over
=================  ====================================================================================================

Nothing here runs what it reads: pickles and torch files are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from pointsman.ml.decisionlog import MAX_LINE_BYTES
from pointsman.ml.training import columns, logs, records
from pointsman.ml.training.gathering import BadData, Gathering, Prices, Reading
from pointsman.ml.training.records import Piece

MAX_FILES = 10_000
MAX_LINE = 32 << 20
MAX_DOCUMENT = 1 << 30
MAX_DAMAGED = 20
"""Lines at the beginning of a decision log."""
SUFFIXES = {".parquet", ".csv", ".json", ".jsonl"}
NAMES = ("llmrouter", "routerdc", "avengers", "llmrouterbench", "routerbench", "gmt", "long", "decisions")
DECISIONS = "decisions"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MARK = b"\xef\xbb\xbf"
"""Some write it at the beginning of UTF-8."""


def read(
    paths: Sequence[Path], *, prices: Prices = lambda _model: None, progress: Callable[[str], None] = lambda _: None
) -> Reading:
    """All files together, and those in directories; ``prices`` give costs where the data has lengths only.

    :raises BadData: with the file, and the line where there is one
    :raises pointsman.ml.training.columns.NoParquet: a file needs it, and it is not installed
    """
    gathering = Gathering(prices)
    files = [(format_of(path), path) for path in _files(paths)]
    files.sort(key=lambda file: file[0] != "llmrouter-queries")  # others need them
    for name, path in files:
        progress(path.name)
        _read(name, path, gathering)
    if log := [path for name, path in files if name == DECISIONS]:
        logs.read(log, gathering)
    formats = dict.fromkeys(_public(name) for name, _ in files)
    return gathering.reading(tuple(formats), tuple(path.name for _, path in files))


def format_of(path: Path) -> str:
    """How a file is to be read.

    :raises BadData: it cannot be
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise BadData(str(path), f"cannot be read: {error.strerror}") from error
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\x80", b"PK\x03\x04")):
        raise BadData(path.name, "is a pickle or a torch file, which can run code: export it as Parquet, CSV or JSON")
    if not head.strip():
        raise BadData(path.name, "is empty")
    if _has_events(path):
        return DECISIONS
    if head.removeprefix(MARK).lstrip().startswith((b"{", b"[")):
        return _json_format(next(_pieces(path), None), path)
    if b"," in head.partition(b"\n")[0]:
        return "csv"
    raise BadData(path.name, f"is in none of the formats that are read: {', '.join(NAMES)}")


def _has_events(path: Path) -> bool:
    """Whether the first line that is whole is one of a decision log, whatever is before it."""
    with path.open("rb") as file:
        for _ in range(MAX_DAMAGED):
            line = file.readline(MAX_LINE_BYTES).removeprefix(MARK)
            if not line:
                return False
            try:
                members = msgspec.json.decode(line)
            except UNREADABLE:
                continue
            return isinstance(members, dict) and {"kind", "id"} <= members.keys()
    return False


def _json_format(first: Piece | None, path: Path) -> str:
    if first is None:
        raise BadData(path.name, "holds no records")
    try:
        members = msgspec.json.decode(first.json)
    except UNREADABLE as error:
        raise BadData(first.where, f"is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise BadData(first.where, "is not an object")
    if found := records.format_of(members):
        return found
    named = ", ".join(list(members)[:12])
    raise BadData(first.where, f"has the members {named}, as none of the formats has that are read: {', '.join(NAMES)}")


def _files(paths: Sequence[Path]) -> list[Path]:
    """Those in directories by name, so that the order is the same everywhere."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file()) if path.is_dir() else [path]
        if not inside:
            raise BadData(str(path), f"holds no file that ends in {', '.join(sorted(SUFFIXES))}")
        found += inside
    if len(found) > MAX_FILES:
        raise BadData(str(paths[0]), f"more than {MAX_FILES:,} files")
    return found


def _read(name: str, path: Path, gathering: Gathering) -> None:
    if name == "parquet":
        columns.read_parquet(path, gathering)
    elif name == "csv":
        columns.read_csv(path, gathering)
    elif name != DECISIONS:  # whose files are read together
        records.READERS[name](_pieces(path), gathering)


def _public(name: str) -> str:
    return {"parquet": "long", "long-json": "long", "csv": "columns"}.get(name, name)


def _pieces(path: Path) -> Iterator[Piece]:
    """The records of a JSON file: its lines, the members of its list, or the one object that it is."""
    with path.open("rb") as file:
        first = file.readline(MAX_LINE + 1)
        while first and not first.removeprefix(MARK).strip():
            first = file.readline(MAX_LINE + 1)
        first = first.removeprefix(MARK).strip()
        is_lines = first.startswith(b"{") and _is_whole(first)
    yield from _lines(path) if is_lines else _document(path)


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def _lines(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise BadData(f"{path.name}, line {number}", f"is longer than {MAX_LINE >> 20} MiB")
            if text := line.removeprefix(MARK).strip():
                yield Piece(f"{path.name}, line {number}", text)


def _document(path: Path) -> Iterator[Piece]:
    if path.stat().st_size > MAX_DOCUMENT:
        raise BadData(path.name, f"is one JSON value of more than {MAX_DOCUMENT >> 20} MiB: write it as JSON lines")
    text = path.read_bytes().removeprefix(MARK)
    if not text.lstrip().startswith(b"["):
        yield Piece(path.name, text)
        return
    try:
        members = msgspec.json.decode(text, type=list[msgspec.Raw])
    except UNREADABLE as error:
        raise BadData(path.name, f"is not JSON: {error}") from None
    for place, member in enumerate(members):
        yield Piece(f"{path.name}, record {place + 1}", member)
