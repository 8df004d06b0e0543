"""Version 1 of the contract. Fields are added, never renumbered, never reused."""
