"""Keeps the ledger in one SQLite file: connection, batches, streaming."""
