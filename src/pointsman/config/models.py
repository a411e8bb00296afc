"""Entries of ``model_list`` into deployments.

An entry that cannot be served (its provider is not known here, its key is not in the environment) is left
out, and a problem says which and why; the gateway starts with the rest. An entry that is wrong is an error.
"""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from pointsman.config import long_tail
from pointsman.config.catalogue import Catalogue, facts_of, lacks_of, price_of, usable_vendors
from pointsman.config.check import Reading, Report, nearest, read_section, without_secrets
from pointsman.config.clouds import (
    Ground,
    address_of,
    identity_of,
    options_of,
    place_of,
    says_who,
    with_key_place,
    with_version,
)
from pointsman.config.digest import digested, fingerprint
from pointsman.config.entries import ENTRY, INFO, PARAMS
from pointsman.config.kinds import Mismatch
from pointsman.config.marks import Path
from pointsman.config.strategies import is_routed
from pointsman.providers.base import Deployment, ModelFacts, Price, Vendor, VendorOptions
from pointsman.providers.registry import api_root
from pointsman.upstream import litellm
from pointsman.wire.identity import Identity
from pointsman.wire.secret import Secret

ID_LENGTH = 32
_DEFAULT_VENDOR = "openai"
_MAKERS = ("openai", "anthropic", "gemini", "cohere", "mistral", "deepseek", "xai", "perplexity")
"""Whose models may be named without a provider; whoever hosts the models of others is none of them."""
_NO_DEFAULTS = Reading(values={}, extra={}, is_sound=True)


class _LeftOut(Exception):
    """The entry makes no deployment."""


def read_models(
    entries: list[Any], catalogue: Catalogue, report: Report, defaults: Reading = _NO_DEFAULTS
) -> list[Deployment]:
    """Deployments of ``model_list``, in its order; problems go to the report.

    ``defaults`` is what every entry's ``litellm_params`` hold that do not say otherwise.
    """
    deployments: list[Deployment] = []
    taken: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if is_routed(entry):
            continue
        try:
            made = _Entry(entry, ("model_list", index), catalogue, report, defaults).deployments()
        except _LeftOut:
            continue
        for deployment in made:
            count = taken.get(deployment.id, 0)
            taken[deployment.id] = count + 1
            if count and deployment.info.get("id") is not None:
                report.error(("model_list", index, "model_info", "id"), "is the id of another deployment as well")
            # Two entries with the same content are two shares of the traffic, and need two ids.
            unique = f"{deployment.id}-{count + 1}" if count else deployment.id
            deployments.append(msgspec.structs.replace(deployment, id=unique))
    return deployments


def entry_id(content: Any) -> str:
    """A deployment's id: the same for the same content, on every replica and at every start."""
    return fingerprint(content)[:ID_LENGTH]


class _Entry:
    """One item of ``model_list`` while it is read."""

    def __init__(self, raw: Any, path: Path, catalogue: Catalogue, report: Report, defaults: Reading) -> None:
        self._path = path
        self._catalogue = catalogue
        self._report = report
        self._raw = raw
        entry = read_section(raw if raw is not None else "", ENTRY, path, report)
        self._require(entry, "model_name", "litellm_params")
        self._name: str = entry.values["model_name"]
        self._content = self._digest(raw)
        self._is_long_tail = self._check_vendor(entry.values["litellm_params"])
        raw_params = self._with_credential(entry.values["litellm_params"])
        self._leave_out_missing((*path, "litellm_params"))
        # Templates that fill in configs leave empty texts behind; to LiteLLM those are unset.
        raw_params = with_version({key: value for key, value in raw_params.items() if value != ""})
        table = long_tail.SECTION if self._is_long_tail else PARAMS
        params = read_section(raw_params, table, (*path, "litellm_params"), report)
        self._info_raw: dict[str, Any] = entry.values.get("model_info", {})
        info = read_section(self._info_raw, INFO, (*path, "model_info"), report)
        self._require(params, "model", at="litellm_params")
        if not (entry.is_sound and params.is_sound and info.is_sound):
            raise _LeftOut
        # LiteLLM takes rpm and tpm also from beside the params.
        rates = {name: at[name] for at in (info.values, entry.values) for name in ("rpm", "tpm") if name in at}
        self._params = defaults.values | rates | params.values
        self._defaults = {key: value for key, value in (defaults.extra | params.extra).items() if value is not None}
        self._extra = params.extra
        self._ground = Ground(self._params, catalogue.environment, catalogue.may_ask_azure_machine)
        self._info = info.values
        self._check_patterns()

    def deployments(self) -> list[Deployment]:
        """One deployment, or one of each usable provider for ``"*"`` to ``"*"``."""
        if self._is_everything():
            return self._everything()
        vendor, model = self._vendor_and_model()
        identity = self._info.get("id") or entry_id(self._content)
        return [self._deployment(self._name, vendor, model, identity)]

    def _require(self, reading: Reading, *names: str, at: str | None = None) -> None:
        if at is None and not isinstance(self._raw, dict):
            raise _LeftOut
        base: Path = self._path if at is None else (*self._path, at)
        absent = [name for name in names if name not in reading.values]
        for name in absent:
            if name not in reading.mistaken:
                meant = nearest(name, reading.extra)
                self._report.error(base, f"has no {name}", f"is {meant} meant to be it?" if meant else "")
        if absent:
            raise _LeftOut

    def _with_credential(self, raw: dict[str, Any]) -> dict[str, Any]:
        """LiteLLM's rule: a shared credential gives what the entry does not say itself."""
        name = raw.get("litellm_credential_name")
        if not isinstance(name, str):
            return raw
        if name not in self._catalogue.credentials:
            meant = nearest(name, self._catalogue.credentials)
            hint = f"did you mean {meant}?" if meant else "credential_list has no entry of this name"
            self._leave_out("litellm_credential_name", "names no credential", hint, is_mistake=True)
        path, values = self._catalogue.credentials[name]
        self._leave_out_missing(*((*path, key) for key in values if key not in raw))
        self._content = {"entry": self._content, "credential": self._digest(values, path)}
        return {**values, **raw}

    def _leave_out_missing(self, *prefixes: Path) -> None:
        """With a variable unset, the entry's key or address would silently become another one."""
        missing = [found for prefix in prefixes for found in self._report.take_missing(prefix)]
        for path, variable in missing:
            hint = f"set {variable}, or remove the entry"
            self._report.notice(path, f"{self._label()} is left out: {variable} is not set", hint)
        if missing:
            raise _LeftOut

    def _digest(self, value: Any, path: Path | None = None) -> Any:
        return digested(value, self._path if path is None else path, self._catalogue.from_environment)

    def _label(self) -> str:
        is_plain = len(self._name) <= 100 and (*self._path, "model_name") not in self._catalogue.from_environment
        return "this deployment of " + (repr(self._name) if is_plain else "a model")

    def _leave_out(self, key: str, why: str, hint: str, *, is_mistake: bool = False) -> NoReturn:
        say = self._report.warning if is_mistake else self._report.notice
        say((*self._path, "litellm_params", key), f"{self._label()} is left out: {why}", hint)
        raise _LeftOut

    def _check_patterns(self) -> None:
        model = self._params["model"]
        if self._name.count("*") > 1:
            self._report.error((*self._path, "model_name"), "has more than one *")
            raise _LeftOut
        if model.count("*") > 1 or ("*" in model and "*" not in self._name):
            where = (*self._path, "litellm_params", "model")
            self._report.error(where, "has a * that model_name gives nothing for", "put one * in both")
            raise _LeftOut

    def _is_everything(self) -> bool:
        explicit = {"custom_llm_provider", "api_key", "api_base", "base_url"} & self._params.keys()
        return self._name == "*" and self._params["model"] == "*" and not explicit

    def _everything(self) -> list[Deployment]:
        """``"*"`` to ``"*"``: any model of the providers whose keys are here, and OpenAI's by plain name."""
        made = [
            self._deployment(f"{vendor.name}/*", vendor, "*", entry_id([self._content, vendor.name]))
            for vendor in usable_vendors(self._catalogue)
        ]
        default = self._catalogue.vendors.get(_DEFAULT_VENDOR)
        if default is not None and self._catalogue.key_of(default) is not None:
            made.append(self._deployment("*", default, "*", entry_id(self._content)))
        if not made:
            self._leave_out("model", "no provider's key is in the environment", "set OPENAI_API_KEY or another one")
        return made

    def _check_vendor(self, raw: dict[str, Any]) -> bool:
        """Whether LiteLLM serves the provider.

        One that is not known comes first: what else its entry says follows rules that are not ours.
        """
        model, custom = raw.get("model"), raw.get("custom_llm_provider")
        if not isinstance(model, str) or not isinstance(custom, str | None):
            return False
        name, _ = self._split(model, custom)
        if name in self._catalogue.vendors:
            return False
        is_long_tail = long_tail.is_of_extra(name)
        wrong = litellm.problem() if is_long_tail else ""
        if wrong is not None:
            self._report.take_missing((*self._path, "litellm_params"))
            self._leave_out_unknown(name, "custom_llm_provider" if custom else "model", wrong)
        return is_long_tail

    def _vendor_and_model(self) -> tuple[Vendor, str]:
        name, model = self._split(self._params["model"], self._params.get("custom_llm_provider"))
        if self._is_long_tail:
            name, model = long_tail.without_extra(name, model)
        if not model:
            why = "no model is named after the provider"
            self._leave_out("model", why, "write provider/model", is_mistake=True)
        return long_tail.vendor_of(name) if self._is_long_tail else self._catalogue.vendors[name], model

    def _split(self, model: str, custom: str | None) -> tuple[str, str]:
        """The provider's name, which may be unknown, and what it calls the model."""
        head, slash, tail = model.strip().partition("/")
        if custom:
            return custom, model.strip().removeprefix(custom + "/")
        return (head, tail) if slash else (self._vendor_of_plain(head), head)

    def _leave_out_unknown(self, vendor: str, key: str, wrong: str) -> NoReturn:
        if wrong:
            what = f"the provider {vendor!r} is served by the litellm extra, and {wrong}"
            self._leave_out(key, what, litellm.INSTALL)
        meant = nearest(vendor, self._catalogue.vendors)
        hint = "write openai/ before the model of any OpenAI-compatible api_base"
        came_from_environment = (*self._path, "litellm_params", key) in self._catalogue.from_environment
        shown = "its provider" if came_from_environment else f"the provider {vendor[:80]!r}"
        self._leave_out(key, f"{shown} is not known to this version", f"did you mean {meant}?" if meant else hint)

    def _vendor_of_plain(self, model: str) -> str:
        """A name without provider is that of the first maker that is known to have it, or OpenAI's."""
        known = self._catalogue.models
        return next((maker for maker in _MAKERS if model in known.get(maker, {})), _DEFAULT_VENDOR)

    def _deployment(self, name: str, vendor: Vendor, model: str, identity: str) -> Deployment:
        params, info = self._params, self._info
        known = facts_of(self._catalogue.models, vendor, info.get("base_model") or model, model)
        is_ours = not self._is_long_tail
        base_url, options = (
            self._base_url(vendor, model) if is_ours else (long_tail.address_of(params), VendorOptions())
        )
        vendor = with_key_place(vendor, model, base_url)
        credential = self._credential(vendor, base_url)
        return Deployment(
            id=identity,
            model_name=name,
            vendor=vendor,
            upstream_model=model,
            base_url=base_url,
            credential=credential,
            options=options,
            identity=None if credential is not None else self._identity(vendor, options),
            headers=self._headers(),
            defaults=self._defaults if is_ours else long_tail.defaults_of(self._defaults),
            overrides=params.get("extra_body", {}) if is_ours else {},
            arguments={} if is_ours else self._arguments(),
            mode=info.get("mode") or _mode(vendor, known),
            weight=params.get("weight"),
            rpm=params.get("rpm"),
            tpm=params.get("tpm"),
            order=params.get("order", 1),
            timeout=params.get("timeout"),
            stream_timeout=params.get("stream_timeout"),
            price=price_of(params, info, known.price if known else Price()),
            max_input_tokens=info.get("max_input_tokens") or (known.max_input_tokens if known else None),
            max_output_tokens=info.get("max_output_tokens")
            or info.get("max_tokens")
            or (known.max_output_tokens if known else None),
            tags=params.get("tags", ()),
            region=place_of(self._stated_region(vendor), vendor, model, options, base_url),
            max_parallel_requests=params.get("max_parallel_requests"),
            num_retries=params.get("num_retries"),
            cooldown_time=params.get("cooldown_time"),
            drains_on_disconnect=params.get("on_disconnect"),
            min_chars_per_second=params.get("min_chars_per_second"),
            lacks=lacks_of(info, known.lacks if known else frozenset()),
            drops_params=params.get("drop_params", False),
            dropped_params=params.get("additional_drop_params", ()),
            allowed_params=params.get("allowed_openai_params", ()),
            merges_reasoning=params.get("merge_reasoning_content_in_choices", False),
            runs_batches=params.get("batch", False),
            mock_response=params.get("mock_response"),
            info=without_secrets(self._info_raw, (*self._path, "model_info"), self._catalogue.from_environment),
        )

    def _arguments(self) -> dict[str, Any]:
        path: Path = (*self._path, "litellm_params")
        return long_tail.arguments_of(self._params, self._extra, path, self._catalogue.from_environment)

    def _base_url(self, vendor: Vendor, model: str) -> tuple[str, VendorOptions]:
        try:
            options = options_of(vendor, model, self._ground)
            address = address_of(vendor, options, self._given_address(vendor), self._ground)
        except Mismatch as mismatch:
            self._leave_out("model", str(mismatch), "", is_mistake=True)
        if address is None and "mock_response" not in self._params:
            self._leave_out("model", f"{vendor.name} has no address of its own", "set api_base", is_mistake=True)
        return address or "", options

    def _stated_region(self, vendor: Vendor) -> str | None:
        """Of clouds that take their region by it, ``region_name`` is but one of several names of a setting."""
        own: str | None = self._info.get("region")
        return own or (None if vendor.cloud in {"bedrock", "vertex"} else self._params.get("region_name"))

    def _given_address(self, vendor: Vendor) -> str | None:
        for key in ("api_base", "base_url"):
            if key in self._params:
                url: str = self._params[key]
                if vendor.cloud is None:
                    self._warn_of_operation_path(key, url)
                return api_root(vendor, url)
        return self._catalogue.address_of(vendor)

    def _identity(self, vendor: Vendor, options: VendorOptions) -> Identity | None:
        if "mock_response" in self._params:
            return None
        try:
            return identity_of(vendor, options, self._ground)
        except Mismatch as mismatch:
            self._leave_out("model", str(mismatch), "docs/how-to/clouds.md has the ways in", is_mistake=True)

    def _warn_of_operation_path(self, key: str, url: str) -> None:
        if url.endswith(("/chat/completions", "/completions", "/embeddings", "/rerank", "/responses")):
            hint = "api_base ends where the operation's path begins, usually with /v1"
            self._report.warning((*self._path, "litellm_params", key), "ends with the path of an operation", hint)

    def _credential(self, vendor: Vendor, base_url: str) -> Secret | None:
        own: Secret | None = self._params.get("api_key")
        if own is not None or says_who(vendor, self._params):
            return own
        found = self._catalogue.key_of(vendor)
        if found is None and vendor.needs_key and not self._can_do_without_key():
            variables = " or ".join(vendor.key_env) or "api_key"
            self._leave_out("model", f"it has no api_key, and {variables} is not set", f"set api_key or {variables}")
        if found is not None and self._is_foreign(vendor, base_url):
            what = f"is not an address of {vendor.name}, and gets the key of {vendor.name} from the environment"
            where = (*self._path, "litellm_params", "api_base")
            self._report.notice(where, what, "set api_key, to any text if that server needs none")
        return found

    def _can_do_without_key(self) -> bool:
        headers = {name.lower() for name, _ in self._params.get("extra_headers", ())}
        own_address = "api_base" in self._params or "base_url" in self._params
        return (
            own_address or "mock_response" in self._params or bool(headers & {"authorization", "api-key", "x-api-key"})
        )

    def _is_foreign(self, vendor: Vendor, base_url: str) -> bool:
        is_given = "api_base" in self._params or "base_url" in self._params
        if not is_given or vendor.base_url is None:
            return False
        return urlsplit(base_url).netloc.lower() != urlsplit(vendor.base_url).netloc.lower()

    def _headers(self) -> tuple[tuple[str, str], ...]:
        headers: tuple[tuple[str, str], ...] = self._params.get("headers", ()) + self._params.get("extra_headers", ())
        organization = self._params.get("organization")
        if organization is None:
            return headers
        if not (organization.isascii() and organization.isprintable()):
            where = (*self._path, "litellm_params", "organization")
            self._report.error(where, "has characters that cannot be sent in a header")
            raise _LeftOut
        return (*headers, ("openai-organization", organization))


def _mode(vendor: Vendor, known: ModelFacts | None) -> str | None:
    if vendor.name == "text-completion-openai":
        return "completion"
    return known.mode if known is not None else None
