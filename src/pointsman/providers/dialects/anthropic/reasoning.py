"""Asking for reasoning."""

from __future__ import annotations

from typing import Any

from pointsman.providers.dialects.anthropic import facts
from pointsman.providers.dialects.anthropic.facts import NAME, Generation
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning

_MEDIUM_BUDGET = 2048
_HIGH_BUDGET = 8192


def write_reasoning(request: ChatRequest, terms: Terms, generation: Generation, body: dict[str, Any]) -> None:
    """Add ``thinking`` and ``output_config.effort`` to ``body``.

    A client of this dialect gets what it has asked for. The wishes of others become adaptive thinking with an effort
    where the model has it, else a budget, which is at most half of the answer's limit.
    """
    reasoning = request.reasoning
    if reasoning is None or not terms.drops.isdisjoint(("reasoning_effort", "thinking")):
        return
    effort: str | None
    if request.dialect == NAME:
        thinking, effort = _as_said(reasoning), reasoning.effort
    else:
        thinking = _thinking(request, reasoning, terms, generation)
        if thinking is not None and thinking["type"] == "enabled" and _is_thought_lost(body.get("messages", [])):
            # Refused otherwise; adaptive thinking does not insist on it.
            terms.lose("thinking")
            return
        effort = _effort(reasoning, generation) if thinking is not None else None
    if thinking is not None:
        body["thinking"] = thinking | _display(request, reasoning, thinking, generation)
    if effort is not None:
        body["output_config"] = {"effort": effort}


def _as_said(reasoning: Reasoning) -> dict[str, Any] | None:
    if reasoning.budget_tokens is not None:
        return {"type": "enabled", "budget_tokens": reasoning.budget_tokens}
    if reasoning.is_adaptive:
        return {"type": "adaptive"}
    return {"type": "disabled"} if reasoning.is_off else None


def _thinking(
    request: ChatRequest, reasoning: Reasoning, terms: Terms, generation: Generation
) -> dict[str, Any] | None:
    if reasoning.is_off or reasoning.effort == "none":
        return {"type": "disabled"}
    budget = reasoning.budget_tokens
    if budget is not None and generation <= facts.BUDGETS_UNTIL:
        return {"type": "enabled", "budget_tokens": budget}
    if budget is None and reasoning.effort is None and not reasoning.is_adaptive:
        if reasoning.summary is not None:
            terms.lose("summary")
        return None
    if generation >= facts.ADAPTIVE_SINCE:
        return {"type": "adaptive"}
    budget = facts.BUDGETS[reasoning.effort or "medium"]
    if request.max_tokens is not None:
        budget = min(budget, request.max_tokens // 2)
    if budget < facts.MIN_BUDGET:
        terms.lose("reasoning_effort")
        return None
    return {"type": "enabled", "budget_tokens": budget}


def _is_thought_lost(messages: list[dict[str, Any]]) -> bool:
    """Whether the model shall go on after calls of tools, and what it thought before them was not given back."""
    types: set[str] = set()
    for message in reversed(messages):
        blocks = {str(block.get("type")) for block in message["content"] if isinstance(block, dict)}
        if message["role"] == "user" and "tool_result" not in blocks:
            break
        types |= blocks
    return "tool_use" in types and types.isdisjoint({"thinking", "redacted_thinking"})


def _effort(reasoning: Reasoning, generation: Generation) -> str | None:
    if generation < facts.ADAPTIVE_SINCE or reasoning.is_off or reasoning.effort == "none":
        return None
    if reasoning.effort is None:
        return _effort_of(reasoning.budget_tokens) if generation > facts.BUDGETS_UNTIL else None
    if reasoning.effort == "minimal":
        return "low"
    if reasoning.effort == "xhigh" and generation < facts.XHIGH_SINCE:
        return "max"
    return reasoning.effort


def _effort_of(budget: int | None) -> str | None:
    """The effort that stands for a budget, where the model has no budgets any more."""
    if budget is None:
        return None
    return "low" if budget < _MEDIUM_BUDGET else "medium" if budget < _HIGH_BUDGET else "high"


def _display(
    request: ChatRequest, reasoning: Reasoning, thinking: dict[str, Any], generation: Generation
) -> dict[str, Any]:
    """Whether the reasoning is to be shown, which later models do only if asked.

    Clients of OpenAI's chat have no way to ask, and get it.
    """
    if thinking["type"] == "disabled" or (generation < facts.ADAPTIVE_SINCE and request.dialect != NAME):
        return {}
    is_shown = reasoning.is_shown
    if is_shown is None and (reasoning.summary is not None or request.dialect == "openai"):
        is_shown = True
    return {} if is_shown is None else {"display": "summarized" if is_shown else "omitted"}
