"""What the controller remembers: SQLite, one writer with group commit, an append-only log of every run."""
