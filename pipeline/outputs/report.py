"""Writes `report.html` from the report's figures: one file that needs nothing else and runs nothing.

Everything that came from outside is escaped by the template engine; the content security policy
lets only the page's own style sheet through, named by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.counts import agreeing, counted
from pipeline.model import OPEN_STATES
from pipeline.outputs import charts
from pipeline.outputs.wording import (
    ENDING_WORDS,
    FILE_WORDS,
    HASH_WORDS,
    NOTHING,
    OUTCOME_WORDS,
    QUANTILE_WORDS,
    STATE_ROLES,
    TOKENS_PERISH,
    TONES,
    ending,
    milliseconds,
    moment,
    number,
    share,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Environment

REPORT_PAGE_NAME: Final = "report.html"
RUNS_SHOWN: Final = 50
COUNTRIES_SHOWN: Final = 12

_TEMPLATES: Final = Path(__file__).with_name("templates")
_SPACE: Final = 1 << 256
_NOT_ENVIRONMENT: Final = frozenset(
    {
        "guards",
        "settings",
        "settings_digest",
        "reading_digest",
        "in_flight_max",
        "on_ambiguous",
        "pid",
    }
)


def render_report(figures: Mapping[str, Any]) -> bytes:
    """Give the page for a report's figures (`report.json` as a tree)."""
    return _rendered(orjson.dumps(figures))


# Verifying what was just published asks for the same page again.
@lru_cache(maxsize=1)
def _rendered(content: bytes) -> bytes:
    figures: dict[str, Any] = orjson.loads(content)
    return page_of(
        "report.html.j2",
        figures=figures,
        charts=_charts(figures),
        **_balance(figures),
        **_flow(figures),
        **_last_run(figures),
        **_proof(figures),
        failures=sorted(figures["failures"], key=lambda failure: -failure["rows"]),
        runs=figures["runs"][-RUNS_SHOWN:],
        refused=figures["refused"][-RUNS_SHOWN:],
        period=_period(figures["runs"]),
        **_mixes(figures),
        resolved=sum(figures["resolved"].values()),
        waiting=list(_waiting(figures)),
        unattached=(figures["attach"] or {}).get("unattached", 0),
        state_roles=STATE_ROLES,
        file_words=FILE_WORDS,
        tokens_perish=TOKENS_PERISH,
    )


def page_of(template: str, **values: Any) -> bytes:
    """Give a page of ours with the one style sheet, named to the page's policy by its digest."""
    style = (_TEMPLATES / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    source = f"sha256-{digest}"
    page = _environment().get_template(template)
    return page.render(style=_markup(style), style_source=source, **values).encode() + b"\n"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415

    from pipeline.outputs.compiled_templates import CompiledTemplates  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        bytecode_cache=CompiledTemplates(_TEMPLATES),
        autoescape=True,
    )
    environment.filters.update(
        number=number,
        counted=counted,
        agreeing=agreeing,
        share=share,
        visible=visible,
        milliseconds=milliseconds,
        moment=moment,
        ticked=_ticked,
        words=lambda name: str(name).replace("_", " "),
        ending=ending,
    )
    return environment


def _markup(text: str) -> Any:
    from markupsafe import Markup  # noqa: PLC0415

    # Our own style sheet.
    return Markup(text)  # noqa: S704


def _ticked(text: str) -> Any:
    """Give one of our own sentences with its `names` as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    parts = str(escape(text)).split("`")
    marked = (f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
    return Markup("".join(marked))  # noqa: S704 - escaped above.


def _waiting(figures: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Give the exports whose rows wait to be sent, with how many do."""
    for export in figures["exports"]:
        if count := sum(export["states"].get(state, 0) for state in OPEN_STATES):
            yield export["name"], count


def _charts(figures: Mapping[str, Any]) -> dict[str, Any]:
    laid_out: dict[str, Any] = {"balance": charts.balance_bar(figures["balance"])}
    if figures["timeline"]["steps"]:
        laid_out["throughput"] = charts.throughput(figures["timeline"])
        laid_out["latency"] = charts.latency(figures["timeline"])
    for name in ("brands", "countries"):
        laid_out[name] = charts.shares(figures[name])
    laid_out["failures"] = charts.shares({f["code"]: f["rows"] for f in figures["failures"]})
    laid_out["years"] = charts.shares(figures["expiration_years"])
    return laid_out


def _balance(figures: Mapping[str, Any]) -> dict[str, Any]:
    balance = figures["balance"]
    told = [f"{number(balance[name])} {words}" for name, words in ENDING_WORDS.items()]
    return {
        "tone": TONES.get(figures["verdict"]["outcome"], "warn"),
        "endings": list(ENDING_WORDS),
        "ending_words": ENDING_WORDS,
        "accounted": sum(balance[name] for name in ENDING_WORDS),
        "balance_text": f"Of {counted(balance['rows'], 'row')}: " + ", ".join(told),
    }


def _flow(figures: Mapping[str, Any]) -> dict[str, Any]:
    counted = _by_count(figures["attempts"]["by_outcome"])
    roles = charts.OUTCOME_ROLES
    return {
        "outcome_words": OUTCOME_WORDS,
        "quantile_words": QUANTILE_WORDS,
        "by_outcome": counted,
        "kinds": list(counted),
        "idle": bool(charts.idle_before(figures["timeline"])),
        "answered": sum(counted.values()) - counted.get("not_sent", 0),
        "retries": sum(run["statistics"].get("retries", 0) for run in figures["runs"]),
        "flow_legend": [(roles[kind], OUTCOME_WORDS[kind]) for kind in roles if kind in counted],
    }


def _last_run(figures: Mapping[str, Any]) -> dict[str, Any]:
    facts = figures["runs"][-1]["facts"] if figures["runs"] else {}
    return {
        "facts": facts,
        "in_flight_max": facts.get("in_flight_max"),
        "on_ambiguous": facts.get("on_ambiguous"),
        "settings": list(_flat(facts.get("settings") or {})),
        "environment": [(k, _said(v)) for k, v in facts.items() if k not in _NOT_ENVIRONMENT],
        "guards": [(k, *_guard(k, v)) for k, v in (facts.get("guards") or {}).items()],
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _said(value)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return NOTHING if value is None else str(value)


def _guard(name: str, value: Any) -> tuple[str, str]:
    words: dict[Any, tuple[str, str]]
    if name == "swap_present":
        words = {False: ("no", "good"), True: ("yes", "warn")}
    else:
        words = {True: ("held", "good"), False: ("not held", "warn"), "locked": ("locked", "good")}
    return words.get(value, (_said(value), "warn"))


def _proof(figures: Mapping[str, Any]) -> dict[str, Any]:
    totals = figures["hash_totals"]
    parts = [name for name in HASH_WORDS if name in totals]
    return {
        "hash_parts": parts,
        "hash_words": HASH_WORDS,
        "hash_sum": f"{sum(int(totals[name], 16) for name in parts) % _SPACE:064x}",
    }


def _period(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return ""
    first, last = runs[0]["started_at"][:10], (runs[-1]["ended_at"] or runs[-1]["started_at"])[:10]
    return first if first == last else f"{first} to {last}"


def _by_count(counted: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _shown_countries(countries: Mapping[str, int]) -> dict[str, int]:
    return dict(islice(_by_count(countries).items(), COUNTRIES_SHOWN))


def _mixes(figures: Mapping[str, Any]) -> dict[str, Any]:
    shown = _shown_countries(figures["countries"])
    return {
        "brands": _by_count(figures["brands"]),
        "countries": shown,
        "other_countries": sum(figures["countries"].values()) - sum(shown.values()),
    }
