"""Deployments made ready to be called: everything about a request that does not depend on it, computed once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman import __version__
from pointsman.errors import Inexpressible
from pointsman.pipeline.defaults import native_defaults
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.translate import AS_IT_IS, Shaping, Way
from pointsman.providers.base import Deployment, KnownModels, Price
from pointsman.providers.clouds import CLOUDS
from pointsman.providers.codecs import DIALECTS, Dialect
from pointsman.providers.dialects import anthropic, gemini, responses
from pointsman.providers.quirks import quirks_of
from pointsman.providers.translation import Outbound
from pointsman.providers.vendors import azure
from pointsman.telemetry.meters import DeploymentMeter
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.base import Upstream
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.settings import Timeouts
from pointsman.wire import operations as op
from pointsman.wire.identity import secrets_of
from pointsman.wire.operations import Operation
from pointsman.wire.secret import texts_of

NOT_PLAIN = re.compile(r"[^ -~]")
DEFAULTS = ServingSettings()
UNKNOWN_PRICE = Price()
MAX_SHOWN = 256
"""Characters of a model's name in a header."""
SHORTEST_CREDENTIAL = 8
DIGEST_LENGTH = 16
USER_AGENT = b"pointsman/%b" % __version__.encode()
JSON_LINE = b"content-type: application/json\r\n"
TRANSLATED: tuple[Operation, ...] = (op.CHAT, op.MESSAGES)
"""Operations of which whole batches are put into the words of Anthropic and Gemini."""
OUTBOUND_OF: Mapping[str, Outbound] = {
    op.MESSAGES.name: anthropic,
    op.RESPONSES.name: responses,
    op.GENERATE_CONTENT.name: gemini,
}
"""Conversations whose bodies are not those of OpenAI's chat."""
NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})
TRACED = frozenset({b"traceparent", b"tracestate"})
"""Headers of the caller that go to every upstream; of the others only those that its dialect knows."""


class Target:
    """One deployment, its upstream, and its request heads."""

    __slots__ = (
        "_base_path",
        "_constant",
        "_defaults",
        "_dialect",
        "_fixed",
        "_forwards",
        "_has_price",
        "_heads",
        "_known",
        "_meters",
        "_named",
        "_native",
        "_ways",
        "address",
        "batch_api",
        "batch_model",
        "batch_root",
        "cloud",
        "deployment",
        "drains_on_disconnect",
        "is_plain",
        "metrics",
        "min_chars_per_second",
        "quirks",
        "secret_bytes",
        "secrets",
        "shaping",
        "stream_timeouts",
        "timeouts",
        "upstream",
    )

    def __init__(
        self,
        deployment: Deployment,
        upstream: Upstream,
        timeouts: Timeouts,
        metrics: Metrics,
        known: KnownModels,
        serving: ServingSettings = DEFAULTS,
    ) -> None:
        self.deployment = deployment
        self.upstream = upstream
        self.shaping = _shaping(deployment, serving)
        self.metrics = metrics
        # Only what a wildcard stands for is looked up later; a vendor's models are decoded on the first look.
        self._known = known.get(deployment.vendor.name, {}) if "*" in deployment.upstream_model else {}
        self._has_price = deployment.price != UNKNOWN_PRICE
        self._meters: dict[tuple[str, str], DeploymentMeter] = {}
        # Whole answers, and streams.
        self._heads: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
        self._ways: dict[tuple[str, str, bool], Way] = {}
        self._defaults: dict[str, dict[str, Any]] = {}
        self.cloud = CLOUDS[deployment.vendor.cloud] if deployment.vendor.cloud is not None else None
        self.quirks = quirks_of(deployment.vendor) if deployment.mock_response is None else None
        self._dialect = DIALECTS[_dialect_name(deployment, deployment.upstream_model)]
        self._native = _native(deployment, self._dialect)
        # The operator's own headers go before the caller's and the dialect's.
        given = {name.lower().encode() for name, _ in deployment.headers}
        self._forwards = (TRACED | self._dialect.forwards) - given
        self._constant = tuple((name, value) for name, value in self._dialect.headers if name not in given)
        self.is_plain = (
            self.cloud is None
            and self.quirks is None
            and self.shaping is AS_IT_IS
            and not (deployment.defaults or deployment.overrides)
        )
        """Whether bodies that pass to it pass without a further look."""
        parts = urlsplit(deployment.base_url)
        self._base_path = parts.path
        self.address = parts.netloc
        self.batch_root, self.batch_model = _batches(deployment, self._dialect, parts.path)
        """Where its provider's API for batches begins, if it has one, and what lines call the model there."""
        self.batch_api = "" if self.batch_root is None else self._dialect.name
        """Whose API that is: ``openai``, ``anthropic`` or ``gemini``; empty: there is none."""
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

    def head(self, operation: Operation, headers: Mapping[bytes, bytes], *, is_stream: bool) -> bytes | None:
        """Request line and headers for a JSON body that passes through, with what ``headers`` of the caller add to it.

        ``None``: it does not pass through as it is, and :meth:`way` tells how it goes.
        """
        heads = self._heads[is_stream]
        head = heads.get(operation.name)
        if head is None:
            if operation.name not in self._native:
                return None
            head = heads[operation.name] = self._start(self._path(operation.name, is_stream=is_stream)) + JSON_LINE
        return head if self._forwards.isdisjoint(headers) and not self._constant else head + self._forwarded(headers)

    def passes(self, operation: Operation) -> bool:
        """Whether the provider takes the bodies of an operation as they are."""
        return operation.name in self._native

    def head_to(self, path: str, content_type: str, headers: Mapping[bytes, bytes]) -> bytes:
        """The same for any path and body; of the caller's ``headers`` only those pass that every upstream gets."""
        kind = b"content-type: %b\r\n" % content_type.encode("latin-1")
        return self._start(path) + kind + self._forwarded({k: v for k, v in headers.items() if k in TRACED})

    def upload_head(self, operation: Operation, headers: Mapping[bytes, bytes], model: str) -> bytes:
        """The same for a multipart body, whose type names its boundary."""
        kind = b"content-type: %b\r\n" % headers[b"content-type"]
        return self._start(self._path(operation.name, is_stream=False, model=model)) + kind + self._forwarded(headers)

    def way(self, operation: Operation, model: str, *, is_stream: bool) -> Way:
        """How an operation goes that does not pass through as it is; ``model`` is the upstream's name.

        :raises Inexpressible: the provider has no such operation
        """
        key = (operation.name, model, is_stream)
        way = self._ways.get(key)
        if way is None:
            way = self._find_way(operation, model, is_stream=is_stream)
            if "*" not in self.deployment.upstream_model:
                self._ways[key] = way
        return way

    def translation(self, model: str, *, is_stream: bool) -> Way:
        """How a conversation is put to it, even if it could pass.

        :raises Inexpressible: the provider has no chat
        """
        dialect = DIALECTS[_dialect_name(self.deployment, model)]
        chat = self.outbound(model)
        path = self._path("chat", dialect=dialect, model=model, is_stream=is_stream, chat=chat)
        return Way(path=path, chat=chat, adapt=self._adapting("chat", model))

    def native_defaults(self, operation: Operation, model: str) -> dict[str, Any]:
        """The operator's parameters as members of a body in the dialect of ``operation``, one that passes."""
        found = self._defaults.get(operation.name)
        if found is None:
            outbound = OUTBOUND_OF[operation.name]
            found = native_defaults(outbound, self.deployment.defaults, model) if self.deployment.defaults else {}
            self._defaults[operation.name] = found
        return found

    def _adapting(self, operation: str, model: str) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
        return None if self.cloud is None else partial(self.cloud.adapt, operation, model)

    def _find_way(self, operation: Operation, model: str, *, is_stream: bool) -> Way:
        deployment, cloud = self.deployment, self.cloud
        dialect = DIALECTS[_dialect_name(deployment, model)]
        other = dialect.others.get(operation.name)
        if other is not None:
            root = self._base_path if cloud is None else cloud.root(self._base_path, model, deployment.options)
            return Way(path=root, other=other)
        is_native = operation.name in _passes(deployment, dialect)
        chat = None if is_native else _outbound(deployment, dialect)
        if not is_native and (operation not in op.CONVERSATIONS or chat is None):
            raise Inexpressible(
                f"The provider of {deployment.model_name!r} has no {operation.name.replace('_', ' ')}",
                code="unsupported_operation",
            )
        name = operation.name if is_native else "chat"
        path = self._path(name, dialect=dialect, model=model, is_stream=is_stream, chat=chat)
        # Of what passes through, Claude's bodies and Gemini's calls are a cloud's own.
        needs_adapting = cloud is not None and (chat is not None or dialect.name in {"anthropic", "gemini"})
        return Way(path=path, chat=chat, adapt=self._adapting(name, model) if needs_adapting else None)

    def _path(
        self,
        operation: str,
        *,
        is_stream: bool,
        dialect: Dialect | None = None,
        model: str | None = None,
        chat: Outbound | None = None,
    ) -> str:
        dialect, model = dialect or self._dialect, model or self.deployment.upstream_model
        if self.cloud is not None and self.deployment.mock_response is None:
            options = self.deployment.options
            path = self.cloud.path(self._base_path, operation, model, is_stream=is_stream, options=options)
            if path is not None:
                return path
        outbound = chat or dialect.chat
        if outbound is None:
            raise Inexpressible(f"The provider of {self.deployment.model_name!r} has no {operation.replace('_', ' ')}")
        return outbound.path(self._base_path, operation, model, is_stream=is_stream)

    def _forwarded(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Header lines that are passed on, and the dialect's own where the caller has not sent them."""
        lines = b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in self._forwards if name in headers)
        for name, value in self._constant:
            if name not in headers:
                lines += b"%b: %b\r\n" % (name, value)
        return lines

    def native_head_to(self, path: str, headers: Mapping[bytes, bytes]) -> bytes:
        """The same for a JSON body that passes through on a path of its own."""
        return self._start(path) + JSON_LINE + self._forwarded(headers)

    def can_count(self, operation: Operation, model: str) -> bool:
        """Whether the provider counts tokens in the caller's dialect."""
        return operation.name in DIALECTS[_dialect_name(self.deployment, model)].native

    def takes_form(self, operation: Operation) -> bool:
        """Whether a form passes through."""
        return operation.name in self._dialect.native

    def outbound(self, model: str) -> Outbound:
        """How a conversation is put to it, even if it could pass through."""
        deployment = self.deployment
        chat = _outbound(deployment, DIALECTS[_dialect_name(deployment, model)])
        if chat is None:
            raise Inexpressible(f"The provider of {deployment.model_name!r} has no chat")
        return chat

    def probe_head(self) -> bytes | None:
        """Asks for the list of models: the cheapest question that needs the credential; ``None``: it has no such."""
        if self.cloud is not None:
            return None
        return request_head(b"GET", f"{self._base_path}/models".encode(), self.upstream.host_header, self._fixed)

    @property
    def batch_place(self) -> str | None:
        """Where its provider runs batches, and as which model; ``None``: it has no API for that."""
        return None if self.batch_root is None else f"{self.address}{self.batch_root} {self.batch_model}"

    @property
    def credential_digest(self) -> str:
        """What tells its credential from others, and nothing of it."""
        return sha256("\0".join(self.secrets).encode()).hexdigest()[:DIGEST_LENGTH]

    def runs_batches(self, operation: Operation) -> bool:
        """Whether its provider is to run batches of an operation, and would get each line as it gets requests.

        It gets them without what the operator has set for the deployment, so that there is to be nothing of that kind.
        """
        deployment = self.deployment
        # Quirks are of OpenAI's bodies.
        has_quirks = self.quirks is not None and self.batch_api == "openai"
        is_changed = has_quirks or self.shaping.drops or deployment.defaults or deployment.overrides
        can_run = deployment.runs_batches and self.batch_root is not None
        is_taken = self.passes(operation) if self.batch_api == "openai" else operation in TRANSLATED
        return can_run and not is_changed and is_taken

    def root_head(
        self, method: bytes, path: str, content_type: str | None, headers: Mapping[bytes, bytes] = NO_HEADERS
    ) -> bytes:
        """Request line and headers for a path of the API for batches, with what ``headers`` of the caller add to it."""
        kind = b"" if content_type is None else b"content-type: %b\r\n" % content_type.encode("latin-1")
        root = self._base_path if self.batch_root is None else self.batch_root
        target = f"{root}{path}".encode()
        head = request_head(method, target, self.upstream.host_header, self._fixed)
        return head + kind + self._forwarded(headers)

    def price(self, captured: str | None) -> Price:
        """What the upstream model costs: as the deployment says, else as is publicly known.

        ``captured`` is what a wildcard stands for.
        """
        deployment = self.deployment
        if captured is None or self._has_price:
            return deployment.price
        facts = self._known.get(deployment.upstream_model.replace("*", captured))
        return UNKNOWN_PRICE if facts is None else facts.price

    def window(self, captured: str | None) -> int | None:
        """Tokens that it can be given: as the deployment says, else as is publicly known."""
        deployment = self.deployment
        if captured is None or deployment.max_input_tokens is not None:
            return deployment.max_input_tokens
        facts = self._known.get(deployment.upstream_model.replace("*", captured))
        return None if facts is None else facts.max_input_tokens

    def named_lines(self, public_model: str, is_master: bool, is_configured: bool) -> bytes:
        """Reply header lines that name the model and this deployment; its address only for the master.

        They are kept for names that ``is_configured``, of which there are finitely many.
        """
        key = (public_model, is_master)
        lines = self._named.get(key)
        if lines is None:
            shown = {"model-id": self.deployment.id, "model-group": NOT_PLAIN.sub("?", public_model[:MAX_SHOWN])}
            if self.deployment.region is not None:
                shown["model-region"] = self.deployment.region
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

    def _start(self, path: str) -> bytes:
        return request_head(b"POST", path.encode(), self.upstream.host_header, self._fixed)


def _batches(deployment: Deployment, dialect: Dialect, base_path: str) -> tuple[str | None, str]:
    model, cloud = deployment.upstream_model, deployment.vendor.cloud
    if "*" in model or deployment.mock_response is not None:
        return None, model
    if dialect.name == "anthropic" and cloud is None:
        return anthropic.path(base_path, op.MESSAGES.name, model, is_stream=False), model
    if dialect.name == "gemini" and cloud is None:
        return gemini.root(base_path), model
    if dialect.name != "openai":
        return None, model
    if cloud == "azure":
        return azure.v1_root(base_path), azure.called(base_path, model)
    return base_path if cloud is None else None, model


def _dialect_name(deployment: Deployment, model: str) -> str:
    if deployment.mock_response is not None:
        return "openai"
    cloud = deployment.vendor.cloud
    return deployment.vendor.dialect if cloud is None else CLOUDS[cloud].dialect(model)


def _passes(deployment: Deployment, dialect: Dialect) -> frozenset[str]:
    """Operations whose bodies a deployment takes as they are."""
    native = dialect.native
    if deployment.mock_response is not None or dialect.name != "openai":
        return native
    if not has_responses(deployment):
        native -= {op.RESPONSES.name}
    if deployment.mode == op.RESPONSES.mode:
        native -= {op.CHAT.name, op.COMPLETION.name}
    elif deployment.mode == op.CHAT.mode and deployment.base_url == deployment.vendor.base_url:
        # A server of the operator's own may have both; the vendors' chat models have only one.
        native -= {op.COMPLETION.name}
    return native - {op.CHAT.name} if deployment.merges_reasoning else native


def _native(deployment: Deployment, dialect: Dialect) -> frozenset[str]:
    """Operations that pass through on a path which depends on nothing in the request."""
    if deployment.mock_response is not None:
        return dialect.native
    is_cloud = deployment.vendor.cloud is not None
    if dialect.name == "gemini" or (is_cloud and (dialect.name == "anthropic" or "*" in deployment.upstream_model)):
        return frozenset()
    return _passes(deployment, dialect)


def has_responses(deployment: Deployment) -> bool:
    """Whether a deployment on the OpenAI wire has ``/responses`` too.

    Its vendor has, and it lives there; or the operator says so by the mode. Of a server of the operator's own that is
    only said to be for chat, it is not assumed.
    """
    if deployment.mode == op.RESPONSES.mode or deployment.base_url.startswith("demo:"):
        return True
    vendor = deployment.vendor
    is_at_home = vendor.cloud is not None or deployment.base_url == vendor.base_url
    return vendor.has_responses and (is_at_home or deployment.info.get("mode") != op.CHAT.mode)


def _outbound(deployment: Deployment, dialect: Dialect) -> Outbound | None:
    """How a conversation is put to a deployment that does not take it as it is."""
    is_responses = dialect.name == "openai" and deployment.mode == op.RESPONSES.mode
    return DIALECTS["responses"].chat if is_responses else dialect.chat


def _shaping(deployment: Deployment, serving: ServingSettings) -> Shaping:
    own = Shaping(
        drops_all=deployment.drops_params or serving.drops_params,
        drops=frozenset(deployment.dropped_params),
        allowed=frozenset(deployment.allowed_params),
    )
    return AS_IT_IS if own == AS_IT_IS else own


def credentials(deployment: Deployment) -> tuple[str, ...]:
    """Every text of a deployment that nobody may see: its key, and header values long enough to be one."""
    words = [word for _, value in deployment.headers for word in (value, *value.split())]
    found = [word for word in words if len(word) >= SHORTEST_CREDENTIAL]
    if deployment.identity is not None:
        found += secrets_of(deployment.identity)
    found += texts_of(deployment.arguments)
    if deployment.credential is not None:
        found.insert(0, deployment.credential.reveal())
    return tuple(dict.fromkeys(found))


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
