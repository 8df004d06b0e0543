"""Tells people and programs what happened: signed webhooks, and through Apprise the rest."""
