"""What outlives a request and what processes share.

``Records`` are durable rows: keys, teams, users, budgets, credentials, the audit log and the spend ledger, in SQLite or
PostgreSQL. ``Counters`` are fast shared numbers: rates, slots and reserved money. Both are asked through protocols, so
that nothing above this package knows a database; each call has a deadline, and :class:`~pointsman.store.base.StoreDown`
says that there was no answer. What writes spend keeps it in a ``Spool`` on disk as long as the database is away.

Importing this package loads no driver: :func:`pointsman.store.opening.records` does.
"""
