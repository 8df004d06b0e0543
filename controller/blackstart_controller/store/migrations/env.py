"""Alembic's entry: always online, always on the connection that the controller already holds."""

from __future__ import annotations

from alembic import context

from blackstart_controller.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
