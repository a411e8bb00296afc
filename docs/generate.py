"""Writes the generated pages of docs/reference from the code that they describe. ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pointsman.config.schema import schema_text
from pointsman.edge.table import ROUTES, Access
from pointsman.providers.registry import facts_date, load_facts, load_vendors
from pointsman.telemetry.metrics import METRICS

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from matrix import table

REFERENCE = Path(__file__).parent / "reference"
WHO = {Access.PUBLIC: "anybody", Access.CALLER: "a key", Access.METRICS: "a key, unless switched off"}


def endpoints() -> str:
    """Every path, from the table that serves them."""
    lines = ["# Endpoints", "", "| method | path | needs |", "|---|---|---|"]
    lines += [f"| {route.method} | `{route.path}` | {WHO[route.access]} |" for route in ROUTES]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric, from the table that exposes them."""
    lines = ["# Metrics", "", "At `/metrics`, in Prometheus' text format.", "", "| name | kind | labels | what |"]
    lines.append("|---|---|---|---|")
    lines += [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.help} |" for m in METRICS]
    return "\n".join(lines) + "\n"


def providers() -> str:
    """Every vendor, with the variables that hold its key."""
    known = load_facts()
    lines = [
        "# Providers",
        "",
        f"`model: provider/model` in a config. Prices and context sizes are as of {facts_date()};",
        "[more of them](../how-to/prices.md).",
        "",
        "| provider | address | key from | models known |",
        "|---|---|---|---|",
    ]
    for name, vendor in load_vendors().items():
        keys = ", ".join(f"`{variable}`" for variable in vendor.key_env)
        lines.append(f"| {name} | {vendor.base_url or '`api_base`'} | {keys} | {len(known.get(name, ()))} |")
    return "\n".join(lines) + "\n"


def pages() -> Mapping[Path, str]:
    """What the generated files should hold."""
    return {
        REFERENCE / "endpoints.md": endpoints(),
        REFERENCE / "metrics.md": metrics(),
        REFERENCE / "providers.md": providers(),
        REFERENCE / "dialects.md": table.page(),
        REFERENCE / "config.schema.json": schema_text(),
    }


def main() -> None:
    """Write the pages, or name those that are stale and fail."""
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text]
        if stale:
            sys.exit(f"stale: {', '.join(stale)}; run `make docs`")
        return
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
