"""Runs an Omise-compatible vault on this machine, to rehearse a migration and to test against."""
