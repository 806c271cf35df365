"""Records as the reader gives them, one after another again."""


def rows_of(blocks):
    """Give each record's texts, or the code of what is none, in order."""
    return [record for block in blocks for record in _rows(block)]


def _rows(block):
    readable = zip(*block.columns, strict=True)
    for place in range(block.count):
        unread = block.unread.get(place)
        yield list(next(readable)) if unread is None else unread
    assert next(readable, None) is None
