"""Pictures with a prefix and their options: thresholds, texts, random masks, greys, sequences."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from lossatlas.errors import BadInput
from lossatlas.pictures import (
    SOURCES,
    GreyPicture,
    Picture,
    Raster,
    TextWords,
    find_picture_options,
    find_source,
    picture,
)
from lossatlas.schema import TARGET, TARGET_LOSS


def mask(spec: str, size: Any = None, **options: Any) -> Picture:
    found = picture(spec, size, **options)
    assert isinstance(found, Picture)
    return found


def saved(path: Path, values: Any, mode: str | None = None) -> Path:
    Image.fromarray(np.asarray(values, np.uint8), mode).save(path)
    return path


def ramp(tmp_path: Path) -> Path:
    """Brighter to the right and downwards, 40 to 200 of 255."""
    down, right = np.mgrid[0:60, 0:80]
    return saved(tmp_path / "ramp.png", 40 + 160 * (right + 0.5 * down) / 108.5)


# --- rasters


@pytest.mark.parametrize("shape", [(5,), (4, 6), (5, 4, 7)])
@pytest.mark.parametrize("padding", [0, 2])
def test_targets_go_to_the_grid_and_back(shape: tuple[int, ...], padding: int) -> None:
    generator = np.random.default_rng(0)
    losses = generator.gamma(1, 1, shape)
    losses.flat[2] = np.nan
    cells = generator.integers(-1, 2, shape)
    cells.flat[:3] = 1, -1, 0
    for this, name, kind in (
        (GreyPicture(losses, "grey"), TARGET_LOSS, np.float32),
        (Picture(cells, "mask"), TARGET, np.int8),
    ):
        (asked,) = this.list_variables(padding, "bit")
        stored, values, attributes = asked.name, asked.values, asked.attributes
        assert (stored, values.dtype) == (name, kind)
        assert values.shape == tuple(len(along) for along in this.grid(padding).values())
        assert this.name in attributes["long_name"]
        assert attributes["units"] == ("bit" if name == TARGET_LOSS else "1")
        back = this.from_grid(values, padding)
        wanted = this.losses.astype(np.float32) if isinstance(this, GreyPicture) else this.cells
        np.testing.assert_array_equal(back, wanted)
        np.testing.assert_array_equal(this.from_grid(this.to_grid(this.target, padding, 0.0), padding), this.target)
        if padding:
            border = values[0]
            assert (np.isnan(border) if kind is np.float32 else border == 0).all()


def test_the_target_rises_with_the_loss() -> None:
    np.testing.assert_array_equal(Picture(np.tile([1, -1, 0, 1], (4, 1)), "x").target[0], [-1, 1, np.nan, -1])
    losses = np.tile([0.1, 1.0, np.nan, 2.0], (4, 1))
    np.testing.assert_allclose(GreyPicture(losses, "x").target[0], np.log([0.1, 1.0, np.nan, 2.0]))


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.ones(()), "rank 0; expected 1 to 3"),
        (np.ones((3, 5)), "3 x 5 cells; expected at least 4"),
        (np.zeros((4, 5)), "target loss of 0.0; expected positive"),
        (np.full((4, 5), np.inf), "target loss of inf"),
        (np.full((4, 5), np.nan), "fewer than two levels"),
        (np.ones((4, 5)), "fewer than two levels"),
        (np.eye(4, 5, dtype=bool), "type bool; expected real numbers"),
        (np.full((4, 5), "grey"), "type <U4"),
    ],
)
def test_bad_losses_are_refused_in_one_line(losses: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        GreyPicture(losses, "bad")
    assert "'bad'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_losses_are_a_read_only_copy() -> None:
    losses = np.geomspace(0.1, 1, 20).reshape(4, 5)
    grey = GreyPicture(losses, "grey")
    losses[:] = 0
    assert grey.losses.min() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="read-only"):
        grey.losses[0, 0] = 1


# --- options


def test_every_option_has_a_default_and_the_next_name_is_suggested() -> None:
    for prefix in SOURCES:
        assert find_picture_options(f"{prefix}:x") is SOURCES[prefix]
        SOURCES[prefix]()
    assert find_picture_options("heart") is None
    with pytest.raises(BadInput, match="'sed' is not an option of picture 'random:0.3'; did you mean 'seed'. .*rings"):
        find_source("random:0.3", options={"sed": 1})
    for spec in ("heart", "array:x.npy"):
        with pytest.raises(BadInput, match=f"picture '{spec}' has no options; leave out 'seed'"):
            find_source(spec, options={"seed": 1})
    with pytest.raises(BadInput, match="is not a picture"):
        find_picture_options("hart")


def test_options_are_documented() -> None:
    for prefix in SOURCES:
        source = Path(str(__import__(SOURCES[prefix].__module__, fromlist=["x"]).__file__)).read_text()
        for field in fields(SOURCES[prefix]):
            _, after = source.split(f"    {field.name}: ", 1)
            assert after.splitlines()[1].startswith('    """'), field.name


def test_only_random_masks_have_no_coarse_version(tmp_path: Path) -> None:
    photo = ramp(tmp_path)
    for spec in ("heart", "text:HI", f"image:{photo}", f"grey:{photo}", "sequence:heart,text:HI"):
        assert find_source(spec).scalable
    assert not find_source("random:0.5").scalable
    assert not find_source("sequence:heart,random:0.5").scalable


# --- Otsu's threshold


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_otsu_parts_where_the_variance_between_classes_is_largest(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    generator = np.random.default_rng(seed)
    dark = generator.random((9, 11)) < generator.uniform(0.2, 0.8)
    grey = np.where(dark, generator.normal(80, 25, dark.shape), generator.normal(160, 25, dark.shape))
    grey = grey.clip(0, 255).astype(np.uint8)

    def between(level: int) -> float:
        below, above = grey[grey <= level].astype(float), grey[grey > level].astype(float)
        if not below.size or not above.size:
            return 0.0
        return below.size * above.size * (below.mean() - above.mean()) ** 2

    variances = [between(level) for level in range(256)]
    path = saved(tmp_path_factory.mktemp("otsu") / "grey.png", grey)
    low = mask(f"image:{path}", threshold="otsu").low
    level = int(grey[low].max())
    np.testing.assert_array_equal(low, grey <= level)
    assert variances[level] == pytest.approx(max(variances), rel=1e-9)


def test_bad_thresholds_are_refused(tmp_path: Path) -> None:
    flat = saved(tmp_path / "flat.png", np.full((6, 8), 90))
    with pytest.raises(BadInput, match=r"flat.png' is of one grey, which otsu cannot part"):
        picture(f"image:{flat}", threshold="otsu")
    for threshold in ("dark", "1.5", "nan", "0", ""):
        with pytest.raises(BadInput, match="threshold of image .* expected a luminance between 0 and 1, or otsu"):
            picture(f"image:{flat}", threshold=threshold)


# --- texts


def rows_of_ink(low: Any) -> int:
    """How many bands of rows with ink there are."""
    inked = np.concatenate([[False], low.any(axis=1)])
    return int(np.count_nonzero(inked[1:] & ~inked[:-1]))


@pytest.mark.parametrize("words", ["HI\\nYOU", "HI\nYOU"])
def test_line_breaks_typed_or_real(words: str) -> None:
    two = mask(f"text:{words}")
    assert two.name == "HI YOU"
    assert max(two.shape) == 40
    assert rows_of_ink(two.low) == 2
    assert rows_of_ink(mask("text:HI YOU").low) == 1
    np.testing.assert_array_equal(two.cells, mask("text:HI\\nYOU").cells)


def test_letters_stand_upright_and_read_from_the_left() -> None:
    letter = mask("text:L", 20).low
    height, width = letter.shape
    assert height == 20 > width
    assert letter[:, : width // 2].sum() > letter[:, width // 2 :].sum()
    assert letter[height // 2 :].sum() > letter[: height // 2].sum()
    np.testing.assert_array_equal(mask("text:L", 20, invert=True).low, ~letter)


@pytest.mark.parametrize("size", [20, 30, 40, 80])
def test_strokes_survive_and_the_margin_stays_clear(size: int) -> None:
    low = mask("text:HELLO", size).low
    inner = low[:, low.any(axis=0)]
    assert low[1:-1, 1:-1].sum() == low.sum()
    assert inner.shape[1] > 0.5 * size  # all five letters are there
    assert 0.15 < low.mean() < 0.5
    assert mask("text:HELLO", size, margin=1.0).low.mean() < low.mean()
    assert mask("text:HELLO", size, margin=0.0).low.any(axis=1).all()


def test_strokes_of_text_can_be_widened_on_both_sides() -> None:
    """A vertical stroke of a font of size s that is widened by w gets 2 w s wider, in units of the letter's height."""
    thin, wide = (mask("text:I", 200, stroke=stroke).low for stroke in (0.0, 0.05))
    aspects = [ink.any(axis=0).sum() / ink.any(axis=1).sum() for ink in (thin, wide)]
    assert aspects[1] > 1.5 * aspects[0]
    plain, bold = (mask("text:loss\\natlas", 100, stroke=stroke).low for stroke in (0.0, 0.03))
    assert plain.shape[1] == bold.shape[1] == 100
    assert bold.mean() > 1.3 * plain.mean()
    with pytest.raises(BadInput, match="stroke"):
        mask("text:I", 20, stroke=0.5)
    assert mask("text:I", 100, margin=0.0).low.mean() > 0.8  # ink up to the edge


def test_other_shapes_are_letterboxed_without_distortion() -> None:
    native = mask("text:OX", 30)
    height, width = native.shape
    tall = mask("text:OX", (height + 14, width)).low
    assert (tall[7:-7] != native.low).mean() < 0.02  # but for the rounding to whole pixels
    assert tall[7:-7].sum() == tall.sum()
    wide = mask("text:OX", (height, 50)).low
    inked = np.flatnonzero(wide.any(axis=0))
    assert abs(inked[0] - (49 - inked[-1])) <= 1
    assert np.ptp(inked) == pytest.approx(np.ptp(np.flatnonzero(native.low.any(axis=0))), abs=2)


def test_a_text_at_any_size_is_the_same_text() -> None:
    large, small = mask("text:A", 400), mask("text:A", 40)
    assert max(large.shape) == 400
    assert large.low.mean() == pytest.approx(small.low.mean(), abs=0.03)
    assert large.shape[1] / 10 == pytest.approx(small.shape[1], abs=1)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ("   ", {}, "is blank and leaves no ink"),
        ("\\n", {}, "is blank and leaves no ink"),
        ("\u4f60\u597d", {}, "the default font has no glyph for '\u4f60\u597d'.*option font"),
        ("A" * 501, {}, "501 characters; expected 500"),
        ("A", {"margin": -0.1}, "text's margin is -0.1; expected 0 to 10 sizes"),
        ("A", {"font": "/none.ttf"}, "cannot read font '/none.ttf'"),
        ("A" * 80, {}, "cells; expected at least 4 along every side: take a larger size"),
    ],
)
def test_bad_texts_are_refused_in_one_line(words: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        picture(f"text:{words}", **options)
    assert "\n" not in str(caught.value)


def test_another_font() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    source = TextWords(font=str(path)).open("\u00e9")
    found = source.render(20)
    assert isinstance(found, Picture)
    assert found.name == "\u00e9"
    with pytest.raises(BadInput, match="no glyph"):
        TextWords().open("\u00e9")


# --- random masks


def test_rings_are_high_then_low() -> None:
    cells = mask("random:0.5", (9, 14)).cells
    assert cells.shape == (9, 14)
    edge = np.ones((9, 14), bool)
    edge[1:-1, 1:-1] = False
    assert (cells[edge] == -1).all()
    second = ~edge
    second[2:-2, 2:-2] = False
    assert (cells[second] == 1).all()
    assert mask("random:0.5").shape == (30, 30)
    assert mask("random:0.5", 4).cells.tolist() == [[-1] * 4, [-1, 1, 1, -1], [-1, 1, 1, -1], [-1] * 4]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_the_share_of_low_cells_is_the_probability(probability: float) -> None:
    plain = mask(f"random:{probability}", (150, 200), rings=False).low
    error = np.sqrt(probability * (1 - probability) / plain.size)
    assert plain.mean() == pytest.approx(probability, abs=4 * error)
    ringed = mask(f"random:{probability}", (150, 200)).low
    np.testing.assert_array_equal(plain[2:-2, 2:-2], ringed[2:-2, 2:-2])
    # Neighbours are independent of one another.
    both = plain[:, 1:] & plain[:, :-1]
    assert both.mean() == pytest.approx(probability**2, abs=0.01)


def test_a_draw_is_a_function_of_its_key() -> None:
    first = mask("random:0.3", 20).cells
    np.testing.assert_array_equal(first, mask("random:0.30", (20, 20)).cells)
    assert (first != mask("random:0.3", 20, seed=1).cells).any()
    assert (first[2:-2, 2:-2] != mask("random:0.3", 24).cells[2:18, 2:18]).any()
    np.testing.assert_array_equal(mask("random:0.3", 20, invert=True).cells, -first)


@pytest.mark.parametrize("rest", ["0", "1", "-0.1", "1.5", "nan", "inf"])
def test_probabilities_outside_are_refused(rest: str) -> None:
    with pytest.raises(BadInput, match=r"is not a probability in \(0, 1\)"):
        picture(f"random:{rest}")
    with pytest.raises(BadInput, match="'half' is not a probability"):
        picture("random:half")


# --- greys


def test_greys_take_the_ends_and_rise_with_luminance(tmp_path: Path) -> None:
    grey = picture(f"grey:{ramp(tmp_path)}", low=0.1, high=1.6)
    assert isinstance(grey, GreyPicture)
    assert grey.shape == (24, 32)
    assert grey.losses.min() == pytest.approx(0.1)
    assert grey.losses.max() == pytest.approx(1.6)
    assert (np.diff(grey.losses, axis=0) > 0).all()
    assert (np.diff(grey.losses, axis=1) > 0).all()
    steps = np.diff(grey.target, axis=1)[:, 3:-3]  # linear in the logarithm
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.1)
    turned = picture(f"grey:{ramp(tmp_path)}", invert=True, low=0.1, high=1.6)
    np.testing.assert_allclose(turned.target, np.log(0.16) - grey.target, atol=1e-12)


def test_an_edge_in_a_photograph_does_not_overshoot(tmp_path: Path) -> None:
    path = saved(tmp_path / "edge.png", np.where(np.arange(100) < 50, 60, 190)[None].repeat(90, 0))
    grey = picture(f"grey:{path}", 25)
    assert isinstance(grey, GreyPicture)
    sides = grey.losses[:, [0, -1]]
    np.testing.assert_allclose(sides, np.tile([0.05, 2.3], (len(sides), 1)), rtol=0.02)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 2))
    pixels[..., 1] = 255
    pixels[:, 4:, 1] = 0
    grey = picture(f"grey:{saved(tmp_path / 'clear.png', pixels, 'LA')}", 8)
    assert grey.target[0, 0] < grey.target[0, 7]


def test_bad_greys_are_refused(tmp_path: Path) -> None:
    path = ramp(tmp_path)
    for low, high in (
        (0.0, 1.0),
        (1.0, 1.0),
        (2.0, 1.0),
        (-1.0, 1.0),
        (0.1, np.inf),
        (0.1, 1e6),
        (1e-30, 1e-20),
        (np.nan, 1.0),
    ):
        with pytest.raises(
            BadInput, match="beyond the loss range.*expected 1e-12 < low < high < 10000|is (inf|nan); expected a number"
        ):
            picture(f"grey:{path}", low=low, high=high)
    for value in (0, 77, 255):
        flat = saved(tmp_path / "flat.png", np.full((30, 41), value))
        with pytest.raises(BadInput, match="flat.png' at 30x41 is of one grey"):
            picture(f"grey:{flat}")
    with pytest.raises(BadInput, match="cannot read image"):
        picture("grey:none.png")


# --- sequences


def test_layers_are_the_single_pictures(tmp_path: Path) -> None:
    solid = mask("sequence:heart, star,text:A", 12)
    assert solid.shape == (12, 12, 12)
    assert solid.name == "heart, star, A"
    for k, spec in enumerate(("heart", "star", "text:A")):
        for layer in solid.cells[4 * k : 4 * k + 4]:
            np.testing.assert_array_equal(layer, mask(spec, (12, 12)).cells)
    assert solid.coords()[0, 0, 0, 2] < solid.coords()[-1, 0, 0, 2]  # the first lies lowest along w
    np.testing.assert_array_equal(mask("sequence:heart,star,text:A", 12, invert=True).cells, -solid.cells)


def test_the_depth_of_a_sequence() -> None:
    assert mask("sequence:heart,star").shape == (12, 12, 12)
    assert mask("sequence:heart,star", 9).shape == (8, 9, 9)
    assert mask("sequence:heart,star", 12, layers=3).shape == (6, 12, 12)
    assert mask("sequence:heart,star,ring,heart,star", 6).shape == (5, 6, 6)
    dealt = mask("sequence:heart,star,ring", (7, 10, 14))
    assert dealt.shape == (7, 10, 14)
    changes = [k for k in range(1, 7) if (dealt.cells[k] != dealt.cells[k - 1]).any()]
    assert changes == [2, 4]
    with pytest.raises(BadInput, match="5 pictures of sequence .* need a depth"):
        picture("sequence:heart,star,ring,heart,star", (4, 9, 9))


@pytest.mark.parametrize(
    ("rest", "options", "message"),
    [
        ("heart,grey:x.png", {}, "'grey:x.png' cannot stand in a sequence"),
        ("sequence:heart", {}, "'sequence:heart' cannot stand in a sequence"),
        ("heart,ball", {}, "'ball' in a sequence has 3 axes"),
        ("heart,hart", {}, "'hart' is not a picture; did you mean 'heart'"),
        ("heart,", {}, "'' is not a picture"),
        ("heart", {"layers": 0}, "sequence's layers is 0; expected a positive number"),
    ],
)
def test_bad_sequences_are_refused(rest: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        picture(f"sequence:{rest}", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_fonts_draw_or_are_refused(tmp_path: Path, seed: int) -> None:
    content = bytearray((Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf").read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, 2000 if seed % 2 else len(content), 20):
        content[place] = random.integers(256)
    (tmp_path / "odd.ttf").write_bytes(content)
    with suppress(BadInput):
        picture("text:H\u00e9", 16, font=str(tmp_path / "odd.ttf"))


def test_everything_is_a_raster(tmp_path: Path) -> None:
    photo = ramp(tmp_path)
    for spec in ("heart", "random:0.5", "text:HI", f"grey:{photo}", f"image:{photo}", "sequence:heart,star"):
        found = picture(spec, 12)
        assert isinstance(found, Raster)
        assert found.coords().shape == (*found.shape, len(found.shape))


def test_coarse_and_fine_renderings_of_a_grey_ask_for_the_same_losses(tmp_path: Path) -> None:
    """A small bright spot fades in a coarse picture; what surrounds it must not change for that."""
    pixels = np.full((120, 120), 40, dtype=np.uint8)
    pixels[:, 60:] = 60
    pixels[20:26, 20:26] = 255
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    fine, coarse = (picture(f"grey:{tmp_path / 'spot.png'}", size).losses for size in (32, 10))
    np.testing.assert_allclose(coarse[-1, [0, -1]], fine[-1, [0, -1]], rtol=1e-3)
