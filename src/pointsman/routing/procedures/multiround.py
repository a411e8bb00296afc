"""Multi-round strategies: a question is taken apart, each part goes to the model that suits it, one puts all together.

``knn-multiround`` takes apart only, and what was learnt says who gets which part. ``llm-multiround`` lets the
controller choose as well. The parts are asked at the same time. A question that cannot be taken apart, and one that
brings tools or pictures, is answered in one shot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pointsman.routing.procedures.base import (
    Ask,
    Ending,
    Plan,
    Pooled,
    Reply,
    Steps,
    ask,
    is_plain,
    prompt,
    question_of,
    quoted,
    route,
    with_note,
)
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.wire.chat import ChatRequest, Format

DECOMPOSE: Final = (
    "You plan how a question is answered. If it has parts that can be answered independently of each other, write each "
    "part as a question that can be understood without the others: repeat names, numbers and context in it. Write at "
    "most {limit}. If the question is simple, or its parts need each other's answers, give an empty list. Do not "
    'answer anything. Reply with JSON only: {{"sub_queries": [{{"query": "..."{member}}}]}}'
)
CHOOSE: Final = "\nFor each part choose who answers it best for the least money, out of these models:\n{pool}"
NOTES: Final = (
    "[Notes that were gathered for this question; they may be wrong. Use what is right and answer the question as a "
    "whole, without mentioning the notes.]\n{notes}"
)
SUB_QUERY: Final = "Answer the question accurately and briefly."
DECOMPOSE_TOKENS: Final = 800
SUB_QUERY_TOKENS: Final = 1500
MAX_NOTE: Final = 6000
_OBJECT: Final = re.compile(r"\{.*\}", re.DOTALL)


class _Part(msgspec.Struct):
    query: str
    model: str | None = None


class _Parts(msgspec.Struct):
    sub_queries: list[_Part] = []


_PARTS: Final = msgspec.json.Decoder(_Parts)


def knn_multiround(request: ChatRequest, pool: Sequence[Pooled], settings: ProcedureSettings) -> Steps[Ending]:
    """Take the question apart; what was learnt says who gets which part."""
    question = question_of(request)
    if is_plain(request):
        parts = yield from decompose(question, (), settings.controller or pool[0].name, settings.max_sub_queries)
        if parts:
            queries = [part.query for part in parts]
            names = yield from route(queries)
            return (yield from gather(request, list(zip(queries, names, strict=True)), pool, settings))
    (name,) = yield from route([question])
    return Plan(name, request)


def llm_multiround(request: ChatRequest, pool: Sequence[Pooled], settings: ProcedureSettings) -> Steps[Ending]:
    """Take the question apart; the controller says who gets which part, and the best candidate the rest."""
    if is_plain(request):
        controller = settings.controller or pool[0].name
        parts = yield from decompose(question_of(request), pool, controller, settings.max_sub_queries)
        if parts:
            known = {one.name for one in pool}
            asked = [(part.query, part.model if part.model in known else pool[0].name) for part in parts]
            return (yield from gather(request, [(query, name or "") for query, name in asked], pool, settings))
    return Plan(pool[0].name, request)


def decompose(question: str, pool: Sequence[Pooled], controller: str, limit: int) -> Steps[list[_Part]]:
    """The parts of ``question``, at least two and at most ``limit``; none where it is better left whole."""
    member = ', "model": "..."' if pool else ""
    instruction = DECOMPOSE.format(limit=limit, member=member)
    if pool:
        instruction += CHOOSE.format(pool=described(pool))
    request = prompt(
        instruction,
        question,
        max_tokens=DECOMPOSE_TOKENS,
        temperature=0.0,
        format=Format(kind="schema", name="parts", is_strict=True, schema=_schema([one.name for one in pool])),
    )
    (reply,) = yield from ask(Ask(candidate=controller, request=request, purpose="decompose"))
    parts = read_parts(reply.text)[:limit]
    return parts if len(parts) > 1 else []


def gather(
    request: ChatRequest, asked: Sequence[tuple[str, str]], pool: Sequence[Pooled], settings: ProcedureSettings
) -> Steps[Ending]:
    """Ask the parts, each of its model, and leave the whole to the controller; without an answer, to the best one."""
    replies = yield from ask(
        *(
            Ask(
                candidate=name,
                request=prompt(SUB_QUERY, query, max_tokens=SUB_QUERY_TOKENS),
                purpose="sub-query",
            )
            for query, name in asked
        )
    )
    notes = [_note(query, reply) for (query, _), reply in zip(asked, replies, strict=True) if reply.text]
    if not notes:
        return Plan(pool[0].name, request)
    return Plan(settings.controller or pool[0].name, with_note(request, NOTES.format(notes="\n\n".join(notes))))


def read_parts(text: str) -> list[_Part]:
    """The parts that a controller has named; none where that cannot be read. Double ones count once."""
    found = _OBJECT.search(text)
    if found is None:
        return []
    try:
        parts = _PARTS.decode(found[0].encode())
    except (msgspec.DecodeError, RecursionError):
        return []
    return list({part.query.strip(): part for part in parts.sub_queries if part.query.strip()}.values())


def described(pool: Sequence[Pooled]) -> str:
    """One line for each candidate."""
    return "\n".join(
        f"- {one.name}"
        + (f": {quoted(one.description, 600)}" if one.description else "")
        + (f" (about ${one.cost_usd:.2g} a request)" if one.cost_usd is not None else "")
        for one in pool
    )


def _note(query: str, reply: Reply) -> str:
    return f"Question: {query}\nAnswer: {quoted(reply.text, MAX_NOTE)}"


def _schema(names: Sequence[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {"query": {"type": "string"}}
    if names:
        properties["model"] = {"type": "string", "enum": list(names)}
    part = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"sub_queries": {"type": "array", "items": part}},
        "required": ["sub_queries"],
        "additionalProperties": False,
    }
