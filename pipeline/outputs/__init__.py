"""Writes what a migration leaves, from the ledger alone, and checks it against the ledger."""
