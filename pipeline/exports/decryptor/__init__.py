"""Decrypts in a process of its own, the only one that holds the export's key."""
