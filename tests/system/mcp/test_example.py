from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from system.conftest import MASTER_KEY
from system.mcp.installing import venv
from system.process import Gateway
from system.scripted import until

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"```python\n(import asyncio\n.*?)```", re.DOTALL)


@pytest.mark.requirement("mcp.example")
def test_the_client_of_the_readme_uses_the_servers_of_the_example(tmp_path: Path) -> None:
    config = (ROOT / "examples" / "mcp.yaml").read_text().replace("master_key: auto", f"master_key: {MASTER_KEY}")
    programs = venv("official").parent
    with Gateway(tmp_path, config, env={"PATH": f"{programs}:{os.environ['PATH']}"}) as gateway:
        gateway.key = MASTER_KEY
        # They take their time to start.
        until(lambda: {one["server_id"] for one in gateway.get("/mcp/tools").json["tools"]} == {"time", "git"}, 30)
        found = BLOCK.search((ROOT / "README.md").read_text())
        assert found is not None
        script = found[1].replace("the admin key", MASTER_KEY).replace("http://127.0.0.1:4000", gateway.base_url)
        command = [str(programs / "python"), "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()[:-1]
    assert {"time__get_current_time", "time__convert_time", "git__git_status"} <= set(names)
    assert "git__git_commit" not in names
    assert "Europe/Zurich" in done.stdout.splitlines()[-1]
