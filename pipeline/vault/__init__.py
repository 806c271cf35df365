"""Sends one request to the vault and says when it may be sent; knows no row and no ledger."""
