"""Which agent asks which provider for what, by the name of the fixture in ``tests/golden/agents``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from system.agents.players import Call, Step

LAST = "The points are set."
WORK = "printf ra > made.txt; printf ils >> made.txt; cat made.txt"
MADE = "rails"
PATCH = "*** Begin Patch\n*** Add File: patched.txt\n+rails\n*** End Patch\n"
SCRIPT = f"const made = await tools.exec_command({{cmd: '{WORK}'}}); text(made.output)"


@dataclass(frozen=True)
class Play:
    """A turn of an agent, with calls and their results."""

    agent: str
    model: str
    """As the gateway knows it: the provider's dialect, and a name that the agent knows things about."""
    steps: Sequence[Step]

    @property
    def dialect(self) -> str:
        """In which the provider is asked."""
        return self.model.partition("/")[0]


CLAUDE_CODE: Sequence[Step] = (
    (
        Call("Bash", {"command": WORK, "description": "Make a file"}),
        Call("Bash", {"command": "echo two", "description": "Say two"}),
    ),
    (Call("ToolSearch", {"query": "select:WebFetch", "max_results": 1}),),
    LAST,
)
CODEX: Sequence[Step] = (
    (Call("exec_command", {"cmd": WORK}), Call("exec_command", {"cmd": "echo two"})),
    (Call("apply_patch", PATCH),),
    LAST,
)
CODEX_SCRIPTS: Sequence[Step] = ((Call("exec", SCRIPT, "functions"),), LAST)
"""Codex has later models write scripts that call the tools, and declares its tools within the conversation."""
GEMINI_CLI: Sequence[Step] = (
    (Call("run_shell_command", {"command": WORK, "description": "Make a file"}),),
    LAST,
)

PLAYS: Mapping[str, Play] = {
    "claude_code_anthropic": Play("claude_code", "anthropic/claude-opus-4-8", CLAUDE_CODE),
    "claude_code_chat": Play("claude_code", "chat/claude-opus-4-8", CLAUDE_CODE),
    "claude_code_responses": Play("claude_code", "responses/claude-opus-4-8", CLAUDE_CODE),
    "codex_responses": Play("codex", "responses/gpt-5.5", CODEX),
    "codex_chat": Play("codex", "chat/gpt-5.5", CODEX),
    "codex_anthropic": Play("codex", "anthropic/gpt-5.5", CODEX),
    "codex_scripts_responses": Play("codex", "responses/gpt-6-sol", CODEX_SCRIPTS),
    "codex_scripts_chat": Play("codex", "chat/gpt-6-sol", CODEX_SCRIPTS),
    "gemini_cli_chat": Play("gemini_cli", "chat/gemini-2.5-pro", GEMINI_CLI),
    "gemini_cli_anthropic": Play("gemini_cli", "anthropic/gemini-2.5-pro", GEMINI_CLI),
}
