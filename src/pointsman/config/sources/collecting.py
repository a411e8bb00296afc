"""Which documents belong together: the main one, what it includes, and the tables that they name.

:func:`collecting` is told what the documents hold and asks for the next one, so files and objects are collected by the
same rules, and the rules touch neither.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from pointsman.config.marked import parse
from pointsman.config.sources.base import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, beside, variable_of

TABLES = ("prices_file", "llm_data_path", "table_path")
"""Keys, at any depth, whose value names a file relative to the main document."""
_WORDS = "|".join(("include", *TABLES)).encode()
_VARIABLES = b"environment_variables"
_ODD_KEYS = re.compile(rb"\*[^\s*]{1,200}\s*:|(?:^|[\s{,\[-])\?\s")
"""Aliases, and what follows a question mark."""
_TOO_MUCH = f"the documents together are larger than {MAX_TOTAL_BYTES // 2**20} MiB"

Collecting = Generator[str, bytes | str, tuple[dict[str, bytes], dict[str, str]]]
"""Yields names, is sent bytes, or why there are none; gives what was read, and why the others were not."""


def collecting(main: str, environ: Mapping[str, str]) -> Collecting:
    """Ask for the documents that begin with ``main``, each one once; ``environ`` may name tables."""
    found: dict[str, bytes] = {}
    absent: dict[str, str] = {}
    looked: dict[str, dict[str, Any]] = {}
    waiting = deque((main,))
    while waiting:
        name = waiting.popleft()
        yield from _ask(name, found, absent)
        if name in found and name not in looked:
            looked[name] = _tree_of(found[name], name, _WORDS)
            waiting += _included_by(looked[name], name)
    tables = [table for tree in looked.values() for table in _tables_in(tree)]
    if any(variable_of(table) for table in tables):
        sections = [_tree_of(found[name], name, _VARIABLES).get(_VARIABLES.decode()) for name in looked]
        known = [environ, *(section for section in sections if isinstance(section, dict))]
        tables = [name for table in tables for name in _meant(table, known)]
    for table in tables:
        yield from _ask(beside(main, table), found, absent)
    return found, absent


def _ask(name: str, found: dict[str, bytes], absent: dict[str, str]) -> Generator[str, bytes | str, None]:
    if name in found or name in absent or len(found) + len(absent) >= MAX_FILES:
        return
    data = yield name
    if isinstance(data, str):
        absent[name] = data
    elif sum(map(len, found.values())) + len(data) > MAX_TOTAL_BYTES:
        absent[name] = _TOO_MUCH
    else:
        found[name] = data


def _tree_of(data: bytes, name: str, words: bytes) -> dict[str, Any]:
    """What a document holds; empty where it has none of these keys."""
    is_bare = re.search(words, data) is None or not (
        re.search(rb"(?:%b)[\"']?\s*:" % words, data) or _ODD_KEYS.search(data)
    )
    if is_bare or len(data) > MAX_FILE_BYTES:
        return {}
    # What is wrong with the text is told by whoever reads it for its values.
    tree = parse(data.decode("utf-8-sig", "replace"), name).tree
    return tree if isinstance(tree, dict) else {}


def _included_by(tree: dict[str, Any], name: str) -> list[str]:
    included = tree.get("include")
    names = [included] if isinstance(included, str) else included if isinstance(included, list) else []
    return [beside(name, other) for other in names if isinstance(other, str) and other]


def _meant(table: str, known: Sequence[Mapping[str, Any]]) -> list[str]:
    """What names a table; behind a variable, all that it may be: who sets it last is known when all is read.

    ``known`` has the environment, and what the documents set.
    """
    variable = variable_of(table)
    if variable is None:
        return [table]
    values = [some.get(variable) for some in known]
    values = [known[0].get(other) if (other := variable_of(value)) else value for value in values]
    return [value for value in values if isinstance(value, str) and value.strip()]


def _tables_in(value: Any) -> Iterator[str]:
    """Recursion is bounded: no document is nested deeper than ``marked.MAX_DEPTH``."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in TABLES and isinstance(item, str) and item:
                yield item
            else:
                yield from _tables_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _tables_in(item)
