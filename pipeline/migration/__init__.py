"""Carries a migration through: the only room that knows the order of the steps."""
