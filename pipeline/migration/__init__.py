"""Carries a migration through: the only package that knows the order of the steps."""
