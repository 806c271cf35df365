"""Lets several carriers, on whatever machines, share one ledger in PostgreSQL without a row sent twice."""
