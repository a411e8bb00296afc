from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec
import pytest

from pointsman.config.check import Problem
from pointsman.config.document import resolve
from pointsman.config.marked import parse
from pointsman.config.snapshot import Snapshot, build_snapshot
from pointsman.config.sources.base import Fetched, Version
from pointsman.config.sources.collecting import collecting
from pointsman.config.sources.file import file_bytes
from pointsman.providers.base import KnownModels, ModelFacts, Price, Vendor


class Built(msgspec.Struct, frozen=True):
    """What a text became."""

    snapshot: Snapshot | None
    problems: tuple[Problem, ...]

    @property
    def good(self) -> Snapshot:
        assert self.snapshot is not None, [str(problem) for problem in self.problems]
        return self.snapshot

    def said(self, severity: str) -> list[str]:
        return [f"{p.path}: {p.what}" for p in self.problems if p.severity == severity]

    def all(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


Build = Callable[..., Built]


def _with_tables(text: str, environ: Mapping[str, str]) -> Fetched:
    """A document, and the files that it names."""
    steps = collecting("config.yaml", environ)
    name = next(steps)
    try:
        while True:
            name = steps.send(text.encode(errors="replace") if name == "config.yaml" else file_bytes(name))
    except StopIteration as end:
        documents, absent = end.value
    version = Version("e", 0.0)
    return Fetched(kind="file", name=name, main="config.yaml", documents=documents, absent=absent, version=version)


@pytest.fixture
def vendors() -> dict[str, Vendor]:
    known = [
        Vendor(name="openai", base_url="https://api.openai.com/v1", key_env=("OPENAI_API_KEY",)),
        Vendor(name="text-completion-openai", base_url="https://api.openai.com/v1", key_env=("OPENAI_API_KEY",)),
        Vendor(name="anthropic", base_url="https://api.anthropic.com/v1", key_env=("ANTHROPIC_API_KEY",)),
        Vendor(name="groq", base_url="https://api.groq.com/openai/v1", key_env=("GROQ_API_KEY",)),
        Vendor(name="hosted_vllm", key_env=("HOSTED_VLLM_API_KEY",), needs_key=False),
        Vendor(name="cohere", dialect="cohere", base_url="https://api.cohere.ai/v1", key_env=("COHERE_API_KEY",)),
        Vendor(name="demo", base_url="demo:", needs_key=False),
    ]
    return {vendor.name: vendor for vendor in known}


@pytest.fixture
def models() -> dict[str, dict[str, ModelFacts]]:
    price = Price(input_usd_per_token=Decimal("0.0000025"), output_usd_per_token=Decimal("0.00001"))
    known = [
        ModelFacts(vendor="openai", model="gpt-4o", max_input_tokens=128_000, max_output_tokens=16_384, price=price),
        ModelFacts(vendor="openai", model="text-embedding-3-small", mode="embedding"),
        ModelFacts(vendor="anthropic", model="claude-x"),
        ModelFacts(vendor="groq", model="shared-name"),
        ModelFacts(vendor="openai", model="shared-name"),
    ]
    found: dict[str, dict[str, ModelFacts]] = {}
    for one in known:
        found.setdefault(one.vendor, {})[one.model] = one
    return found


@pytest.fixture
def build(vendors: dict[str, Vendor], models: KnownModels) -> Build:
    def run(text: str, environ: Mapping[str, str] | None = None) -> Built:
        marked = parse(text, "config.yaml")
        found = list(marked.problems)
        document = resolve(marked.tree or {}, environ or {}, file="config.yaml", spots=marked.spots, problems=found)
        document = msgspec.structs.replace(document, fetched=_with_tables(text, environ or {}))
        return Built(*build_snapshot(document, vendors=vendors, models=models, number=1, found=tuple(found)))

    return run
