"""The letters by which a person sees that an export was read in another encoding than its own."""

from __future__ import annotations

import pytest

from pipeline.cards.name_letters import accented, in_another_encoding


def test_letters_are_counted_and_no_others():
    """Signs, plain letters and scripts that are told as such are left out."""
    assert accented(["José Peña", "André", "สมชาย", "山田", "Ώ 7°"]) == {"é": 2, "ñ": 1, "Ώ": 1}


@pytest.mark.parametrize(
    ("encoding", "letters", "elsewhere"),
    [
        ("cp1252", "éèñü", ("cp1250", {"è": "č", "ñ": "ń"})),
        ("latin-1", "ø", ("cp1250", {"ø": "ř"})),
        ("cp1250", "čńü", ("cp1252", {"č": "è", "ń": "ñ"})),
        ("windows-1251", "Ж", ("cp1252", {"Ж": "Æ"})),
        ("cp1252", "éü", None),
        ("utf-8", "éèñü", None),
        ("cp932", "Ж", None),
    ],
)
def test_only_letters_that_would_be_others_are_told(encoding, letters, elsewhere):
    """What two encodings share says nothing, and of several bytes a letter there is no neighbour."""
    assert in_another_encoding(letters, encoding) == elsewhere
