"""The only door from the controller to other people's servers. Limits are enforced here."""
