"""From a request that the edge has read to a reply that it writes: admit, plan, attempt, settle.

- :class:`~pointsman.pipeline.serve.Pipeline` carries a request through the four verbs;
- :class:`~pointsman.pipeline.targets.Target` is a deployment made ready to be called;
- :mod:`~pointsman.pipeline.stream` relays answers that arrive piece by piece;
- :mod:`~pointsman.pipeline.upload` passes multipart bodies on without holding them in memory;
- :class:`~pointsman.pipeline.catalog.Catalog` lists what can be asked for;
- :class:`~pointsman.pipeline.health.HealthCheck` asks whether it answers.
"""
