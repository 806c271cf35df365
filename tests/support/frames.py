"""Shows tables of rows as frames, in which a test finds a row by its number and a text by its name."""

import numpy as np
import pandas as pd


def frame_of(table):
    """Give the texts of a chunk, or the columns of its cards, with row numbers as the index."""
    index = pd.Index(table.rows, name="row")
    arrays = {
        name: values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
        for name, values in table.columns.items()
    }
    return pd.DataFrame(
        {name: pd.Series(each, index=index, dtype=each.dtype) for name, each in arrays.items()},
        index=index,
    )
