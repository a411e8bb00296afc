"""Snapshots made ready to serve, each out of what the one before it has."""
