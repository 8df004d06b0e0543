"""A run's life: arm, baseline, inject at T0, hold, revert, settle, measure. `service.Runs` is the door."""
