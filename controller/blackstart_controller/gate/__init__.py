"""The pipeline stage, decided: runs in, exit code, cases and reports out. No I/O here."""
