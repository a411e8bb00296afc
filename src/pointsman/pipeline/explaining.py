"""What a routed model would do with a prompt, and why, without doing it.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.ml.explanation import Explanation
from pointsman.pipeline.call import Call
from pointsman.pipeline.inside import Collector
from pointsman.pipeline.question import Question, question_of
from pointsman.pipeline.routed import RoutedModel
from pointsman.pipeline.wants import wants_of
from pointsman.routing.groups import Groups
from pointsman.routing.registry import LEARNED
from pointsman.routing.settings import RoutingSettings
from pointsman.routing.strategies.learned import Chooser
from pointsman.wire import operations as op
from pointsman.wire.knobs import MEMBERS, expected, number_of
from pointsman.wire.peek import peek

AUTO = "auto"
MAX_SHOWN = 500
"""Characters of a prompt that are shown again."""


class Explaining:
    """Tells about the routed models of one snapshot."""

    def __init__(
        self,
        routed: Mapping[str, RoutedModel],
        groups: Groups,
        routing: RoutingSettings,
        clock: Callable[[], float],
    ) -> None:
        self._routed = routed
        self._groups = groups
        self._routing = routing
        self._clock = clock

    def info(self) -> dict[str, Any]:
        """What ``GET /router/info`` tells."""
        return {
            "routed_models": [info_of(model, self._clock()) for model in self._routed.values()],
            "strategies": list(LEARNED),
        }

    async def explain(self, asked: Mapping[str, Any], headers: Mapping[bytes, bytes], tenant: str) -> dict[str, Any]:
        """Where a conversation would go; ``asked`` is a chat request, or has a ``prompt`` in its place.

        :raises ModelNotFound: there is no routed model, or the one that is named is none
        :raises InvalidRequest: what is asked cannot be read, or nobody can take it
        """
        name = _model(self._routed, asked.get("model"))
        match = self._groups.match(name)
        model = self._routed.get(match.group.name)
        if model is None:
            there_are = ", ".join(self._routed)
            raise ModelNotFound(f"{name[:200]!r} is no routed model; there are {there_are}", param="model")
        knobs = {key: asked[key] for key in (*MEMBERS, "session_id") if asked.get(key) is not None}
        for key, value in knobs.items():
            if key in MEMBERS and number_of(key, value) is None:
                raise InvalidRequest(f"Invalid '{key}': expected {expected(key)}", param=key)
        body = msgspec.json.encode(_chat(asked, name))
        now = self._clock()
        call = Call(op.CHAT, Collector(), headers, b"", now, is_master=False, tenant=tenant)
        want = wants_of(peek(op.CHAT, body).wishes, headers, name)
        want = msgspec.structs.replace(want, knobs={**(want.knobs or {}), **knobs})
        question = question_of(call, match, name, want, body, None, self._routing, now)
        question.is_quiet = True
        told = _told(model, question, *await model.explain(question))
        if model.procedure is not None:
            # What is chosen here answers what cannot be asked about, and takes part in the rest.
            asks = model.procedure.first(question, model, await model.look(question))
            told |= {"procedure": model.settings.strategy, "asks_first": asks}
        return told


def _model(routed: Mapping[str, RoutedModel], name: Any) -> str:
    if isinstance(name, str) and name:
        return name
    if name is not None:
        raise InvalidRequest("Invalid 'model': expected the name of a routed model", param="model")
    return AUTO if AUTO in routed else next(iter(routed))


def _chat(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    chat = {key: value for key, value in asked.items() if key not in (*MEMBERS, "session_id", "prompt")}
    if "messages" in asked:
        return chat | {"model": model}
    prompt = asked.get("prompt")
    if not isinstance(prompt, str):
        raise InvalidRequest("Send 'messages', or a 'prompt' as text", param="messages")
    return chat | {"model": model, "messages": [{"role": "user", "content": prompt}]}


def _told(
    model: RoutedModel, question: Question, told: Explanation, dropped: Mapping[str, str], chooser: Chooser
) -> dict[str, Any]:
    answer: dict[str, Any] = _rounded(msgspec.to_builtins(told))
    for row in answer["candidates"]:
        row["dropped"] = dropped.get(row["model"]) or row["dropped"]
    decision = answer.pop("decision")
    return {
        "model": model.settings.name,
        "chosen": decision["model"],
        "reason": decision["reason"],
        "checkpoint": chooser.label,
        "decision": decision,
        **answer,
        "not_asked_for": question.unknown,
        "prompt": question.text[:MAX_SHOWN],
        "needs": msgspec.to_builtins(question.prompt.needs),
    }


def _rounded(value: Any) -> Any:
    """Numbers as far as they are known at all, at any depth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def info_of(model: RoutedModel, now: float) -> dict[str, Any]:
    """What ``GET /router/info`` tells of one routed model."""
    settings, chooser = model.settings, model.kept.current
    return {
        "model": settings.name,
        "strategy": settings.strategy,
        "decides_among": "upstream models of the group" if settings.is_within_group else "model groups",
        "candidates": _candidates(model, chooser, now),
        "baseline": model.lineup.names[chooser.baseline],
        "knobs": _knobs(model),
        "checkpoint": _checkpoint(chooser) | {"path": settings.checkpoint, **model.kept.status()},
        "counts": model.meter.counts(),
        "sessions": len(model.sessions),
        "learning": None if model.learning is None else model.learning.status(),
    }


def _knobs(model: RoutedModel) -> dict[str, Any]:
    """What a request can wish for, and what is usual; of a procedure only what it heeds."""
    settings, usual = model.settings, model.usual
    knobs = {
        "quality": usual.quality,
        "max_cost": usual.max_cost_usd,
        "min_quality": usual.min_quality,
        "target_cost": settings.target_cost,
        "target_share": settings.target_share,
        "price": model.price,
    }
    if model.procedure is not None:
        knobs = {name: value for name, value in knobs.items() if name in model.procedure.knobs}
    named = ("cheap", "best", "0.7") if "quality" in knobs else ()
    return {**knobs, "names": [settings.name, *(f"{settings.name}:{knob}" for knob in named)]}


def _candidates(model: RoutedModel, chooser: Chooser, now: float) -> list[dict[str, Any]]:
    means, entries = chooser.candidates, []
    for place, candidate in enumerate(model.lineup.candidates):
        is_known = candidate.name not in chooser.unknown
        entries.append(
            {
                "model": candidate.name,
                "is_known": is_known,
                "mean_quality": _rounded(float(means.quality[place])) if is_known else None,
                "mean_cost_usd": (
                    None if candidate.name in chooser.costs_unknown else _rounded(float(means.cost_usd[place]))
                ),
                "is_cost_as_trained": candidate.name in chooser.as_trained,
                "can_answer": candidate.can_answer(now),
                "decisions": model.meter.chosen(candidate.name),
            }
        )
    return entries


def _checkpoint(chooser: Chooser) -> dict[str, Any]:
    about = chooser.learned.about
    return {
        "decides_by": chooser.label,
        "id": None if about is None else chooser.version,
        "created": None if about is None else about.created,
        "embedder": None if about is None else about.embedder,
        "prompts": None if about is None else about.data.prompts,
        "metrics": {} if about is None else about.metrics,
        "unused_models": list(chooser.unused),
        "failures_of_estimator": chooser.failures,
    }
