"""What becomes of a survey's store that was interrupted, damaged, filled up or removed."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import zarr.storage
from numcodecs.zstd import Zstd

import lossatlas as la
from lossatlas.exchange import read_undamaged
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.locks import Lock
from lossatlas.progress import Reporter
from lossatlas.recipes import FitConfig, SurveyConfig
from lossatlas.schema import STANDARD_ERROR, Quantity, parse_texts
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.arrays import GridArrays
from lossatlas.surveying.growth import merge_grid
from lossatlas.surveying.layout import bring_to_layout
from lossatlas.surveying.store import count_evaluated, read_survey

GRID = {"u": np.linspace(-1, 1, 20), "v": np.linspace(-1, 1, 18)}
CHART = {"chart": "a chart"}
QUANTITIES = {
    "train": {Quantity("loss", "loss", "nat"): None, Quantity("rates", "rates", "1", "classes"): 3},
    "test": {Quantity("loss", "loss", "nat"): None},
}
CHUNK = "c/0/1"
"""The second of four tiles: u 0 to 15, v 16 to 17."""


def filled(path: Path, say: Callable[[str], None] = pytest.fail, grid: Mapping[str, np.ndarray] = GRID) -> xr.Dataset:
    """A survey with everything that there can be in one, as far as it is not there; numbers stand in for networks."""
    u, v = np.meshgrid(*grid.values(), indexing="ij")
    with SurveyStore(path, grid, CHART, say=say) as store:
        store.put("target", np.sign(u).astype(np.int8), {"units": "1"})
        store.put_beside("along_norm", ("along",), np.arange(7.0), {"units": "1", "names": ["a", "b"]})
        for split, quantities in QUANTITIES.items():
            store.add(split, "streaming", quantities, {"data": split}, {"loss": (STANDARD_ERROR,)})
            for claim in store.tiles.claims(store.work(split, "streaming")):
                points = (u + v * v)[claim.tile][claim.missing]
                values = {"loss": points, "loss_standard_error": 0.1 * points}
                if len(quantities) == 2:
                    values["rates"] = np.stack([points] * 3, axis=1)
                with claim:
                    store.write(split, "streaming", claim.tile, claim.missing, values)
        return store.open().load()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    filled(path)
    return path


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "s.zarr")


def opened(path: Path) -> xr.Dataset:
    return xr.open_zarr(str(path), consolidated=False, chunks=None).load()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".locks" not in str(path)}


class Told(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        pass


@contextmanager
def full_disk(limit: int = 0) -> Iterator[Callable[[], None]]:
    """Gives what fills the disk: a limit on the size of files stands in for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    lock, over = threading.Lock(), False

    def fill() -> None:
        with lock:  # zarr's threads may still come here when the disk is to be empty again
            if not over:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))

    try:
        yield fill
    finally:
        with lock:
            over = True
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class TestWhole:
    @pytest.mark.parametrize("kind", ["put", "put_beside"])
    def test_an_array_is_lacking_until_all_of_it_was_written(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = np.arange(360.0).reshape(20, 18)

        def put(store: SurveyStore) -> None:
            if kind == "put":
                store.put("a", values, {"units": "1"})
            else:
                store.put_beside("a", ("along", "aside"), values, {"units": "1"})

        class Killed(BaseException):
            pass

        def killed(*_: object) -> None:
            raise Killed

        for function in ("write", "_put_whole"):
            with monkeypatch.context() as patch, SurveyStore(tmp_path / "s", GRID, {}) as store:
                patch.setattr(GridArrays, function, killed)
                with pytest.raises(Killed):
                    put(store)
        with SurveyStore(tmp_path / "s", GRID, {}) as store:
            assert "a" in store.begun
            assert store.lacks("a")
            put(store)
            assert not store.lacks("a")
            np.testing.assert_array_equal(store.values("a"), values)
        with SurveyStore(tmp_path / "s", GRID, {}) as store:
            assert not store.lacks("a")
            monkeypatch.setattr(GridArrays, "write", killed)
            put(store)  # which has nothing to do

    def test_what_lies_over_the_grid_is_rewritten_where_the_grid_differs(self) -> None:
        store = SurveyStore(None, GRID, {})
        for value in (np.nan, 1.0):
            store.put("a", np.full(store.shape, value), {})
            np.testing.assert_array_equal(store.values("a"), np.full(store.shape, value))


class TestDebris:
    def left(self, path: Path) -> list[Path]:
        """What writers leave that are killed within a write."""
        names = (
            "zarr.0.partial",
            "train_loss/zarr.1.partial",
            "train_loss/c/0/1.2.partial",
            "done/test_streaming/c/0.3.partial",
        )
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(b"half a chu")
        for beside in (".s.zarr.partial", ".s.zarr.replaced"):
            shutil.copytree(path, path.with_name(beside))
        return [path / name for name in names]

    def test_goes_when_a_store_is_opened(self, copied: Path) -> None:
        before, kept = files(copied.parent), opened(copied)
        self.left(copied)
        filled(copied)
        assert files(copied.parent) == before
        assert opened(copied).identical(kept)

    def test_stays_until_the_last_writer_closes(self, copied: Path) -> None:
        before = files(copied.parent)
        with SurveyStore(copied, GRID, CHART):
            parts = self.left(copied)
            filled(copied)  # opens it and closes it, beside the other
            assert all(part.is_file() for part in parts)
        assert files(copied.parent) == before

    def test_is_not_made_beside_what_is_not_a_store(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        with pytest.raises(la.BadInput, match="not a survey that can be continued"):
            filled(tmp_path / "mine")
        assert files(tmp_path) == {"mine"}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def longer(file: Path) -> None:
    file.write_bytes(bytes(Zstd().encode(bytes(2 * 16 * 16 * 8))))


def gone(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    (file / "deep").mkdir(parents=True)


def described_otherwise(**changes: Any) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


CHUNKS = {"cut": cut, "flipped": flipped, "longer": longer, "gone": gone, "a folder": a_folder}
DESCRIPTIONS = {
    "cut off": cut,
    "lost": gone,
    "a list": lambda file: file.write_text("[1]"),
    "of a group": described_otherwise(node_type="group"),
    "of another shape": described_otherwise(shape=[20, 19]),
    "of other numbers": described_otherwise(data_type="int16"),
}


class TestDamage:
    @pytest.mark.parametrize("name", ["train_loss", "test_loss_standard_error", "train_rates"])
    @pytest.mark.parametrize("kind", CHUNKS)
    def test_of_values_is_said_and_they_are_evaluated_again(self, kind: str, name: str, copied: Path) -> None:
        kept, before = opened(copied), files(copied)
        CHUNKS[kind](copied / name / (f"{CHUNK}/0" if name == "train_rates" else CHUNK))
        lines: list[str] = []
        assert filled(copied, lines.append).identical(kept)
        assert len(lines) == 1
        assert re.match(rf"{name} in .* at u 0 to 15, v 16 to 17.*; it is computed again there$", lines[0])
        assert files(copied) == before

    @pytest.mark.parametrize("kind", [kind for kind in CHUNKS if kind != "gone"])
    def test_of_marks_is_said_and_their_points_are_evaluated_again(self, kind: str, copied: Path) -> None:
        kept = opened(copied)
        CHUNKS[kind](copied / "done/train_streaming" / CHUNK)
        lines: list[str] = []
        assert filled(copied, lines.append).identical(kept)
        assert len(lines) == 1
        assert re.match("done/train_streaming in .* is damaged at u 0 to 15, v 16 to 17", lines[0])

    @pytest.mark.parametrize("name", ["train_loss", "done/train_streaming"])
    @pytest.mark.parametrize("kind", DESCRIPTIONS)
    def test_of_a_description_is_said_and_the_array_is_made_again(self, kind: str, name: str, copied: Path) -> None:
        kept = opened(copied)
        DESCRIPTIONS[kind](copied / name / "zarr.json")
        lines: list[str] = []
        assert filled(copied, lines.append).identical(kept)
        assert [line.split()[0] for line in lines] == [name]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *(("target", kind) for kind in (*CHUNKS, "of another shape")),
            *(("along_norm", kind) for kind in ("gone", "flipped", *DESCRIPTIONS)),
        ],
    )
    def test_of_a_whole_array_makes_it_lacking(self, name: str, kind: str, copied: Path) -> None:
        kept = opened(copied)
        if kind in CHUNKS:
            CHUNKS[kind](copied / name / (CHUNK if name == "target" else "c/0"))
        else:
            DESCRIPTIONS[kind](copied / name / "zarr.json")
        lines: list[str] = []
        with SurveyStore(copied, GRID, CHART, say=lines.append) as store:
            assert store.lacks(name)
            assert not store.lacks(*({"target", "along_norm"} - {name}))
        assert [line.split()[0] for line in lines] == [name]
        assert filled(copied).identical(kept)

    def test_a_description_that_lacks_something_is_reported_in_words(self, copied: Path) -> None:
        head = json.loads((copied / "train_loss/zarr.json").read_text())
        del head["fill_value"]
        (copied / "train_loss/zarr.json").write_text(json.dumps(head))
        lines: list[str] = []
        SurveyStore(copied, GRID, CHART, say=lines.append).close()
        (line,) = lines
        assert "train_loss in " in line
        assert "is damaged (its description lacks 'fill_value')" in line

    def test_a_file_in_the_place_of_an_array_gives_way(self, copied: Path) -> None:
        kept = opened(copied)
        for name in ("train_loss", "done/train_streaming", "along_norm"):
            shutil.rmtree(copied / name)
            (copied / name).write_text("not an array")
        assert filled(copied).identical(kept)

    def test_is_a_caution_without_a_callback(self, copied: Path) -> None:
        cut(copied / "train_loss" / CHUNK)
        with pytest.warns(la.Caution, match="^train_loss in .* is damaged at u 0 to 15, v 16 to 17"):
            SurveyStore(copied, GRID, CHART).close()

    @pytest.mark.parametrize("kind", ["cut", "gone", "flipped"])
    @pytest.mark.parametrize("file", ["u/zarr.json", "v/c/0", "zarr.json"])
    def test_of_coordinates_or_of_the_survey_is_refused(self, file: str, kind: str, copied: Path) -> None:
        if kind == "flipped" and file.endswith("json"):
            (copied / file).write_text("{}")
        else:
            CHUNKS[kind](copied / file)
        before = files(copied)
        with pytest.raises(la.BadInput, match="is damaged: the coordinates|is not a survey that|has chart = None"):
            filled(copied)
        assert files(copied) == before

    def test_of_marks_that_somebody_works_on_is_left_to_him(self, copied: Path) -> None:
        mark = copied / "done/train_streaming" / CHUNK
        mark.unlink()
        with SurveyStore(copied, GRID, CHART, say=lambda _: None) as one:
            claim = next(one.tiles.claims(one.work("train", "streaming")))
            mark.write_bytes(b"not a chunk")
            SurveyStore(copied, GRID, CHART, say=pytest.fail).close()
            assert mark.is_file()
            claim.release()

    def test_that_is_dangerous_is_not_decoded_while_others_write(self, copied: Path) -> None:
        with SurveyStore(copied, GRID, CHART):
            chunk = copied / "train_loss" / CHUNK
            chunk.write_bytes(chunk.read_bytes() + Zstd().encode(bytes(2**20)))
            with pytest.raises(la.BadInput, match=r"train_loss in .* not a single frame.*another process writes there"):
                SurveyStore(copied, GRID, CHART)
        lines: list[str] = []
        filled(copied, lines.append)
        assert [line.split()[0] for line in lines] == ["train_loss"]

    def test_of_a_tile_that_somebody_works_on_is_left_to_him(self, copied: Path) -> None:
        (copied / "train_loss" / CHUNK).unlink()
        with SurveyStore(copied, GRID, CHART, say=lambda _: None) as one:
            work = one.work("train", "streaming")
            claim = next(one.tiles.claims(work))
            shutil.copy(copied / "done/train_streaming/c/0/0", copied / "done/train_streaming/c/0/1")
            with SurveyStore(copied, GRID, CHART, say=pytest.fail):
                pass  # what is damaged there will be written by the other one
            assert (copied / "done/train_streaming/c/0/1").is_file()
            with claim:
                one.write("train", "streaming", claim.tile, claim.missing, {"loss": np.zeros(32)})
            assert work.is_done


class TestTravel:
    """What others find who open a store with xarray alone."""

    def test_xarray_opens_a_store_without_a_warning_while_it_is_made_grown_and_continued(self, tmp_path: Path) -> None:
        path = tmp_path / "s.zarr"
        with SurveyStore(path, GRID, CHART) as store:
            assert set(xr.open_zarr(path, chunks=None)) == set()
            store.put("target", np.ones(store.shape, np.int8), {"units": "1"})
            assert set(xr.open_zarr(path, chunks=None)) == {"target"}
        xr.testing.assert_identical(xr.open_zarr(path, chunks=None).load(), opened(path))
        grown = {axis: np.linspace(-1, 1, 2 * len(coords) - 1) for axis, coords in GRID.items()}
        for grid in (GRID, grown):
            shutil.rmtree(path / "target")
            described_otherwise(consolidated_metadata=None)(path / "zarr.json")
            xr.testing.assert_identical(filled(path, grid=grid), xr.open_zarr(path, chunks=None).load())
        variables = {"train_loss", "train_rates", "test_loss", "test_loss_standard_error"}
        assert variables < set(opened(path))
        assert not any("done" in str(name) or "streaming" in str(name) for name in opened(path).variables)

    def test_a_survey_is_a_netcdf_file_and_a_table(self, whole: Path, tmp_path: Path) -> None:
        survey = xr.open_zarr(whole, chunks=None).load()
        for engine in ("scipy", *(["h5netcdf"] if find_spec("h5netcdf") else [])):
            survey.to_netcdf(tmp_path / engine, engine=engine)
            with xr.open_dataset(tmp_path / engine, engine=engine) as again:
                xr.testing.assert_equal(again, survey)
                assert again["train_loss"].attrs["data_hash"] == "train"
                assert parse_texts(again["along_norm"].attrs["names"]) == ["a", "b"]
        assert len(survey[["train_loss", "target"]].to_dataframe()) == 20 * 18


def with_marks_among_the_variables(path: Path) -> None:
    """Make a store one of the versions before marks had a group of their own."""
    described_otherwise(consolidated_metadata=None)(path / "zarr.json")
    for marks in [each for each in (path / "done").iterdir() if each.is_dir()]:
        if marks.name.endswith(".device"):
            shutil.rmtree(marks)
            continue
        head = json.loads((marks / "zarr.json").read_text())["attributes"]
        for name in head["variables"]:
            values = json.loads((path / name / "zarr.json").read_text())["attributes"]
            described_otherwise(attributes={key: values[key] for key in values if key != "data_hash"})(
                path / name / "zarr.json"
            )
        marks.rename(path / f"{marks.name}_done")
    shutil.rmtree(path / "done")


class TestLayoutOfBefore:
    """Stores in which marks lie among the variables."""

    def test_is_read_as_the_one_of_today(self, copied: Path) -> None:
        kept = read_survey(copied)
        with_marks_among_the_variables(copied)
        before = files(copied)
        assert read_survey(copied).identical(kept)
        again, damaged = read_undamaged(copied)
        assert again.identical(kept)
        assert not damaged
        assert count_evaluated(copied, "train", "streaming") == 20 * 18
        assert files(copied) == before

    def test_is_continued_where_it_was_whenever_its_move_is_cut_off(
        self, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = read_survey(copied)
        zarr.open_array(copied / "done" / "train_streaming")[:, 16:] = False  # as if killed before the last tiles
        with_marks_among_the_variables(copied)
        replace = os.replace

        class Killed(BaseException):
            pass

        for number in range(100):
            path, left = shutil.copytree(copied, tmp_path / str(number) / "s.zarr"), iter(range(number))

            def counted(*places: Any, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise Killed
                replace(*places)

            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", counted)
                try:
                    bring_to_layout(path)
                    break
                except Killed:
                    pass
            assert read_survey(path).identical(kept)
            with SurveyStore(path, GRID, CHART) as store:
                assert store.done("train", "streaming").sum() == 20 * 16
                assert store.done("test", "streaming").all()
            assert filled(path).identical(kept)
        assert number > 5, "each description and each move was one"

    def test_is_a_netcdf_file_once_it_is_continued(self, copied: Path, tmp_path: Path) -> None:
        with_marks_among_the_variables(copied)
        for name, more in (("train_loss", {"record": ""}), ("along_norm", {"names": ["a", "b"], "whole": True})):
            attributes = json.loads((copied / name / "zarr.json").read_text())["attributes"]
            described_otherwise(attributes={**attributes, **more})(copied / name / "zarr.json")
        SurveyStore(copied, GRID, CHART).close()
        xr.open_zarr(copied, chunks=None).load().to_netcdf(tmp_path / "a.nc", engine="scipy")

    def test_is_brought_to_a_larger_grid(self, copied: Path) -> None:
        grown = {axis: np.linspace(-1, 1, 2 * len(coords) - 1) for axis, coords in GRID.items()}
        with_marks_among_the_variables(copied)
        with SurveyStore(copied, grown, CHART) as store:
            assert store.done("train", "streaming").sum() == 20 * 18
        assert not list(copied.glob("*_done"))

    def test_is_left_alone_while_others_write(self, copied: Path) -> None:
        with SurveyStore(copied, GRID, CHART):
            with_marks_among_the_variables(copied)
            with pytest.raises(la.BadInput, match="another process of an earlier version writes to .*; continue when"):
                SurveyStore(copied, GRID, CHART)


class TestOfOthers:
    """What lies in a store and was not written by a survey."""

    def test_folders_and_files_are_left_alone_and_move_with_a_grid_that_grows(self, copied: Path) -> None:
        for name in ("notes/a.txt", "mine/c/0/0", "train_mine/c/0", "path_mine/a.txt"):
            (copied / name).parent.mkdir(parents=True)
            (copied / name).write_text("mine")
        (copied / "read.me").write_text("mine")
        zarr.create_array(str(copied / "extra"), data=np.arange(3), dimension_names=["x"])
        before = files(copied)
        filled(copied)
        assert files(copied) == before
        larger = {axis: np.linspace(-1, 1, 2 * len(coords) - 1) for axis, coords in GRID.items()}
        filled(copied, grid=larger)
        assert before <= files(copied)
        assert zarr.open_array(str(copied / "extra"))[...].tolist() == [0, 1, 2]

    @pytest.mark.parametrize("kind", ["codec", "numbers", "group", "files"])
    def test_arrays_that_cannot_be_read_are_refused_and_kept(self, kind: str, copied: Path) -> None:
        if kind == "group":
            zarr.create_group(str(copied / "extra"))
        elif kind == "files":
            cut(copied / "train_loss" / "zarr.json")
            (copied / "train_loss" / "notes.txt").write_text("mine")
        else:
            dtype, codec = ("f4", zarr.codecs.GzipCodec()) if kind == "codec" else ("c8", zarr.codecs.ZstdCodec())
            zarr.create_array(str(copied / "extra"), data=np.zeros(3, dtype), compressors=codec)
        before = files(copied)
        with pytest.raises(
            la.BadInput, match="is not what surveys write there .*; move it out of the survey"
        ) as caught:
            SurveyStore(copied, GRID, CHART)
        assert "\n" not in str(caught.value)
        assert files(copied) == before

    def test_a_description_that_is_lost_is_not_mended_while_others_write(self, copied: Path) -> None:
        with SurveyStore(copied, GRID, CHART):
            (copied / "along_norm" / "zarr.json").unlink()
            with pytest.raises(la.BadInput, match="along_norm in .* another process writes there"):
                SurveyStore(copied, GRID, CHART)
            assert (copied / "along_norm" / "c" / "0").is_file()

    def test_coordinates_without_end_are_compared_with_few(self, copied: Path, tmp_path: Path) -> None:
        shutil.rmtree(copied / "u")
        zarr.create_array(str(copied / "u"), data=np.arange(2.0**21), dimension_names=["u"], chunks=(2**21,))
        wanted = {**GRID, "u": np.linspace(0, 1, 2**20)}
        with pytest.raises(la.BadInput, match="2097152 points along u that the 1048576 wanted do not hold"):
            merge_grid(copied, wanted)


class TestRefusingDisks:
    def test_every_write_that_fails_ends_in_one_line_and_is_made_up_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, messages = zarr.storage._local._put, []
        grid = {axis: coords[:3] for axis, coords in GRID.items()}
        kept = filled(tmp_path / "whole", grid=grid)
        for number in range(1000):
            path, left = tmp_path / str(number) / "s.zarr", iter(range(number))
            path.parent.mkdir()
            with full_disk() as fill, monkeypatch.context() as patch:

                def counted(*arguments: Any, left: Iterator[int] = left, **options: Any) -> int:
                    if next(left, None) is None:
                        fill()
                    return put(*arguments, **options)

                patch.setattr(zarr.storage._local, "_put", counted)
                try:
                    filled(path, grid=grid)
                    break
                except la.CannotFinish as error:
                    messages.append(str(error))
            if number % 5 == 0:
                assert filled(path, grid=grid).identical(kept)
        assert len(messages) > 30
        assert all(re.match("cannot write .*File too large", message) for message in messages)

    def test_a_folder_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / ".s.zarr.locks").touch()
        with pytest.raises(la.CannotFinish, match="cannot write"):
            filled(tmp_path / "s.zarr")


class TestRemoved:
    @pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
    def test_while_it_is_written_is_said_and_not_made_again(self, how: str, tmp_path: Path) -> None:
        path = tmp_path / "run" / "s.zarr"
        path.parent.mkdir()
        with SurveyStore(path, GRID, {}) as store:
            store.put_beside("a", ("along",), np.arange(3.0), {})
            if how == "removed":
                shutil.rmtree(path.parent)
            elif how == "moved":
                path.parent.rename(tmp_path / "elsewhere")
            else:
                path.rename(tmp_path / "old")
                shutil.copytree(tmp_path / "old", path)
            before = files(tmp_path)
            for write in (
                lambda: store.put_beside("b", ("along",), np.arange(3.0), {}),
                lambda: store.put("c", np.zeros((20, 18)), {}),
                lambda: store.work("train", "streaming").is_done,
                lambda: store.tiles.hold("done/train_streaming", (slice(0, 16), slice(0, 16))),
                lambda: store.values("a"),
                store.open,
            ):
                if how == "replaced" and write is not store.open:
                    continue
                with pytest.raises(la.CannotFinish, match="was removed or moved while it was written"):
                    write()
        assert files(tmp_path) == before

    def test_a_run_that_is_removed_ends_in_one_line(self, tmp_path: Path) -> None:
        torch.save(la.MLP(hidden=(8,)).build((1, 8, 8), 10).state_dict(), tmp_path / "w.pt")
        config = SurveyConfig(
            checkpoint=str(tmp_path / "w.pt"), model_options={"hidden": (8,)}, grid=(33, 33), examples="20", plan="loop"
        )

        def remove() -> bool:
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            return False

        with pytest.raises(la.CannotFinish, match="was removed or moved while it was written"):
            run_survey(config, tmp_path / "run", stop=remove)
        assert files(tmp_path) == {"w.pt"}


def test_a_lock_that_is_shared_stays_so_where_it_cannot_be_had_alone(tmp_path: Path) -> None:
    one, other, third = (Lock(tmp_path / "lock") for _ in range(3))
    assert one.share()
    assert other.share()
    assert not one.alone(wait=False)
    other.release()
    assert not third.alone(wait=False)
    assert one.alone(wait=False)
    assert not third.share(wait=False)


class TestManyTiles:
    def test_are_not_listed_before_somebody_listens(self, tmp_path: Path) -> None:
        """A grid of 400 million points and 1.6 million tiles."""
        axes = {axis: np.linspace(-1, 1, 20_000) for axis in "uv"}
        heard = 0

        class Stopped(Exception):
            pass

        def listen() -> None:
            nonlocal heard
            heard += 1
            if heard == 3:
                raise Stopped

        with SurveyStore(tmp_path / "s", axes, {}) as store:
            store.add("test", "streaming", QUANTITIES["test"], {})
            claim = next(store.tiles.claims(store.work("test", "streaming", listen=listen)))
            assert claim.tile == (slice(0, 16), slice(0, 16))
            assert heard == 0
            nothing = np.broadcast_to(np.zeros((), dtype=bool), store.shape)
            with pytest.raises(Stopped):
                next(store.tiles.claims(store.work("test", "streaming", nothing, listen)))


@pytest.mark.parametrize("folder", ["~", "~nobody-here", "%20", "a b"])
def test_a_folder_of_any_name_holds_a_store(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir()
    found = filled(Path(folder, "s.zarr"))
    assert not found["train_loss"].isnull().any()
    assert [*map(str, Path().rglob("s.zarr"))] == [f"{folder}/s.zarr"]


@pytest.mark.parametrize("name", ["mine", "a\nb", "a\x1b[2Jb"])
def test_folders_of_others_in_a_store_are_passed_over_without_a_word(
    name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    filled(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / name).mkdir()
    assert set(read_survey(tmp_path / "s.zarr")) >= {"train_loss"}
    SurveyStore(tmp_path / "s.zarr", GRID, CHART).open()
    assert not recwarn.list


class TestRefusals:
    def test_of_a_survey_come_before_anything_is_said(self, tmp_path: Path) -> None:
        torch.save(la.MLP(hidden=(8,)).build((1, 8, 8), 10).state_dict(), tmp_path / "w.pt")
        config = SurveyConfig(
            checkpoint=str(tmp_path / "w.pt"), model_options={"hidden": (8,)}, grid=(3,), examples="20", plan="loop"
        )
        stopped = iter([False, True])
        with pytest.raises(la.Interrupted):
            run_survey(config, tmp_path / "run", stop=lambda: next(stopped))
        shutil.rmtree(tmp_path / "run" / "survey.zarr" / "u" / "c")
        told = Told()
        with pytest.raises(la.BadInput, match="the coordinates along u cannot be read"):
            run_survey(config, tmp_path / "run", resume=True, reporter=told)
        assert not told.lines

    def test_of_a_fit_come_before_anything_is_said(self, tmp_path: Path) -> None:
        config = FitConfig(
            pattern="heart", size="4x4", steps=2, model_options={"hidden": (8,)}, cells=2, plan="loop", examples="20"
        )
        with pytest.raises(la.Interrupted):
            run_fit(config, tmp_path / "run", stop=lambda: True)
        cut(tmp_path / "run" / "checkpoint" / "latest.safetensors")
        told = Told()
        with pytest.raises(la.BadInput, match="cannot be continued"):
            run_fit(config, tmp_path / "run", resume=True, reporter=told)
        assert not told.lines
