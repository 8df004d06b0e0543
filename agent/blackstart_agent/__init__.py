"""The blackstart agent: one per host; it cuts on order, and everything it cuts ends by its lease."""

__version__ = "0.1.0"
