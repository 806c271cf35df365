"""Counts and their nouns agree everywhere: `1 row`, never `1 rows`."""

import ast
import re
from pathlib import Path

import pytest

from pipeline.counts import agreeing, counted

PIPELINE = Path(__file__).parents[2] / "pipeline"
PLURALS = (
    "rows|cards|exports|files|ids|customers|tokens|requests|columns|keys|events|lines|times|runs|"
    "days|seconds|codes|records|values|cells|fields|entries|problems|numbers|characters|bytes|"
    "failures|chunks|slots|carriers|calls|certificates|connections|members|attempts|places|names"
)
NOUN = re.compile(rf"\s+(?:more |new |other )?({PLURALS})\b")


def _plain_plurals(source):
    """Give the texts of f-strings that put a plural behind a number that may be one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for number, text in zip(node.values, node.values[1:], strict=False):
            if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                found = NOUN.match(text.value)
                if found and not _is_large_or_worded(number):
                    yield f"{ast.unparse(number.value)} {found[1]}"


def _is_large_or_worded(number):
    """A constant bound is never one, a rate is a measure, and a call has its own words."""
    name = ast.unparse(number.value)
    return name.isupper() or name.endswith("_max") or "rate_per_s" in name or "agreeing" in name


def test_no_text_of_the_product_puts_a_plural_behind_a_number_that_may_be_one():
    """Where a number is followed by its noun, `counted` says both."""
    found = [
        f"{path.name}: {text}"
        for path in sorted(PIPELINE.rglob("*.py"))
        if "sandbox" not in path.parts
        for text in _plain_plurals(path.read_text("utf-8"))
    ]

    assert [] == found


def test_no_template_puts_a_plural_behind_a_number_that_may_be_one():
    """The report and the profile count in the same words."""
    plain = re.compile(rf"\| (?:number|length) \}}\}} ({PLURALS})\b")
    templates = sorted((PIPELINE / "outputs" / "templates").glob("*.j2"))

    assert templates
    assert [] == [found for each in templates for found in plain.findall(each.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 rows wait"), (1, "1 row waits"), (2_000, "2,000 rows wait")]
)
def test_one_is_told_apart_from_every_other_number(count, told):
    """Of nothing there are many, as the language has it."""
    assert told == f"{counted(count, 'row')} {agreeing(count, 'waits', 'wait')}"
