"""The agents themselves, as npm has them, each run in a folder and a home of its own.

They are never part of this repository: Claude Code is proprietary, and all of them are large.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGES = FOLDER / "node_modules"
SECONDS = 60

CODEX_CONFIG = """
model = "{model}"
model_provider = "pointsman"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.pointsman]
name = "Pointsman"
base_url = "{address}/v1"
env_key = "POINTSMAN_KEY"
wire_api = "responses"
"""
GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"disableAutoUpdate": True, "disableUpdateNag": True},
}


@dataclass(frozen=True)
class Asking:
    """What an agent is told: where the gateway is, and what to do."""

    node: str
    home: Path
    """Of this run alone: the agent works in ``work`` below it."""
    address: str
    """Of the gateway, without ``/v1``."""
    key: str
    model: str
    prompt: str = "Set the points"

    @property
    def work(self) -> Path:
        """Where it works."""
        return self.home / "work"

    def run(self, program: Path, options: list[str], variables: Mapping[str, str]) -> str:
        """What it prints, if it ends well."""
        place = self.home / "home"
        place.mkdir(parents=True, exist_ok=True)
        self.work.mkdir()
        done = subprocess.run(
            [self.node, str(program), *options],
            cwd=self.work,
            env={"PATH": os.environ["PATH"], "HOME": str(place), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Put a file into its home."""
        file = self.home / "home" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)


def claude_code(asking: Asking) -> str:
    """Claude Code, without what it calls home for."""
    variables = {
        "ANTHROPIC_BASE_URL": asking.address,
        "ANTHROPIC_AUTH_TOKEN": asking.key,
        "ANTHROPIC_MODEL": asking.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": asking.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    program = PACKAGES / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
    return asking.run(program, ["-p", asking.prompt, "--allowedTools", "Bash"], variables)


def codex(asking: Asking) -> str:
    """Codex. Its sandbox is off: not every container has what that needs, and the model is scripted."""
    asking.write(".codex/config.toml", CODEX_CONFIG.format(model=asking.model, address=asking.address))
    program = PACKAGES / "@openai" / "codex" / "bin" / "codex.js"
    options = ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", asking.prompt]
    return asking.run(program, options, {"POINTSMAN_KEY": asking.key})


def gemini_cli(asking: Asking) -> str:
    """Gemini CLI."""
    asking.write(".gemini/settings.json", json.dumps(GEMINI_SETTINGS))
    variables = {"GEMINI_API_KEY": asking.key, "GOOGLE_GEMINI_BASE_URL": asking.address}
    program = PACKAGES / ".bin" / "gemini"
    return asking.run(program, ["-m", asking.model, "--yolo", "--skip-trust", "-p", asking.prompt], variables)


PROGRAMS: Mapping[str, Callable[[Asking], str]] = {
    "claude_code": claude_code,
    "codex": codex,
    "gemini_cli": gemini_cli,
}
NEEDS_NODE: Mapping[str, int] = {"claude_code": 18, "codex": 16, "gemini_cli": 20}
"""Major version of Node.js."""
