"""Keeps the ledger in one SQLite file: connection, tables, rules, batches."""
