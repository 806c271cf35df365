"""The report in a real browser: quiet console, nothing loaded, no sideways scrolling, accessible."""

import subprocess
from importlib.resources import files
from itertools import product

import pytest

from tests.support.browser import browser, required_browser
from tests.support.folders import HOSTILE, among_others, migrations, small_migration
from tests.support.programs import require
from tests.support.sampled import sampled, slow

WIDTHS = (1200, 768, 390, 320)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def chromium():
    """One browser for this module."""
    with browser() as program:
        yield program


def address(folder):
    return (folder / "report.html").as_uri()


def axe_script():
    """Give the source of axe-core; the dev extra brings a package that ships it."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@pytest.mark.parametrize(("width", "scheme"), sampled(product(WIDTHS, ["light", "dark"]), 3))
def test_the_page_never_scrolls_sideways(chromium, width, scheme):
    """From a narrow phone to a desktop the page is as wide as the window."""
    page = chromium.open(address(migrations().second), width=width, scheme=scheme)

    assert [width, width] == page.evaluate(
        "[document.documentElement.scrollWidth, window.innerWidth]"
    )


def test_the_console_stays_silent_and_nothing_leaves_the_page(chromium):
    """The policy blocks nothing of our own, and the only request is the page itself."""
    page = chromium.open(address(migrations().second))

    assert [] == page.complaints()
    assert [address(migrations().second)] == page.requests()


def test_hostile_data_runs_nothing(chromium, tmp_path):
    """Markup in legacy ids, export names and settings neither runs nor loads nor breaks the page."""
    folder = tmp_path / "migration"
    small_migration(
        folder,
        among_others(HOSTILE[:5]),
        name=HOSTILE[0],
        operator=HOSTILE[2],
        settings={"vault": {"url": HOSTILE[4]}},
    )
    page = chromium.open(address(folder))

    assert [] == page.complaints()
    assert [address(folder)] == page.requests()
    assert 0 == page.evaluate("document.querySelectorAll('script, img, iframe, b').length")


def test_our_own_style_sheet_is_let_through(chromium):
    """The digest in the policy is the style sheet's: the page is not shown bare."""
    page = chromium.open(address(migrations().second), scheme="dark")

    assert "rgb(16, 21, 27)" == page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_page_prints_on_paper(chromium, tmp_path):
    """Printed on A4 it is a real PDF with the balance and the sign-off block on it."""
    program = require("pdftotext")
    printed = tmp_path / "report.pdf"
    printed.write_bytes(chromium.open(address(migrations().second)).printed())
    command = [program, "-layout", str(printed), "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()

    assert [] == [w for w in ("Difference", "balances", "Reviewed by") if w not in text]


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 390), slow("dark", 1200), slow("light", 1200), slow("dark", 390)],
)
def test_axe_finds_nothing(chromium, scheme, width):
    """Contrast, landmarks, headings, tables and the rest pass axe-core's WCAG 2.2 AA rules."""
    script = axe_script()
    page = chromium.open(address(migrations().second), width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.evaluate(script + "; 1")
    found = page.evaluate(
        "axe.run(document, {runOnly: "
        + str(RULES["runOnly"])
        + "}).then(r => ({wrong: r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html]),"
        + " passed: r.passes.map(p => p.id)}))",
        wait=True,
    )

    assert [] == found["wrong"]
    assert {"color-contrast", "region", "landmark-one-main", "heading-order"} <= set(
        found["passed"]
    )


def test_a_browser_is_there_where_it_is_required():
    """Without Chromium the tests above are skipped, unless the environment requires it."""
    assert required_browser()
