from __future__ import annotations

import json

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects import completions
from pointsman.providers.translation import Inbound


def test_the_module_is_a_dialect_for_clients() -> None:
    inbound: Inbound = completions
    assert inbound.NAME == "completions"


def test_errors_are_openais() -> None:
    body = completions.error_body(InvalidRequest("No", param="prompt"))
    assert json.loads(body)["error"]["param"] == "prompt"
    assert completions.error_event(InvalidRequest("No", param="prompt")) == b"data: " + body + b"\n\n"
