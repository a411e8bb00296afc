"""How much the model shall think. Each maker's models are told in a way of their own.

Converse itself knows an effort, ``outputConfig.effort``, which is Claude's; the rest stands among the model's own
parameters. Sources: docs.aws.amazon.com/bedrock/latest/userguide (claude-messages-extended-thinking,
claude-messages-adaptive-thinking, model-parameters-openai), .../nova/latest/nova2-userguide/extended-thinking.html.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.converse import models
from pointsman.providers.dialects.converse.models import Model
from pointsman.providers.translation import Terms
from pointsman.wire.chat import ChatRequest, Reasoning

Wire = dict[str, Any]
_NAMES: Final = ("reasoning_effort", "reasoning", "thinking")
"""What the parameter is called in one dialect or another."""
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
"""Budgets for efforts; up to ``high`` those that LiteLLM gives."""
_MIN_BUDGET: Final = 1024
_FORCED: Final = ("any", "tool")
_THREE: Final = {"minimal": "low", "xhigh": "high", "max": "high"}
"""The nearest effort where there are only three."""


def write_reasoning(request: ChatRequest, terms: Terms, model: Model) -> tuple[Wire, str | None]:
    """Parameters of the model's own, and ``outputConfig.effort``."""
    reasoning = request.reasoning
    if reasoning is None or not terms.drops.isdisjoint(_NAMES):
        return {}, None
    if "reasoning_effort" in terms.allowed and reasoning.effort is not None:
        return {"reasoning_effort": reasoning.effort}, None
    is_off = reasoning.is_off or reasoning.effort == "none"
    if not is_off and reasoning.effort is None and reasoning.budget_tokens is None and not reasoning.is_adaptive:
        if reasoning.summary is not None:
            terms.lose("summary")
        return {}, None
    if model.is_claude and model.generation >= models.THINKING_SINCE:
        return _claude(request, reasoning, terms, model, is_off=is_off)
    own = _others(reasoning, model, is_off=is_off)
    if not own and not is_off:
        terms.lose("reasoning_effort")
    return own, None


def is_thinking(own: Wire) -> bool:
    """Whether Claude is asked to think by these parameters; no tool can be forced on it then."""
    return own.get("thinking", {}).get("type") in ("enabled", "adaptive")


def is_refused(thinking: Wire, body: Wire, choice: Wire) -> bool:
    """Whether Claude refuses to think as ``thinking`` says: always where a tool is forced on it.

    What it thought before calls of tools has to be there too, unless its thinking is adaptive. ``choice`` is Claude's
    own parameter for the choice among tools.
    """
    forced = body.get("toolConfig", {}).get("toolChoice") or choice.get("tool_choice", {}).get("type") in _FORCED
    return bool(forced) or (thinking["thinking"]["type"] == "enabled" and _is_thought_lost(body["messages"]))


def _is_thought_lost(messages: list[Wire]) -> bool:
    kinds: set[str] = set()
    for message in reversed(messages):
        found = {kind for block in message["content"] for kind in block}
        if message["role"] == "user" and "toolResult" not in found:
            break
        kinds |= found
    return "toolUse" in kinds and "reasoningContent" not in kinds


def _others(reasoning: Reasoning, model: Model, *, is_off: bool) -> Wire:
    """The parameters of models that are not Claude; none where the model has no such thing."""
    match model.maker:
        case "nova-2" if is_off:
            return {"reasoningConfig": {"type": "disabled"}}
        case "nova-2":
            return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _one_of_three(reasoning)}}
        case "gpt-oss":
            return {"reasoning_effort": "low" if is_off else _one_of_three(reasoning)}
        case "gpt":
            effort = "none" if is_off else _effort(reasoning)
            return {"reasoning": {"effort": "low" if effort == "minimal" else effort}}
    return {}


def _claude(
    request: ChatRequest, reasoning: Reasoning, terms: Terms, model: Model, *, is_off: bool
) -> tuple[Wire, str | None]:
    """Adaptive thinking where the model has it and no budget was given that it takes; else a budget.

    A client of Anthropic's may give an effort without thinking.
    """
    if is_off:
        return {"thinking": {"type": "disabled"}}, None
    is_adaptive = model.generation >= models.ADAPTIVE_SINCE
    if is_adaptive and (reasoning.budget_tokens is None or model.generation > models.BUDGETS_UNTIL):
        effort = _claude_effort(reasoning, model)
        if request.dialect == "anthropic" and not reasoning.is_adaptive and reasoning.budget_tokens is None:
            return {}, effort
        return {"thinking": {"type": "adaptive"} | _display(request, reasoning)}, effort
    budget = reasoning.budget_tokens
    limit = request.max_tokens
    if budget is None:
        name, budget = "reasoning_effort", _BUDGETS[reasoning.effort or "medium"]
        budget = budget if limit is None else min(budget, limit // 2)
    else:
        name, budget = "thinking", max(budget, _MIN_BUDGET)
        budget = budget if limit is None else min(budget, limit - 1)
    if budget < _MIN_BUDGET:
        terms.lose(name)
        return {}, None
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}, None


def _claude_effort(reasoning: Reasoning, model: Model) -> str | None:
    if reasoning.effort is None and reasoning.budget_tokens is None:
        return None
    effort = _effort(reasoning)
    if effort == "xhigh" and model.generation < models.XHIGH_SINCE:
        return "max"
    return "low" if effort == "minimal" else effort


def _display(request: ChatRequest, reasoning: Reasoning) -> Wire:
    """Whether the reasoning is shown, which later models do only if asked.

    Clients of OpenAI's chat have no way to ask, and get it.
    """
    is_shown = reasoning.is_shown
    if is_shown is None and (reasoning.summary is not None or request.dialect == "openai"):
        is_shown = True
    return {} if is_shown is None else {"display": "summarized" if is_shown else "omitted"}


def _effort(reasoning: Reasoning) -> str:
    if reasoning.effort is not None:
        return reasoning.effort
    budget = reasoning.budget_tokens
    if budget is None:
        return "medium"
    return "low" if budget < _BUDGETS["medium"] else "medium" if budget < _BUDGETS["xhigh"] else "high"


def _one_of_three(reasoning: Reasoning) -> str:
    effort = _effort(reasoning)
    return _THREE.get(effort, effort)
