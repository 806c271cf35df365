"""The report: the page and the JSON say the same, and nothing in the data becomes a page."""

import json
import re
from datetime import date
from html.parser import HTMLParser
from importlib.resources import files

import jsonschema
import pytest

from pipeline.ledger.plan_records import ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.outputs import charts
from pipeline.outputs.publisher import publish
from pipeline.outputs.report import render_report
from pipeline.outputs.wording import milliseconds, number, share, verdict_of, visible
from tests.support.folders import HOSTILE, VERSION, among_others, migrations, small_migration
from tests.support.ledgers import new_builder, settled_builder
from tests.support.sampled import sampled

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Elements(HTMLParser):
    """Every element of a page in order, and the text of those that show a figure."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.shape, self.shown, self.open, self.ids = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.shape.append((tag, tuple(sorted(given))))
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append([tag, given.get("data-figure"), given.get("data-unit"), ""])

    def handle_startendtag(self, tag, attributes):
        self.shape.append((tag, tuple(sorted(dict(attributes)))))

    def handle_endtag(self, tag):
        while self.open:
            name, path, unit, text = self.open.pop()
            if path:
                self.shown.append((path, unit, text.strip()))
            if name == tag:
                break

    def handle_data(self, text):
        for element in self.open:
            element[3] += text


def figures_of(folder):
    return json.loads((folder / "report.json").read_bytes())


def page_of(folder):
    return Elements((folder / "report.html").read_text("utf-8"))


def value_at(figures, path):
    """Follow a path such as `exports.0.rows`; failures are named by their code."""
    head, _, rest = path.partition(".")
    if head == "failures":
        return next(f["rows"] for f in figures["failures"] if f["code"] == rest)
    value = figures
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def as_shown(value, unit):
    if unit == "us":
        return milliseconds(value)
    return number(value) if isinstance(value, int) else str(value)


def leaves(tree, path=""):
    """Give the paths of all numbers and hash totals that a report has exactly once."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        elif isinstance(value, int | str):
            yield f"{path}{name}"


def test_every_number_on_the_page_is_the_one_in_the_json():
    """Each figure that the page marks is, formatted, the value in report.json."""
    folder = migrations().second
    figures, page = figures_of(folder), page_of(folder)
    wrong = [
        (path, text)
        for path, unit, text in page.shown
        if text != as_shown(value_at(figures, path), unit)
    ]

    assert [] == wrong


def test_every_figure_of_the_json_is_on_the_page():
    """Balance, U, totals, attempts, latency, mixes, failures and the chain's end are all shown."""
    folder = migrations().second
    figures, page = figures_of(folder), page_of(folder)
    sections = ("balance", "hash_totals", "attempts", "latency_us", "brands", "countries")
    more = ("expiration_years", "trail")
    wanted = {f"{s}.{path}" for s in (*sections, *more) for path in leaves(figures[s])}
    wanted |= {"unseen_tokens_max", "changes.rows", "cards.mapped", "cards.distinct"}
    wanted |= {f"failures.{failure['code']}" for failure in figures["failures"]}
    wanted |= {f"exports.{n}.{key}" for n in range(3) for key in ("rows", "size", "sha256")}

    assert set() == wanted - {path for path, _, _ in page.shown}


def test_the_json_follows_its_schema():
    """report.json of a migration with every kind of ending validates against the packaged schema."""
    schema = json.loads((files("pipeline.outputs") / "templates/report.schema.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(figures_of(migrations().second), schema)


def test_an_empty_migration_has_a_report_too(tmp_path):
    """No rows, no answers and no tokens still give a page and a JSON that follows its schema."""
    figures = small_migration(tmp_path / "migration", [])
    schema = json.loads((files("pipeline.outputs") / "templates/report.schema.json").read_bytes())
    jsonschema.validate(figures, schema)

    assert figures["verdict"]["outcome"] == "empty"
    assert "Nothing was sent" in render_report(figures).decode()


@pytest.mark.parametrize("part", sampled(range(0, len(HOSTILE), 5), 2))
def test_hostile_data_adds_no_element_and_no_attribute(tmp_path, part):
    """The page of hostile ids, names and settings has the very elements of a harmless one."""
    hostile = HOSTILE[part : part + 5]
    harmless = [f"id_{n}" for n in range(len(hostile))]
    pages = []
    for texts in (hostile, harmless):
        folder = tmp_path / texts[0][:2].encode().hex()
        facts = {"operator": texts[0], "host": texts[1], "settings": {"a": {"b": texts[2]}}}
        small_migration(folder, among_others(texts), name=texts[3], **facts)
        pages.append(page_of(folder))

    assert pages[0].shape == pages[1].shape


def test_a_hostile_brand_stays_text():
    """Whatever the vault calls a brand or a country, table and chart show it as text."""
    figures = figures_of(migrations().second)
    figures["brands"] = {"$\\frac{1}{2}$<b>": 3, "\u0e44\u0e17\u0e22": 2}
    figures["countries"] = {"<i>": 1}
    page = render_report(figures).decode()

    assert "<b>" not in page
    assert "<i>" not in page
    assert "$\\frac{1}{2}$&lt;b&gt;" in page


def test_the_page_has_no_script_no_inline_style_and_a_strict_policy():
    """Nothing runs, nothing loads, and no element carries its own style."""
    text = (migrations().second / "report.html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]

    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<script|\sstyle=|\son\w+=|https?://(?!vault\.omise\.co)", text)


def test_commands_that_need_a_signature_stand_only_where_there_is_one(tmp_path):
    """An unsigned folder names none that would fail on it, and says that it is not signed."""
    signed = (migrations().second / "report.html").read_text("utf-8")
    builder = settled_builder(tmp_path, 20)
    publish(builder.ledger, tmp_path, VERSION)
    builder.ledger.close()
    unsigned = (tmp_path / "report.html").read_text("utf-8")

    for words in ("--public-key", "openssl pkeyutl", "manifest.json.sig"):
        assert (True, False) == (words in signed, words in unsigned), words
    assert "cardferry verify ." in unsigned
    assert (False, True) == ("not signed" in signed, "not signed" in unsigned)


def test_no_two_elements_have_the_same_id():
    """The charts' own names do not collide with each other or with the page's."""
    ids = page_of(migrations().second).ids

    assert len(set(ids)) == len(ids)


def test_no_first_rows_are_more_than_five_of_a_code():
    """The page shows the first rows of each code in the export's order, never all of many."""
    figures = figures_of(migrations().second)
    for failure in figures["failures"]:
        rows = [(e["source_file"], e["source_row"]) for e in failure["examples"]]

        assert len(rows) == min(5, failure["rows"])


BALANCE = {
    "rows": 10,
    "tokenized": 10,
    "rejected": 0,
    "failed": 0,
    "held": 0,
    "already_tokenized": 0,
    "pending": 0,
    "difference": 0,
}


@pytest.mark.parametrize(
    ("changes", "outcome", "words"),
    [
        ({}, "complete", "every one of the 10 rows"),
        ({"tokenized": 8, "rejected": 2}, "complete_with_failures", "8 of 10 rows"),
        ({"tokenized": 9, "held": 1}, "held", "1 row held back"),
        ({"tokenized": 9, "held": 1}, "held", ": 9 of 10 rows have a token, 1 has none."),
        (
            {"tokenized": 7, "held": 2, "failed": 1},
            "held",
            ": 7 of 10 rows have a token, 3 have none, of which 1 could not be moved.",
        ),
        ({"tokenized": 4, "pending": 6}, "unfinished", "6 rows of 10 still wait"),
        ({"tokenized": 9, "difference": 1}, "does_not_balance", "do not add up"),
        ({"rows": 0, "tokenized": 0}, "empty", "no rows"),
    ],
)
def test_the_verdict_says_in_one_sentence_how_it_ended(changes, outcome, words):
    """The worst thing that is true comes first."""
    verdict = verdict_of(BALANCE | changes, 0)

    assert outcome == verdict["outcome"]
    assert words in verdict["sentence"]


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        (0, "; 3 rows had nothing to move."),
        (1, "; 2 rows had nothing to move; 1 row was left out (not in the cohort, or given up)."),
        (3, "have a token; 3 rows were left out (not in the cohort, or given up)."),
    ],
)
def test_rows_that_were_left_out_are_not_told_as_nothing_to_move(left_out, words):
    """They hold cards that a run without `--only` would move."""
    balance = BALANCE | {"tokenized": 7, "skipped": 3}

    assert verdict_of(balance, 0, left_out=left_out)["sentence"].endswith(words)


def test_a_migration_without_any_card_on_a_customer_does_not_speak_of_all():
    """`All 0 cards` says nothing."""
    attach = dict.fromkeys(("attached", "reused", "attach_failed", "attach_held", "unattached"), 0)
    balance = BALANCE | {"tokenized": 0, "rejected": 10}

    sentence = verdict_of(balance, 0, attach=attach)["sentence"]

    assert sentence.startswith("Finished: 0 of 10 rows have a token; 10 could not be moved")
    assert "customer" not in sentence


def test_a_page_with_rows_that_wait_never_says_that_nothing_is_open(tmp_path):
    """The export and its rows that wait are named, and a run that a later one followed was killed."""
    figures = small_migration(tmp_path / "migration", ["a", "b"])
    figures["failures"] = []
    [export], [run] = figures["exports"], figures["runs"]
    export["states"] = {"tokenized": 1, "planned": 1, "ambiguous": 2}
    figures["runs"] = [run | {"exit_code": None}, run | {"exit_code": None}]
    page = " ".join(re.sub(r"<[^>]*>", "", render_report(figures).decode()).split())
    figures["exports"] = [export | {"states": {"tokenized": 4}}]

    assert "by export: 3 rows of cards.csv.pgp. Give these files again" in page
    assert "Nothing is open" not in page
    assert (2, 1) == (page.count("was killed"), page.count("has not ended, or was killed"))
    assert "Nothing is open" in render_report(figures).decode()


def test_a_refused_export_is_named_until_its_bytes_are_taken(tmp_path):
    """By name, moment and digest, in the page and the JSON; one that was proved since is not."""
    builder = new_builder(tmp_path / "migration")
    builder.begin("run-1")
    builder.settle(builder.plan("good.pgp", 3))
    planning = Planning(builder.ledger)
    digests = {"cut<b>.pgp": "ab" * 32, "mended.pgp": "cd" * 32}
    for name, digest in digests.items():
        known = planning.begin(
            SealedFacts(name, 10, digest, bytes(32), "openpgp"), date(2026, 11, 20)
        )
        planning.refuse(known, "ExportRefused", "it was <i>cut</i> short")
    known = planning.begin(
        SealedFacts("mended.pgp", 10, "cd" * 32, bytes(32), "openpgp"), date(2026, 11, 20)
    )
    planning.finish(known, ProvedFacts("gpg", "ab", None, 0, "0" * 64))
    builder.end(6)
    figures = publish(builder.ledger, tmp_path / "migration", VERSION)
    builder.ledger.close()
    schema = json.loads((files("pipeline.outputs") / "templates/report.schema.json").read_bytes())
    jsonschema.validate(figures, schema)
    page = render_report(figures).decode()

    assert [("cut<b>.pgp", "ab" * 32)] == [(e["name"], e["sha256"]) for e in figures["refused"]]
    assert "cut&lt;b&gt;.pgp" in page
    assert "it was &lt;i&gt;cut&lt;/i&gt; short" in page
    assert "ab" * 32 in page


def test_u_is_never_called_a_count():
    """U is an upper bound, and the words say so."""
    assert "upper bound and not a count" in verdict_of(BALANCE, 3)["unseen"]
    assert "no token exists that this report does not know of" in verdict_of(BALANCE, 0)["unseen"]


@pytest.mark.parametrize(
    ("value", "whole", "expected"),
    [(1, 3, "33.3 %"), (1, 100_000, "< 0.1 %"), (99_999, 100_000, "> 99.9 %"), (0, 5, "0.0 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value, whole, expected):
    """One failed row of a hundred thousand is not 0.0 %."""
    assert expected == share(value, whole)


def test_control_and_direction_characters_are_made_visible():
    """Nobody can hide or turn around a text in the report."""
    assert "a\u2400b\u2409c\ufffdd" == visible("a\0b\tc\u202ed")


def test_a_chart_is_the_same_bytes_every_time():
    """Laying out twice gives the same numbers: no dates, no random names."""
    timeline = figures_of(migrations().second)["timeline"]

    assert charts.throughput(timeline) == charts.throughput(timeline)


def steps_at(*seconds):
    """Give a timeline of one-second steps with three answers each, at these seconds of a day."""
    quantiles = {"p50": 20_000, "p95": 40_000, "p99": 90_000}
    return {
        "step_s": 1,
        "steps": [
            {
                "at": f"2026-11-20T08:{at // 60:02d}:{at % 60:02d}Z",
                "answers": {"ok": 3},
                "latency_us": quantiles,
            }
            for at in seconds
        ],
    }


def test_a_run_of_one_second_is_one_slim_bar():
    """The bar of a short run is as wide as a bar of sixteen steps, not as the whole chart."""
    chart = charts.throughput(steps_at(5))

    assert [0.9] == [bar.width for bar in chart.bars]
    assert 16 == chart.columns


def test_stacked_bars_stand_on_one_another_and_reach_what_they_count():
    """Three good answers and one refused one of a second: 3 of 4 of the stack, one above it."""
    timeline = steps_at(0)
    timeline["steps"][0]["answers"] = {"ok": 3, "throttled": 1}
    good, refused = charts.throughput(timeline).bars

    assert 100 == pytest.approx(good.y + good.height)
    assert good.y == pytest.approx(refused.y + refused.height, abs=0.001)
    assert good.height == pytest.approx(3 * refused.height, abs=0.001)


def test_the_left_axis_is_marked_at_round_values():
    """The marks of 0 to 4 answers a second are 0, 1, 2, 3 and 4, the top one inside the plot."""
    timeline = steps_at(0)
    timeline["steps"][0]["answers"] = {"ok": 4}
    grid = charts.throughput(timeline).grid

    assert ["0", "1", "2", "3", "4"] == [mark.text for mark in grid]
    assert 100 == grid[0].at
    assert 0 < grid[-1].at < 10


@pytest.mark.parametrize("lay_out", [charts.throughput, charts.latency])
def test_a_long_time_without_an_answer_is_marked(lay_out):
    """Idle time takes no room, but nobody takes two runs for one; short gaps leave no mark."""
    gaps = [lay_out(steps_at(*range(30), *range(30 + gap, 60 + gap))) for gap in (0, 19, 300)]

    assert [[], [], [30]] == [list(chart.idle) for chart in gaps]


def test_a_line_of_latency_breaks_where_time_was_idle():
    """No line leads across a night in which nothing was asked."""
    chart = charts.latency(steps_at(*range(30), *range(330, 360)))

    assert [2, 2] == [line.path.count("M") for line in chart.lines]
    assert [60, 60] == [line.dots.count("h0") for line in chart.lines]


def test_the_labels_of_the_time_axis_stay_inside_the_drawing():
    """The first moment begins where its bar is, and the last one ends there."""
    moments = charts.throughput(steps_at(*range(240))).moments

    assert ["start", "middle", "middle", "middle", "end"] == [mark.anchor for mark in moments]
    assert ("08:00:00", "08:03:59") == (moments[0].text, moments[-1].text)


def test_the_longest_bar_of_a_mix_fills_its_cell():
    """Shares are drawn against the largest one; nothing at all draws nothing."""
    assert {"a": 100.0, "b": 25.0} == charts.shares({"a": 8, "b": 2})
    assert {"a": 0.0} == charts.shares({"a": 0})


@pytest.mark.parametrize("lay_out", [charts.throughput, charts.latency])
def test_steps_without_any_answer_still_make_a_chart(lay_out):
    """A vault that could not be reached leaves steps without an answer: an empty plot, no fault."""
    timeline = steps_at(0, 1)
    for step in timeline["steps"]:
        step["answers"], step["latency_us"] = {"not_sent": 3}, {}
    chart = lay_out(timeline)

    assert [] == [*chart.bars]
    assert "" == "".join(line.path for line in chart.lines)
    assert "0" == chart.grid[0].text
