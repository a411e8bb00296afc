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
        effort = _effort(reasoning, generation) if thinking is not None else None
        if thinking is not None and _is_refused(thinking, body):
            terms.lose("thinking")
            thinking = None
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
    is_off = reasoning.is_off or reasoning.effort == "none"
    budget = reasoning.budget_tokens
    is_asked = is_off or budget is not None or reasoning.effort is not None or reasoning.is_adaptive
    if not is_asked or facts.OTHER < generation < facts.THINKING_SINCE:
        if is_asked and not is_off:
            terms.lose("reasoning_effort")
        elif reasoning.summary is not None:
            terms.lose("summary")
        return None
    if is_off:
        return {"type": "disabled"}
    if budget is not None and generation <= facts.BUDGETS_UNTIL:
        return _fitting(budget, request.max_tokens, terms)
    if generation >= facts.ADAPTIVE_SINCE:
        return {"type": "adaptive"}
    budget = facts.BUDGETS[reasoning.effort or "medium"]
    if request.max_tokens is not None:
        budget = min(budget, request.max_tokens // 2)
    if budget < facts.MIN_BUDGET:
        terms.lose("reasoning_effort")
        return None
    return {"type": "enabled", "budget_tokens": budget}


def _fitting(budget: int, limit: int | None, terms: Terms) -> dict[str, Any] | None:
    """The caller's budget, as near as the API takes it: at least its minimum, and less than the answer's ``limit``."""
    budget = max(budget, facts.MIN_BUDGET)
    if limit is not None and budget >= limit:
        budget = limit - 1
        if budget < facts.MIN_BUDGET:
            terms.lose("thinking")
            return None
    return {"type": "enabled", "budget_tokens": budget}


def _is_refused(thinking: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether such thinking is refused beside the rest of ``body``: always where a tool is forced.

    What was thought before calls of tools has to be there too, unless the thinking is adaptive.
    """
    if thinking["type"] == "disabled":
        return False
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return True
    return thinking["type"] == "enabled" and _is_thought_lost(body.get("messages", []))


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
