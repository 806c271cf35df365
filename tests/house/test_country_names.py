"""The names of countries that the program brings along are the standard's, as pycountry has them."""

from tests.support.country_names import FILE, country_names


def test_the_names_of_countries_are_those_of_the_pinned_pycountry():
    """Whoever raises its version, or the languages, makes the file anew."""
    assert country_names() == FILE.read_text("utf-8")
