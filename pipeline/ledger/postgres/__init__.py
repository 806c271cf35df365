"""Keeps a ledger in PostgreSQL, where it outlives the machine that a migration began on."""
