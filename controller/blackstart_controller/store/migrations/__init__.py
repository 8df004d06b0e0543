"""Alembic's scripts, run by `store.engine.migrate` when a database is older than HEAD."""

from __future__ import annotations

HEAD = "0005"
