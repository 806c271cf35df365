"""Moves stored cards from encrypted exports into a payment vault (Cardferry)."""

__version__ = "0.1.0"
