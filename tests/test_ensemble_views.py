"""Pictures and reports of ensembles: of one, and of several on shared axes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import xarray as xr
from ensemble_cases import BINS, classify, regress
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.text import Text
from shown import show
from test_slice_views import line

import lossatlas as la
from lossatlas.cli import main
from lossatlas.ensembles import Predictions, Rows, ScoringSettings, compare_ensembles, score_ensemble
from lossatlas.errors import BadInput
from lossatlas.exchange.ensemble import ENSEMBLE, read_ensemble
from lossatlas.exchange.netcdf import encode_netcdf
from lossatlas.provenance import FORMAT
from lossatlas.recipes.measured import describe_measurement
from lossatlas.rundir import RunDirectory
from lossatlas.schema import parse_texts
from lossatlas.views import ENSEMBLE_VIEWS, Style, draw, draw_interactive, looks
from lossatlas.views.ensembling import write_ensembles
from lossatlas.views.style import MILLIMETRE

SCORES = ("error", "nll", "brier", "ece")
COSTS = ("training_passes", "bytes", "evaluations")


def two() -> dict[str, xr.Dataset]:
    """Two ensembles of different sizes; the second costs one training whatever it has, and its memory is not known."""
    other = classify(4, seed=3)
    other["training_passes"] = other["training_passes"] * 0 + 12.0
    other["bytes"] = other["bytes"] * np.nan
    return {"deep": classify(), "swag": other}


def without_halves(one: xr.Dataset) -> xr.Dataset:
    """The same ensemble, of which nothing was chosen on halves of the examples."""
    return one[[name for name in one.data_vars if not {"order", "scale", "halving"} & set(one[name].dims)]]


def curves(ax: Axes, style: str = "-", colour: str | None = None) -> list[Line2D]:
    return [
        one
        for one in ax.get_lines()
        if one.get_linestyle() == style and len(one.get_xdata()) > 1 and colour in (None, one.get_color())
    ]


def test_every_kind_of_an_ensemble_says_what_it_is() -> None:
    assert set(ENSEMBLE_VIEWS) == {"score", "difference", "cost", "reliability", "diversity", "temperature"}
    assert all(ENSEMBLE_VIEWS[name].needs and ENSEMBLE_VIEWS[name].caption.endswith(".") for name in ENSEMBLE_VIEWS)
    assert list(draw(classify())) == ["score", "cost", "reliability", "diversity", "temperature"]
    assert list(draw(regress())) == ["score", "cost", "diversity", "temperature"]
    assert draw_interactive(classify()) is None
    with pytest.raises(BadInput, match=r"ensemble: it needs bins of confidence.*5 members and variables") as refused:
        draw(regress(), ["reliability"])
    assert "\n" not in str(refused.value)


def test_scores_are_drawn_as_they_are_with_bands_of_two_standard_errors() -> None:
    one = classify()
    figure = show(one, ["score"])["score"]
    assert len(figure.axes) == len(SCORES)
    for ax, score in zip(figure.axes, SCORES, strict=True):
        (whole,) = curves(ax)
        np.testing.assert_allclose(whole.get_ydata(), one[score])
        np.testing.assert_allclose(whole.get_xdata(), one["count"])
        (band,) = ax.collections
        reach = band.get_paths()[0].vertices[:, 1]
        error = one[f"{score}_standard_error"]
        assert reach.max() == pytest.approx(float((one[score] + 2 * error).max()))
        assert reach.min() == pytest.approx(float((one[score] - 2 * error).min()))
        for style, order, scale in (
            (":", "given", "raw"), ("-.", "given", "tempered"), ("--", "greedy", "raw"), ("--", "greedy", "tempered")
        ):  # fmt: skip
            halves = curves(ax, style, looks.colour(int(scale == "tempered")))
            np.testing.assert_allclose(halves[0].get_ydata(), one[f"{score}_halves"].sel(order=order, scale=scale))


def test_many_members_have_a_logarithmic_axis_and_few_have_not() -> None:
    assert show(classify(13), ["score"])["score"].axes[0].get_xscale() == "log"
    assert show(classify(12), ["score"])["score"].axes[0].get_xscale() == "linear"


def test_scores_that_are_infinite_are_marked_and_those_that_are_not_defined_are_named() -> None:
    one = classify()
    one["nll"][2] = np.inf
    picture = draw(one, ["score"])["score"]
    (mark,) = [
        each for each in picture.figure.axes[1].get_lines() if each.get_marker() == "x" and len(each.get_xdata())
    ]
    assert list(mark.get_xdata()) == [3]
    assert "1 infinite" in picture.caption
    picture = draw(regress(), ["score"])["score"]
    assert "not defined with one member: negative log likelihood of a Gaussian (nat)" in picture.caption
    assert list(curves(picture.figure.axes[1])[0].get_xdata()) == [2, 3, 4, 5]


def test_an_ensemble_without_halves_has_its_scores_alone() -> None:
    one = classify()
    pictures = draw(without_halves(one))
    assert list(pictures) == ["score", "cost", "reliability", "diversity"]
    assert len(pictures["score"].figure.axes[0].get_lines()) == 2  # the curve, and no marks of what is not finite


def test_costs_share_the_scores_of_a_row_and_name_what_is_not_known() -> None:
    several = two()
    picture = draw(several, ["cost"])["overlay_cost"]
    grid = np.array(picture.figure.axes).reshape(len(SCORES), len(COSTS))
    for row, score in zip(grid, SCORES, strict=True):
        assert len({ax.get_ylim() for ax in row}) == 1
        for ax, cost in zip(row, COSTS, strict=True):
            known = [name for name, one in several.items() if np.isfinite(one[cost]).all()]
            for name in known:
                (curve,) = curves(ax, "-", looks.colour([*several].index(name)))
                unit = 1000 if cost == "bytes" else 1
                np.testing.assert_allclose(curve.get_xdata(), several[name][cost] / unit)
                np.testing.assert_allclose(curve.get_ydata(), several[name][score])
                low, high = ax.get_ylim()
                assert low < float(several[name][score].min())
                assert high > float(several[name][score].max())
    assert "bytes not known of swag" in picture.caption.lower()
    assert "bytes held (kB)" in [ax.get_xlabel() for ax in grid[-1]]
    assert "swag: error of the averaged prediction" in picture.alt


def test_a_cost_that_nobody_knows_has_no_column() -> None:
    one = classify()
    one["bytes"] = one["bytes"] * np.nan
    picture = draw(one, ["cost"])["cost"]
    assert len(picture.figure.axes) == 2 * len(SCORES)
    assert "bytes not known" in picture.caption.lower()
    with pytest.raises(BadInput, match="what so many members cost"):
        draw(one.drop_vars(COSTS), ["cost"])


def test_a_reliability_diagram_has_the_bins_and_how_many_examples_are_in_each() -> None:
    one = classify()
    diagram, shares = show(one, ["reliability"])["reliability"].axes
    bars = [each for each in diagram.containers if isinstance(each, ErrorbarContainer)]
    assert len(bars) == one.sizes["stage"]
    for bar, stairs, stage in zip(bars, shares.patches, one["stage"].values, strict=True):
        own = one.sel(stage=stage)
        there = np.isfinite(own["bin_accuracy"].values)
        np.testing.assert_allclose(bar.lines[0].get_xdata(), own["bin_confidence"].values[there])
        np.testing.assert_allclose(bar.lines[0].get_ydata(), own["bin_accuracy"].values[there])
        accuracy, number = own["bin_accuracy"].values[there], 300 * own["bin_share"].values[there]
        (bounds,) = bar.lines[2]
        ends = np.array([segment[:, 1] for segment in bounds.get_segments()])
        np.testing.assert_allclose(np.ptp(ends, 1) / 4, np.sqrt(accuracy * (1 - accuracy) / number))
        np.testing.assert_allclose(stairs.get_data().values, own["bin_share"])
        assert len(stairs.get_data().edges) == BINS + 1
    several = show(two(), ["reliability"])["overlay_reliability"]
    assert [ax.get_title() for ax in several.axes[::2]] == list(one["stage"].values)


def test_diversity_has_the_pairs_of_one_ensemble_and_the_means_of_several() -> None:
    one = classify()
    *matrices, first, second = show(one, ["diversity"])["diversity"].axes
    for ax, name in zip(matrices, ("disagreement", "js_divergence"), strict=True):
        (image,) = ax.images
        off = ~np.eye(6, dtype=bool)
        np.testing.assert_allclose(np.ma.filled(image.get_array(), np.nan)[off], one[name].values[off])
        assert np.ma.getmaskarray(image.get_array()).diagonal().all()
    for ax, name in ((first, "mean_disagreement"), (second, "mean_js_divergence")):
        np.testing.assert_allclose(curves(ax)[0].get_ydata(), one[name].values[1:])
    several = show(two(), ["diversity"])["overlay_diversity"]
    assert [len(curves(ax)) for ax in several.axes] == [2, 2]
    assert list(draw(classify(pairs=False))) == ["score", "cost", "reliability", "temperature"]


def test_temperatures_are_geometric_means_and_those_at_a_bound_are_crossed() -> None:
    one = classify()
    one["temperature"][0, 2] = 20.0
    one["temperature_at_bound"][0, 2] = 10
    picture = draw(one, ["temperature"])["temperature"]
    (ax,) = picture.figure.axes
    curve = curves(ax, "-", looks.colour(0))[0]
    expected = np.exp(np.log(one["temperature"].sel(order="given")).mean(["halving", "half"]))
    np.testing.assert_allclose(curve.get_ydata(), expected)
    crosses = [each for each in ax.get_lines() if each.get_marker() == "x" and len(each.get_xdata())]
    assert [list(each.get_xdata()) for each in crosses] == [[3]]
    assert "10 of 120 at a bound, 0.05 or 20" in picture.caption
    (ax,) = show(regress(), ["temperature"])["temperature"].axes
    assert ax.get_ylabel() == "factor on the standard deviation"
    assert list(curves(ax)[0].get_xdata()) == [2, 3, 4, 5]


def test_several_ensembles_say_what_of_them_is_not_alike() -> None:
    several = two()
    pictures = draw(several)
    assert list(pictures) == [
        f"overlay_{name}" for name in ("score", "difference", "cost", "reliability", "diversity", "temperature")
    ]
    assert all("differ between" not in picture.caption for picture in pictures.values())
    several["swag"].attrs["data_hash"] = "other"
    assert all("test examples differ" in picture.caption.lower() for picture in draw(several).values())
    several["swag"].attrs["split"] = "train"
    assert "measured on different splits: test, train" in draw(several, ["score"])["overlay_score"].caption.lower()


def test_what_cannot_be_drawn_together_is_refused_in_a_line() -> None:
    for subject, said in (
        ({"a": classify(), "b": regress()}, "no score in common"),
        ({"a": classify(), "b": line()}, "'a' is an ensemble and 'b' is a survey"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            la.view(subject)
        assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="'b' is not an ensemble"):
        draw({"a": classify(), "b": line()})


@pytest.mark.parametrize("subject", ["one", "many", "regression", "several"])
def test_printed_pictures_can_be_read(subject: str) -> None:
    ensembles = {"one": classify(), "many": classify(20), "regression": regress(), "several": two()}[subject]
    for kind, picture in draw(ensembles, style=Style(width=85 * MILLIMETRE)).items():
        figure = picture.figure
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 6 - 1e-6, kind
        boxes = [ax.get_window_extent() for ax in figure.axes]
        assert not [1 for k, each in enumerate(boxes) for other in boxes[:k] if each.overlaps(other)], kind
        assert min(box.width for box in boxes) > 0.6 * figure.dpi, kind
        for ax in figure.axes:
            ticks = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_visible()]
            if kind.endswith("cost"):
                assert not [1 for k, each in enumerate(ticks) for other in ticks[:k] if each.overlaps(other)]


def read_tables(page: str) -> dict[str, list[list[str]]]:
    """The cells of the tables of a page, by the heading above each."""
    found = {}
    for heading, table in re.findall(
        r"<h[23][^>]*>([^<]*)</h[23]>(?:(?!<h[23]).)*?<table.*?>(.*?)</table>", page, re.S
    ):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.S)
        found[heading.strip()] = [
            [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
            for row in rows
        ]
    return found


def test_a_report_states_scores_with_errors_and_paired_differences(tmp_path: Path) -> None:
    one = classify()
    write_ensembles(tmp_path / "report.html", one, "members: 6", draw(one, ["reliability"]))
    page = (tmp_path / "report.html").read_text()
    tables = read_tables(page)
    assert list(tables) == [
        "Scores on all examples", "Scores on halves", "Temperatures", "Number of members", "Members"
    ]  # fmt: skip
    head, error, *_ = tables["Scores on all examples"]
    assert head[-1] == "all less the first"
    together, apart = float(one["error"][-1]), float(one["error_difference"][-1])
    assert error[3].startswith(f"{together:.3f} \u00b1 {float(one['error_standard_error'][-1]):.3f}")
    spread = float(one["error_difference_standard_error"][-1])
    assert error[4] == f"\u2212{-apart:.3f} \u00b1 {spread:.3f}"
    assert len(tables["Scores on halves"]) == 1 + 4 * len(SCORES)
    assert tables["Number of members"][-1][-4:] == ["3,000", "60", "240 kB", "6"]
    assert len(tables["Members"]) == 7
    assert page.count("<img") == 1


def test_a_report_of_several_ensembles_puts_them_side_by_side(tmp_path: Path) -> None:
    several = two()
    write_ensembles(tmp_path / "report.html", several, "", draw(several, ["reliability"]), title="Ways compared")
    page = (tmp_path / "report.html").read_text()
    head, deep, swag = read_tables(page)["Ensembles"]
    assert (head[0], head[-3:]) == ("ensemble", ["training passes", "bytes held", "evaluations"])
    assert (deep[:2], deep[-3:]) == (["deep", "6"], ["60", "240 kB", "6"])
    assert (swag[:2], swag[-3:]) == (["swag", "4"], ["12", "\u2013", "4"])
    assert "<title>Ways compared" in page


def test_a_report_states_temperatures_and_how_many_are_at_a_bound(tmp_path: Path) -> None:
    one = classify()
    one["temperature"][0, -1, 0, 0] = 20.0
    one["temperature_at_bound"][0, -1] = 1
    write_ensembles(tmp_path / "report.html", one, "", {})
    rows = {row[0]: row[1:] for row in read_tables((tmp_path / "report.html").read_text())["Temperatures"]}
    *_, highest, bound = rows["given order, 6 members"]
    assert (highest, bound) == ("20", "1 of 10")
    assert rows["greedy order, 6 members"][-1] == "0 of 10"


def test_differences_of_several_ensembles_are_those_of_their_examples(tmp_path: Path) -> None:
    several = two()
    expected = compare_ensembles(several["swag"], several["deep"])
    picture = show(several, ["difference"])["overlay_difference"]
    for ax, score in zip(picture.axes, SCORES, strict=True):
        raw, tempered = [each for each in ax.containers if isinstance(each, ErrorbarContainer)]
        own = expected[score]
        (bar,) = raw.lines[2]
        low, high = bar.get_segments()[0][:, 0]
        assert (low + high) / 2 == pytest.approx(own.difference, abs=1e-9)
        assert (high - low) / 4 == pytest.approx(own.standard_error, abs=1e-9)
        assert score in ("error", "ece") or tempered.lines[0].get_xdata()[0] != raw.lines[0].get_xdata()[0]
    write_ensembles(tmp_path / "report.html", several, "", {})
    head, swag = read_tables((tmp_path / "report.html").read_text())["Paired differences from deep"]
    assert (head[0], swag[0], len(head)) == ("ensemble", "swag", 1 + 2 * len(SCORES))
    assert float(swag[2].split(" ")[0].replace("\u2212", "-")) == pytest.approx(expected["nll"].difference, abs=1e-3)


def test_differences_that_are_infinite_are_named() -> None:
    several = two()
    several["swag"]["example_nll"][0, 3] = np.inf
    picture = draw(several, ["difference"])["overlay_difference"]
    assert "not finite: swag in negative log likelihood (nat)" in picture.caption
    picture.figure.draw_without_rendering()


def test_differences_of_other_examples_are_not_shown(tmp_path: Path) -> None:
    several = two()
    several["swag"].attrs["data_hash"] = "another"
    assert "overlay_difference" not in draw(several)
    write_ensembles(tmp_path / "report.html", several, "", {})
    assert not [title for title in read_tables((tmp_path / "report.html").read_text()) if "Paired" in title]


def test_a_report_states_differences_from_another_ensemble(tmp_path: Path) -> None:
    deep, swag = two().values()
    write_ensembles(tmp_path / "report.html", swag, "", {}, against={"runs/deep": deep})
    _, (name, *_) = read_tables((tmp_path / "report.html").read_text())["Paired differences from runs/deep"]
    assert name == "deep"  # as it says itself, like all data of these tests


@pytest.mark.parametrize("bare", [False, True])
def test_a_regression_and_what_lacks_variables_have_reports(tmp_path: Path, bare: bool) -> None:
    one = regress()
    if bare:
        one = without_halves(one).drop_vars([*COSTS, "training_steps"])
    write_ensembles(tmp_path / "report.html", one, "", draw(one, ["temperature"] * (not bare)))
    tables = read_tables((tmp_path / "report.html").read_text())
    assert ("Scores on halves" in tables) is not bare
    likelihood = tables["Scores on all examples"][2]
    assert likelihood[1] == "\u2013"
    assert "nan" not in str(tables)


def put_run(path: Path, data: xr.Dataset) -> Path:
    """A run directory with the scores of an ensemble."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    run.write_json("provenance.json", {"format": FORMAT})
    run.write_bytes(ENSEMBLE, encode_netcdf(data))
    (path / "config.yaml").write_text("members: [a, b]\nmodel: mlp\ndata: digits\nseed: 3\n")
    return path


def test_runs_of_ensembles_are_viewed_by_their_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [put_run(tmp_path / name, one) for name, one in two().items()]
    xr.testing.assert_identical(read_ensemble(runs[0]), two()["deep"])
    assert list(la.view(runs[0], kinds="temperature")) == ["temperature"]
    assert list(la.view(runs, kinds=["cost"])) == ["overlay_cost"]
    assert main(["view", str(runs[0]), "--kinds", "score"]) == 0
    assert (runs[0] / "score.png").is_file()
    caption = (runs[0] / "score.caption.txt").read_text()
    assert "Sample: 300 test examples" in caption
    assert "temperature in [0.05, 20] and greedy order chosen on one half" in caption
    assert main(["view", *map(str, runs), "--kinds", "score", "cost", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"overlay_score.png", "overlay_cost.png"}
    capsys.readouterr()
    assert main(["view", str(runs[0]), "--export", str(tmp_path / "a.csv")]) == 2
    assert "is an ensemble; its numbers are in" in capsys.readouterr().err


@pytest.mark.parametrize("lacks", ["ensemble", "scores", "examples", "member_nll", "nll", "count"])
def test_a_file_that_holds_something_else_is_refused_in_a_line(tmp_path: Path, lacks: str) -> None:
    one = classify(2)
    if lacks in one.attrs:
        del one.attrs[lacks]
    else:
        one = one.drop_vars(lacks)
    with pytest.raises(BadInput, match="does not hold the scores of an ensemble") as refused:
        la.view(put_run(tmp_path / "run", one))
    assert "\n" not in str(refused.value)


def test_a_file_whose_variables_have_other_dimensions_is_refused_in_a_line(tmp_path: Path) -> None:
    one = classify(2)
    wrong = {
        "nll_halves": one.assign(nll_halves=one["nll_halves"].isel(scale=0, drop=True)),
        "bin_accuracy": one.assign(bin_accuracy=one["bin_accuracy"].mean("stage")),
        "nll has": one.assign(nll=one["nll"].rename(count="number")),
        "labels of order": one.drop_vars("order"),
    }
    for place, (words, damaged) in enumerate(wrong.items()):
        with pytest.raises(BadInput, match=f"as this version keeps them: .*{words}") as refused:
            read_ensemble(put_run(tmp_path / str(place), damaged))
        assert "\n" not in str(refused.value)


def test_how_an_ensemble_was_scored_is_said() -> None:
    said = " ".join(describe_measurement(classify()))
    assert "Network mlp on digits." in said
    assert "Averaged: the probabilities of 6 members." in said
    assert "Expected calibration error over 15 bins of equal width" in said
    assert "On halves stratified by class (5 halvings, seed 0)" in said
    assert "over 1,000 bootstrap samples" in said
    said = " ".join(describe_measurement(regress()))
    assert "factor on the spread in [0.05, 20]" in said
    assert "calibration" not in said


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_what_is_scored_is_what_is_shown(kind: Literal["classes", "values"], tmp_path: Path) -> None:
    """Data of :func:`score_ensemble` itself, as they come back from a file and without what a run adds to them."""
    random = torch.Generator().manual_seed(0)
    targets = torch.arange(80) % 4 if kind == "classes" else torch.randn(80, 1, generator=random)
    clean = 2.0 * torch.eye(4)[targets] if kind == "classes" else targets
    noisy = clean + 1.5 * torch.randn(4, *clean.shape, generator=random)
    values = noisy.log_softmax(2) if kind == "classes" else noisy
    rows = Rows(kind, targets, clean.shape[1], torch.arange(80), 80)
    found = score_ensemble(Predictions(["a", "b", "c", "d"], rows, values), ScoringSettings(halvings=2, bootstrap=20))
    run = put_run(tmp_path / "run", found)
    pictures = la.view(run)
    assert list(pictures) == ["score", *["reliability"] * (kind == "classes"), "diversity", "temperature"]
    for ax, score in zip(pictures["score"].figure.axes, parse_texts(found.attrs["scores"]), strict=True):
        whole, *_ = curves(ax, "-")
        np.testing.assert_allclose(whole.get_ydata(), found[score].values[-len(whole.get_ydata()) :])
    write_ensembles(tmp_path / "report.html", read_ensemble(run), "", {})
    tables = read_tables((tmp_path / "report.html").read_text())
    assert len(tables["Scores on halves"]) == 1 + 4 * len(parse_texts(found.attrs["scores"]))
    assert "nan" not in str(tables)
    assert "Sample: 80 examples" in " ".join(describe_measurement(read_ensemble(run)))
