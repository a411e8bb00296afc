"""Outcomes in columns: the long form as Parquet or CSV, and RouterBench's CSV. Also writes the long form as Parquet.

The long form has a row for each pair of query and model. It needs ``query`` (or ``prompt``) and ``model``; ``score``,
``query_id``, ``dataset``, ``task``, ``user``, ``split``, ``prompt_tokens``, ``completion_tokens`` and ``cost_usd`` are
taken where they are there.
"""

from __future__ import annotations

import ast
import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.ml.training.gathering import BadData, Gathering, Outcome

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("query_id", "dataset", "task", "user", "split")
NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens")
MAX_ROWS = 200_000_000
MAX_FIELD = 16 << 20
BATCH = 16_384
COST_SUFFIX = "|total_cost"


class NoParquet(ImportError):
    """The library that reads and writes Parquet is not installed."""

    def __init__(self) -> None:
        super().__init__('Parquet needs pyarrow; install it with: pip install "pointsman[train]"')


def read_parquet(path: Path, gathering: Gathering) -> None:
    """The long form as Parquet.

    :raises BadData: it is not that
    :raises NoParquet: pyarrow is not installed
    """
    for where, row in _parquet_rows(path):
        _add_row(where, row, gathering)


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row stands, and the members of the long form that the file has."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that only training needs
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise NoParquet from None
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            _expect_columns(path.name, names)
            if file.metadata.num_rows > MAX_ROWS:
                raise BadData(path.name, f"more than {MAX_ROWS:,} rows")
            known = [name for name in ("query", "prompt", "model", *TEXTS, *NUMBERS) if name in names]
            number = 0
            for batch in file.iter_batches(BATCH, columns=known):
                for values in zip(*map(_listed, batch.columns), strict=True):
                    number += 1
                    yield f"{path.name}, row {number}", dict(zip(known, values, strict=True))
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise BadData(path.name, f"cannot be read as Parquet: {error}") from error


def _listed(column: Any) -> list[Any]:
    """The values of an Arrow array. Those that repeat, such as prompts, are made once."""
    import pyarrow.types as kinds  # noqa: PLC0415

    if kinds.is_string(column.type) or kinds.is_large_string(column.type):
        column = column.dictionary_encode()
    if not kinds.is_dictionary(column.type):
        values: list[Any] = column.to_pylist()
        return values
    values = column.dictionary.to_pylist()
    return [None if place is None else values[place] for place in column.indices.to_pylist()]


def _expect_columns(where: str, names: set[str]) -> None:
    missing = [] if names & {"query", "prompt"} else ["query"]
    missing += [] if "model" in names else ["model"]
    if missing:
        raise BadData(where, f"has no column {' and no '.join(missing)}; it has {', '.join(sorted(names))}")


def _add_row(where: str, row: Mapping[str, Any], gathering: Gathering) -> None:
    score, cost, asked, answered = (_float(where, name, row.get(name)) for name in NUMBERS)
    prompt_id, dataset, task, user, split = (_text(row.get(name)) for name in TEXTS)
    gathering.add(
        where,
        Outcome(
            prompt=_text(row.get("query") or row.get("prompt")),
            model=_text(row.get("model")),
            score=score,
            prompt_id=prompt_id,
            task=task or dataset,
            user=user,
            split=split,
            cost_usd=cost,
            prompt_tokens=asked,
            completion_tokens=answered,
        ),
    )


def read_csv(path: Path, gathering: Gathering) -> None:
    """RouterBench's table, or the long form.

    :raises BadData: it is neither
    """
    csv.field_size_limit(MAX_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            models = routerbench_models(rows.fieldnames or ())
            if not models:
                _expect_columns(path.name, set(rows.fieldnames or ()))
            for row in rows:
                where = f"{path.name}, line {rows.line_num}"
                if None in row or None in row.values():
                    raise BadData(where, "has more or fewer fields than the first line")
                if models:
                    _add_routerbench(where, row, models, gathering)
                else:
                    _add_row(where, row, gathering)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise BadData(path.name, f"cannot be read as CSV: {error}") from error


def routerbench_models(columns: Sequence[str]) -> list[str]:
    """The models of RouterBench's columns: those with costs beside them. None of another table has any."""
    return [name.removesuffix(COST_SUFFIX) for name in columns if name.endswith(COST_SUFFIX)]


def _add_routerbench(where: str, row: Mapping[str, str], models: Sequence[str], gathering: Gathering) -> None:
    for model in models:
        outcome = Outcome(
            prompt=_unquoted(row.get("prompt", "")),
            model=model,
            score=_float(where, model, row.get(model)),
            prompt_id=row.get("sample_id", ""),
            task=row.get("eval_name", ""),
            cost_usd=_float(where, model + COST_SUFFIX, row[model + COST_SUFFIX]),
        )
        gathering.add(where, outcome)


def _unquoted(prompt: str) -> str:
    """RouterBench writes a prompt as a Python list of its turns."""
    if not (prompt.startswith("[") and prompt.endswith("]")):
        return prompt
    try:
        turns = ast.literal_eval(prompt)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return prompt
    return "\n".join(turns) if all(isinstance(turn, str) for turn in turns) else prompt


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _float(where: str, name: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadData(where, f"{name} is no number: {str(value)[:40]!r}") from None


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length; whoever reads meanwhile finds the old file or the new one.

    :raises NoParquet: pyarrow is not installed
    :raises OSError: it could not be written
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that only training needs
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise NoParquet from None
    draft = path.with_name(f".{path.name}.new")
    try:
        pq.write_table(pa.table({name: _column(pa, values) for name, values in columns.items()}), draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _column(arrow: Any, values: Sequence[Any]) -> pa.Array:
    """NaN is written as it is, ``None`` as null; texts that are no Unicode lose what cannot be written."""
    if any(isinstance(value, str) for value in values):
        clean = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
        return arrow.array(clean, arrow.string())
    if all(value is None or (isinstance(value, float) and not math.isinf(value)) for value in values):
        return arrow.array(values, arrow.float64())
    return arrow.array(values)
