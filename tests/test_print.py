"""Pictures for print: widths, letters, fonts, colours, requested scales, and captions."""

from __future__ import annotations

import re
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.contour import QuadContourSet
from matplotlib.text import Text
from PIL import Image
from test_slice_views import everything
from test_views import heart, line

import lossatlas as la
from lossatlas.cli import main
from lossatlas.errors import BadInput
from lossatlas.views import Style, draw, figures, lines, looks, save_pictures
from lossatlas.views.style import parse_width

MM = 1 / 25.4  # inches
SMALLEST = 6.0  # points

PLANES = {"plane": heart(), "line": line(), **everything()}


@pytest.mark.parametrize(
    ("name", "width"), [*((name, "85mm") for name in PLANES), ("plane", "180mm"), ("line", "180mm")]
)
def test_a_printed_picture_is_as_wide_as_asked_and_no_letter_is_too_small(name: str, width: str) -> None:
    for kind, picture in draw(PLANES[name], style=Style(width=parse_width(width), title=name)).items():
        assert picture.figure.get_figwidth() == pytest.approx(float(width[:-2]) * MM), kind
        picture.figure.draw_without_rendering()
        sizes = [
            text.get_fontsize()
            for text in picture.figure.findobj(Text)
            if isinstance(text, Text) and text.get_text() and text.get_visible()
        ]
        assert min(sizes) >= SMALLEST - 1e-6, kind


def test_a_file_is_as_wide_as_asked(tmp_path: Path) -> None:
    (path, *_) = save_pictures(draw(heart(), ["loss"], Style(width=85 * MM)), tmp_path, dpi=100)
    with Image.open(path) as image:
        assert image.width == pytest.approx(335, abs=1)


def test_a_width_beyond_the_natural_one_makes_letters_larger() -> None:
    usual, wide = (draw(line(), ["line"], Style(width=width))["line"].figure for width in (None, 16.0))
    assert wide.axes[0].yaxis.label.get_fontsize() > 1.5 * usual.axes[0].yaxis.label.get_fontsize()


def test_pdf_files_embed_truetype_and_svg_files_keep_text() -> None:
    picture = draw(heart(), ["loss"], Style(title="A title"))["loss"]
    pdf = picture.render("pdf")
    fonts = b"".join(_streams(pdf)) + pdf
    assert b"/TrueType" in fonts or b"/CIDFontType2" in fonts
    assert b"/Type3" not in fonts
    root = ElementTree.fromstring(picture.render("svg"))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "A title" in texts
    html = picture.render("html").decode()
    assert picture.alt in html.replace("&#x27;", "'")


def _streams(pdf: bytes) -> list[bytes]:
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, flags=re.DOTALL):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return found


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "html"])
def test_renderings_repeat_to_the_byte_and_leave_settings_alone(suffix: str) -> None:
    before = dict(mpl.rcParams)
    one, other = (draw(line(), ["line"])["line"].render(suffix) for _ in range(2))
    assert one == other
    assert dict(mpl.rcParams) == before


def test_scales_colours_and_levels_are_those_asked_for() -> None:
    style = Style(limits=(0.5, 4.0), scale="linear", colormap="cividis", levels=(1.0, 2.0, 3.0))
    pictures = draw(heart(), style=style)
    contours = [c for c in pictures["contours"].figure.axes[0].collections if isinstance(c, QuadContourSet)]
    assert set(contours[0].levels) <= {1.0, 2.0, 3.0}
    mesh = pictures["loss"].figure.axes[0].collections[0]
    assert mesh.get_cmap().name == "cividis"
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.5, 4.0)
    assert type(mesh.norm).__name__ == "Normalize"
    assert pictures["accuracy"].figure.axes[0].collections[0].get_cmap().name == "viridis_r"
    assert "beyond" in pictures["loss"].caption
    accuracy = draw(heart(), ["accuracy"], Style(limits=(0.0, 1.0)))["accuracy"].figure.axes[0].collections[0]
    assert (accuracy.norm.vmin, accuracy.norm.vmax) == (0.0, 1.0)
    loss_axis = draw(line(), ["line"], Style(limits=(0.1, 10.0), scale="log"))["line"].figure.axes[0]
    assert loss_axis.get_yscale() == "log"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limits": (2.0, 1.0)}, "the lower first"),
        ({"limits": (0.0, 1.0), "scale": "log"}, "above 0"),
        ({"colormap": "virids"}, "did you mean 'viridis'"),
        ({"scale": "logarithmic"}, "scale"),
        ({"levels": (2.0, 1.0)}, "the lowest first"),
        ({"levels": (1.0, 1e9)}, "outside the data"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        draw(heart(), ["contours"], Style(**settings))
    assert "\n" not in str(refused.value)


def test_a_setting_that_no_picture_uses_is_refused() -> None:
    with pytest.raises(BadInput, match="levels does not apply to the pictures line"):
        draw(line(), ["line"], Style(levels=(1.0,)))


@pytest.mark.parametrize("text", ["85", "85 mile", "-85mm", "0mm", "5mm", "9e9mm", ""])
def test_widths_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="width"):
        parse_width(text)


def test_formats_resolutions_and_files_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'png'"):
        la.view(line(), tmp_path, format="pngs")
    with pytest.raises(BadInput, match="dpi 5 is not between"):
        la.view(line(), tmp_path, dpi=5)
    assert not list(tmp_path.iterdir())
    la.view(line(), tmp_path, ["line"], dpi=40)
    with pytest.raises(BadInput, match=r"line\.png exists"):
        la.view(line(), tmp_path, ["line"], overwrite=False)


def test_captions_stand_beside_pictures_and_keep_what_small_print_says(tmp_path: Path) -> None:
    shown, printed = (draw(heart(), ["loss"], Style(width=width))["loss"] for width in (None, 85 * MM))
    assert shown.caption == printed.caption
    assert "log scale from" in shown.caption
    assert any("log scale from" in text.get_text() for text in shown.figure.findobj(Text))
    assert not any("log scale from" in text.get_text() for text in printed.figure.findobj(Text))
    save_pictures({"loss": printed}, tmp_path, dpi=40)
    assert (tmp_path / "loss.caption.txt").read_text().strip() == printed.describe()


def test_alternative_texts_say_the_numbers() -> None:
    picture = draw(heart(), ["loss"])["loss"]
    lowest = heart()["test_loss"].min().item()
    assert f"{lowest:.3g}" in picture.alt
    assert picture.alt != picture.caption


def test_a_picture_keeps_the_survey_and_shows_itself() -> None:
    given = heart()
    pictures = draw(given)
    assert all(picture.subject is given for picture in pictures.values())
    assert pictures["loss"]._repr_html_().startswith("<figure")
    assert pictures._repr_html_().count("<img") == len(pictures)


# Colours, in print without colour and for those who see few: Machado, Oliveira and Fernandes (2009), severity 1.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65 of linear sRGB (..., 3)."""
    red, green = [0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920]
    blue = [0.1804375, 0.0721750, 0.9503041]
    xyz = np.clip(linear, 0, 1) @ np.array([red, green, blue]) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


@pytest.mark.parametrize("palette", [figures.LOSS, figures.ACCURACY])
@pytest.mark.parametrize("seen", ["all", *DEFICIENCIES])
def test_lightness_of_maps_goes_one_way_for_all_eyes(palette: figures.Palette, seen: str) -> None:
    colours = _linear(mpl.colormaps[palette.colours](np.linspace(0, 1, 64))[:, :3])
    if seen in DEFICIENCIES:
        colours = colours @ np.array(DEFICIENCIES[seen]).T
    lightness = _lab(colours)[:, 0]
    steps = np.diff(lightness)
    assert (steps > -0.2).all() or (steps < 0.2).all()
    assert np.ptp(lightness) > 60


@pytest.mark.parametrize(
    "colours", [looks.SEVERAL, looks.SEVERAL[:5], lines.LOSS_COLOURS[:2], lines.ACCURACY_COLOURS[:2]]
)
@pytest.mark.parametrize("seen", ["all", "grey", *DEFICIENCIES])
def test_the_first_colours_of_lines_differ_for_all_eyes(colours: tuple[str, ...], seen: str) -> None:
    linear = _linear(np.array([to_rgb(colour) for colour in colours]))
    if seen in DEFICIENCIES:
        linear = linear @ np.array(DEFICIENCIES[seen]).T
    lab = _lab(linear)
    if seen == "grey":
        lab[:, 1:] = 0
    order = np.argsort(lab[:, 0])
    if seen == "grey" and len(colours) <= 5:
        assert all(abs(lab[b, 0] - lab[a, 0]) > 6 for a, b in pairwise(order))
    elif seen != "grey":
        apart = [np.linalg.norm(lab[a] - lab[b]) for a in range(len(colours)) for b in range(a)]
        assert min(apart) > 15


@pytest.fixture(scope="module")
def slice_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slice around a network, as the command line makes it."""
    folder = tmp_path_factory.mktemp("printed")
    network = ["--model.hidden", "4"]
    assert main(["train", *network, "--epochs", "3", "--snapshots", "epoch", "--out", str(folder / "net")]) == 0
    settings = ["--grid", "4", "--examples", "100", "--direction_seed", "7", "--normalize", "layer", "--plan", "loop"]
    assert main(["survey", "--checkpoint", str(folder / "net"), *settings, "--out", str(folder / "slice")]) == 0
    assert main(["survey", "--trajectory", str(folder / "net"), *settings, "--out", str(folder / "map")]) == 0
    return folder


def test_the_record_of_a_run_is_in_its_captions(slice_run: Path) -> None:
    described = la.view(slice_run / "slice", kinds=["loss"])["loss"].describe()
    for said in (
        "Network mlp on digits",
        "100 train examples",
        "of splits with more than 100 examples a fixed random subset",
        "running statistics of the network, unchanged",
        "scaled layer by layer",
        "Seed 0.",
        "Seed of random directions 7.",
        "log scale",
    ):
        assert said in described
    along = la.view(slice_run / "map", kinds=["trajectory"])["trajectory"].describe()
    assert "along the trajectory of" in along
    assert "Random directions" not in along, "its axes are principal components"


def test_files_of_others_are_not_replaced_and_those_of_the_run_are(
    slice_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["view", str(slice_run / "slice"), "--kinds", "loss", "--format", "svg"]
    assert main(command) == main(command) == 0
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "loss.svg exists" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--width", "85"], "is not a width"),
        (["--format", "jpg"], "jpg"),
        (["--limits", "3", "1"], "the lower first"),
        (["--colormap", "magna"], "did you mean 'magma'"),
        (["--levels", "1000"], "outside the data"),
    ],
)
def test_the_command_line_refuses_in_a_line_and_writes_nothing(
    slice_run: Path, tmp_path: Path, option: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(slice_run / "slice"), "--out", str(tmp_path), *option]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())


def test_limits_hold_for_curves_too() -> None:
    style = Style(limits=(0.5, 2.0))
    for name, kinds in (("line", ["line"]), ("repeats of a line", ["repeats"])):
        for picture in draw(PLANES[name], kinds, style).values():
            assert picture.figure.axes[0].get_ylim() == pytest.approx((0.5, 2.0))


def test_levels_lie_within_the_limits_and_concern_pictures_with_contours_alone() -> None:
    with pytest.raises(BadInput, match="levels 2 are outside the scale, which lies between 0.5 and 1.5"):
        draw(heart(), ["contours"], Style(levels=(2.0,), limits=(0.5, 1.5)))
    low = float(heart()["train_loss"].min())
    test = float(heart()["test_loss"].min())
    between = (low + test) / 2  # a level that one of the splits alone reaches
    assert {"contours", "surface"} <= set(draw(heart(), style=Style(levels=(between,))))


def test_settings_without_a_meaning_for_this_subject_are_refused() -> None:
    with pytest.raises(BadInput, match="colormap does not apply"):
        draw(PLANES["repeats of a line"], ["repeats"], Style(colormap="viridis"))


def test_alternative_texts_are_of_what_the_picture_shows() -> None:
    pictures = draw(heart())
    assert "train" not in pictures["surface"].alt, "it shows the test split alone"
    assert "ranges from" not in pictures["target"].alt
    assert "accuracy" in draw(line(), ["line"])["line"].alt


def test_captions_follow_the_colours_and_the_scale() -> None:
    usual, turned = (draw(heart(), ["loss"], Style(colormap=name))["loss"].caption for name in (None, "magma_r"))
    assert "ark is low" in usual
    assert "ark is high" in turned
    assert "log" not in draw(heart(), ["loss"], Style(scale="linear"))["loss"].caption


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"format": "pdfx"}, "did you mean 'pdf'"),
        ({"dpi": "300"}, "dpi '300' is not between"),
        ({"limits": (1, 2, 3)}, "give the lower and the upper end"),
        ({"levels": 2.0}, "expected a list of numbers"),
        ({"colormap": 3}, "expected a text"),
        ({"width": 85}, "expected a text"),
    ],
)
def test_arguments_of_another_type_are_refused_in_a_line(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        la.view(line(), **arguments)


@pytest.mark.parametrize("subject", [3, None, [1], {"a": 2}])
def test_what_cannot_be_shown_is_refused(subject: Any) -> None:
    with pytest.raises(BadInput, match="cannot be shown"):
        la.view(subject)


def test_paths_of_several_runs_are_drawn_together(slice_run: Path) -> None:
    places = [slice_run / "slice", slice_run / "map"]
    pictures = la.view(places, kinds=["accuracy"], limits=(0, 1))
    assert list(pictures) == ["overlay_accuracy"]
    assert "slice: Network" in pictures["overlay_accuracy"].describe()


def test_a_survey_of_a_chart_again_states_how_its_directions_were_made(slice_run: Path) -> None:
    settings = ["--grid", "3", "--examples", "50", "--plan", "loop", "--normalize", "none"]
    assert main(["survey", "--run", str(slice_run / "slice"), *settings, "--out", str(slice_run / "again")]) == 0
    said = la.view(slice_run / "again", kinds=["loss"])["loss"].describe()
    assert "scaled layer by layer" in said
    assert "Seed of random directions 7." in said


def test_a_users_caption_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "line.caption.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"line\.caption\.txt exists"):
        la.view(line(), tmp_path, ["line"], overwrite=False)
    assert (tmp_path / "line.caption.txt").read_text() == "mine"
