"""Who may start what: environments, second persons, the lever. `service.Control` is the door."""
