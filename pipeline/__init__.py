"""Cardferry: encrypted card exports in, a mapping of legacy ids to vault tokens out."""
