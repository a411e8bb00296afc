from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from system.conftest import MASTER_KEY
from system.process import Gateway
from system.running import free_port, process

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"```python\n(import asyncio\n(?:(?!```).)*a2a\.client.*?)```", re.DOTALL)


@pytest.mark.requirement("a2a.example")
def test_the_client_of_the_readme_talks_with_the_agent_of_the_example(tmp_path: Path) -> None:
    port = free_port()
    config = (ROOT / "examples" / "a2a.yaml").read_text().replace("master_key: auto", f"master_key: {MASTER_KEY}")
    agent = [sys.executable, str(ROOT / "examples" / "a2a_agent.py"), str(port)]
    with (
        process(agent, tmp_path / "agent.log", port),
        Gateway(tmp_path / "gateway", config.replace("127.0.0.1:9999", f"127.0.0.1:{port}")) as gateway,
    ):
        found = BLOCK.search((ROOT / "README.md").read_text())
        assert found is not None
        script = found[1].replace("the admin key", MASTER_KEY).replace("http://127.0.0.1:4000", gateway.base_url)
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "The 8:15 to Bern leaves from track nine." in done.stdout
    assert "The 9:02 to Chur leaves from track four." in done.stdout
    assert "TASK_STATE_COMPLETED" in done.stdout
