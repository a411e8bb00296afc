"""Parts of tables: by prompt, by model, and by a hash, so that a text is never on two sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Table


def normalised(prompt: str) -> str:
    """What two prompts have in common that are the same text: case and white space make no difference."""
    return " ".join(prompt.lower().split())


def folds(prompts: Sequence[str], count: int, *, seed: int = 0) -> NDArray[np.intp]:
    """(n,) which of ``count`` folds each prompt is in; equal texts are in the same one, whatever else there is."""
    salt = f"{seed}:".encode()
    hashes = (hashlib.sha1(salt + normalised(prompt).encode("utf-8", "replace")) for prompt in prompts)  # noqa: S324
    return np.array([int.from_bytes(found.digest()[:6], "big") % count for found in hashes], np.intp)


def rows(table: Table, places: Any) -> Table:
    """Some prompts of a table: their places, or a mask."""
    at = np.arange(len(table))[places]

    def those(values: Sequence[str]) -> Sequence[str]:
        return [values[i] for i in at] if values else ()

    return replace(
        table,
        prompts=[table.prompts[i] for i in at],
        quality=table.quality[at],
        cost_usd=table.cost_usd[at],
        prompt_ids=those(table.prompt_ids),
        tasks=those(table.tasks),
        users=those(table.users),
        prompt_tokens=None if table.prompt_tokens is None else table.prompt_tokens[at],
        completion_tokens=None if table.completion_tokens is None else table.completion_tokens[at],
        weights=None if table.weights is None else table.weights[at],
    )


def columns(table: Table, models: Sequence[str]) -> Table:
    """Some models of a table, in this order.

    :raises ValueError: the table lacks one of them
    """
    at = [table.models.index(model) for model in models]
    return replace(
        table,
        models=tuple(models),
        quality=table.quality[:, at],
        cost_usd=table.cost_usd[:, at],
        prompt_tokens=None if table.prompt_tokens is None else table.prompt_tokens[:, at],
        completion_tokens=None if table.completion_tokens is None else table.completion_tokens[:, at],
    )


def digest(table: Table) -> str:
    """SHA-256 of everything in it, whatever the order of its prompts."""
    own = np.ascontiguousarray(np.nan_to_num(np.hstack([table.quality, table.cost_usd]), nan=-1.0), "<f4")
    lines = sorted(
        hashlib.sha256(prompt.encode("utf-8", "replace") + b"\0" + row.tobytes()).digest()
        for prompt, row in zip(table.prompts, own, strict=True)
    )
    return hashlib.sha256("\0".join(table.models).encode() + b"".join(lines)).hexdigest()
