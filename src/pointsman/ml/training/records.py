"""Outcomes in JSON: the files of LLMRouter, RouterDC, Avengers, LLMRouterBench and GMTRouter, and rows of our own.

Each reader takes what a file holds, a record at a time, and hands outcomes on. What a record has beyond the members
that are named here is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from pointsman.ml.training.gathering import BadData, Gathering, Outcome

Record = TypeVar("Record", bound=msgspec.Struct)
Number = float | bool | None
HIGHEST_RATING = 5.0
"""Of GMTRouter's conversations."""


class Piece(NamedTuple):
    """One record of a file."""

    where: str
    """The file and the line or the place in it, for messages."""
    json: bytes | msgspec.Raw


class Routing(msgspec.Struct):
    """LLMRouter's ``*_routing_*_data.jsonl``: a query and a model."""

    query: str
    model_name: str
    performance: Number
    task_name: str | None = None
    user_id: str | None = None
    token_num: Number = None
    prompt_tokens: Number = None
    completion_tokens: Number = None
    input_tokens: Number = None
    output_tokens: Number = None


class Query(msgspec.Struct):
    """LLMRouter's ``query_data_*.jsonl``: what a query's answers are chosen from."""

    query: str
    choices: Any = None


class Scored(msgspec.Struct):
    """RouterDC's: a question and every model's score."""

    question: str
    scores: dict[str, Number]
    cluster_id: int | str | None = None
    task: str | None = None


class Usage(msgspec.Struct):
    """Of Avengers-Pro, of one model."""

    cost: Number = None
    prompt_tokens: Number = None
    completion_tokens: Number = None


class Recorded(msgspec.Struct):
    """Avengers-Pro's: a query and every model's score and usage."""

    query: str
    records: dict[str, Number]
    usages: dict[str, Usage] = {}
    dataset: str | None = None
    index: int | str | None = None


class Answer(msgspec.Struct):
    """Of LLMRouterBench, of one query."""

    score: Number = None
    index: int | str | None = None
    origin_query: str | None = None
    prompt: str | None = None
    prompt_tokens: Number = None
    completion_tokens: Number = None
    cost: Number = None


class Benchmark(msgspec.Struct):
    """LLMRouterBench's: all records of one model on one data set.

    Its ``split`` says where the questions are from. It is not one of a router's data, so it is passed over.
    """

    records: list[Answer]
    model_name: str
    dataset_name: str = ""


class Turn(msgspec.Struct):
    """Of GMTRouter."""

    query: str
    rating: Number = None


class Conversation(msgspec.Struct):
    """GMTRouter's: what a user thought of a model's answers."""

    judge: str
    model: str
    conversation: list[Turn]


class Row(msgspec.Struct):
    """Our own: the long form as JSON lines."""

    model: str
    score: Number = None
    query: str | None = None
    prompt: str | None = None
    query_id: str | None = None
    dataset: str | None = None
    task: str | None = None
    user: str | None = None
    split: str | None = None
    cost_usd: Number = None
    prompt_tokens: Number = None
    completion_tokens: Number = None

    def outcome(self) -> Outcome:
        """As it is gathered."""
        return Outcome(
            prompt=self.query or self.prompt or "",
            model=self.model,
            score=self.score,
            prompt_id=self.query_id or "",
            task=self.task or self.dataset or "",
            user=self.user or "",
            split=self.split or "",
            cost_usd=self.cost_usd,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


def decoded(piece: Piece, kind: type[Record]) -> Record:
    """The record.

    :raises BadData: it is not of this kind
    """
    try:
        return msgspec.json.decode(piece.json, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadData(piece.where, str(error)) from None


def routing(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """LLMRouter's routing data; queries are completed with their choices, where a file of queries was read before."""
    for piece in pieces:
        row = decoded(piece, Routing)
        gathering.add(
            piece.where,
            Outcome(
                prompt=row.query + gathering.options.get(row.query, ""),
                model=row.model_name,
                score=row.performance,
                task=row.task_name or "",
                user=row.user_id or "",
                prompt_tokens=row.input_tokens if row.prompt_tokens is None else row.prompt_tokens,
                completion_tokens=row.output_tokens if row.completion_tokens is None else row.completion_tokens,
                total_tokens=row.token_num,
            ),
        )


def queries(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """LLMRouter's query data: no outcomes, but the choices that a query has to be read with."""
    for piece in pieces:
        row = decoded(piece, Query)
        if options := _options(row.choices):
            gathering.options[row.query] = "\n" + options


def _options(choices: Any) -> str:
    if isinstance(choices, Mapping):
        texts, labels = choices.get("text"), choices.get("label") or choices.get("labels")
        if isinstance(texts, list) and isinstance(labels, list):
            return "\n".join(f"{label}. {text}" for label, text in zip(labels, texts, strict=False))
        return "\n".join(f"{label}. {text}" for label, text in choices.items())
    if isinstance(choices, list):
        return "\n".join(f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(choices))
    return choices if isinstance(choices, str) else ""


def routerdc(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """RouterDC's preprocessed questions. Its clusters are not tasks: they are made of the scores."""
    for piece in pieces:
        row = decoded(piece, Scored)
        for model, score in row.scores.items():
            gathering.add(piece.where, Outcome(prompt=row.question, model=model, score=score, task=row.task or ""))


def avengers(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """Avengers-Pro's queries."""
    for piece in pieces:
        row = decoded(piece, Recorded)
        number = "" if row.index is None else f"{row.dataset or ''}/{row.index}".lstrip("/")
        for model, score in row.records.items():
            usage = row.usages.get(model, Usage())
            gathering.add(
                piece.where,
                Outcome(
                    prompt=row.query,
                    model=model,
                    score=score,
                    prompt_id=number,
                    task=row.dataset or "",
                    cost_usd=usage.cost,
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                ),
            )


def llmrouterbench(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """LLMRouterBench's results, one file a model and data set."""
    for piece in pieces:
        found = decoded(piece, Benchmark)
        for place, row in enumerate(found.records):
            index = place if row.index is None else row.index
            gathering.add(
                f"{piece.where}, record {place}",
                Outcome(
                    prompt=row.origin_query or row.prompt or "",
                    model=found.model_name,
                    score=row.score,
                    prompt_id=f"{found.dataset_name}/{index}",
                    task=found.dataset_name,
                    cost_usd=row.cost,
                    prompt_tokens=row.prompt_tokens,
                    completion_tokens=row.completion_tokens,
                ),
            )


def gmt(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """GMTRouter's conversations: ratings from 0 to 5 by user."""
    for piece in pieces:
        row = decoded(piece, Conversation)
        for turn in row.conversation:
            if turn.rating is not None and not 0 <= turn.rating <= HIGHEST_RATING:
                raise BadData(piece.where, f"a rating is from 0 to {HIGHEST_RATING:g}, not {turn.rating:g}")
            score = None if turn.rating is None else turn.rating / HIGHEST_RATING
            gathering.add(piece.where, Outcome(prompt=turn.query, model=row.model, score=score, user=row.judge))


def long(pieces: Iterable[Piece], gathering: Gathering) -> None:
    """Our own: an object for each pair of query and model."""
    for piece in pieces:
        gathering.add(piece.where, decoded(piece, Row).outcome())


Reader = Callable[[Iterable[Piece], Gathering], None]
READERS: dict[str, Reader] = {
    "llmrouter": routing,
    "llmrouter-queries": queries,
    "routerdc": routerdc,
    "avengers": avengers,
    "llmrouterbench": llmrouterbench,
    "gmt": gmt,
    "long-json": long,
}


def format_of(members: Mapping[str, Any]) -> str | None:
    """The format of a record with these members; ``None`` where it is none of those here."""
    has = members.keys().__ge__
    signs = (
        ("llmrouter", has({"query", "model_name", "performance"})),
        ("routerdc", has({"question", "scores"})),
        ("llmrouterbench", has({"records", "model_name"}) and isinstance(members["records"], list)),
        ("avengers", has({"query", "records"}) and isinstance(members["records"], dict)),
        ("gmt", has({"judge", "model", "conversation"})),
        ("long-json", has({"model"}) and ("query" in members or "prompt" in members)),
        ("llmrouter-queries", has({"query", "task_name"})),
    )
    return next((name for name, is_so in signs if is_so), None)
