"""TOML, environment and command line in, frozen settings out."""
