"""Asks what changed since it was published in both ways: by reading the rows, and where all were read before."""

from pipeline.ledger.versions_proof import unexplained_change
from pipeline.ledger.whole_reading import read_whole


def said_of_changes(connection):
    """Give what is said of settled things that changed for no reason; both ways say the same."""
    said = unexplained_change(connection)
    assert said == unexplained_change(connection, read_whole(connection).compared())
    return said
