"""Turns a sealed export into chunks of rows: opens it, proves it, decrypts it, parses it."""
