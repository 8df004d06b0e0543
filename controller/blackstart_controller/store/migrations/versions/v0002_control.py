"""Who may start what: operators' roles, environments, approvals, the lever; what started a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TRIGGER = """
CREATE TRIGGER control_events_no_{verb} BEFORE {verb} ON control_events
BEGIN SELECT RAISE(ABORT, 'control_events is append-only'); END
"""


def upgrade() -> None:
    op.add_column("runs", sa.Column("trigger", sa.Text(), nullable=False, server_default="manual"))
    op.add_column("tokens", sa.Column("role", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("environments", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("approved_by", sa.Text(), nullable=True))
    op.execute("UPDATE tokens SET role = 'admin' WHERE kind = 'operator'")  # they could do everything
    _environments()
    _log()


def _environments() -> None:
    op.create_table(
        "environments",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hosts", sa.Text(), nullable=False),
        sa.Column("second_person", sa.Integer(), nullable=False),
        sa.Column("protected", sa.Integer(), nullable=False),
        sa.Column("max_hosts", sa.Integer(), nullable=True),
        sa.Column("max_runs_per_day", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )


def _log() -> None:
    op.create_table(
        "control_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_control_events_subject"), "control_events", ["subject"], unique=False)
    for verb in ("UPDATE", "DELETE"):
        op.execute(TRIGGER.format(verb=verb))
