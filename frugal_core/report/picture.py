"""Accuracy against cost in one picture: a PNG by matplotlib, or an HTML page by plotly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_core.errors import FrugalError
from frugal_core.evaluation import Curve
from frugal_core.report.labels import Place, place_labels
from frugal_core.routing import Point

_SIZE = 1000, 720  # pixels
_MARGIN = 80, 30, 145, 70  # left, right, above, below
_LETTER = 6.3, 13.0  # width and height, about, of the font used for names
_SINGLE, _LEARNED, _FRUGALGPT, _ORACLE = "#555555", "#0b5fa5", "#d2691e", "#2e8b57"


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Args:
        curve: Models, frontier, policy and oracle.
        frugalgpt: FrugalGPT's kind of chain, from cheap to dear; may be empty.
        quality: What the vertical axis shows: "accuracy", or agreement with some model.
        caption: Which rows were fitted on, and which are drawn.
    """

    curve: Curve
    frugalgpt: Sequence[Point]
    quality: str
    caption: str

    @property
    def points(self) -> list[Point]:
        """Everything that has a place in the picture."""
        curve = self.curve
        return [*curve.singles, *curve.frontier, curve.policy, curve.oracle, *self.frugalgpt]


def draw(picture: Picture, path: str | Path) -> None:
    """Draw to a `.png` or a self-contained `.html` file.

    Raises:
        FrugalError: if matplotlib or plotly is not installed, or the name ends otherwise.
    """
    path = Path(path)
    drawers = {".png": _draw_png, ".html": _draw_html}
    if path.suffix not in drawers:
        raise FrugalError(f"{path}: the name must end in .png or .html")
    try:
        drawers[path.suffix](picture, _Frame(picture), path)
    except ImportError as error:
        raise FrugalError(
            f"drawing needs {error.name}: pip install 'frugal-cascade[report]'"
        ) from error


class _Frame:
    """From accuracy and cost to pixels.

    Costs are on a logarithmic axis; what is cheaper than a hundredth of the cheapest model, as a
    student is, stands at its left end.
    """

    def __init__(self, picture: Picture) -> None:
        singles = [1000 * point.usd for point in picture.curve.singles]
        cheapest = min((usd for usd in singles if usd > 0), default=1.0)
        self.least = cheapest / 100
        costs = [self.cost(point) for point in picture.points]
        shares = [100 * point.accuracy for point in picture.points]
        self.clipped = any(1000 * point.usd < self.least for point in picture.points)
        spread = max(max(shares) - min(shares), 1.0)
        self.x = math.log10(min(costs)) - 0.15, math.log10(max(costs)) + 0.35
        self.y = min(shares) - 0.06 * spread, min(max(shares) + 0.06 * spread, 100.5)
        left, right, above, below = _MARGIN
        self.area = float(_SIZE[0] - left - right), float(_SIZE[1] - above - below)

    def cost(self, point: Point) -> float:
        """Where a point stands on the horizontal axis: USD per 1,000 queries."""
        return max(1000 * point.usd, self.least)

    def pixels(self, point: Point) -> Place:
        """Where a point stands in the plot."""
        (left, right), (low, high) = self.x, self.y
        x = (math.log10(self.cost(point)) - left) / (right - left)
        y = (100 * point.accuracy - low) / (high - low)
        return x * self.area[0], y * self.area[1]

    def line(self, points: Sequence[Point]) -> tuple[list[float], list[float]]:
        """Coordinates of a line through points, from cheap to dear."""
        ordered = sorted(points, key=lambda point: point.usd)
        return [self.cost(p) for p in ordered], [100 * p.accuracy for p in ordered]

    def names(self, picture: Picture) -> list[tuple[Point, str, Place]]:
        """Every single model with its name and the offset of its name's middle, in pixels."""
        singles = picture.curve.singles
        others = [self.pixels(point) for point in (picture.curve.policy, picture.curve.oracle)]
        for line in (picture.curve.frontier, picture.frugalgpt):
            others += _along([self.pixels(point) for point in sorted(line, key=lambda p: p.usd)])
        own = [self.pixels(point) for point in singles]
        words = [point.chain.tiers[0] for point in singles]
        sizes = [(_LETTER[0] * len(word) + 4, _LETTER[1]) for word in words]
        middles = place_labels(own, sizes, others, self.area)
        offsets = [(m[0] - p[0], m[1] - p[1]) for m, p in zip(middles, own, strict=True)]
        return list(zip(singles, words, offsets, strict=True))

    @property
    def x_title(self) -> str:
        """The horizontal axis in words."""
        note = f"; the left end is {_plain(self.least)} or less" if self.clipped else ""
        return f"cost, USD per 1,000 queries (log scale{note})"


def _along(line: Sequence[Place]) -> list[Place]:
    """Places on a line through some points, at most a dozen pixels apart."""
    places = list(line[:1])
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        steps = 1 + int(math.dist((x0, y0), (x1, y1)) / 12)
        shares = [step / steps for step in range(1, steps + 1)]
        places += [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in shares]
    return places


def _plain(number: float) -> str:
    """A number to one digit, without an exponent."""
    return format(Decimal(f"{number:.1g}"), "f")


_TITLE = "Accuracy against cost"
_LEGEND = {
    "single": "single models",
    "oracle": "oracle: the cheapest right answer, if there is one",
    "frugalgpt": "FrugalGPT's kind of chain (Chen, Zaharia, Zou 2023)",
    "frontier": "learned frontier",
    "policy": "the policy",
}


def _legend(picture: Picture) -> dict[str, str]:
    return _LEGEND | {"policy": f"the policy: {' > '.join(picture.curve.policy.chain.tiers)}"}


def _draw_png(picture: Picture, frame: _Frame, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = 100
    figure = Figure(figsize=(_SIZE[0] / dpi, _SIZE[1] / dpi), dpi=dpi)
    FigureCanvasAgg(figure)
    left, _, _, below = _MARGIN
    width, height = frame.area
    axes: Any = figure.add_axes(
        (left / _SIZE[0], below / _SIZE[1], width / _SIZE[0], height / _SIZE[1])
    )
    axes.set_xscale("log")
    axes.set_xlim(*(10**x for x in frame.x))
    axes.set_ylim(*frame.y)
    axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda usd, _: f"{usd:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(frame.x_title)
    axes.set_ylabel(f"{picture.quality}, %")
    curve, legend = picture.curve, _legend(picture)
    line: dict[str, Any] = {"linewidth": 1.8, "markersize": 3}
    if picture.frugalgpt:
        line_of = frame.line(picture.frugalgpt)
        axes.plot(*line_of, "s--", color=_FRUGALGPT, label=legend["frugalgpt"], **line)
    axes.plot(*frame.line(curve.frontier), "o-", color=_LEARNED, label=legend["frontier"], **line)
    axes.plot(
        *frame.line([curve.policy]),
        "*",
        color=_LEARNED,
        markersize=17,
        markeredgecolor="white",
        zorder=5,
        label=legend["policy"],
    )
    axes.plot(*frame.line([curve.oracle]), "D", color=_ORACLE, markersize=8, label=legend["oracle"])
    costs = [frame.cost(point) for point in curve.singles]
    shares = [100 * point.accuracy for point in curve.singles]
    axes.plot(costs, shares, "o", color=_SINGLE, markersize=6, label=legend["single"], zorder=4)
    for point, name, (across, up) in frame.names(picture):
        axes.annotate(
            name,
            (frame.cost(point), 100 * point.accuracy),
            xytext=(across * 72 / dpi, up * 72 / dpi),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8.5,
            color="#222222",
            zorder=6,
            arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "linewidth": 0.6, "shrinkB": 3},
        )
    figure.text(left / _SIZE[0], 1 - 28 / _SIZE[1], _TITLE, fontsize=14, weight="bold")
    figure.text(left / _SIZE[0], 1 - 50 / _SIZE[1], picture.caption, fontsize=9, color="#444444")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, fontsize=9, frameon=False)
    figure.savefig(path, dpi=2 * dpi)


def _draw_html(picture: Picture, frame: _Frame, path: Path) -> None:
    import plotly.graph_objects as go

    figure = go.Figure()
    curve, legend = picture.curve, _legend(picture)

    def add(name: str, points: Sequence[Point], mode: str, **style: Any) -> None:
        ordered = sorted(points, key=lambda point: point.usd)
        costs, shares = frame.line(ordered)
        said = [
            f"{' > '.join(p.chain.tiers)}<br>{100 * p.accuracy:.2f} %"
            f"<br>{1000 * p.usd:.4g} USD per 1,000"
            for p in ordered
        ]
        figure.add_trace(
            go.Scatter(
                x=costs,
                y=shares,
                mode=mode,
                name=legend[name],
                hovertext=said,
                hoverinfo="text",
                **style,
            )
        )

    if picture.frugalgpt:
        dashed = {"color": _FRUGALGPT, "dash": "dash"}
        small = {"size": 5, "symbol": "square"}
        add("frugalgpt", picture.frugalgpt, "lines+markers", line=dashed, marker=small)
    add("frontier", curve.frontier, "lines+markers", line={"color": _LEARNED}, marker={"size": 5})
    star = {"size": 18, "symbol": "star", "color": _LEARNED, "line": {"color": "white", "width": 1}}
    add("policy", [curve.policy], "markers", marker=star)
    diamond = {"size": 10, "symbol": "diamond", "color": _ORACLE}
    add("oracle", [curve.oracle], "markers", marker=diamond)
    add("single", curve.singles, "markers", marker={"size": 8, "color": _SINGLE})
    for point, name, (across, up) in frame.names(picture):
        figure.add_annotation(
            x=math.log10(frame.cost(point)),
            y=100 * point.accuracy,
            text=name,
            showarrow=True,
            ax=across,
            ay=-up,
            arrowhead=0,
            arrowwidth=0.6,
            arrowcolor="#aaaaaa",
            standoff=3,
            font={"size": 11, "color": "#222222"},
            borderpad=0,
        )
    left, right, above, below = _MARGIN
    figure.update_layout(
        template="simple_white",
        width=_SIZE[0],
        height=_SIZE[1],
        margin={"l": left, "r": right, "t": above, "b": below},
        title={"text": f"<b>{_TITLE}</b>", "subtitle": {"text": picture.caption}},
        legend={"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom"},
        xaxis={"type": "log", "title": frame.x_title, "range": frame.x, "showgrid": True},
        yaxis={"title": f"{picture.quality}, %", "range": frame.y, "showgrid": True},
    )
    figure.write_html(path, include_plotlyjs=True, full_html=True)
