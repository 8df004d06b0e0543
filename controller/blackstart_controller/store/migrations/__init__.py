"""Alembic's scripts, run by `store.engine.migrate` at every start."""
