"""Where config documents come from.

A **source** is a file or an object of a bucket, with what it includes. It **fetches**: all of its documents as bytes
and the **version** that they are of, or ``None`` where nothing has changed since. Fetching knows no more of documents
than which others they name (``collecting.py``); making a snapshot of them is ``loading.py``'s.
"""
