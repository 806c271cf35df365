"""Reads settings once, from TOML, environment and command line, into frozen models."""
