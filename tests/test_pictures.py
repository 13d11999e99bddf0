"""Pictures: their geometry, where they come from, and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from lossatlas.errors import BadInput
from lossatlas.files import images
from lossatlas.pictures import (
    SHAPES,
    SOURCES,
    ArraySource,
    ImageFile,
    Picture,
    Shape,
    ShapeSource,
    Source,
    find_source,
    parse_size,
    picture,
)

Cells = npt.NDArray[np.int8]


def with_both_classes(cells: Cells) -> Cells:
    cells = cells.copy()
    cells.flat[:2] = 1, -1
    return cells


CELLS = arrays.arrays(
    np.int8,
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=4, max_side=7),
    elements=st.integers(-1, 1),
).map(with_both_classes)

LETTER = np.array(  # an L, lower left in a 4 x 6 picture: no symmetry hides a flip
    [
        [-1, -1, -1, -1, -1, -1],
        [1, -1, -1, -1, -1, -1],
        [1, -1, -1, -1, -1, -1],
        [1, 1, 1, -1, -1, -1],
    ],
    np.int8,
)


# --- the picture itself


def test_axes_run_right_and_up() -> None:
    letter = Picture(LETTER, "L")
    coords = letter.coords()
    assert (letter.axes, letter.shape, letter.size) == (("u", "v"), (4, 6), 6)
    np.testing.assert_allclose(coords[0, 0], [-2.5 / 3, 1.5 / 3])
    np.testing.assert_allclose(coords[3, 5], [2.5 / 3, -1.5 / 3])
    on_grid = letter.on_grid(0)
    np.testing.assert_array_equal(on_grid[:, 0], LETTER[3])  # v is smallest in the bottom row
    np.testing.assert_array_equal(on_grid[0], LETTER[::-1, 0])


def test_a_stack_rises_with_w() -> None:
    cells = np.full((5, 4, 6), -1)
    cells[4, 0, 1] = 1
    stack = Picture(cells, "stack")
    assert stack.axes == ("u", "v", "w")
    np.testing.assert_allclose(stack.coords()[4, 0, 1], [-1.5 / 3, 1.5 / 3, 2 / 3])
    assert stack.on_grid(1).shape == (8, 6, 7)
    assert stack.on_grid(1)[2, 4, 5] == 1


def test_a_line_has_one_axis() -> None:
    line = Picture(np.array([True, False, False, True, True]), "line")
    assert line.cells.tolist() == [1, -1, -1, 1, 1]
    np.testing.assert_allclose(line.coords()[:, 0], np.array([-2, -1, 0, 1, 2]) / 2.5)


def slow_coords(cells: Cells) -> npt.NDArray[np.float64]:
    coords = np.empty((*cells.shape, cells.ndim))
    half = max(cells.shape) / 2
    for index in np.ndindex(cells.shape):
        *stack, j = index
        coords[index][0] = (j - (cells.shape[-1] - 1) / 2) / half
        if stack:
            coords[index][1] = ((cells.shape[-2] - 1) / 2 - stack[-1]) / half
        if len(stack) > 1:
            coords[index][2] = (stack[0] - (cells.shape[0] - 1) / 2) / half
    return coords


@settings(max_examples=50, deadline=None)
@given(cells=CELLS, padding=st.integers(0, 3))
def test_grids_and_cells_agree(cells: Cells, padding: int) -> None:
    this = Picture(cells, "any")
    coords = this.coords()
    np.testing.assert_allclose(coords, slow_coords(cells), atol=1e-15)
    np.testing.assert_allclose(coords.reshape(-1, cells.ndim).mean(axis=0), 0, atol=1e-12)

    grid, on_grid = this.grid(padding), this.on_grid(padding)
    assert tuple(grid) == this.axes
    assert on_grid.shape == tuple(len(along) for along in grid.values())
    np.testing.assert_array_equal(this.from_grid(on_grid, padding), cells)
    assert np.abs(on_grid).sum() == np.abs(cells).sum()  # nothing but zeros in the padding
    for along in grid.values():
        np.testing.assert_allclose(np.diff(along), 2 / this.size)
    for d, along in enumerate(np.meshgrid(*grid.values(), indexing="ij")):
        np.testing.assert_array_equal(this.from_grid(along, padding), coords[..., d])


def slow_drawn(cells: Cells) -> npt.NDArray[np.bool_]:
    drawn = np.zeros(cells.shape, bool)
    for index in np.ndindex(cells.shape):
        around = itertools.product(
            *[range(max(i - 1, 0), min(i + 2, n)) for i, n in zip(index, cells.shape, strict=True)]
        )
        drawn[index] = cells[index] != 0 and any(cells[other] != cells[index] for other in around)
    return drawn


@settings(max_examples=50, deadline=None)
@given(cells=CELLS)
def test_drawn_cells_against_a_loop(cells: Cells) -> None:
    np.testing.assert_array_equal(Picture(cells, "any").find_boundary(), slow_drawn(cells))


def test_drawn_cells_do_not_wrap_around() -> None:
    cells = np.full((5, 9), -1)
    cells[:, 0] = 1
    drawn = Picture(cells, "edge").find_boundary()
    assert drawn[:, :2].all()
    assert not drawn[:, 2:].any()


def test_an_ignored_neighbour_counts_as_another_value() -> None:
    cells = np.full((5, 9), -1)
    cells[0, 0] = 1
    cells[2, 6] = 0
    drawn = Picture(cells, "hole").find_boundary()
    assert drawn[1:4, 5:8].sum() == 8
    assert not drawn[2, 6]
    assert not drawn[2, 4]


def test_cells_are_a_read_only_copy() -> None:
    cells = LETTER.copy()
    letter = Picture(cells, "L")
    cells[:] = 0
    np.testing.assert_array_equal(letter.cells, LETTER)
    with pytest.raises(ValueError, match="read-only"):
        letter.cells[0, 0] = 0
    np.testing.assert_array_equal(letter.low, LETTER == 1)
    np.testing.assert_array_equal(letter.high, LETTER == -1)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.complex128])
def test_any_number_type_will_do(dtype: type) -> None:
    cells = Picture(LETTER.astype(dtype), "L").cells
    assert cells.dtype == np.int8
    np.testing.assert_array_equal(cells, LETTER)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (np.ones(()), "rank 0; expected 1 to 3"),
        (np.ones((4, 4, 4, 4)), "rank 4; expected 1 to 3"),
        (np.eye(3, 5, dtype=bool), "3 x 5 cells; expected at least 4"),
        (np.zeros((0, 5)), "0 x 5 cells"),
        (np.full((4, 5), 2), "value 2; expected .*True low, False high"),
        (np.full((4, 5), 0.5), "value 0.5"),
        (np.full((4, 5), np.nan), "value nan"),
        (np.full((4, 5), "ink"), "type <U3; expected numbers"),
        (np.ones((4, 5), bool), "no high cells"),
        (np.zeros((4, 5), bool), "no low cells"),
        (np.eye(4, 5), "no high cells .* booleans"),
    ],
)
def test_bad_cells_are_refused_in_one_line(cells: npt.NDArray[np.generic], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        Picture(cells, "bad")  # type: ignore[arg-type]
    assert "'bad'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_grids_are_refused() -> None:
    letter = Picture(LETTER, "L")
    for call in (letter.grid, letter.on_grid):
        with pytest.raises(BadInput, match="padding of a picture is -1"):
            call(-1)
    with pytest.raises(BadInput, match=r"\(4, 6\) are not on the grid .*expected \(8, 6\), .* u, v"):
        letter.from_grid(LETTER, 1)


# --- sizes


def test_sizes_are_parsed() -> None:
    assert parse_size("40") == 40
    assert parse_size("30x40") == (30, 40)
    assert parse_size("12x13x14") == (12, 13, 14)


@settings(deadline=None)
@given(sides=st.lists(st.integers(4, 10**5), min_size=1, max_size=3))
def test_sizes_come_back(sides: list[int]) -> None:
    size = parse_size("x".join(map(str, sides)))
    assert size == (sides[0] if len(sides) == 1 else tuple(sides))


@pytest.mark.parametrize(
    "text", ["", "x", "40x", "-40", "4.5", "30 x 40", "30*40", "5x5x5x5", "forty", "٤٠", "9" * 5000]
)
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a size; expected"):
        parse_size(text)


@pytest.mark.parametrize("text", ["3", "0", "40x3"])
def test_small_sizes_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="too small; expected at least 4"):
        parse_size(text)


# --- shapes

FLAT = [name for name in SHAPES if SHAPES[name].rank == 2]


def test_the_shapes_are_there() -> None:
    assert {"heart", "star", "ring", "spiral", "smiley", "skull", "chessboard", "ball", "comb"} <= set(SHAPES)


@pytest.mark.parametrize("name", list(SHAPES))
def test_every_shape_at_every_size(name: str) -> None:
    rank = SHAPES[name].rank
    assert picture(name).shape == ({1: 40, 2: 40, 3: 12}[rank],) * rank
    assert picture(name, 12).shape == (12,) * rank
    sides = (14, 21, 17)[:rank]
    assert picture(name, sides).shape == sides
    assert picture(name, 12).name == name
    np.testing.assert_array_equal(picture(name, 12, invert=True).cells, -picture(name, 12).cells)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "chessboard"])
def test_shapes_leave_a_margin(name: str) -> None:
    low = picture(name, 40).low
    inner = low[(slice(1, -1),) * low.ndim]
    assert low.sum() == inner.sum()


@pytest.mark.parametrize("name", ["heart", "ring", "skull", "smiley", "star"])
def test_shapes_are_symmetric_and_undistorted(name: str) -> None:
    for size in (24, 40, 51):
        cells = picture(name, size).cells
        np.testing.assert_array_equal(cells, cells[:, ::-1])
    wide = picture(name, (24, 36)).cells
    np.testing.assert_array_equal(wide[:, 6:-6], picture(name, 24).cells)
    assert (wide[:, :6] == -1).all()


def pieces(ink: npt.NDArray[np.bool_]) -> int:
    """How many pieces the ink has, cells that touch at a corner being joined."""
    left, count = {tuple(index) for index in np.argwhere(ink)}, 0
    while left:
        count, queue = count + 1, [left.pop()]
        while queue:
            i, j = queue.pop()
            near = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)} & left
            left -= near
            queue += near
    return count


@pytest.mark.parametrize("size", [24, 30, 40, 50])
def test_strokes_have_no_gaps(size: int) -> None:
    assert pieces(picture("spiral", size).low) == 1
    assert pieces(picture("ring", size).low) == 1
    assert pieces(picture("smiley", size).low) == 4  # outline, mouth and two eyes


@pytest.mark.parametrize("size", [40, 50])
def test_the_skull_is_drawn_in_thin_lines(size: int) -> None:
    low = picture("skull", size).low
    assert pieces(low) == 4  # outline with teeth, nose and two eyes
    assert 0.1 < low.mean() < 0.25


def test_up_is_up() -> None:
    """The tip of the heart is below, that of the star above."""
    heart, star = picture("heart", 40).low, picture("star", 40).low
    assert heart[:20].sum() > heart[20:].sum()
    rows = np.flatnonzero(star.any(axis=1))
    assert star[rows[0]].sum() <= 2


def test_a_formula_sees_x_to_the_right_y_up_and_z_through_the_stack() -> None:
    for axis, sign in ((2, 1), (1, -1), (0, 1)):
        shape = Shape(lambda *xyz, axis=axis: np.broadcast_arrays(*xyz[:3])[2 - axis] > 0, rank=3)
        cells = ShapeSource(shape, "half").render((4, 6, 8)).cells
        means = np.moveaxis(cells, axis, 0).reshape(cells.shape[axis], -1).mean(axis=1)
        np.testing.assert_array_equal(means[::sign] > 0, np.arange(len(means)) >= len(means) // 2)


def test_the_size_of_a_shape_is_checked() -> None:
    with pytest.raises(BadInput, match="'heart' would be 3x3 cells; expected at least 4"):
        picture("heart", 3)
    with pytest.raises(BadInput, match="'heart' would be 3x20 cells"):
        picture("heart", (3, 20))
    with pytest.raises(BadInput, match="'heart' has rank 2 but the size 9x9x9 has 3; expected 2 numbers"):
        picture("heart", (9, 9, 9))


# --- images


def image(path: Path, invert: bool = False, threshold: str | None = None) -> Source:
    return ImageFile(threshold).open(str(path), invert)


@pytest.fixture
def luminance(tmp_path: Path) -> Path:
    """The letter in black on white, ten pixels per cell."""
    path = tmp_path / "letter.png"
    Image.fromarray(np.where(LETTER > 0, 0, 255).astype(np.uint8).repeat(10, 0).repeat(10, 1)).save(path)
    return path


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    """The letter in opaque white on transparent black."""
    ink = (LETTER > 0).repeat(10, 0).repeat(10, 1)
    path = tmp_path / "alpha.png"
    Image.fromarray((ink[..., None] * np.full(4, 255)).astype(np.uint8), "RGBA").save(path)
    return path


def test_dark_is_ink(luminance: Path) -> None:
    source = image(luminance)
    assert (source.name, source.rank) == ("letter", 2)
    assert source.render().shape == (27, 40), "at most 40 cells by default"
    assert source.render(60).shape == (40, 60)
    np.testing.assert_array_equal(source.render(6).cells, LETTER)
    np.testing.assert_array_equal(source.render((4, 6)).cells, LETTER)
    np.testing.assert_array_equal(image(luminance, invert=True).render(6).cells, -LETTER)
    assert source.render(21).shape == (14, 21)
    assert source.render((9, 8)).shape == (9, 8)


def test_opaque_is_ink(alpha: Path) -> None:
    np.testing.assert_array_equal(image(alpha).render(6).cells, LETTER)
    np.testing.assert_array_equal(picture(f"image:{alpha}", 6, invert=True).cells, -LETTER)


def test_half_opaque_is_ink_and_half_bright_is_not(tmp_path: Path) -> None:
    ink, opacity = np.zeros_like(LETTER, np.uint8), np.where(LETTER > 0, 128, 127).astype(np.uint8)
    Image.fromarray(np.stack([ink, opacity], -1), "LA").save(tmp_path / "half.png")
    np.testing.assert_array_equal(image(tmp_path / "half.png").render().cells, LETTER)
    Image.fromarray(np.where(LETTER > 0, 127, 128).astype(np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(image(tmp_path / "grey.png").render().cells, LETTER)


def test_an_alpha_channel_that_is_opaque_everywhere_says_nothing(tmp_path: Path) -> None:
    grey = np.where(LETTER > 0, 0, 255).astype(np.uint8)
    Image.fromarray(np.stack([grey, np.full_like(grey, 255)], -1), "LA").save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(image(tmp_path / "opaque.png").render().cells, LETTER)


def test_a_threshold_asks_for_luminance(tmp_path: Path) -> None:
    grey = np.where(LETTER > 0, 50, 100).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "dim.png")
    np.testing.assert_array_equal(image(tmp_path / "dim.png", threshold="0.3").render().cells, LETTER)
    with pytest.raises(BadInput, match="dim.png.*no high cells.*threshold"):
        image(tmp_path / "dim.png").render()
    opacity = np.full_like(grey, 255)
    opacity[0] = 0
    Image.fromarray(np.stack([grey, opacity], -1), "LA").save(tmp_path / "corner.png")
    np.testing.assert_array_equal(image(tmp_path / "corner.png", threshold="0.3").render().cells, LETTER)
    with pytest.raises(BadInput, match="threshold of image .* is 1.5"):
        image(tmp_path / "dim.png", threshold="1.5")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.where(LETTER > 0, 0, 255).astype(np.uint8))
    if mode == "I;16":
        letter = Image.fromarray(np.where(LETTER > 0, 10_000, 50_000).astype(np.uint16))
    else:
        letter = grey.convert(mode)
    path = tmp_path / "letter.tif"
    letter.save(path)
    np.testing.assert_array_equal(image(path).render().cells, LETTER)


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_colour_that_is_declared_transparent_is_background(tmp_path: Path, mode: str) -> None:
    letter = Image.fromarray(np.where(LETTER > 0, 255, 0).astype(np.uint16 if mode == "I;16" else np.uint8))
    letter.save(tmp_path / "key.png", transparency=0)
    np.testing.assert_array_equal(image(tmp_path / "key.png").render().cells, LETTER)


def test_a_picture_that_cannot_be_read_is_refused(tmp_path: Path, luminance: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read image '.*none.png' \(No such file or directory\); expected"):
        image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "short.png").write_bytes(luminance.read_bytes()[:-60])
    for name in ("text.png", "short.png", ""):
        with pytest.raises(BadInput, match="cannot read image") as caught:
            image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_images_are_decoded_by_few_decoders_and_to_few_pixels(
    tmp_path: Path, luminance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in ("ico", "tga", "eps", "pcx"):  # the third is a program, which another program would execute
        Image.new("RGB", (16, 16)).save(tmp_path / f"a.{form}")
        with pytest.raises(
            BadInput, match=r"a\.\w+' \(it is not an image of a known format; expected one of PNG, JPEG, TIFF, GIF"
        ):
            image(tmp_path / f"a.{form}")
    Image.new("1", (40_000, 25_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 2**18
    with pytest.raises(BadInput, match=r"bomb.png' \(.*pixels") as caught:
        image(tmp_path / "bomb.png")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(images, "MOST_PIXELS", 99)
    with pytest.raises(BadInput, match=r"\(it has [0-9,]+ pixels; make it smaller\)"):
        image(luminance)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM"])
def test_damaged_images_are_pictures_or_refused(tmp_path: Path, form: str) -> None:
    ramp = Image.fromarray(np.tile(np.arange(30, dtype=np.uint8) * 8, (24, 1)))
    ramp.save(tmp_path / "whole", form)
    whole, random = (tmp_path / "whole").read_bytes(), np.random.default_rng(0)
    assert image(tmp_path / "whole").render(12).shape == (10, 12)
    for round_ in range(30):
        content = bytearray(whole)
        for place in random.integers(0, len(content), 1 + round_ % 4):
            content[place] = random.integers(256)
        (tmp_path / "odd").write_bytes(content[: len(content) - round_ % 7])
        for spec in ("image", "grey"):
            with suppress(BadInput):
                picture(f"{spec}:{tmp_path / 'odd'}", 12)


def test_a_flat_image_that_would_lose_its_sides_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.array([0, 255], np.uint8), (4, 20))).save(tmp_path / "flat.png")
    with pytest.raises(BadInput, match="'flat' would be 2x20 cells"):
        image(tmp_path / "flat.png").render(20)


# --- arrays


@settings(max_examples=40, deadline=None)
@given(cells=CELLS)
def test_arrays_are_kept_as_they_are(cells: Cells) -> None:
    source = ArraySource(cells, "any")
    assert source.rank == cells.ndim
    np.testing.assert_array_equal(source.render().cells, cells)
    np.testing.assert_array_equal(source.render(max(cells.shape)).cells, cells)
    np.testing.assert_array_equal(source.render(cells.shape).cells, cells)
    np.testing.assert_array_equal(ArraySource(cells, invert=True).render().cells, -cells)


@settings(max_examples=40, deadline=None)
@given(cells=CELLS, factor=st.integers(2, 3))
def test_enlarging_and_back(cells: Cells, factor: int) -> None:
    larger = ArraySource(cells).render(factor * max(cells.shape))
    expected = cells
    for axis in range(cells.ndim):
        expected = expected.repeat(factor, axis)
    np.testing.assert_array_equal(larger.cells, expected)
    np.testing.assert_array_equal(ArraySource(larger.cells).render(cells.shape).cells, cells)


def slow_resample(cells: Cells, shape: tuple[int, int]) -> Cells:
    """By counting on a grid that is fine enough for both sizes."""
    fine = cells.repeat(shape[0], 0).repeat(shape[1], 1)
    result = np.empty(shape, np.int8)
    height, width = cells.shape
    for i, j in np.ndindex(shape):
        block = fine[i * height : (i + 1) * height, j * width : (j + 1) * width]
        if 3 * (block == 1).sum() >= block.size:
            result[i, j] = 1
        else:
            result[i, j] = -1 if (block == -1).sum() >= (block == 0).sum() else 0
    return result


@settings(max_examples=40, deadline=None)
@given(
    cells=arrays.arrays(np.int8, st.tuples(st.integers(5, 9), st.integers(5, 9)), elements=st.integers(-1, 1)),
    height=st.integers(4, 8),
    width=st.integers(4, 11),
)
def test_resampling_against_counting(cells: Cells, height: int, width: int) -> None:
    cells = with_both_classes(cells)
    expected = slow_resample(cells, (height, width))
    if {1, -1} <= set(expected.flat):
        np.testing.assert_array_equal(ArraySource(cells).render((height, width)).cells, expected)
    else:
        with pytest.raises(BadInput, match="has no"):
            ArraySource(cells).render((height, width))


def test_thin_lines_survive_at_a_third() -> None:
    cells = np.full((24, 36), -1)
    cells[:, 10] = 1
    coarse = ArraySource(cells).render(12)
    assert coarse.shape == (8, 12)
    assert (coarse.low.sum(axis=1) == 1).all()
    with pytest.raises(BadInput, match="no low cells"):
        ArraySource(cells).render(9)


def test_stacks_keep_their_aspect() -> None:
    cells = np.full((8, 12, 20), -1)
    cells[:4] = 1
    source = ArraySource(cells)
    assert source.render(10).shape == (4, 6, 10)
    assert source.render((5, 6, 7)).shape == (5, 6, 7)
    np.testing.assert_array_equal(source.render(10).cells[:, 0, 0], [1, 1, -1, -1])


def test_arrays_from_files(tmp_path: Path) -> None:
    np.save(tmp_path / "letter.npy", LETTER > 0)
    this = picture(f"array:{tmp_path / 'letter.npy'}")
    assert this.name == "letter"
    np.testing.assert_array_equal(this.cells, LETTER)
    np.testing.assert_array_equal(picture(f"array:{tmp_path / 'letter.npy'}", invert=True).cells, -LETTER)


def test_an_array_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read array '.*none.npy' \(No such file or directory\); expected"):
        ArraySource(tmp_path / "none.npy")
    np.save(tmp_path / "object.npy", np.array([{}, 1], object), allow_pickle=True)
    np.save(tmp_path / "whole.npy", LETTER)
    (tmp_path / "short.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-3])
    (tmp_path / "text.npy").write_text("1 0\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in ("object.npy", "short.npy", "text.npy", "empty.npy"):
        with pytest.raises(BadInput, match="cannot read array") as caught:
            ArraySource(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "many.npz", a=LETTER)
    with pytest.raises(BadInput, match=r"many.npz' \(it is an archive of arrays"):
        ArraySource(tmp_path / "many.npz")
    np.save(tmp_path / "grey.npy", np.full((4, 5), 0.5))
    with pytest.raises(BadInput, match="grey.npy.*value 0.5"):
        ArraySource(tmp_path / "grey.npy")


# --- names


def test_unknown_pictures_name_the_nearest() -> None:
    with pytest.raises(BadInput, match="'hart' is not a picture; did you mean 'heart'.*array:FILE.*image:FILE"):
        find_source("hart")
    with pytest.raises(BadInput, match="'imge:' is not a picture; did you mean 'image:FILE'"):
        find_source("imge:cat.png")
    with pytest.raises(BadInput, match="'image:' ends at its colon; expected image:FILE"):
        find_source("image:")
    for spec in ("", "image", "heart:", "__init__", "_strokes"):
        with pytest.raises(BadInput, match="is not a picture"):
            find_source(spec)


def test_every_prefix_has_its_form() -> None:
    for prefix in SOURCES:
        assert SOURCES[prefix].form.startswith(f"{prefix}:")


def test_pictures_import_nothing_heavy() -> None:
    code = "import sys, lossatlas.pictures; sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'matplotlib')))"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode
        == 0
    )
