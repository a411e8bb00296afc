"""Eight official servers behind one address, each of them called by five official clients."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from system.conftest import MASTER_KEY
from system.mcp.conftest import mcp_config
from system.mcp.installing import FOLDER, everything, node, packages, venv
from system.process import Gateway

CLIENT_SECONDS = 120
LIST_SECONDS = 60
"""Eight programs start at once for the first list, on a machine that has other things to do."""
PAGE = b"<html><body><h1>Timetable</h1><p>The 8:15 leaves from track nine.</p></body></html>"
EVERYTHING = "from mcp_everything_server.server import mcp; mcp.run('stdio')"
CLIENTS: Mapping[str, tuple[str, str | None]] = {
    "python-sdk-1": ("sdk-1", "2025-11-25"),
    "python-sdk-2": ("sdk-2", "2026-07-28"),
    "fastmcp": ("fastmcp", None),
    "npm-sdk-1": ("sdk_1.mjs", "2025-11-25"),
    "npm-client-2": ("client_2.mjs", "2026-07-28"),
}
"""Of each: where it is installed or its script, and the revision that it speaks, as far as it tells."""
SCRIPTS = {"sdk-1": "official_sdk_1.py", "sdk-2": "official_sdk_2.py", "fastmcp": "official_fastmcp.py"}
SERVERS = ("everything", "filesystem", "memory", "thinking", "time", "git", "fetch", "everything-python")
FEWEST_TOOLS = {"everything": 10, "filesystem": 10, "memory": 9, "git": 10, "time": 2, "everything-python": 20}


class Page(http.server.BaseHTTPRequestHandler):
    """What there is to fetch."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/timetable"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, and a repository with a commit."""
    folder = tmp_path_factory.mktemp("depot")
    (folder / "note.txt").write_text("The points are set for track nine.")
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    for step in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "Set the points")):
        subprocess.run(["git", *step], cwd=folder, check=True, timeout=30)
    return folder


@pytest.fixture(scope="module")
def official(depot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before all eight of them."""
    home = tmp_path_factory.mktemp("official")
    modules = packages(FOLDER / "official") / "@modelcontextprotocol"
    programs = venv("official").parent
    servers = {
        "everything": stdio(node(), modules / "server-everything" / "dist" / "index.js"),
        "filesystem": stdio(node(), modules / "server-filesystem" / "dist" / "index.js", depot),
        "memory": stdio(
            node(), modules / "server-memory" / "dist" / "index.js", MEMORY_FILE_PATH=home / "memory.jsonl"
        ),
        "thinking": stdio(node(), modules / "server-sequential-thinking" / "dist" / "index.js"),
        "time": stdio(programs / "mcp-server-time", "--local-timezone", "Europe/Zurich"),
        "git": stdio(programs / "mcp-server-git", "--repository", depot),
        "fetch": stdio(programs / "mcp-server-fetch", "--ignore-robots-txt", "--allow-private-ips"),
        "everything-python": stdio(venv("sdk-2"), "-c", EVERYTHING, PYTHONPATH=everything("2")),
    }
    assert set(servers) == set(SERVERS)
    with Gateway(home / "gateway", mcp_config(servers, is_open=False, list_timeout=LIST_SECONDS)) as running:
        yield running


def stdio(*command: str | Path, **env: str | Path) -> Mapping[str, Any]:
    program, *arguments = map(str, command)
    variables = {name: str(value) for name, value in env.items()}
    return {"transport": "stdio", "command": program, "args": arguments, "env": variables}


@pytest.fixture(scope="module", params=CLIENTS)
def found(request: pytest.FixtureRequest, official: Gateway, depot: Path, page: str) -> Mapping[str, Any]:
    """What a client has listed and called over the one address of all servers."""
    calls: Mapping[str, Sequence[Any]] = {
        "everything": ("echo", {"message": "all clear"}),
        "filesystem": ("read_text_file", {"path": str(depot / "note.txt")}),
        "memory": (
            "create_entities",
            {"entities": [{"name": request.param, "entityType": "t", "observations": ["o"]}]},
        ),
        "thinking": (
            "sequentialthinking",
            {"thought": "t", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
        ),
        "time": ("get_current_time", {"timezone": "Asia/Tokyo"}),
        "git": ("git_log", {"repo_path": str(depot)}),
        "fetch": ("fetch", {"url": page}),
        "everything-python": ("test_simple_text", {}),
    }
    named = {server: (f"{server}__{tool}", arguments) for server, (tool, arguments) in calls.items()}
    where, revision = CLIENTS[request.param]
    if where in SCRIPTS:
        command = [venv(where), FOLDER / "clients" / SCRIPTS[where]]
    else:
        packages(FOLDER / "official")
        command = [node(), FOLDER / "official" / where]
    arguments = [f"{official.base_url}/mcp", MASTER_KEY, json.dumps(named)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["revision"] == revision
    return result | {"name": request.param}


@pytest.mark.requirement("mcp.official")
@pytest.mark.parametrize("server", SERVERS)
def test_a_client_lists_and_calls_a_server(server: str, found: Mapping[str, Any]) -> None:
    text = {
        "everything": "all clear",
        "filesystem": "The points are set for track nine.",
        "memory": found["name"],
        "thinking": '"thoughtNumber": 1',
        "time": "Asia/Tokyo",
        "git": "Set the points",
        "fetch": "The 8:15 leaves from track nine.",
        "everything-python": "This is a simple text response",
    }[server]
    assert text in found["called"][server]
    tools = [name for name in found["listed"] if name.startswith(f"{server}__")]
    assert len(tools) >= FEWEST_TOOLS.get(server, 1)
