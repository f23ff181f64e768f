"""The picture of accuracy against cost."""

from __future__ import annotations

import builtins
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from frugal_core import Policy, Recording, fit
from frugal_core.cli import app
from frugal_core.errors import FrugalError
from frugal_core.report.frugalgpt import frugalgpt_chain
from frugal_core.report.labels import place_labels
from frugal_core.report.picture import Picture, draw
from frugal_core.student import STUDENT
from tests.unit_tests.core.samples import PRICES, answer, rows, write, write_prices


@pytest.fixture(scope="module")
def halves() -> list[Recording]:
    return Recording.from_rows(rows(600), PRICES).split(0.5, 0.5)


@pytest.fixture(scope="module")
def policy(halves: list[Recording]) -> Policy:
    return fit(halves[0], promise=0.05, student=False)


@pytest.fixture(scope="module")
def picture(halves: list[Recording], policy: Policy) -> Picture:
    chain = frugalgpt_chain(policy, *halves)
    return Picture(policy.curve(halves[1]), chain, "accuracy", "drawn on 300 queries")


def test_png(picture: Picture, tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    draw(picture, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_html_needs_nothing_from_elsewhere(picture: Picture, tmp_path: Path) -> None:
    path = tmp_path / "curve.html"
    draw(picture, path)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)
    for words in ("large", "learned frontier", "USD per 1,000 queries", "accuracy, %", "oracle"):
        assert words in page


@pytest.mark.parametrize(("suffix", "library"), [(".png", "matplotlib"), (".html", "plotly")])
def test_missing_library(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, library: str
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FrugalError, match=r"needs .*: pip install 'frugal-cascade\[report\]'"):
        draw(picture, tmp_path / f"curve{suffix}")


def test_a_free_policy_has_a_place_on_the_logarithmic_axis(
    picture: Picture, tmp_path: Path
) -> None:
    free = replace(picture.curve.policy, usd=0.0)
    path = tmp_path / "curve.html"
    draw(replace(picture, curve=replace(picture.curve, policy=free)), path)
    assert "the left end is" in path.read_text(encoding="utf-8")


class TestFrugalGPT:
    def test_chains_hold_models_only(self, halves: list[Recording], policy: Policy) -> None:
        points = frugalgpt_chain(policy, *halves)
        assert points
        for point in points:
            assert STUDENT not in point.chain.tiers
            assert not point.chain.best_of

    def test_measured_on_the_test_rows(self, halves: list[Recording], policy: Policy) -> None:
        test = halves[1]
        singles = {point.chain.tiers[0]: point for point in policy.curve(test).singles}
        found = [p for p in frugalgpt_chain(policy, *halves) if len(p.chain.tiers) == 1]
        assert found
        for point in found:
            assert point.accuracy == singles[point.chain.tiers[0]].accuracy
            assert point.usd == pytest.approx(singles[point.chain.tiers[0]].usd)

    def test_a_model_that_is_always_right(self) -> None:
        perfect = [
            {**row, "answers": {**row["answers"], "large": answer(row["reference"])}}
            for row in rows(200)
        ]
        train, test = Recording.from_rows(perfect, PRICES).split(0.5, 0.5)
        policy = fit(train, budget=1.0, student=False)
        assert max(p.accuracy for p in frugalgpt_chain(policy, train, test)) == 1.0


class TestLabels:
    def test_names_cover_neither_each_other_nor_the_points(self) -> None:
        points = [(300.0 + 9 * (i % 4), 300.0 + 11 * (i // 4)) for i in range(12)]
        sizes = [(90.0, 13.0)] * 12
        middles = place_labels(points, sizes, [], (900.0, 600.0))
        for (x0, y0), (x1, y1) in itertools.combinations(middles, 2):
            assert abs(x0 - x1) >= 90 or abs(y0 - y1) >= 13
        for (x, y), (px, py) in itertools.product(middles, points):
            assert abs(x - px) >= 45 or abs(y - py) >= 6.5

    def test_names_stay_in_the_plot(self) -> None:
        ((x, y),) = place_labels([(895.0, 595.0)], [(120.0, 13.0)], [], (900.0, 600.0))
        assert x <= 840
        assert y <= 593.5


class TestCommand:
    def test_without_policy(self, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", rows(300))
        prices = write_prices(tmp_path)
        result = CliRunner().invoke(
            app, ["curve", str(path), "--prices", str(prices), "-o", str(tmp_path / "c.png")]
        )
        assert result.exit_code == 0, result.output
        assert "fitted on 150 queries of in.jsonl, everything drawn on the other 150" in (
            result.stdout
        )
        assert (tmp_path / "c.png").stat().st_size > 10_000

    def test_with_policy(self, tmp_path: Path, policy: Policy) -> None:
        policy.save(tmp_path / "my.frugal")
        path = write(tmp_path / "in.jsonl", rows(300, seed=3))
        arguments = ["--policy", str(tmp_path / "my.frugal"), "-o", str(tmp_path / "c.html")]
        result = CliRunner().invoke(app, ["curve", str(path), *arguments])
        assert result.exit_code == 0, result.output
        assert "FrugalGPT's kind of chain fitted on 150 queries" in result.stdout

    @pytest.mark.parametrize(("name", "said"), [("c.pdf", ".png or .html"), ("no/c.png", "exist")])
    def test_bad_output(self, tmp_path: Path, name: str, said: str) -> None:
        path = write(tmp_path / "in.jsonl", rows(20))
        result = CliRunner().invoke(app, ["curve", str(path), "-o", str(tmp_path / name)])
        assert result.exit_code == 2
        assert said in result.stderr
