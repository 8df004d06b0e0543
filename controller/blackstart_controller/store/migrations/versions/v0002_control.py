"""Who may start what: operators' roles, environments, approvals, the lever; what started a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("trigger", sa.Text(), nullable=False, server_default="manual"))
    op.add_column("tokens", sa.Column("role", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE tokens SET role = 'admin' WHERE kind = 'operator'")  # they could do everything
