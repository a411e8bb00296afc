"""Documents into a :class:`Snapshot`.

The nouns, in the order in which they come about:

- a **document** is YAML in the grammar of LiteLLM's ``config.yaml``, with what it includes (``document.py``,
  ``marked.py``, ``marks.py``); every value knows its file, line and column;
- the **grammar** is a table of keys: what kind of value each takes, and whether we act on it (``grammar.py``,
  ``kinds.py``); ``schema.py`` prints it as a JSON Schema;
- a **report** collects every **problem** at once (``check.py``);
- **settings** are the frozen structs that the other packages own; ``dialect.py``, ``models.py`` and
  ``discovery.py`` fill them;
- a **snapshot** is all of it, immutable, numbered and hashed (``snapshot.py``, ``digest.py``).

:func:`load` runs the whole way. Nothing here reads the process's environment: it is an argument.
"""

from __future__ import annotations

from pointsman.config.check import Problem
from pointsman.config.loading import Loaded, load
from pointsman.config.snapshot import Snapshot

__all__ = ["Loaded", "Problem", "Snapshot", "load"]
