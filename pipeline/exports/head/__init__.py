"""Recognises from the first bytes of an export how it is written and what its columns hold."""
