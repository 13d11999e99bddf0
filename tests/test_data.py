"""Data sources, their cache, splits that are streamed, and augmentation."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from networks import make
from PIL import Image
from safetensors.torch import save

import lossatlas as la
from lossatlas.data import AUGMENTATIONS, DATA, augment_batch, find_data_options, reading
from lossatlas.data.cache import read_cache
from lossatlas.files.tensors import read_tensors
from lossatlas.fitting import Fit
from lossatlas.hashing import fingerprint
from lossatlas.streams import make_generator

SHARED = Path(os.environ.get("LOSSATLAS_DATA") or Path(__file__).parents[2] / "shared" / "data")
NAMES = ["cat", "dog", "newt"]
Folder = Callable[..., Path]


def shared(name: str) -> str:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}; name a folder with {name} in it by LOSSATLAS_DATA")
    return str(folder)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSATLAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    return tmp_path / "cache"


def pictures(count: int, seed: int = 0, size: tuple[int, int] = (6, 5), channels: int = 3) -> list[Image.Image]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, channels), np.uint8)
    return [Image.fromarray(p if channels == 3 else p[..., 0]) for p in pixels]


def table(count: int = 7, seed: int = 0, **columns: Any) -> dict[str, Any]:
    labels = [k % len(NAMES) for k in range(count)]
    return {"picture": pictures(count, seed), "kind": labels, **columns}


def features(**more: Any) -> datasets.Features:
    return datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES), **more})


@pytest.fixture
def write(tmp_path: Path) -> Folder:
    def made(
        train: dict[str, Any] | None = None, test: dict[str, Any] | None = None, types: Any = None, **others: Any
    ) -> Path:
        splits = {"train": train or table(), "test": test or table(4, seed=1), **others}
        folder = tmp_path / "set"
        for name, columns in splits.items():
            if columns:
                (folder / "data").mkdir(parents=True, exist_ok=True)
                made = datasets.Dataset.from_dict(columns, types or features())
                with reading._quiet():
                    made.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
        return folder

    return made


class TestFolder:
    def test_images_labels_and_names_arrive_as_they_were_written(self, write: Folder) -> None:
        data = la.load_data(str(write()))
        images, labels = data.train.data
        wanted = np.stack([np.asarray(p) for p in pictures(7)]).transpose(0, 3, 1, 2)
        assert np.array_equal(images.numpy(), wanted)
        assert images.dtype == torch.uint8
        assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
        assert (data.classes, data.class_names, len(data.test)) == (3, tuple(NAMES), 4)

    def test_squares_of_pixels_are_averaged_on_request(self, write: Folder) -> None:
        columns = {"picture": pictures(5, size=(6, 4)), "kind": [0] * 5}
        folder = str(write(columns, columns))
        whole, small = (la.load_data(folder, options).train.data[0] for options in ({}, {"shrink": 2}))
        means = whole.double().view(5, 3, 3, 2, 2, 2).mean(dim=(3, 5))
        assert small.shape == (5, 3, 3, 2)
        assert small.dtype == torch.uint8
        assert (small - means).abs().max() <= 0.5
        with pytest.raises(la.BadInput, match="shrink is 4, which does not divide 6 x 4 pixels; expected a common"):
            la.load_data(folder, {"shrink": 4})

    def test_batches_have_mean_0_and_deviation_1_of_the_training_images(self, write: Folder) -> None:
        data = la.load_data(str(write(table(200))))
        images, _ = data.train.take(torch.arange(200))
        assert images.dtype == torch.float32
        assert images.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
        assert images.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)
        assert "measured on the 200 training images" in data.normalisation

    def test_a_channel_that_is_the_same_everywhere_is_only_shifted(self, write: Folder) -> None:
        grey = [Image.new("RGB", (4, 4), (k * 9, 51, 0)) for k in range(6)]
        columns = {"picture": grey, "kind": [0] * 6}
        data = la.load_data(str(write(columns, columns)))
        images, _ = data.train.take(torch.arange(6))
        assert images[:, 1:].abs().max() < 1e-6

    @pytest.mark.parametrize("mode", ["1", "L", "P"])
    def test_spellings_of_grey_and_colour(self, write: Folder, mode: str) -> None:
        converted = [p.convert("RGB").convert(mode) for p in pictures(4)]
        columns = {"picture": converted, "kind": [0] * 4}
        images, _ = la.load_data(str(write(columns, columns))).train.data
        back = np.stack([np.asarray(p.convert("RGB" if mode == "P" else "L")) for p in converted])
        assert np.array_equal(images.numpy(), back.transpose(0, 3, 1, 2) if mode == "P" else back[:, None])

    def test_folders_of_classes(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            for kind, picture in zip(NAMES, pictures(3), strict=True):
                (tmp_path / "set" / split / kind).mkdir(parents=True)
                picture.save(tmp_path / "set" / split / kind / "0.png")
        data = la.load_data(str(tmp_path / "set"))
        assert data.class_names == tuple(NAMES)
        assert sorted(data.train.data[1].tolist()) == [0, 1, 2]

    def test_integer_labels_and_chosen_columns_and_splits(self, write: Folder) -> None:
        types = features(thumb=datasets.Image(), age=datasets.Value("int16"), id=datasets.Value("int64"))
        extra = {"thumb": pictures(7, seed=5, size=(3, 3)), "age": [9, 1, 2, 3, 4, 5, 6], "id": list(range(7))}
        folder = write(table(**extra), table(**extra), types, validation=table(seed=3, **extra))
        data = la.load_data(str(folder), {"image": "thumb", "label": "age", "test": "validation"})
        assert data.train.data[0].shape == (7, 3, 3, 3)
        assert (data.classes, data.class_names) == (10, ())
        assert data.test.data[1].dtype == torch.int64

    def test_a_validation_split_stands_in_for_a_test_split(self, write: Folder) -> None:
        folder = write(validation=table(5))
        (folder / "data" / "test-00000-of-00001.parquet").unlink()
        assert len(la.load_data(str(folder)).test) == 5

    def test_a_named_set_reads_a_folder(self, write: Folder) -> None:
        columns = {"image": pictures(4, channels=1), "label": [0, 1, 2, 0]}
        types = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
        data = la.load_data("mnist", {"folder": str(write(columns, columns, types))})
        expected = (np.asarray(columns["image"][1]) / 255 - 0.1307) / 0.3081
        assert data.name == "mnist"
        assert data.train.take(torch.tensor([1]))[0][0, 0].numpy() == pytest.approx(expected, abs=1e-5)
        assert "constants of mnist" in data.normalisation

    def test_cifar100_takes_the_fine_labels(self, write: Folder) -> None:
        types = features(fine_label=datasets.ClassLabel(num_classes=100))
        fine = {"fine_label": [99, 98, 97, 96]}
        data = la.load_data("cifar100", {"folder": str(write(table(4, **fine), table(4, **fine), types))})
        assert data.train.data[1].tolist() == fine["fine_label"]
        assert data.classes == 100


class TestCache:
    def test_the_second_time_nothing_is_decoded(self, write: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = str(write())
        first = la.load_data(folder)
        monkeypatch.setattr(datasets, "load_dataset", None)
        second = la.load_data(folder)
        assert first.train.fingerprint() == second.train.fingerprint()
        assert first.test.fingerprint() == second.test.fingerprint()
        assert (first.classes, first.class_names, first.normalisation) == (
            second.classes, second.class_names, second.normalisation,
        )  # fmt: skip

    def test_only_the_cache_file_is_left(self, write: Folder, cache: Path, tmp_path: Path) -> None:
        la.load_data(str(write()))
        assert [path.suffix for path in cache.iterdir()] == [".safetensors"]
        assert not (tmp_path / "hub").exists()

    def test_a_changed_folder_is_read_again_also_where_its_times_are_the_same(self, write: Folder) -> None:
        folder = write()
        before = la.load_data(str(folder)).train.fingerprint()
        file = folder / "data" / "train-00000-of-00001.parquet"
        times = file.stat()
        write(table(9, seed=4))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        data = la.load_data(str(folder))
        assert len(data.train) == 9
        assert data.train.fingerprint() != before

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
    def test_a_damaged_file_is_made_again(self, write: Folder, cache: Path, damage: str) -> None:
        folder = str(write())
        before = la.load_data(folder).train.fingerprint()
        (file,) = cache.iterdir()
        content = bytearray(file.read_bytes())
        content[-9] ^= 4
        file.write_bytes({"cut": content[:-1], "flipped": content, "empty": b"", "text": b"years of work"}[damage])
        assert la.load_data(folder).train.fingerprint() == before
        assert file.read_bytes()[-9] != content[-9]

    def test_a_file_of_other_tensors_is_made_again(self, write: Folder, cache: Path) -> None:
        folder = str(write())
        before = la.load_data(folder).train.fingerprint()
        (file,) = cache.iterdir()
        tensors, metadata = read_tensors(file)
        changes: list[dict[str, torch.Tensor]] = [
            {"train.images": tensors["train.images"].float()},
            {"train.labels": tensors["train.labels"][:-1]},
            {"test.images": tensors["test.images"][0]},
            {"odd": torch.ones(1)},
        ]
        for change in changes:
            file.write_bytes(save({**tensors, **change}, metadata))
            assert read_cache(file) is None
        for names in ("", "3", '["a", 3]', "[" * 5000):
            file.write_bytes(save(tensors, {"names": names}))
            assert read_cache(file) is None
        file.unlink()
        os.mkfifo(file)
        assert read_cache(file) is None
        assert la.load_data(folder).train.fingerprint() == before

    def test_options_have_files_of_their_own(self, write: Folder, cache: Path) -> None:
        folder = str(write(validation=table(5)))
        assert len(la.load_data(folder).test) == 4
        assert len(la.load_data(folder, {"test": "validation"}).test) == 5
        assert len(list(cache.iterdir())) == 2

    def test_where_files_go(self, write: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOSSATLAS_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        la.load_data(str(write()))
        assert len(list((tmp_path / "xdg" / "lossatlas").iterdir())) == 1

    def test_a_place_that_cannot_be_written(
        self, write: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("LOSSATLAS_CACHE", str(tmp_path / "file"))
        with pytest.raises(la.BadInput, match="cannot write decoded images to .*LOSSATLAS_CACHE"):
            la.load_data(str(write()))

    def test_images_that_are_refused_leave_nothing(self, write: Folder, cache: Path) -> None:
        columns = {"picture": pictures(2) + pictures(1, size=(9, 9)), "kind": [0, 1, 2]}
        with pytest.raises(la.BadInput, match="one size and mode; got 6x5 with 3 channels and 9x9"):
            la.load_data(str(write(columns)))
        assert not list(cache.iterdir())


class TestHub:
    """The hub's part, played by a folder."""

    @pytest.fixture
    def hub(self, write: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
        tables = datasets.load_dataset(str(write(table(12))))
        asked: list[tuple[str, str | None]] = []

        def load_dataset(path: str, name: str | None, cache_dir: str | None) -> Any:
            asked.append((path, name))
            assert cache_dir is None
            return tables

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    def test_by_name_with_a_configuration(self, hub: list[tuple[str, str | None]], cache: Path) -> None:
        first = la.load_data("hub:zoo/pets", {"config": "small"})
        second = la.load_data("hub:zoo/pets", {"config": "small"})
        assert hub == [("zoo/pets", "small")] * 2
        assert first.train.fingerprint() == second.train.fingerprint()
        assert len(list(cache.iterdir())) == 1
        assert len(first.train) == 12

    def test_known_sets_know_their_names_there(self, hub: list[tuple[str, str | None]]) -> None:
        la.load_data("cifar10")
        assert hub == [("uoft-cs/cifar10", None)]
        with pytest.raises(la.BadInput, match="fashion_mnist has images of 1 channels and those of zalando.* have 3"):
            la.load_data("fashion_mnist")

    @pytest.mark.parametrize(("spec", "help"), [("hub:zoo/pets", "--data FOLDER"), ("mnist", "--data.folder FOLDER")])
    def test_without_network_and_copy(self, spec: str, help: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: A002
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        with pytest.raises(la.BadInput, match=f"cannot be read from the hub .* and is not cached; .*{help}"):
            la.load_data(spec)

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                FileNotFoundError("gone\nfar away"),
                r"the hub has no data set zoo/pets that can be read \(gone far away\)",
            ),
            (ValueError("Config name is missing."), r"\(Config name is missing\); try --data.config"),
        ],
    )
    def test_what_the_hub_refuses(self, error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def load_dataset(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        with pytest.raises(la.BadInput, match=message):
            la.load_data("hub:zoo/pets")


class TestRefusals:
    def refused(self, spec: Path | str, message: str, **options: Any) -> None:
        with pytest.raises(la.BadInput, match=message) as caught:
            la.load_data(str(spec), options)
        assert len(str(caught.value).splitlines()) == 1

    def test_a_split_that_is_not_there(self, write: Folder) -> None:
        folder = write()
        self.refused(folder, "no split 'dev'; it has train, test: choose one with --data.test", test="dev")
        (folder / "data" / "test-00000-of-00001.parquet").unlink()
        self.refused(folder, "no split 'test' or 'validation' or 'val'; it has train: choose one with --data.test")

    def test_columns_that_cannot_be_told_apart(self, write: Folder) -> None:
        types = features(thumb=datasets.Image(), mood=datasets.ClassLabel(names=["good", "bad"]))
        columns = table(thumb=pictures(7), mood=[0] * 7)
        folder = write(columns, columns, types)
        self.refused(folder, r"several columns of images; choose one with --data.image from picture \(Image\), kind")
        self.refused(folder, r"several columns of labels; .*--data.label .*mood \(ClassLabel\)", image="thumb")
        self.refused(folder, "no column 'thum'; choose with --data.image", image="thum")
        self.refused(folder, "column 'thumb' .* holds no labels", image="thumb", label="thumb")
        self.refused(folder, "column 'mood' .* holds no images", image="mood")

    def test_no_column_of_images_or_labels(self, write: Folder) -> None:
        columns, types = {"text": ["a", "b"]}, datasets.Features({"text": datasets.Value("string")})
        self.refused(write(columns, columns, types), r"no column that is clearly of images; .* text \(string\)")
        columns = {"picture": pictures(2)}
        types = datasets.Features({"picture": datasets.Image()})
        self.refused(write(columns, columns, types), "no column that is clearly of labels")

    def test_sizes_and_modes_that_are_mixed(self, write: Folder) -> None:
        mixed = {"picture": pictures(1) + pictures(1, channels=1), "kind": [0, 1]}
        self.refused(write(mixed), "one size and mode; got 6x5 with 3 channels and 6x5 with 1 channels")
        other = {"picture": pictures(2, size=(8, 8)), "kind": [0, 1]}
        self.refused(write(table(), other), "one size and mode; got 6x5 with 3 channels and 8x8")

    def test_images_that_are_none(self, write: Folder) -> None:
        deep = {"picture": [Image.fromarray(np.full((4, 4), 999, np.uint16))] * 2, "kind": [0, 1]}
        self.refused(write(deep), "mode I;16; expected grey .L. or colour")
        self.refused(write({"picture": [None, *pictures(1)], "kind": [0, 1]}), "an image is missing")
        broken = {"picture": [{"bytes": b"\x89PNG no more", "path": None}], "kind": [0]}
        self.refused(write(broken), "column 'picture' has something in row 0 that cannot be decoded")

    @pytest.mark.parametrize("missing", [-1, None])
    def test_labels_that_are_missing(self, write: Folder, missing: int | None) -> None:
        self.refused(
            write(table(), table(4, kind=[0, 1, 2, missing])),
            r"labels are missing in split 'test' .*column 'kind'.*--data.test",
        )

    def test_folders_that_are_not_a_data_set(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "cannot be read as a data set .*train-.*parquet")
        (tmp_path / "train-0.parquet").write_text("years of work")
        self.refused(tmp_path, "cannot be read as a data set .*train-.*parquet")
        with pytest.raises(la.BadInput, match="nowhere is not a folder; check the path"):
            la.load_data("mnist", {"folder": str(tmp_path / "nowhere")})

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("fasion_mnist", "did you mean 'fashion_mnist'. expected .*hub:OWNER/NAME"),
            ("", "'' is not a data set"),
            ("hub:cifar10", "expected hub:OWNER/NAME"),
            ("uoft-cs/cifar10", "is not a folder; a name of the hub is written hub:OWNER/NAME"),
            ("/there/is/none", "is not a folder; check the path"),
            ("nowhere:data", "cannot import"),
        ],
    )
    def test_specifications_that_mean_nothing(self, spec: str, message: str) -> None:
        self.refused(spec, message)

    @pytest.mark.parametrize("memory", [-1.0, math.nan])
    def test_a_memory_that_cannot_be(self, memory: float) -> None:
        self.refused("mnist", "memory is .*; expected 0 or a positive number, or inf", memory=memory)

    def test_unknown_options(self) -> None:
        self.refused("mnist", "'foldr' is not an option of data 'mnist'; did you mean 'folder'", foldr=1)
        self.refused("digits", "'digits' takes no options; got folder", folder=1)
        self.refused("os:getcwd", "'os:getcwd' takes no options; got folder", folder=1)


def test_every_source_is_a_dataclass_of_options() -> None:
    from dataclasses import fields

    images = {"config", "train", "test", "image", "label", "memory", "shrink"}
    for name in DATA:
        found = {field.name for field in fields(DATA[name])}
        assert found == (set() if name == "digits" else images | {"folder"})
    assert {field.name for field in fields(find_data_options("hub:zoo/pets"))} == images
    assert find_data_options("os:getcwd") is None


def test_nothing_is_written_to_the_terminal(write: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    la.load_data(str(write()))
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled(), "its settings are the user's"


@pytest.mark.parametrize(
    ("name", "counts", "shape", "first"),
    [("fashion_mnist", (60_000, 10_000), (1, 28, 28), "T - shirt / top"),
     ("cifar10", (50_000, 10_000), (3, 32, 32), "airplane")],
)  # fmt: skip
def test_published_sets(
    name: str, counts: tuple[int, int], shape: tuple[int, ...], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All labels, and every fifth image: to decode them all would take as long as the rest of this file."""
    options, load, labels = {"folder": shared(name)}, datasets.load_dataset, {}

    def thinned(*args: Any, **kwargs: Any) -> datasets.DatasetDict:
        tables = load(*args, **kwargs)
        labels.update({split: np.bincount(table["label"]) for split, table in tables.items()})
        return datasets.DatasetDict({split: table.select(range(0, len(table), 5)) for split, table in tables.items()})

    monkeypatch.setattr(datasets, "load_dataset", thinned)
    data = la.load_data(name, options)
    for split, count in zip(("train", "test"), counts, strict=True):
        assert labels[split].tolist() == [count // 10] * 10
        assert len(data.splits[split]) == count // 5
    assert (data.classes, len(data.class_names), data.class_names[0]) == (10, 10, first)
    images, _ = data.train.take(torch.arange(counts[0] // 5))
    assert images.shape[1:] == shape
    assert images.mean(dim=(0, 2, 3)).abs().max() < 0.01
    assert (images.std(dim=(0, 2, 3)) - 1).abs().max() < 0.01
    monkeypatch.setattr(datasets, "load_dataset", None)
    assert la.load_data(name, options).train.fingerprint() == data.train.fingerprint()


class TestSplit:
    def splits(self, count: int = 23) -> tuple[la.Split, la.Split]:
        """One split, held whole and streamed."""
        images = torch.randint(256, (count, 3, 4, 5), generator=make_generator(0, "images"), dtype=torch.uint8)
        data = (images, torch.arange(count))
        normalise = la.Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
        return la.Split(data, normalise), la.Split(data, normalise, memory=0.0)

    def same(self, one: la.Split, other: la.Split) -> None:
        assert len(one) == len(other)
        assert one.fingerprint() == other.fingerprint()
        some = torch.tensor([4, 0, 3])
        batches = [(one.take(some), other.take(some)), *zip(one.eval_batches(4), other.eval_batches(4), strict=True)]
        for first, second in [*batches, (one.data, other.data)]:
            assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(first, second, strict=True))
        assert torch.equal(
            one.sample_indices(6, make_generator(0, "a")), other.sample_indices(6, make_generator(0, "a"))
        )

    def test_streamed_and_held_are_the_same(self) -> None:
        held, streamed = self.splits()
        self.same(held, streamed)
        parts = [split.subset(11, make_generator(1, "part")) for split in (held, streamed)]
        assert [part.streamed for part in parts] == [False, True]
        assert parts[1]._source.leaves[0].data_ptr() == streamed._source.leaves[0].data_ptr(), "nothing is copied"
        self.same(*parts)
        self.same(*(part.subset(6, make_generator(2, "part")) for part in parts))

    def test_only_batches_move_to_a_device_that_is_too_small(self) -> None:
        held, streamed = (split.to("meta") for split in self.splits())
        assert [split._source.leaves[0].device.type for split in (held, streamed)] == ["meta", "cpu"]
        part = streamed.subset(11, make_generator(1, "part"))
        for split in (held, streamed, part):
            assert split.device.type == "meta"
            for images, labels in (split.take(torch.arange(3)), next(split.eval_batches(5))):
                assert (images.device.type, labels.device.type) == ("meta", "meta")
                assert images.dtype == torch.float32
        self.same(streamed.to("cpu"), self.splits()[0])
        assert not streamed.to("cpu").streamed

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_a_device(self) -> None:
        held, streamed = (split.to("cuda") for split in self.splits())
        assert [split.streamed for split in (held, streamed)] == [False, True]
        assert [split._source.leaves[0].device.type for split in (held, streamed)] == ["cuda", "cpu"]
        for split in (held, streamed):
            assert split.device == torch.device("cuda", 0)
            assert split.take(torch.arange(3))[0].device == next(split.eval_batches(5))[0].device == split.device
        self.same(held, streamed)
        self.same(*(split.subset(11, make_generator(1, "part")) for split in (held, streamed)))
        self.same(self.splits()[0], streamed)
        self.same(held.to("cpu"), streamed.to("cpu"))
        assert not streamed.to("cpu").streamed

    def test_the_fingerprint_is_that_of_what_batches_hold(self) -> None:
        held, _ = self.splits()
        images, labels = held.data
        others = [
            la.Split((images, labels)),
            la.Split((images, labels), la.Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.41))),
            la.Split((images ^ 1, labels), held.transform),
        ]
        assert len({split.fingerprint() for split in [held, *others]}) == 4

    def test_a_hash_in_parts_is_the_hash_of_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        named = [("a", torch.rand(37, 3)), ("b", torch.tensor(3.0)), ("c", torch.zeros(0, 4)), ("d", torch.eye(5).T)]
        rows = torch.randperm(37)
        whole, part = fingerprint(named), fingerprint([("a", named[0][1][rows])])
        monkeypatch.setattr("lossatlas.hashing.CHUNK", 64)
        assert fingerprint(named) == whole
        assert fingerprint(named[:1], rows=rows) == part

    def test_normalising_leaves_the_examples_alone(self) -> None:
        images = torch.rand(5, 1, 2, 2)
        before = images.clone()
        normalised, _ = la.Split((images, torch.zeros(5)), la.Normalise((0.5,), (2.0,))).take(torch.arange(5))
        assert torch.equal(images, before)
        assert torch.allclose(normalised, (images / 255 - 0.5) / 2)

    def test_a_fit_and_a_survey_of_streamed_images(self, write: Folder) -> None:
        folder = str(write(table(20), table(12)))
        ends = []
        for memory in (0.0, 1.0):
            data = la.load_data(folder, {"memory": memory})
            problem = la.Problem(la.MLP(hidden=(6,)).build((3, 6, 5), 3), la.CrossEntropy())
            torch.nn.init.zeros_(problem.module[-1].bias)
            chart = la.Plane.random(problem.module, initialiser=la.Xavier(), seed=1)
            pattern = la.Pattern(la.picture("heart", 8), cells=4)
            la.fit(chart, pattern, problem, data.train, steps=3, batch_size=8, plan="loop")
            part = data.test.subset(7, make_generator(0, "survey"))
            assert part.streamed == (memory == 0)
            survey = la.survey(chart, la.make_grid(chart, (3, 2)), problem, {"test": part}, plan="loop")
            ends.append((chart.fingerprint(), survey["test_loss"].values.tolist()))
        assert ends[0] == ends[1]


class TestAugmentation:
    images = torch.randn(4000, 2, 8, 10, generator=make_generator(0, "images"))

    @pytest.mark.parametrize("name", list(AUGMENTATIONS))
    def test_draws_are_the_generators_and_the_images_stay(self, name: str) -> None:
        change, before = AUGMENTATIONS[name](), self.images[:50].clone()
        first, second, other = (change(before, make_generator(0, "augment", step)) for step in (3, 3, 4))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert torch.equal(before, self.images[:50])
        assert (first.shape, first.dtype) == (before.shape, before.dtype)

    def test_mirror_images(self) -> None:
        assert torch.equal(la.Flip(0.0)(self.images, make_generator(0, "a")), self.images)
        flipped = la.Flip()(self.images, make_generator(0, "a"))
        swapped = (flipped != self.images).flatten(1).any(dim=1)
        assert torch.equal(flipped[swapped], self.images[swapped].flip(3))
        assert float(swapped.float().mean()) == pytest.approx(0.5, abs=0.04)
        again = la.Flip()(flipped, make_generator(0, "a"))
        assert torch.equal(again, self.images)

    def test_crops_are_shifts_with_zeros_behind_them(self) -> None:
        images = self.images[:300]
        cropped = la.Crop()(images, make_generator(0, "a"))
        shifts = set()
        for image, crop in zip(images, cropped, strict=True):
            padded = torch.nn.functional.pad(image, [4] * 4)
            found = [(i, j) for i in range(9) for j in range(9) if torch.equal(padded[:, i : i + 8, j : j + 10], crop)]
            assert len(found) == 1
            shifts.update(found)
        assert len(shifts) > 70, "of 81"
        assert torch.equal(la.Crop(padding=0)(images, make_generator(0, "a")), images)

    def test_cutouts_are_squares_with_their_centre_anywhere(self) -> None:
        ones = torch.ones(4000, 2, 8, 10)
        cut = la.Cutout()(ones, make_generator(0, "a"))
        assert torch.equal(cut[:, 0], cut[:, 1])
        holes = cut[:, 0] == 0
        heights, widths = holes.any(dim=2).sum(dim=1), holes.any(dim=1).sum(dim=1)
        assert torch.equal(heights * widths, holes.sum(dim=(1, 2)))
        # a side of 4 reaches from 2 before its centre to 1 after it: 2, 3, 4, ... 4, 3 lie inside
        assert float(heights.double().mean()) == pytest.approx((2 + 3 + 4 * 5 + 3) / 8, rel=0.02)
        assert float(widths.double().mean()) == pytest.approx((2 + 3 + 4 * 7 + 3) / 10, rel=0.02)
        assert holes.any(dim=0).all()
        assert int(la.Cutout(side=1)(ones, make_generator(0, "a"))[:, 0].eq(0).sum()) == 4000

    @given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 5))
    def test_any_shape(self, height: int, width: int, padding: int) -> None:
        images = torch.ones(3, 1, height, width)
        for change in (la.Crop(padding), la.Flip(), la.Cutout()):
            assert change(images, make_generator(0, "a")).shape == images.shape

    @pytest.mark.parametrize("make", [lambda: la.Crop(-1), lambda: la.Flip(1.5), lambda: la.Cutout(0)])
    def test_options_that_cannot_be(self, make: Callable[[], la.Augmentation]) -> None:
        with pytest.raises(la.BadInput, match="expected"):
            make()

    @pytest.mark.parametrize(
        ("batch", "found"),
        [
            ((torch.zeros(3, 4), torch.zeros(3)), r"shape \(3, 4\) and torch.float32"),
            ((torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3)), "torch.uint8"),
            ({"input_ids": torch.zeros(3, 4)}, "got dict"),
        ],
    )
    def test_what_is_not_an_image_is_refused(self, batch: Any, found: str) -> None:
        with pytest.raises(la.BadInput, match=f"needs pairs .*{found}"):
            augment_batch(batch, [la.Flip()], make_generator(0, "a"))
        assert augment_batch(batch, [], make_generator(0, "a")) is batch

    def make_fit(self, augment: tuple[la.Augmentation, ...]) -> Fit:
        problem, split = make("conv")
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        engine = la.engine_for(problem, chart, split, plan="loop", points=8)
        return Fit(
            chart, la.Pattern(la.picture("heart", 8), cells=4), engine, split, la.Steps(6), optimizer=la.Adam(),
            batch_size=5, augment=augment,
        )  # fmt: skip

    @pytest.mark.parametrize("stop", [0, 1, 4])
    def test_a_fit_resumes_bit_for_bit(self, stop: int) -> None:
        changes = (la.Crop(2), la.Flip(), la.Cutout(3))
        whole, first, second, plain = (self.make_fit(augment) for augment in (changes, changes, changes, ()))
        for fit in (whole, plain):
            while not fit.done:
                fit.step()
        for _ in range(stop):
            first.step()
        tensors, scalars = first.state()
        second.restore({name: value.clone() for name, value in tensors.items()}, scalars)
        while not second.done:
            second.step()
        assert second.chart.fingerprint() == whole.chart.fingerprint() != plain.chart.fingerprint()

    def test_a_fit_of_no_images_is_refused_before_it_starts(self) -> None:
        problem, split = make("regression")
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        with pytest.raises(la.BadInput, match="augmentation needs pairs"):
            la.fit(chart, la.Pattern(la.picture("heart", 8)), problem, split, steps=1, augment=[la.Flip()], plan="loop")
