"""Deployments made ready to be called: everything about a request that does not depend on it, computed once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from pointsman import __version__
from pointsman.pipeline.settings import ServingSettings
from pointsman.providers.base import Deployment, ModelFacts, Price
from pointsman.providers.codecs import Codec
from pointsman.telemetry.meters import DeploymentMeter
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.base import Upstream
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.settings import Timeouts
from pointsman.wire.operations import Operation

NOT_PLAIN = re.compile(r"[^ -~]")
DEFAULTS = ServingSettings()
UNKNOWN_PRICE = Price()
MAX_SHOWN = 256
"""Characters of a model's name in a header."""
SHORTEST_CREDENTIAL = 8
USER_AGENT = b"pointsman/%b" % __version__.encode()
JSON_LINE = b"content-type: application/json\r\n"
FORWARDED = (b"openai-beta", b"traceparent", b"tracestate")
"""Headers of the caller that concern the upstream; all others stay here."""
FORWARDED_NAMES = frozenset(FORWARDED)


class Target:
    """One deployment, its upstream, and its request heads."""

    __slots__ = (
        "_base_path",
        "_facts",
        "_fixed",
        "_has_price",
        "_heads",
        "_meters",
        "_named",
        "address",
        "codec",
        "deployment",
        "drains_on_disconnect",
        "metrics",
        "min_chars_per_second",
        "secret_bytes",
        "secrets",
        "stream_timeouts",
        "timeouts",
        "upstream",
    )

    def __init__(
        self,
        deployment: Deployment,
        codec: Codec,
        upstream: Upstream,
        timeouts: Timeouts,
        metrics: Metrics,
        facts: Mapping[str, ModelFacts],
        serving: ServingSettings = DEFAULTS,
    ) -> None:
        self.deployment = deployment
        self.codec = codec
        self.upstream = upstream
        self.metrics = metrics
        self._facts = facts
        self._has_price = deployment.price != UNKNOWN_PRICE
        self._meters: dict[tuple[str, str], DeploymentMeter] = {}
        self._heads: dict[str, bytes] = {}
        parts = urlsplit(deployment.base_url)
        self._base_path = parts.path
        self.address = parts.netloc
        self.secrets = credentials(deployment)
        # A placeholder such as "x" is no secret, and would be found in any text.
        self.secret_bytes = tuple(one.encode() for one in self.secrets if len(one) >= SHORTEST_CREDENTIAL)
        self._fixed = header_lines(_headers(deployment).items())
        timeout = deployment.timeout or serving.request_timeout
        self.timeouts = _with(timeouts, timeout, timeout)
        stream_timeout = deployment.stream_timeout or deployment.timeout or serving.stream_timeout or timeout
        self.stream_timeouts = _with(timeouts, stream_timeout, None)
        own = deployment.drains_on_disconnect
        self.drains_on_disconnect = serving.drains_on_disconnect if own is None else own
        self.min_chars_per_second = deployment.min_chars_per_second or serving.min_chars_per_second
        self._named: dict[tuple[str, bool], bytes] = {}

    def head(self, operation: Operation, headers: Mapping[bytes, bytes]) -> bytes:
        """Request line and headers for a JSON body, with what the caller's ``headers`` hold for the upstream."""
        head = self._heads.get(operation.name)
        if head is None:
            head = self._heads[operation.name] = self._start(operation) + JSON_LINE
        return head if FORWARDED_NAMES.isdisjoint(headers) else head + forwarded(headers)

    def upload_head(self, operation: Operation, headers: Mapping[bytes, bytes]) -> bytes:
        """The same for a multipart body, whose type names its boundary."""
        kind = b"content-type: %b\r\n" % headers[b"content-type"]
        return self._start(operation) + kind + forwarded(headers)

    def probe_head(self) -> bytes:
        """Asks for the list of models: the cheapest question that needs the credential."""
        return request_head(b"GET", f"{self._base_path}/models".encode(), self.upstream.host_header, self._fixed)

    def price(self, captured: str | None) -> Price:
        """What the upstream model costs: as the deployment says, else as is publicly known.

        ``captured`` is what a wildcard stands for.
        """
        deployment = self.deployment
        if captured is None or self._has_price:
            return deployment.price
        model = deployment.upstream_model.replace("*", captured)
        facts = self._facts.get(f"{deployment.vendor.name}/{model}")
        return UNKNOWN_PRICE if facts is None else facts.price

    def named_lines(self, public_model: str, is_master: bool, is_configured: bool) -> bytes:
        """Reply header lines that name the model and this deployment; its address only for the master.

        They are kept for names that ``is_configured``, of which there are finitely many.
        """
        key = (public_model, is_master)
        lines = self._named.get(key)
        if lines is None:
            shown = {"model-id": self.deployment.id, "model-group": NOT_PLAIN.sub("?", public_model[:MAX_SHOWN])}
            if is_master:
                shown["model-api-base"] = self.deployment.base_url
            lines = header_lines((f"x-litellm-{name}".encode(), value.encode()) for name, value in shown.items())
            if is_configured:
                self._named[key] = lines
        return lines

    def meter(self, requested: str, operation: Operation) -> DeploymentMeter:
        """Where the outcome of a call is counted; ``requested`` is a configured name, never the caller's text."""
        key = (requested, operation.name)
        meter = self._meters.get(key)
        if meter is None:
            deployment = self.deployment
            meter = self._meters[key] = self.metrics.bind_deployment(
                requested_model=requested,
                model=deployment.upstream_model,
                model_id=deployment.id,
                api_provider=deployment.vendor.name,
                route="/v1" + operation.path,
            )
        return meter

    def _start(self, operation: Operation) -> bytes:
        target = self.codec.target(self._base_path, operation)
        return request_head(b"POST", target, self.upstream.host_header, self._fixed)


def credentials(deployment: Deployment) -> tuple[str, ...]:
    """Every text of a deployment that nobody may see: its key, and header values long enough to be one."""
    words = [word for _, value in deployment.headers for word in (value, *value.split())]
    found = [word for word in words if len(word) >= SHORTEST_CREDENTIAL]
    if deployment.credential is not None:
        found.insert(0, deployment.credential.reveal())
    return tuple(dict.fromkeys(found))


def forwarded(headers: Mapping[bytes, bytes]) -> bytes:
    """Header lines that are passed on to the upstream."""
    lines = b""
    for name in FORWARDED:
        if name in headers:
            lines += b"%b: %b\r\n" % (name, headers[name])
    return lines


def _headers(deployment: Deployment) -> dict[bytes, bytes]:
    """What is sent with every request; the operator's own headers go before ours."""
    headers = {b"user-agent": USER_AGENT, b"accept": b"*/*"}
    if deployment.credential is not None:
        key = deployment.vendor.key_prefix + deployment.credential.reveal()
        headers[deployment.vendor.key_header.lower().encode()] = key.encode("latin-1")
    return headers | {name.lower().encode(): value.encode("latin-1") for name, value in deployment.headers}


def _with(timeouts: Timeouts, first_byte: float | None, total: float | None) -> Timeouts:
    # One timeout of LiteLLM's bounds each step, connecting too.
    return msgspec.structs.replace(
        timeouts,
        connect=timeouts.connect if first_byte is None else min(timeouts.connect, first_byte),
        first_byte=first_byte if first_byte is not None else timeouts.first_byte,
        total=total if total is not None else timeouts.total,
    )
