"""Game days: a scheduled set of experiments with people, roles, hold points, a timeline and findings."""
