"""The tables as SQLAlchemy sees them. A migration for every change: `store/migrations/versions`."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

HOSTS = Table(
    "hosts",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("addresses", Text, nullable=False),
    Column("first_seen", Text, nullable=False),
    Column("last_seen", Text, nullable=False),
    Column("revoked", Integer, nullable=False),
    sqlite_strict=True,
)

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("experiment", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("trigger", Text, nullable=False, server_default="manual"),
    Column("idempotency_key", Text, unique=True),
    Column("state", Text, nullable=False),
    Column("verdict", Text),
    Column("reverted", Text),
    Column("exit_code", Integer),
    Column("ended", Text),
    Column("halted_by", Text),
    Column("reason", Text),
    Column("environments", Text, nullable=False, server_default=""),
    Column("approved_by", Text),
    sqlite_strict=True,
)

ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.id"), nullable=False, index=True),
    Column("host", Text, nullable=False),
    Column("state", Text, nullable=False),
    sqlite_strict=True,
)

RUN_EVENTS = Table(
    "run_events",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at_ns", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_strict=True,
)

HOST_EVENTS = Table(
    "host_events",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("spool", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    sqlite_strict=True,
)

SAMPLE_BATCHES = Table(
    "sample_batches",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("spool", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Index("sample_batches_run", "run_id"),
    sqlite_strict=True,
)

CLOCK_ESTIMATES = Table(
    "clock_estimates",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("host_boot_id", Text, nullable=False),
    Column("controller_boot_id", Text, nullable=False),
    Column("offset_ns", Integer, nullable=False),
    Column("error_ns", Integer, nullable=False),
    Column("at_ns", Integer, nullable=False),
    Index("clock_estimates_host", "host", "controller_boot_id", "at_ns"),
    sqlite_strict=True,
)

REPORTS = Table(
    "reports",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("report", Text, nullable=False),
    sqlite_strict=True,
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("created_s", Integer, nullable=False),
    Column("expires_s", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False, server_default=""),
    Column("used_s", Integer),
    Column("used_by", Text, nullable=False),
    sqlite_strict=True,
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("expires_s", Integer, nullable=False),
    sqlite_strict=True,
)
