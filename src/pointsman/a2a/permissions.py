"""Who may ask which agent for what: asked for what is listed and for what is dispatched alike.

To a caller all refusals look like an agent that is not there; the reason is for the audit log.
"""

from __future__ import annotations

from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller
from pointsman.access.policy import Refused, sees_all
from pointsman.errors import Unseen


def visible(caller: Caller, agent: AgentSettings) -> bool:
    """Whether a caller may ask an agent for anything at all."""
    agents = caller.grants.agents
    if agents.has_none:
        return False
    if agent.is_public:
        return True
    if caller.role == "none":
        return False
    if agent.allow_all_keys:
        return True
    if not agents.layers:
        return sees_all(caller)
    return agents.has(agent.id, agent.access_groups)


def may_ask(caller: Caller, agent: AgentSettings, operation: Operation) -> Refused | None:
    """Why a caller may not ask an agent for something; ``None``: he may."""
    if not visible(caller, agent):
        return Refused(f"the caller may not ask the agent {agent.id}")
    if not caller.grants.agents.allows(agent.id, operation):
        return Refused(f"the caller may not ask the agent {agent.id} for {operation}")
    return None


def missing(agent_id: str) -> Unseen:
    """There is no such agent, or the caller may not ask it, which is not told apart."""
    return Unseen(f"Agent {agent_id[:100]} not found")
