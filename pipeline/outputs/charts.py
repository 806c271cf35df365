"""Figures in, charts as inline SVG out: no script, no style attribute, colours from the page's CSS.

Matplotlib draws; what it writes is then cut down to what a strict content security policy lets
through: style attributes become presentation attributes, and each colour, a mark that stands
for a role, becomes a class. So one drawing serves light and dark screens and paper, and the same
figures always give the same bytes.
"""

from __future__ import annotations

import io
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

ROLES: Final = {
    "#000001": "ink",
    "#000002": "grid",
    "#000003": "tokenized",
    "#000004": "rejected",
    "#000005": "failed",
    "#000006": "held",
    "#000007": "already_tokenized",
    "#000008": "pending",
    "#000009": "line1",
    "#00000a": "line2",
}
"""The colours that charts are drawn in, and the roles they stand for in the style sheet."""

_MARKS: Final = {role: mark for mark, role in ROLES.items()}
OUTCOME_ROLES: Final = {
    "ok": "tokenized",
    "rejected": "rejected",
    "declined": "failed",
    "ambiguous": "held",
    "throttled": "pending",
}
_SVG: Final = "{http://www.w3.org/2000/svg}"
_XLINK: Final = "{http://www.w3.org/1999/xlink}href"
_KEPT: Final = frozenset(
    {
        "fill",
        "font-size",
        "fill-opacity",
        "opacity",
        "stroke",
        "stroke-dasharray",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-width",
        "text-anchor",
    }
)
_WIDTH_IN: Final = 9.4
_STEPS_MIN: Final = 16
"""A chart is at least this many steps wide, so that one second of work is no wall of colour."""
_IDLE_STEPS: Final = 20
"""So many steps without an answer are idle time, and the chart shows the break."""
_RC: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cardferry",
    "font.size": 9,
    "text.color": _MARKS["ink"],
    "axes.edgecolor": _MARKS["grid"],
    "axes.labelcolor": _MARKS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _MARKS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": _MARKS["ink"],
    "ytick.color": _MARKS["ink"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def balance_bar(balance: Mapping[str, int]) -> str:
    """Draw what became of the rows as one bar."""

    def draw(axes: Axes) -> None:
        left = 0
        for name in ("tokenized", "already_tokenized", "rejected", "failed", "held", "pending"):
            if balance[name]:
                axes.barh([0], [balance[name]], left=left, color=_MARKS[name], height=1)
                left += balance[name]
        axes.set_xlim(0, max(left, 1))
        axes.set_ylim(-0.5, 0.5)
        axes.set_axis_off()

    return _drawn("balance", draw, 0.34, margins=(0.0, 1.0, 0.0, 1.0))


def throughput(timeline: Mapping[str, Any]) -> str:
    """Draw answers a second, stacked by what they were."""
    step_s, steps = timeline["step_s"], timeline["steps"]
    idle = idle_before(timeline)

    def draw(axes: Axes) -> None:
        below = [0.0] * len(steps)
        for outcome, role in OUTCOME_ROLES.items():
            rates = [step["answers"].get(outcome, 0) / step_s for step in steps]
            if any(rates):
                axes.bar(range(len(steps)), rates, 0.9, bottom=below, color=_MARKS[role])
                below = [a + b for a, b in zip(below, rates, strict=True)]
        axes.set_ylim(top=1.06 * max(below))
        axes.set_ylabel("answers a second")
        _time_axis(axes, steps, idle)

    return _drawn("throughput", draw, 2.6)


def latency(timeline: Mapping[str, Any]) -> str:
    """Draw the median and the 95th percentile of the latency."""
    steps = timeline["steps"]
    idle = idle_before(timeline)

    def draw(axes: Axes) -> None:
        bounds = [0, *idle, len(steps)]
        for name, role in (("p50", "line1"), ("p95", "line2")):
            for first, end in pairwise(bounds):
                answered = [at for at in range(first, end) if steps[at]["latency_us"]]
                axes.plot(
                    answered,
                    [steps[at]["latency_us"][name] / 1000 for at in answered],
                    color=_MARKS[role],
                    linewidth=1.6,
                    marker="o",
                    markersize=2.5 if len(steps) > _STEPS_MIN else 4,
                )
        axes.set_ylim(bottom=0)
        axes.set_ylabel("milliseconds")
        _time_axis(axes, steps, idle)

    return _drawn("latency", draw, 2.3)


def mix_bars(name: str, counts: Mapping[str, int]) -> str:
    """Draw shares as horizontal bars, in the order given."""
    # Matplotlib measures texts with its own font, which knows few alphabets; the table has them.
    names = [text.encode("ascii", "replace").decode() for text in counts]
    values = list(counts.values())

    def draw(axes: Axes) -> None:
        places = range(len(names), 0, -1)
        axes.barh(places, values, color=_MARKS["line1"], height=0.66)
        axes.set_yticks(list(places), names, parse_math=False)
        axes.set_xlim(0, max(values) * 1.16)
        for place, value in zip(places, values, strict=True):
            axes.text(value + max(values) * 0.012, place, f"{value:,}", va="center")
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.set_xticks([])

    return _drawn(
        name, draw, 0.12 + 0.24 * len(names), margins=(0.35, 0.99, 0.02, 0.98), width_in=3.7
    )


def idle_before(timeline: Mapping[str, Any]) -> list[int]:
    """Give the places of steps that came after a long time without any answer."""
    moments = [datetime.fromisoformat(step["at"]).timestamp() for step in timeline["steps"]]
    long_s = _IDLE_STEPS * timeline["step_s"]
    return [at for at, (a, b) in enumerate(pairwise(moments), 1) if b - a > long_s]


def _time_axis(axes: Axes, steps: Sequence[Mapping[str, Any]], idle: Sequence[int]) -> None:
    """Name a few steps by their moment; a dotted line stands for idle time."""
    last = len(steps) - 1
    wanted = sorted({round(last * part / 4) for part in range(5)})
    moments = [step["at"] for step in steps]
    one_day = moments[0][:10] == moments[-1][:10]
    whole_minutes = all(moment.endswith(":00Z") for moment in moments)
    shown = slice(11 if one_day else 5, 16 if whole_minutes else 19)
    labels = [moments[at][shown].replace("T", " ") for at in wanted]
    axes.set_xticks(wanted, labels)
    axes.set_xlim(-0.7, max(last, _STEPS_MIN - 1) + 0.7)
    if last >= _STEPS_MIN - 1:
        # A label in the middle of its step would leave the drawing at either end.
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    for at in idle:
        axes.axvline(at - 0.5, color=_MARKS["ink"], linewidth=0.9, linestyle=":")
    axes.grid(visible=True, axis="y")
    axes.spines["left"].set_visible(False)


def _drawn(
    name: str,
    draw: Callable[[Axes], None],
    height_in: float,
    margins: tuple[float, float, float, float] | None = None,
    width_in: float = _WIDTH_IN,
) -> str:
    # Matplotlib costs a second and fifty megabytes; only a report needs it.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # The user's own matplotlibrc must not show in the bytes.
    defaults: Any = mpl.rcParamsDefault
    settings: Any = {**defaults, **_RC}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(width_in, height_in))
        axes = figure.add_subplot()
        edges = margins or (0.065, 0.995, 0.3 / height_in, 1 - 0.08 / height_in)
        left, right, bottom, top = edges
        figure.subplots_adjust(left, bottom, right, top)
        draw(axes)
        target = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", transparent=True, metadata=nothing)
    return _cleaned(target.getvalue(), name)


def _cleaned(svg: str, name: str) -> str:
    """Cut a drawing down to its shapes, with classes for colours and names of its own."""
    # Matplotlib's own output, written a moment ago; texts in it were escaped by it.
    root = ET.fromstring(svg[svg.index("<svg") :])  # noqa: S314
    used = [e.attrib[_XLINK].lstrip("#") for e in root.iter() if _XLINK in e.attrib]
    names = {old: f"{name}-{number}" for number, old in enumerate(dict.fromkeys(used))}
    view_box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view_box, "aria-hidden": "true", "focusable": "false"})
    if name == "balance":
        # A bar may be stretched; a chart with letters may not.
        root.set("preserveAspectRatio", "none")
    _prune(root)
    for element in root.iter():
        # Without a namespace the parser of HTML knows what to do.
        element.tag = element.tag.removeprefix(_SVG)
        _restyle(element, names)
    return ET.tostring(root, encoding="unicode")


def _prune(parent: ET.Element) -> None:
    """Take out style sheets, clipping, invisible shapes and groups of nothing."""
    for child in list(parent):
        _prune(child)
        tag = child.tag.removeprefix(_SVG)
        unseen = "fill: none" in child.get("style", "") and "stroke" not in child.get("style", "")
        empty = tag in {"g", "defs"} and not len(child)
        if tag in {"style", "clipPath"} or (tag == "path" and unseen) or empty:
            parent.remove(child)


def _restyle(element: ET.Element, names: Mapping[str, str]) -> None:
    style = dict(
        part.strip().split(": ", 1) for part in element.attrib.pop("style", "").split(";") if part
    )
    classes = []
    for key, value in style.items():
        role = ROLES.get(value)
        if role is not None:
            classes.append(f"{key[0]}-{role}")
        elif key in _KEPT:
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))
    _rename(element, names)
    element.attrib.pop("clip-path", None)
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "d" in element.attrib:
        element.set("d", " ".join(element.attrib["d"].split()))
    element.text, element.tail = (element.text or "").strip(), None


def _rename(element: ET.Element, names: Mapping[str, str]) -> None:
    """Keep only the names that something points to, as names of this drawing alone."""
    identity = element.attrib.pop("id", None)
    if identity is not None and identity in names:
        element.set("id", names[identity])
    link = element.attrib.pop(_XLINK, None)
    if link is not None:
        element.set("href", f"#{names[link.lstrip('#')]}")
