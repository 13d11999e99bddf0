"""Other formats: exact round trips, orientation by oracles; damaged stores; and what the command line makes of both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from lossatlas.cli.main import main
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.exchange import FORMATS, open_survey, read_survey, read_undamaged, write_survey
from lossatlas.exchange.grid import describe_variable, find_axes
from lossatlas.exchange.stores import is_store
from lossatlas.files import hdf5

SIDES = {"square": (5, 5), "wide": (7, 4), "tall": (3, 6), "line": (9,), "one row": (4, 1), "one point": (1,)}
NAMES = ("u", "v", "w")


def loss_at(*coords: np.ndarray) -> np.ndarray:
    """A loss that no exchange of axes and no reflection leaves as it is."""
    return sum((k + 1) * (c - 0.1 * (k + 1)) ** 2 for k, c in enumerate(coords)) + coords[0] ** 3 / 7


def survey(*sides: int, dtype: str = "float64") -> xr.Dataset:
    grid = {axis: np.linspace(-1, 1 + 0.1 * k, side) for k, (axis, side) in enumerate(zip(NAMES, sides, strict=False))}
    values = loss_at(*np.meshgrid(*grid.values(), indexing="ij")).astype(dtype)
    correct = np.random.default_rng(0).integers(0, 9973, values.shape)
    given = {
        "train_loss": values,
        "test_loss": values + np.sqrt(np.float64(2)).astype(dtype),
        "train_accuracy": (correct / 9973).astype(dtype),
    }
    return xr.Dataset(
        {name: (tuple(grid), array, describe_variable(name)) for name, array in given.items()},
        coords={axis: (axis, points, {"long_name": axis, "units": "1"}) for axis, points in grid.items()},
    )


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


# Files of Li et al.'s code


def their_file(path: Path, x: np.ndarray, y: np.ndarray | None, computed: int | None = None) -> None:
    """A surface file, made as plot_surface.py and scheduler.py of github.com/tomgoldstein/loss-landscape make it."""
    with h5py.File(path, "a") as f:
        f["dir_file"] = "resnet56_weights_xignore=biasbn_xnorm=filter.h5"
        f["xcoordinates"] = x
        if y is not None:
            f["ycoordinates"] = y
        shape = x.shape if y is None else (len(x), len(y))
        losses, accuracies = -np.ones(shape=shape), -np.ones(shape=shape)
        if y is not None:
            xcoord_mesh, ycoord_mesh = np.meshgrid(x, y)
            coords = np.c_[xcoord_mesh.ravel(), ycoord_mesh.ravel()]
        else:
            coords = x[:, None]
        for ind, coord in enumerate(coords[:computed]):
            losses.ravel()[ind] = loss_at(*coord)
            accuracies.ravel()[ind] = 100.0 * (ind + 1) / 50
        f["train_loss"] = losses
        f["train_acc"] = accuracies
        f["min_eig"] = np.where(losses == -1, 1.0, -losses)  # their crunch_hessian_eigs begins with +1 and -1
        f["max_eig"] = np.where(losses == -1, -1.0, 3 * losses + 1)


@pytest.mark.parametrize("name", ["square", "wide", "tall", "line"])
def test_their_files_are_read_in_the_order_in_which_their_code_counts(tmp_path: Path, name: str) -> None:
    sides = SIDES[name]
    x, y = np.linspace(-1, 1, sides[0]), np.linspace(-0.5, 1.5, sides[1]) if len(sides) > 1 else None
    their_file(tmp_path / "surface.h5", x, y)
    read = read_survey(tmp_path / "surface.h5")
    assert read["train_loss"].dims == NAMES[: len(sides)]
    assert read["train_loss"].shape == sides
    np.testing.assert_array_equal(read["u"], x)
    expected = loss_at(*np.meshgrid(*(c for c in (x, y) if c is not None), indexing="ij"))
    np.testing.assert_allclose(read["train_loss"], expected, rtol=1e-14)
    np.testing.assert_allclose(read["train_smallest_eigenvalue"], -expected, rtol=1e-14)
    np.testing.assert_allclose(read["train_largest_eigenvalue"], 3 * expected + 1, rtol=1e-14)
    assert read["train_accuracy"][(0,) * len(sides)] == 0.02
    assert float(read["train_accuracy"].max()) == np.prod(sides) / 50
    assert read["train_loss"].attrs == {"long_name": "train loss", "split": "train", "metric": "loss"}
    assert "units" not in read["train_largest_eigenvalue"].attrs
    assert read["train_accuracy"].attrs["units"] == "1"
    assert read.attrs["dir_file"].startswith("resnet56_weights")


def test_the_square_layout_of_the_reference() -> None:
    """train_loss[i, j] = L(x_j, y_i)."""
    with h5py.File(_bytes("li_hdf5", survey(5, 5)), "r") as file:
        stored = file["train_loss"][()]
        for i, y in enumerate(file["ycoordinates"][()]):
            for j, x in enumerate(file["xcoordinates"][()]):
                assert stored[i, j] == pytest.approx(loss_at(x, y), rel=1e-14)


def _bytes(name: str, given: xr.Dataset):
    import io

    return io.BytesIO(FORMATS[name]().bytes_of(given))


@pytest.mark.parametrize("sides", [(5, 5), (7, 4), (3, 6)])
def test_their_plots_can_draw_what_is_written(sides: tuple[int, int]) -> None:
    from matplotlib.figure import Figure

    with h5py.File(_bytes("li_hdf5", survey(*sides)), "r") as f:
        x_mesh, y_mesh = np.meshgrid(np.array(f["xcoordinates"][:]), np.array(f["ycoordinates"][:]))  # plot_2D.py
        z = np.array(f["train_loss"][:])
        Figure().subplots().contour(x_mesh, y_mesh, z)
        np.testing.assert_array_equal(z, loss_at(x_mesh, y_mesh))
        assert f["train_acc"][:].max() > 50
        assert f["dir_file"][()] == b""


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize(("dtype", "suffix"), [("float32", ".h5"), ("float64", ".HDF5")])
def test_surface_files_round_trip_exactly(tmp_path: Path, name: str, dtype: str, suffix: str) -> None:
    given = survey(*SIDES[name], dtype=dtype)
    given["train_loss"][(0,) * len(SIDES[name])] = np.inf
    given["test_loss"][(-1,) * len(SIDES[name])] = np.nan
    write_survey(given, tmp_path / f"a{suffix}")
    once = read_survey(tmp_path / f"a{suffix}")
    exact = ["train_loss", "test_loss", *(["train_accuracy"] if dtype == "float32" else [])]
    xr.testing.assert_identical(once[exact], given[exact])
    assert once["train_loss"].dtype == dtype
    np.testing.assert_allclose(once["train_accuracy"], given["train_accuracy"], rtol=2.3e-16)
    write_survey(once, tmp_path / f"b{suffix}")
    xr.testing.assert_identical(read_survey(tmp_path / f"b{suffix}"), once)


def test_fractions_that_were_percentages_come_back_exactly(tmp_path: Path) -> None:
    percentages = 100.0 * np.arange(4000) / 3999  # as evaluation.py counts
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["xcoordinates"], file["train_acc"] = np.arange(4000.0), percentages
    once = read_survey(tmp_path / "a.h5")
    np.testing.assert_array_equal(once["train_accuracy"], percentages / 100)
    assert (percentages / 100 * 100 != percentages).any()
    write_survey(once, tmp_path / "b.h5")
    np.testing.assert_array_equal(read_survey(tmp_path / "b.h5")["train_accuracy"], once["train_accuracy"])


@pytest.mark.parametrize(("name", "computed"), [("wide", 10), ("tall", 7), ("line", 4)])
def test_what_was_not_computed_is_nan_and_goes_back_as_it_was(tmp_path: Path, name: str, computed: int) -> None:
    sides = SIDES[name]
    y = np.linspace(0, 1, sides[1]) if len(sides) > 1 else None
    their_file(tmp_path / "a.h5", np.linspace(-1, 1, sides[0]), y, computed)
    read = read_survey(tmp_path / "a.h5")
    for variable in read.data_vars:
        in_their_order = read[variable].values.ravel(order="F")
        np.testing.assert_array_equal(np.isnan(in_their_order), np.arange(len(in_their_order)) >= computed)
    write_survey(read, tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "r") as a, h5py.File(tmp_path / "b.h5", "r") as b:
        for key in ("train_loss", "train_acc", "min_eig", "max_eig"):
            np.testing.assert_allclose(b[key][()].ravel(), a[key][()].ravel(), rtol=1e-15)
    xr.testing.assert_identical(read_survey(tmp_path / "b.h5"), read)


def test_a_nan_that_was_measured_stays_one(tmp_path: Path) -> None:
    given = survey(3, 4)
    given["train_loss"][1, 2] = np.nan
    with h5py.File(_bytes("li_hdf5", given), "r") as file:
        assert np.isnan(file["train_loss"][2, 1])
        assert (file["train_loss"][()] != -1).all()


def test_a_true_eigenvalue_of_one_and_a_loss_of_minus_two_are_not_gaps(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["xcoordinates"] = [0.0, 1.0, 2.0]
        file["train_loss"] = [-1, -2, -0.5]
        file["min_eig"], file["max_eig"] = [1.0, 1.0, -1.0], [-1.0, 4.0, 5.0]
    read = read_survey(tmp_path / "a.h5")
    np.testing.assert_array_equal(read["train_loss"], [np.nan, -2, -0.5])
    np.testing.assert_array_equal(read["train_smallest_eigenvalue"], [np.nan, 1, -1])
    np.testing.assert_array_equal(read["train_largest_eigenvalue"], [np.nan, 4, 5])


def test_descending_coordinates_ascend_after_reading(tmp_path: Path) -> None:
    x, y = np.linspace(1, -1, 4), np.linspace(0, 1, 3)
    their_file(tmp_path / "a.h5", x, y)
    read = read_survey(tmp_path / "a.h5")
    np.testing.assert_array_equal(read["u"], x[::-1])
    np.testing.assert_allclose(read["train_loss"], loss_at(*np.meshgrid(x[::-1], y, indexing="ij")), rtol=1e-14)


def test_damaged_surface_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"

    def refusal() -> str:
        with pytest.raises(BadInput) as caught:
            read_survey(path)
        return one_line(caught.value)

    assert "does not exist" in refusal()
    their_file(path, np.linspace(-1, 1, 40), np.linspace(0, 1, 30))
    path.write_bytes(path.read_bytes()[:3000])
    assert "may be damaged" in refusal()
    path.write_bytes(b"no HDF5")
    assert "may be damaged" in refusal()
    for content, said in (
        ({"train_loss": [1.0]}, "no dataset xcoordinates"),
        ({"xcoordinates": [0.0, 1.0]}, "no surface such as train_loss"),
        ({"xcoordinates": [0.0, 1.0], "train_loss": [1.0]}, "train_loss has the shape (1,)"),
        ({"xcoordinates": [0.0, 1.0], "ycoordinates": [1.0], "test_loss": np.ones((2, 2))}, "2 x 1 coordinates"),
        ({"xcoordinates": [1.0, 1.0], "train_loss": [1.0, 2.0]}, "xcoordinates of shape (2,)"),
        ({"xcoordinates": [0.0, np.nan], "train_loss": [1.0, 2.0]}, "different finite coordinates"),
        ({"xcoordinates": [0.0, 1.0], "train_loss": ["a", "b"]}, "holds no numbers"),
    ):
        with h5py.File(path, "w") as file:
            for key, values in content.items():
                file[key] = values
        assert said in refusal()


def test_a_surface_file_that_the_library_crashes_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    their_file(tmp_path / "a.h5", np.linspace(-1, 1, 4), np.linspace(0, 1, 3))
    (tmp_path / "child.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setattr(hdf5, "CHILD", tmp_path / "child.py")
    with pytest.raises(BadInput, match="it may be damaged \\(the HDF5 library crashes on it\\)") as caught:
        read_survey(tmp_path / "a.h5")
    one_line(caught.value)
    (tmp_path / "child.py").write_text("while True: pass\n")
    monkeypatch.setattr(hdf5, "PATIENCE", 0.5)
    with pytest.raises(BadInput, match="reading it takes more than 0.5 seconds"):
        read_survey(tmp_path / "a.h5")


def test_what_surface_files_cannot_hold_is_refused() -> None:
    write = FORMATS["li_hdf5"]().bytes_of
    with pytest.raises(BadInput, match=r"3 axes \(u, v, w\).*one or two"):
        write(survey(2, 3, 4))
    with pytest.raises(BadInput, match="2 repeats"):
        write(xr.concat([survey(3, 4), survey(3, 4)], dim="repeat"))
    with pytest.raises(BadInput, match="expected losses, accuracies or eigenvalues, got train_gradient_norm"):
        write(survey(3, 4)[["train_loss"]].rename(train_loss="train_gradient_norm"))


# Tables


@pytest.mark.parametrize("sides", [*SIDES.values(), (2, 3, 4)])
def test_tables_round_trip_exactly(tmp_path: Path, sides: tuple[int, ...]) -> None:
    given = survey(*sides)
    given["train_loss"][(0,) * len(sides)] = -np.inf
    given["test_loss"][(-1,) * len(sides)] = np.nan
    given["test_streaming_done"] = np.isfinite(given["test_loss"])
    given["test_streaming_done"].attrs = describe_variable("test_streaming_done")
    given["target"] = (given["train_loss"].dims, np.arange(np.prod(sides)).reshape(sides), describe_variable("target"))
    write_survey(given, tmp_path / "a.csv")
    xr.testing.assert_identical(read_survey(tmp_path / "a.csv"), given)


def test_tables_keep_repeats_and_classes(tmp_path: Path) -> None:
    base = survey(3, 4)
    given = xr.concat([base, base * 2, base / 3], dim="repeat", coords="minimal", combine_attrs="override")
    given = given.assign_coords(repeat=np.arange(3), classes=["cat", "dog"])
    values = np.random.default_rng(0).uniform(size=(3, 3, 4, 2))
    given["test_class_accuracy"] = (("repeat", "u", "v", "classes"), values)
    given["target"] = (("u", "v"), np.arange(12).reshape(3, 4))
    write_survey(given, tmp_path / "a.csv")
    read = read_survey(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[0].startswith("repeat,u,v,classes,")
    xr.testing.assert_equal(read, given)


def test_a_table_is_tidy_and_float32_is_widened(tmp_path: Path) -> None:
    write_survey(survey(2, 3, dtype="float32"), tmp_path / "a.csv")
    rows = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    assert rows[0] == ["u", "v", "train_loss", "test_loss", "train_accuracy"]
    assert [row[:2] for row in rows[1:3]] == [["-1.0", "-1.0"], ["-1.0", repr(0.050000000000000044)]]
    assert len(rows) == 7
    np.testing.assert_array_equal(
        read_survey(tmp_path / "a.csv")["train_loss"], survey(2, 3, dtype="float32")["train_loss"].astype("float64")
    )


def test_rows_in_any_order_with_empty_cells_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffv,u,test_loss\r\n1,0,10\r\n0, 0,\r\n\r\n1,5,3.5\r\n0,5,4\r\n".encode())
    read = read_survey(path).transpose("u", "v")
    np.testing.assert_array_equal(read["test_loss"], [[np.nan, 10], [4, 3.5]])
    np.testing.assert_array_equal(read["u"], [0, 5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no points"),
        ("u,test_loss\n", "holds no points"),
        ("test_loss\n1\n", "lacks a column for an axis"),
        ("u,v\n1,2\n", "lacks variables"),
        ("u,u,test_loss\n1,2,3\n", "two of one name"),
        ("u,test_loss\n0,1\n1\n", "line 3: 1 cells"),
        ("u,test_loss\n0,1\n1,abc\n", "'abc' in column test_loss is not a number"),
        ("u,test_loss\n0,1\nnan,1\n", "column u has coordinates that are not finite"),
        ("u,v,test_loss\n0,0,1\n0,1,1\n1,0,1\n", "no row for the point u = 1, v = 1: 3 rows of 4"),
        ("u,v,test_loss\n0,1,1\n1,0,1\n1,1,1\n", "no row for the point u = 0, v = 0"),
        ("u,v,test_loss\n0,0.5,1\n0,1,1\n0,0.5,2\n", "two rows for the point u = 0, v = 0.5"),
        ('u,test_loss\n0,"1\n', "cannot be read as a table"),
    ],
)
def test_tables_that_are_not_a_survey_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_survey(tmp_path / "a.csv")
    assert said in one_line(caught.value)


def test_a_binary_file_is_not_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00u")
    with pytest.raises(BadInput, match="cannot be read as a table"):
        read_survey(tmp_path / "a.csv")


def test_tables_of_more_cells_than_fit_are_refused_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossatlas.exchange.formats import csv

    write_survey(survey(5, 4), tmp_path / "a.csv")
    monkeypatch.setattr(csv, "MOST_CELLS", 20)
    with pytest.raises(BadInput, match="it has about [0-9]+ cells, more than 20"):
        read_survey(tmp_path / "a.csv")
    monkeypatch.setattr(csv, "MOST_BYTES", 30)
    with pytest.raises(BadInput, match="it is longer than 30 bytes"):
        read_survey(tmp_path / "a.csv")


def test_surface_files_are_read_of_what_lies_in_them_and_fits(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"

    def made(change: Callable[[h5py.File], object]) -> Path:
        with h5py.File(path, "w") as file:
            file["xcoordinates"] = np.arange(3.0)
            file["train_loss"] = np.ones(3)
            change(file)
        return path

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "a", shape=(3,))
        file.create_virtual_dataset("test_loss", layout)

    def elsewhere(file: h5py.File) -> None:
        file.create_dataset("test_loss", (3,), "f8", external=[(str(tmp_path / "other"), 0, 24)])

    (tmp_path / "other").write_bytes(np.full(3, 7.0).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.full(3, 7.0)
    for change, message in (
        (virtual, "its test_loss lies in another file, whose values should be copied"),
        (elsewhere, "its test_loss lies in another file, whose values should be copied"),
        (
            lambda file: file.create_dataset("x", (10**14,), "f8", chunks=(10**6,)),
            "it holds arrays of 800,000,000,000,048",
        ),
        (
            lambda file: [file.create_dataset(f"d{k}", data=0) for k in range(1001)],
            "it holds 1003 datasets, more than 1000",
        ),
        (lambda file: file.create_dataset("test_loss", data=np.ones((3, 3))), r"test_loss has the shape \(3, 3\)"),
        (lambda file: file.create_dataset("test_loss", data=np.array([b"a", b"b", b"c"])), "holds no numbers"),
    ):
        with pytest.raises(BadInput, match=message) as caught:
            read_survey(made(change))
        one_line(caught.value)
    for harmless in (
        lambda file: file.__setitem__("test_loss", h5py.ExternalLink("other.h5", "a")),
        lambda file: file.__setitem__("test_loss", h5py.SoftLink("/test_loss")),
        lambda file: file.create_group("/".join("g" * 300)),
        lambda file: file.create_dataset("dir_file", data=np.ones((3, 3))),
    ):
        assert list(read_survey(made(harmless)).data_vars) == ["train_loss"]


# VTK


@pytest.mark.parametrize("sides", [*SIDES.values(), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vtk_reads_points_and_arrays(tmp_path: Path, sides: tuple[int, ...], dtype: str) -> None:
    pyvista = pytest.importorskip("pyvista")
    given = survey(*sides, dtype=dtype)
    given["train_loss"][(-1,) * len(sides)] = np.nan
    given["test_streaming_done"] = np.isfinite(given["train_loss"])
    given["target"] = (given["train_loss"].dims, np.full(sides, -1, dtype=np.int8))
    write_survey(given, tmp_path / "a.vts")
    mesh = pyvista.read(tmp_path / "a.vts")
    assert mesh.dimensions == (*sides, 1, 1)[:3]
    assert set(mesh.point_data) == set(given.data_vars)
    flat = dict.fromkeys(NAMES[len(sides) :], 0)
    for k, point in enumerate(mesh.points):
        position = dict(zip(NAMES, point, strict=True))
        assert {axis: position[axis] for axis in flat} == flat
        there = given.sel({axis: position[axis] for axis in NAMES[: len(sides)]})
        for name in given.data_vars:
            np.testing.assert_array_equal(mesh.point_data[name][k], there[name].values)
    assert mesh.point_data["train_loss"].dtype == dtype
    assert mesh.points[:, 0].tolist()[: sides[0]] == given["u"].values.tolist()  # x runs fastest


def test_heights_are_logarithms_and_holes_are_hidden(tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    given = survey(4, 3)
    given["train_loss"][0, 0], given["train_loss"][1, 0], given["train_loss"][2, 0] = np.nan, 0.0, np.inf
    write_survey(given, tmp_path / "a.vts", form=FORMATS["vts"](height="train_loss"))
    mesh = pyvista.read(tmp_path / "a.vts")
    values = given["train_loss"].values.ravel(order="F")
    np.testing.assert_allclose(mesh.points[3:, 2], np.log10(values[3:]), rtol=1e-14)
    np.testing.assert_array_equal(mesh.points[:3, 2], mesh.points[3:, 2].min())
    np.testing.assert_array_equal(mesh.point_data["vtkGhostType"], [2] * 3 + [0] * 9)
    np.testing.assert_array_equal(mesh.point_data["train_loss"], values)


def test_the_height_of_a_line_is_along_y(tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    write_survey(survey(6), tmp_path / "a.vts", form=FORMATS["vts"](height="test_loss"))
    mesh = pyvista.read(tmp_path / "a.vts")
    np.testing.assert_allclose(mesh.points[:, 1], np.log10(survey(6)["test_loss"]), rtol=1e-14)
    assert "vtkGhostType" not in mesh.point_data


def test_repeats_are_arrays_of_their_own(tmp_path: Path) -> None:
    pyvista = pytest.importorskip("pyvista")
    write_survey(xr.concat([survey(3, 4), 2 * survey(3, 4)], dim="repeat"), tmp_path / "a.vts")
    mesh = pyvista.read(tmp_path / "a.vts")
    np.testing.assert_array_equal(mesh.point_data["test_loss_repeat1"], 2 * mesh.point_data["test_loss_repeat0"])


def test_what_vtk_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="4 axes.*three at most"):
        FORMATS["vts"]().bytes_of(survey(2, 3, 4).expand_dims(x3=[0.0, 1.0], axis=-1))
    with pytest.raises(BadInput, match=r"'los' is not a variable for the height"):
        FORMATS["vts"](height="los").bytes_of(survey(2, 3))
    with pytest.raises(BadInput, match="train_loss cannot be the height"):
        FORMATS["vts"](height="train_loss").bytes_of(survey(2, 3, 4))
    with pytest.raises(BadInput, match="nowhere positive"):
        FORMATS["vts"](height="train_loss").bytes_of(-abs(survey(2, 3)))
    with pytest.raises(BadInput, match=r"only be written; expected a file that ends in \.csv, \.h5, \.hdf5"):
        read_survey(tmp_path / "a.vts")


# All formats


def test_suffixes_are_distinct_and_unknown_ones_list_the_choices(tmp_path: Path) -> None:
    suffixes = [suffix for name in FORMATS for suffix in FORMATS[name].suffixes]
    assert sorted(suffixes) == [".csv", ".h5", ".hdf5", ".vts"]
    for action in (lambda path: read_survey(path), lambda path: write_survey(survey(3), path)):
        with pytest.raises(BadInput, match=r"'.txt' is not the suffix of a known format.*\.csv, \.h5, \.hdf5, \.vts"):
            action(tmp_path / "a.txt")


def test_nothing_is_written_if_one_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_survey(survey(2, 3, 4), tmp_path / "a.csv", tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(CannotFinish, match="choose another path") as caught:
        write_survey(survey(3), tmp_path / "a.csv")
    assert "resume" not in one_line(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("name", FORMATS.names())
def test_what_is_not_on_the_grid_is_left_out(name: str, tmp_path: Path) -> None:
    path = {"path_u": (("snapshot",), np.arange(3.0)), "path_loss_test": (("snapshot",), np.arange(3.0))}
    given = survey(3, 4).transpose("v", "u")
    assert find_axes(given) == ("u", "v")
    assert FORMATS[name]().bytes_of(given.assign(path)) == FORMATS[name]().bytes_of(survey(3, 4))


def test_no_numbers_are_not_a_survey() -> None:
    with pytest.raises(BadInput, match="no numeric variables"):
        FORMATS["csv"]().bytes_of(xr.Dataset(coords={"u": [0.0]}))


# Damaged stores


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store in four tiles of (3, 3), (3, 1), (2, 3) and (2, 1) points."""
    path = tmp_path / "run" / "survey.zarr"
    given = survey(5, 4, dtype="float32")
    given["train_streaming_done"] = np.isfinite(given["train_loss"])
    given["target"] = (("u", "v"), np.ones((5, 4), dtype=np.int8))
    given["train_count"] = (("u", "v"), np.full((5, 4), 7))
    given["path_u"] = (("snapshot",), np.linspace(1, 0, 6))
    given.attrs["chart"] = "abc"
    encoding = {str(name): {"chunks": (3, 3)} for name in given.data_vars if given[name].ndim == 2}
    given.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)
    return path


def whole(path: Path) -> xr.Dataset:
    return xr.open_zarr(str(path), consolidated=False, chunks=None).load()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"garbage" * 9)


def test_a_whole_store_is_read_as_xarray_reads_it(store: Path) -> None:
    read, damaged = read_undamaged(store)
    assert damaged == []
    xr.testing.assert_identical(read, whole(store))


@pytest.mark.parametrize("harm", [truncate, empty, garble])
def test_a_damaged_chunk_is_named_and_the_rest_is_read(store: Path, harm) -> None:
    expected = whole(store)
    harm(store / "train_loss" / "c" / "0" / "1")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    read, (entry,) = read_undamaged(store)
    assert entry.startswith("train_loss/c/0/1 (u 0 to 2, v 3 to 3): ")
    assert "\n" not in entry
    expected["train_loss"][:3, 3:] = np.nan
    xr.testing.assert_identical(read, expected)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_every_damaged_chunk_of_every_variable_is_named(store: Path) -> None:
    expected = whole(store)
    for name in (
        "test_loss/c/0/0",
        "test_loss/c/1/1",
        "train_streaming_done/c/1/0",
        "target/c/0/0",
        "train_count/c/0/1",
    ):
        garble(store / name)
    read, damaged = read_undamaged(store)
    assert [entry.split(" ")[0] for entry in damaged] == [
        "target/c/0/0", "test_loss/c/0/0", "test_loss/c/1/1", "train_count/c/0/1", "train_streaming_done/c/1/0",
    ]  # fmt: skip
    assert not read["train_streaming_done"][3:, :3].any()
    assert (read["target"][:3, :3] == 0).all()
    assert read["target"].dtype == np.int8
    assert np.isnan(read["train_count"].values).sum() == 3
    assert np.isnan(read["test_loss"].values).sum() == 9 + 2
    xr.testing.assert_identical(read["train_loss"], expected["train_loss"])


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"zarr_format": 3, "node_type": "array"}'])
def test_a_variable_without_its_description_is_left_out(store: Path, content: str | None) -> None:
    expected = whole(store)
    description = store / "test_loss" / "zarr.json"
    description.unlink() if content is None else description.write_text(content)
    read, (entry,) = read_undamaged(store)
    assert entry.startswith("test_loss/zarr.json: the variable is left out (")
    xr.testing.assert_identical(read, expected.drop_vars("test_loss"))


@pytest.mark.parametrize("content", [None, "{"])
def test_a_store_without_its_own_description_loses_attributes_only(store: Path, content: str | None) -> None:
    expected = whole(store)
    (store / "zarr.json").unlink() if content is None else (store / "zarr.json").write_text(content)
    read, (entry,) = read_undamaged(store)
    assert entry.startswith("zarr.json: the survey's own attributes are lost (")
    assert read.attrs == {}
    xr.testing.assert_identical(read, expected.drop_attrs(deep=False))


def test_points_without_coordinates_are_numbered(store: Path) -> None:
    expected = whole(store)
    garble(store / "v" / "c" / "0")
    read, (entry,) = read_undamaged(store)
    assert entry.startswith("v/c/0 (v 0 to 3): ")
    assert entry.endswith("numbered instead")
    np.testing.assert_array_equal(read["v"], [0, 1, 2, 3])
    np.testing.assert_array_equal(read["train_loss"], expected["train_loss"])


def test_a_variable_whose_making_was_cut_off_is_not_damage(store: Path) -> None:
    (store / "test_accuracy").mkdir()
    xr.testing.assert_identical(read_undamaged(store)[0], whole_without_warning(store))
    assert read_undamaged(store)[1] == []


def whole_without_warning(path: Path) -> xr.Dataset:
    (path / "test_accuracy").rmdir()
    try:
        return whole(path)
    finally:
        (path / "test_accuracy").mkdir()


def test_nothing_readable_is_refused(store: Path, tmp_path: Path) -> None:
    for chunk in store.rglob("c/**/*"):
        if chunk.is_file():
            garble(chunk)
    with pytest.raises(BadInput, match=r"no variable has a chunk that is whole \(path_u/c/0") as caught:
        read_undamaged(store)
    one_line(caught.value)
    shutil.rmtree(store)
    store.mkdir()
    assert not is_store(store)
    with pytest.raises(BadInput, match="is not a zarr store"):
        read_undamaged(store)


def test_contradicting_descriptions_are_refused(store: Path) -> None:
    path = store / "test_loss" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shape": [5, 9]}))
    with pytest.raises(BadInput, match="cannot be read") as caught:
        read_undamaged(store)
    one_line(caught.value)


def test_a_store_of_tiles_as_surveys_write_them(tmp_path: Path) -> None:
    from lossatlas.schema import Quantity
    from lossatlas.surveying import SurveyStore

    path = tmp_path / "survey.zarr"
    grid = {"u": np.linspace(-1, 1, 40), "v": np.linspace(-1, 1, 20)}
    made = SurveyStore(path, grid, {"chart": "abc"})
    made.add("test", "streaming", {Quantity("loss", "loss", "nat"): None}, {"examples": 9})
    values = loss_at(*np.meshgrid(*grid.values(), indexing="ij"))
    for claim in made.tiles.claims(made.work("test", "streaming")):
        with claim:
            found = {"loss": values[claim.tile][claim.missing]}
            made.write("test", "streaming", claim.tile, claim.missing, found)
    made.close()
    expected = whole(path)
    chunks = sorted((path / "test_loss" / "c").glob("*/*"))
    truncate(chunks[-1])
    read, damaged = read_undamaged(path)
    assert len(damaged) == 1
    assert damaged[0].startswith(chunks[-1].relative_to(path).as_posix())
    kept = np.isfinite(read["test_loss"].values)
    assert 0 < (~kept).sum() <= 256
    np.testing.assert_array_equal(read["test_loss"].values[kept], expected["test_loss"].values[kept])


def test_a_survey_is_opened_wherever_it_is(store: Path, tmp_path: Path) -> None:
    from lossatlas.rundir import RunDirectory

    write_survey(survey(5, 4), tmp_path / "a.csv")
    for path in (store, store.parent):
        xr.testing.assert_identical(open_survey(path)[0], whole(store))
    xr.testing.assert_identical(open_survey(tmp_path / "a.csv")[0], survey(5, 4))
    RunDirectory(tmp_path / "fresh").begin("", {}, replace=False)
    for nothing in (tmp_path / "fresh", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="not a lossatlas run with a survey"):
            open_survey(nothing)


# The command line


class TestView:
    @pytest.fixture(autouse=True)
    def _in_a_folder_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def refused(self, capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 2) -> str:
        before = sorted(Path.cwd().rglob("*"))
        assert main(["view", *tokens]) == code
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert captured.out == ""
        assert sorted(Path.cwd().rglob("*")) == before
        return line

    def test_exports_beside_the_pictures(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["view", "run", "--kinds", "loss", "--export", "x/a.csv", "b.h5", "--export", "c.vts"]) == 0
        assert capsys.readouterr().out.splitlines() == ["x/a.csv", "b.h5", "c.vts", "run/loss.png"]
        np.testing.assert_array_equal(read_survey("x/a.csv")["train_loss"], whole(store)["train_loss"])
        np.testing.assert_array_equal(read_survey("b.h5")["train_accuracy"], whole(store)["train_accuracy"])
        assert Path("c.vts").is_file()
        assert Path("run/loss.png").is_file()

    def test_exports_alone(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["view", str(store), "--export", "a.csv", "--no_pictures"]) == 0
        assert capsys.readouterr().out.splitlines() == ["a.csv"]
        assert not list(Path().rglob("*.png"))

    def test_files_of_others_are_drawn(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("theirs").mkdir()
        their_file(Path("theirs/surface.h5"), np.linspace(-1, 1, 5), np.linspace(-1, 1, 4), computed=17)
        assert main(["view", "theirs/surface.h5", "--kinds", "loss", "--export", "a.csv"]) == 0
        assert capsys.readouterr().err == ""
        assert Path("theirs/loss.png").is_file()
        assert np.isnan(read_survey("a.csv")["train_loss"]).sum() == 3

    def test_a_damaged_store_is_drawn_with_a_line_per_chunk(
        self, store: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        truncate(store / "test_loss" / "c" / "0" / "0")
        garble(store / "test_loss" / "c" / "1" / "1")
        (store / "train_accuracy" / "zarr.json").unlink()
        assert main(["view", "run", "--kinds", "loss"]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert lines[0].startswith("lossatlas: run: damaged train_accuracy/zarr.json: ")
        assert lines[1].startswith("lossatlas: run: damaged test_loss/c/0/0 (u 0 to 2, v 0 to 2): ")
        assert Path("run/loss.png").is_file()

    def test_bad_input_is_one_line(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Path("other").mkdir()
        shutil.copytree(store, "other/survey.zarr")
        Path("broken.h5").write_bytes(b"no HDF5")
        assert "'.txt' is not the suffix of a known format" in self.refused(capsys, "run", "--export", "a.csv", "a.txt")
        assert "--export writes one survey, and 2" in self.refused(capsys, "run", "other", "--export", "a.csv")
        assert "'surface' is not a view of several surveys" in self.refused(
            capsys, "run", "other", "--kinds", "surface"
        )
        assert "given twice" in self.refused(capsys, "run", "run/survey.zarr")
        assert "nothing to do" in self.refused(capsys, "run", "--no_pictures")
        assert "not a lossatlas run with a survey" in self.refused(capsys, "nowhere")
        assert "not a lossatlas run with a survey" in self.refused(capsys, "run", "nowhere")
        assert "may be damaged" in self.refused(capsys, "broken.h5")
        Path("readme.md").touch()
        assert "'.md' is not the suffix of a known format" in self.refused(capsys, "readme.md")
        Path("a.csv").mkdir()
        assert "is a directory; expected the path" in self.refused(capsys, "run", "--export", "a.csv")

    def test_several_surveys_are_named_apart(self, tmp_path: Path) -> None:
        from lossatlas.rundir import name_places

        places = [Path("a/run"), Path("b/run/survey.zarr"), Path("c.csv"), Path("c/b/run")]
        assert list(name_places(places)) == ["a/run", f"{tmp_path.name}/b/run", "c.csv", "c/b/run"]
        assert list(name_places([Path("x/one"), Path("y/two/survey.zarr")])) == ["one", "two"]

    def test_several_surveys_are_drawn_together(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_survey(survey(5, 4), "a.csv")
        assert main(["view", "run", "a.csv", "--out", "both", "--title", "two"]) == 0
        drawn = capsys.readouterr().out.splitlines()
        assert drawn
        assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in drawn)
        assert {Path(path).parent for path in drawn} == {Path("both")}


def test_exchange_does_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, lossatlas.exchange as e; [e.FORMATS[n] for n in e.FORMATS]; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
