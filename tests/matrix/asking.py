"""Decides what becomes of each feature of a request, by asking."""

from __future__ import annotations

from typing import Final

import msgspec
from matrix.asked import CONVERSATION, MODELS, PLAIN, Feature
from matrix.parameters import PARAMETERS
from matrix.patterns import holds, merged
from matrix.tools import TOOLS

from pointsman.errors import Inexpressible, InvalidRequest
from pointsman.pipeline.translate import AS_IT_IS, judge
from pointsman.providers.codecs import DIALECTS, INBOUND
from pointsman.providers.custom_tools import as_functions, custom_names
from pointsman.providers.translation import Inbound, Outbound, Terms

FEATURES: Final = (*CONVERSATION, *TOOLS, *PARAMETERS)
YES, DROPPED, REFUSED, NONE, SILENT = "yes", "dropped", "refused", "-", "lost unseen"


def client_dialect(name: str) -> Inbound:
    """The dialect of clients by its name."""
    return next(dialect for dialect in INBOUND.values() if name == dialect.NAME)


def provider_dialect(name: str) -> Outbound:
    """The dialect of providers by its name."""
    chat = DIALECTS[name].chat
    assert chat is not None
    assert name == chat.NAME
    return chat


def ask(feature: Feature, client: str, provider: str) -> str:
    """What becomes of the feature of a request on its way from ``client`` to ``provider``."""
    if client not in feature.asked:
        return NONE
    body = msgspec.json.encode(merged(PLAIN[client], feature.asked[client]))
    terms = Terms(model=MODELS[provider], lost=[])
    try:
        request = client_dialect(client).read_request(body)
        if custom_names(request) and provider not in ("openai", "responses"):
            request = as_functions(request)
        native = provider_dialect(provider).write_request(request, terms)
        judge(terms, AS_IT_IS, provider)
    except Inexpressible:
        return REFUSED
    except InvalidRequest as error:
        return f"{REFUSED}: {error.message}"
    if provider in feature.found and holds(msgspec.to_builtins(native), feature.found[provider]):
        return YES
    return DROPPED if terms.lost or provider in feature.otherwise else SILENT
