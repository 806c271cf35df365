"""Cardferry: encrypted card exports in, a mapping of legacy ids to vault tokens out."""

__version__ = "0.1.0"
