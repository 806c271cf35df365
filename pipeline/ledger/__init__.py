"""Remembers what happened to every row: the only memory and the only SQL."""
