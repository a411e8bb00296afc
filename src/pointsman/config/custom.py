"""Estimators of the operator's own: found by what the config file says, and by nothing else.

``module:Class`` is a file beside the config, ``module.py``, or else an installed module. A bare name is an entry point
in the group ``pointsman.estimators``. Importing a module runs it, so no request and no checkpoint can name one.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.ml.base import Estimator

GROUP = "pointsman.estimators"
REFERENCE = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)", re.ASCII)
HINT = f"module:Class, or the name of an entry point in {GROUP}"


class NoEstimator(ValueError):
    """An estimator cannot be had: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str = HINT) -> None:
        super().__init__(f"{what} ({hint})")
        self.what = what
        self.hint = hint


def estimator_of(reference: str, beside: Path | None = None) -> type[Estimator]:
    """The class that the operator names; files in ``beside`` go before what is installed.

    :raises NoEstimator: there is none, its module cannot be imported, or it is no estimator
    """
    from pointsman.ml.custom import problems_of  # noqa: PLC0415 - numpy, for whoever has an estimator of their own only

    found: Any = _found(reference, beside)
    if problems := problems_of(found):
        raise NoEstimator(f"{reference} is no estimator: {'; '.join(problems)}", "see pointsman.ml.base.Estimator")
    return found  # type: ignore[no-any-return]  # checked just now


def _found(reference: str, beside: Path | None) -> object:
    parts = REFERENCE.fullmatch(reference)
    try:
        if parts is not None:
            return getattr(_module(parts["module"], beside), parts["name"])
        for entry in entry_points(group=GROUP, name=reference):
            return entry.load()
    except (Exception, SystemExit) as error:
        # Whatever the module does when it is imported.
        raise NoEstimator(f"{reference} cannot be imported: {error!r}") from error
    raise NoEstimator(f"there is no estimator {reference[:200]!r}")


def _module(name: str, beside: Path | None) -> ModuleType:
    file = None if beside is None else beside.joinpath(*name.split(".")).with_suffix(".py")
    if file is None or not file.is_file():
        return importlib.import_module(name)
    # Under a name that hides no other module.
    spec = importlib.util.spec_from_file_location(f"_beside_config_{name.replace('.', '_')}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
