"""``logprobsResult`` and the entries of OpenAI's ``logprobs.content``."""

from __future__ import annotations

from typing import Any

import msgspec


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(msgspec.Struct):
    candidates: list[_Token] = []


class _Result(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] = []
    top_candidates: list[_Top] = []


def read_logprobs(result: Any) -> list[dict[str, Any]] | None:
    """OpenAI's entries; ``None`` where there are none, or none that can be read."""
    if result is None:
        return None
    try:
        wire = msgspec.convert(result, _Result)
    except msgspec.ValidationError:
        return None
    tops = wire.top_candidates
    return [
        _entry(token) | {"top_logprobs": [_entry(top) for top in tops[at].candidates] if at < len(tops) else []}
        for at, token in enumerate(wire.chosen_candidates)
    ]


def write_logprobs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """``logprobsResult`` for a client."""
    return {
        "chosenCandidates": [_token(entry) for entry in entries],
        "topCandidates": [
            {"candidates": [_token(top) for top in entry.get("top_logprobs") or ()]} for entry in entries
        ],
    }


def _entry(token: _Token) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.log_probability, "bytes": list(token.token.encode())}


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}
