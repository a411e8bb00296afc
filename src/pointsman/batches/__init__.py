"""Files, and batches of requests that are run out of them.

A *batch* runs each *line* of an *input file* through the pipeline, as a client would send it, and writes what came of
it into an *output file* and an *error file*. ``service`` is what clients ask for, ``validating`` reads an input file,
``runner`` has the lines run, ``finalizing`` writes the files. What has to last stands in the store
(:mod:`pointsman.store.work`), so that any process can go on with what another one has left. ``executors`` has providers
run whole batches, each by its own API (``remotes``), and ``booking`` pays for them. ``protocol`` is pure.
"""
