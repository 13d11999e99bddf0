"""The one door for files: what may have been damaged, or made to do harm, ends in one line and costs nothing."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numcodecs
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from hypothesis import given, settings, strategies as st
from PIL import Image
from safetensors.torch import save

import lossatlas
from lossatlas.averages import Averages, Moments, encode_averages, read_averages
from lossatlas.charts import Slice, encode_chart, load_chart
from lossatlas.cli.layers import read_yaml as read_config
from lossatlas.data.load import find_data_options
from lossatlas.engine import Plan
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.exchange import open_survey
from lossatlas.exchange.comparison import COMPARISON, read_comparison
from lossatlas.files import stores
from lossatlas.files.arrays import read_array
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import (
    DEPTH,
    Unreadable,
    convert,
    open_file,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_lines,
    read_text,
    read_yaml,
)
from lossatlas.files.stores import METADATA, check_store, open_store
from lossatlas.files.tensors import check_alike, read_tensors
from lossatlas.files.writing import write_atomically
from lossatlas.pictures import ArraySource, picture
from lossatlas.reproduce.study import Run
from lossatlas.rundir import CONFIG, LOG, PROVENANCE, RunDirectory
from lossatlas.specs import NetworkSpec
from lossatlas.surveying.store import read_survey
from lossatlas.training import Trajectory
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import read_state


@contextmanager
def one_line(match: str = "", kind: type[LossatlasError] = BadInput) -> Iterator[None]:
    with pytest.raises(kind, match=match or None) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def refusal(read: Callable[[], object]) -> str:
    """What is said where something is refused; nothing where it is not."""
    try:
        read()
    except ValueError as error:
        return str(error)
    return ""


# --- bytes and texts


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.mkdir(), "it is a folder"),
        (os.mkfifo, "it is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"12345"), "it is longer than 4 bytes"),
    ],
)
def test_what_is_not_a_file_of_bounded_length_is_refused(tmp_path: Path, make: Any, reason: str) -> None:
    make(tmp_path / "a")
    with one_line(f"^{tmp_path / 'a'} cannot be read: {reason}$", Unreadable):
        read_bytes(tmp_path / "a", 4)


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len([*Path("/proc/self/fd").iterdir()])
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", tmp_path / "a\0b"):
        with one_line("cannot be read", Unreadable), open_file(path):
            pass
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_pipe_is_read_where_it_may_be_one() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"seed: 3\n")
    os.close(writer)
    assert read_config(Path(f"/dev/fd/{reader}")) == {"seed": 3}
    os.close(reader)


def test_what_never_ends_is_bounded() -> None:
    with one_line("longer than 1,000 bytes", Unreadable):
        read_bytes("/dev/zero", 1000, regular=False)


def test_a_text_is_of_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab\xff")
    with one_line("it is not UTF-8 .*at byte 2", Unreadable):
        read_text(tmp_path / "a")


# --- JSON and YAML

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
@settings(max_examples=40, deadline=None)
def test_what_was_written_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value), object) == value
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@settings(max_examples=80, deadline=None)
def test_anything_is_a_value_or_refused(content: bytes) -> None:
    for parse in (lambda: parse_json(content, object), lambda: parse_yaml(content.decode(errors="replace"))):
        assert "\n" not in refusal(parse)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [DEPTH + 2, 10_000, 200_000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    for text in (nested(depth), "[" * depth, '{"a":' * depth):
        with pytest.raises(ValueError, match=f"nested more than {DEPTH} levels deep|truncated"):
            parse_json(text, object)
    with pytest.raises(ValueError, match=f"nested more than {DEPTH} levels deep"):
        parse_yaml(nested(depth))


def test_what_is_nested_deeply_enough_is_read() -> None:
    assert json.dumps(parse_json(nested(DEPTH), list)) == nested(DEPTH) == json.dumps(parse_yaml(nested(DEPTH)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [x, x]\nb: *a\n", "an alias in line 2; write the value itself"),
        ("a: 1\nb: 2\na: 3\n", "'a' twice in the mapping of line 1"),
        ("a: 1\nb: 0x" + "f" * 5000, "a whole number in line 2 that 64 bits do not hold"),
        ("a: " + "9" * 5000, "in line 1"),
        (f"a: {2**64}", "a whole number in line 1 that 64 bits do not hold"),
        ("a: !!int '1" + ":1" * 5000 + "'", "a number to base 60 in line 1"),
        ("a: !!float '1:1.5'", "a number to base 60 in line 1"),
        ("a: !!int x", "in line 1"),
        ("a: !!bool x", "in line 1"),
        ("a: !!set {x}", "constructor for the tag .*:set' .*line 1"),
        ("a: !!binary eA==", "constructor for the tag .*:binary' .*line 1"),
        ("a: !!omap [x: 1]", "constructor for the tag .*:omap' .*line 1"),
        ("a: !!pairs [x: 1]", "constructor for the tag .*:pairs' .*line 1"),
        ("a: !!timestamp 2020-01-01", "constructor for the tag .*:timestamp' .*line 1"),
        ("a: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        ("a: [\n", "it is not YAML"),
        ("a: \x07\n", "it is not YAML"),
        ("? [a]\n: b\n", "it is not YAML|unhashable"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["2020-01-01", "2020-13-45", "2020-01-01 10:00:00", "1:30", "1:1.5", "1" + ":1" * 10**5]
)
def test_what_is_neither_a_number_nor_a_word_is_a_text(text: str) -> None:
    assert parse_yaml(f"a: {text}") == {"a": text}


NUMBERS = ["0", "00", "-7", "+7", "017", "0x1F", "0b101", "1_000", "18446744073709551615"]
REALS = ["1.5", "-.inf", ".nan", "1.5e+3", "1e3", ".5", "12e03"]


@pytest.mark.parametrize("text", [*NUMBERS, *REALS, "true", "~", "x"])
def test_scalars_are_what_yaml_says(text: str) -> None:
    assert repr(parse_yaml(text)) == repr(yaml.safe_load(text))


@dataclass(frozen=True)
class Inner:
    points: int

    def __post_init__(self) -> None:
        if self.points < 1:
            raise BadInput(f"{self.points} points")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    more: float = 1.0


def test_values_are_checked_by_the_dataclass_that_they_become(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"name": "a", "inner": {"points": 2, "unknown": 1}, "more": 3}')
    assert read_json(path, Outer) == Outer("a", Inner(2), 3.0)
    for text, reason in (
        ("[1, 2]", "Expected `object`, got `array`"),
        ('{"name": "a"}', "missing required field `inner`"),
        ('{"name": 3, "inner": {"points": 1}}', r"Expected `str`, got `int` - at `\$.name`"),
        ('{"name": "a", "inner": {"points": true}}', r"got `bool` - at `\$.inner.points`"),
        ('{"name": "a", "inner": {"points": 1.5}}', r"got `float` - at `\$.inner.points`"),
        ("NaN", "JSON is malformed"),
        ("", "truncated"),
    ):
        path.write_text(text)
        with one_line(f"{path} cannot be read: .*{reason}", Unreadable):
            read_json(path, Outer)


def test_what_a_dataclass_refuses_itself_comes_as_it_is() -> None:
    with pytest.raises(BadInput, match="^0 points$"):
        convert({"name": "a", "inner": {"points": 0}}, Outer)


def test_unknown_entries_are_refused_where_that_is_wanted() -> None:
    given = {"name": "a", "inner": {"points": 1, "odd": 1}}
    assert convert(given, Outer).inner == Inner(1)
    with pytest.raises(ValueError, match="'odd' is unknown"):
        convert(given, Outer, exact=True)


def test_lines_are_read_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"points": 1}\n{"points": 2}\n')
    assert read_lines(tmp_path / "a", Inner) == [Inner(1), Inner(2)]
    (tmp_path / "a").write_text('{"points": 1}\n{"poi')
    with one_line("line 2: ", Unreadable):
        read_lines(tmp_path / "a", Inner)


def test_files_end_in_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(nested(10_000))
    for read in (lambda path: read_json(path, dict), read_yaml):
        with one_line("nested more than", Unreadable):
            read(tmp_path / "a")


# --- folders


def test_nothing_in_a_folder_leads_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "inside").symlink_to("../deep")
    (folder / "deep" / "later").symlink_to("nothing yet")
    check_inside(folder)
    for place in ("../../outside", "/etc/passwd", "../.."):
        link = folder / "deep" / "link"
        link.symlink_to(place)
        with one_line("deep/link is a link that leads out of"):
            check_inside(folder)
        link.unlink()
    os.mkfifo(folder / "deep" / "pipe")
    with one_line("deep/pipe is neither a file nor a folder"):
        check_inside(folder)
    with one_line("cannot be listed"):
        check_inside(tmp_path / "none")


def test_a_folder_may_itself_be_linked_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "real" / "b").symlink_to("a")
    (tmp_path / "named").symlink_to("real")
    check_inside(tmp_path / "named")


# --- tensors and arrays


def test_any_damage_to_tensors_is_told_or_harmless(tmp_path: Path) -> None:
    whole = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}, {"told": "x"})
    path = tmp_path / "a.safetensors"
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert "\n" not in refusal(lambda: read_tensors(path))
    for length in (0, 7, 8, 50, len(whole) - 1):
        path.write_bytes(whole[:length])
        with one_line("cannot be read", Unreadable):
            read_tensors(path)


def header(entries: dict[str, Any]) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F31", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": "many", "data_offsets": [0, 0]},
    ],
)
def test_claims_of_tensors_are_not_believed(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "a.safetensors").write_bytes(header({"a": entry}))
    with one_line("cannot be read", Unreadable):
        read_tensors(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with one_line("cannot be read", Unreadable):
        read_tensors(tmp_path / "b.safetensors")


def test_tensors_are_compared_with_those_that_they_stand_in_for() -> None:
    wanted = {"a": torch.zeros(2, 3), "b": torch.zeros(())}
    check_alike({"a": torch.ones(2, 3), "b": torch.ones(())}, wanted)
    for found, reason in (
        ({"a": torch.zeros(2, 3)}, "'b' is missing"),
        ({**wanted, "c": torch.zeros(1)}, "'c' is unknown"),
        ({**wanted, "a": torch.zeros(1, 3)}, r"'a' is torch.float32 of shape \(1, 3\); expected .* \(2, 3\)"),
        ({**wanted, "a": torch.zeros(2, 3).double()}, "'a' is torch.float64 .* expected torch.float32"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_alike(found, wanted)


def npy(text: str, data: bytes = b"") -> bytes:
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ("(1000000000000000,)", "<f8", "its header states 8,000,000,000,000,000 bytes of values and the file holds 8"),
        ("(100000, 100000, 100000, 100000)", "|b1", "its header states 100,000,000,000,000,000,000 bytes"),
        ("(-1,)", "<f8", "its header states -8 bytes"),
        ("(-1, -1)", "<f8", "its header states 8 bytes"),
        ("(1,)", "|O", "it holds values of type object"),
        ("(1,)", "<c8", "it holds values of type complex64"),
        ("(1,)", "<U2", "it holds values of type <U2"),
        ("'many'", "<f8", "shape is not valid"),
        ("(1,)", "odd", "not understood|is not a valid dtype"),
    ],
)
def test_claims_of_an_array_are_not_believed(tmp_path: Path, shape: str, dtype: str, reason: str) -> None:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    (tmp_path / "a.npy").write_bytes(npy(text, b"12345678"))
    with one_line(reason, Unreadable):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.eye(3, 2, dtype=">f4").T, np.array(True), np.ones(0)])
def test_arrays_of_numbers_are_read(tmp_path: Path, array: np.ndarray, version: tuple[int, int]) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), array)


# --- stores


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "survey.zarr"
    u = np.linspace(-1, 1, 6)
    survey = xr.Dataset({"test_loss": (("u", "v"), np.outer(u, u) ** 2)}, coords={"u": u, "v": u})
    survey.to_zarr(path, zarr_format=3, consolidated=False, encoding={"test_loss": {"chunks": (3, 3)}})
    return path


def test_a_store_is_read_as_xarray_reads_it(store: Path) -> None:
    xr.testing.assert_identical(open_store(store).load(), xr.open_zarr(store, consolidated=False, chunks=None).load())


def test_stores_of_others_with_texts_and_consolidated_metadata_are_read(tmp_path: Path) -> None:
    survey = xr.Dataset({"loss": (("u", "name"), np.ones((2, 2)))}, coords={"u": [0.0, 1.0], "name": ["a", "bcd"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of what others may not read
        survey.to_zarr(tmp_path / "a.zarr", zarr_format=3)
    xr.testing.assert_equal(open_store(tmp_path / "a.zarr").load(), survey)
    root = tmp_path / "a.zarr" / METADATA
    told = json.loads(root.read_text())
    told["consolidated_metadata"]["metadata"]["loss"]["shape"] = [2**40, 2**40]
    root.write_text(json.dumps(told))
    with one_line("asks for|does not say"):
        open_store(tmp_path / "a.zarr")


CHUNKED = {"name": "regular", "configuration": {"chunk_shape": [3, 3]}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [10**15, 10**15]}, "it asks for 8,000,000,000,000,000,000,[0-9,]* bytes of memory"),
        ({"shape": [2**13, 2**13]}, "has [0-9,]* chunks, more than the 1,048,576 that are .*; survey fewer"),
        ({"shape": [-1, 6]}, r"its shape is \[-1, 6\]"),
        ({"shape": [6.5, 6]}, "Expected `int`"),
        ({"shape": [2] * 40}, "its shape is"),
        ({"shape": [True, 6]}, "Expected `int`, got `bool`"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**8, 10**8]}}}, "bytes of memory"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 3]}}}, "its chunks are regular"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3]}}}, "its chunks are regular"),
        ({"chunk_grid": {"name": "odd", "configuration": CHUNKED["configuration"]}}, "its chunks are odd"),
        ({"chunk_grid": {"name": "regular", "configuration": {}}}, "missing required field `chunk_shape`"),
        ({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}}, "are found by 'default'"),
        ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}, "its codecs are 'bytes', 'numcodecs.pickle'"),
        ({"codecs": [{"name": "sharding_indexed", "configuration": {}}]}, "its codecs are 'sharding_indexed'"),
        ({"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "zstd"}]}, "its codecs are 'bytes', 'zstd', 'zstd'"),
        ({"codecs": []}, "its codecs are none"),
        ({"storage_transformers": [{"name": "odd"}]}, "its codecs are"),
        ({"data_type": "complex128"}, "its values are of type complex128"),
        ({"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 10**12}}}, "its values are"),
        ({"dimension_names": ["u"]}, "it has 1 names of 2 dimensions"),
        ({"node_type": "group"}, "Invalid enum value 'group'"),
        ({"zarr_format": 2}, "Invalid enum value 2"),
        ({"attributes": [1]}, "Expected `object`, got `array`"),
    ],
)  # fmt: skip
def test_what_a_store_may_not_ask_for_is_refused(store: Path, change: dict[str, Any], reason: str) -> None:
    path = store / "test_loss" / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for read in (check_store, read_survey):
        with one_line(reason):
            read(store)


def test_arrays_that_are_too_many_or_too_large_together_are_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MOST_ARRAYS", 2)
    with one_line("it holds 3 arrays, more than 2"):
        check_store(store)
    monkeypatch.undo()
    monkeypatch.setattr(stores, "free_room", lambda: 300)
    with one_line("it asks for 384 bytes of memory, and 300 are there for it"):
        check_store(store)


def test_a_chunk_that_unpacks_to_far_more_than_it_should_is_refused_unread(store: Path) -> None:
    chunk = store / "test_loss" / "c" / "0" / "0"
    bomb = numcodecs.Zstd(level=3).encode(bytes(2**27))
    assert len(bomb) < 2**14
    chunk.write_bytes(bomb)
    with one_line("c/0/0 cannot be read: it unpacks to 134,217,728 bytes, and a chunk of its array has 72"):
        read_survey(store)
    survey, (entry,) = open_survey(store)
    assert entry.startswith("test_loss/c/0/0: it unpacks to 134,217,728 bytes")
    assert np.isnan(survey["test_loss"].values).sum() == 9
    chunk.write_bytes(bomb[:4] + b"\0" + bomb[5:])  # one that does not say how much
    with one_line("it does not say to how many bytes it unpacks"):
        read_survey(store)


SMALL, BOMB = numcodecs.Zstd(level=3).encode(np.zeros((3, 3))), numcodecs.Zstd(level=3).encode(bytes(2**27))
SKIPPED = struct.pack("<II", 0x184D2A57, 4) + b"\0\0\0\0"
EMPTY_BLOCKS = SMALL[:6] + bytes(3 * 2**17)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SMALL + BOMB, "it is not a single frame of Zstandard"),
        (numcodecs.Zstd(checksum=True).encode(np.zeros((3, 3))) + BOMB, "it is not a single frame of Zstandard"),
        (numcodecs.Zstd().encode(np.random.default_rng(0).bytes(72)) + BOMB, "it is not a single frame of Zstandard"),
        (SKIPPED + BOMB, "it has a part that is to be skipped"),
        (SMALL + SKIPPED + BOMB, "it has a part that is to be skipped"),
        (b"\x27" + BOMB[1:], "it is not a single frame of Zstandard"),
        (EMPTY_BLOCKS, "it has more than 65,536 blocks"),
    ],
)
@pytest.mark.parametrize("summed", [False, True])
def test_a_chunk_that_is_not_one_frame_is_not_decoded(store: Path, content: bytes, reason: str, summed: bool) -> None:
    if summed:
        path = store / "test_loss" / METADATA
        head = json.loads(path.read_text())
        path.write_text(json.dumps({**head, "codecs": [*head["codecs"], {"name": "crc32c"}]}))
        content += b"sums"
    (store / "test_loss" / "c" / "0" / "0").write_bytes(content)
    with one_line(f"c/0/0 cannot be read: {reason}"):
        check_store(store)
    if not summed:
        survey, (entry,) = open_survey(store)
        assert entry.startswith(f"test_loss/c/0/0: {reason}")
        assert np.isnan(survey["test_loss"].values).sum() == 9


@pytest.mark.parametrize("content", [SMALL[:-2], SMALL + b"more", b"nothing of the kind", SMALL[:5], b""])
def test_a_chunk_that_is_merely_damaged_is_found_when_it_is_read(store: Path, content: bytes) -> None:
    (store / "test_loss" / "c" / "0" / "0").write_bytes(content)
    check_store(store)
    survey, (entry,) = open_survey(store)
    assert entry.startswith("test_loss/c/0/0 (u 0 to 2, v 0 to 2): ")
    assert np.isnan(survey["test_loss"].values).sum() == 9


def test_a_store_in_which_something_leads_out_of_it_is_refused(store: Path, tmp_path: Path) -> None:
    shutil.move(store / "test_loss", tmp_path / "elsewhere")
    (store / "test_loss").symlink_to(tmp_path / "elsewhere")
    for read in (check_store, read_survey, open_survey):
        with one_line("test_loss is a link that leads out of"):
            read(store)


@pytest.mark.parametrize("damage", range(40))
def test_damaged_stores_are_read_in_part_or_refused(store: Path, damage: int) -> None:
    files = sorted(path for path in store.rglob("*") if path.is_file())
    random = np.random.default_rng(damage)
    path = files[damage % len(files)]
    content = bytearray(path.read_bytes())
    for place in random.integers(0, len(content), 1 + damage % 3):
        content[place] = random.integers(256)
    path.write_bytes(content)
    for read in (open_survey, read_survey):
        assert "\n" not in refusal(partial(read, store))


# --- every reader


@dataclass(frozen=True)
class Kind:
    """A kind of file: a whole one, what reads it from a folder, and how it is called there."""

    name: str
    content: Callable[[], bytes]
    read: Callable[[Path], object]
    may_be_empty: bool = False
    may_be_a_pipe: bool = False


def image() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.tile(np.arange(20, dtype=np.uint8) * 12, (20, 1))).save(content, "PNG")
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.eye(6, dtype=bool))
    return content.getvalue()


def pickled() -> bytes:
    content = io.BytesIO()
    torch.save({"a": torch.ones(3)}, content)
    return content.getvalue()


def surface() -> bytes:
    from lossatlas.exchange.formats.li_hdf5 import LiHdf5

    u = np.linspace(-1, 1, 5)
    return LiHdf5().bytes_of(xr.Dataset({"train_loss": (("u", "v"), np.outer(u, u))}, coords={"u": u, "v": u}))


def averages() -> bytes:
    space = WeightSpace(torch.nn.Linear(2, 1))
    return encode_averages(Averages(Moments.of(torch.eye(space.size))), space)


def font() -> bytes:
    return (Path(matplotlib.get_data_path()) / "fonts/ttf/cmb10.ttf").read_bytes()


PLAN = json.dumps(Plan.of("loop", 2).to_dict()).encode()
KINDS = {
    "config": Kind("c.yaml", lambda: b"seed: 3\nmodel: mlp\n", lambda p: read_config(p), True, True),
    "config of a run": Kind(CONFIG, lambda: b"seed: 3\nmodel: mlp\n", lambda p: RunDirectory(p.parent).config()),
    "provenance": Kind(PROVENANCE, lambda: b'{"format": "x"}', lambda p: RunDirectory(p.parent).provenance()),
    "plan": Kind("plan.json", lambda: PLAN, Plan.read),
    "log": Kind(LOG, lambda: b'{"a": 1}\n{"a": 2}\n', lambda p: Run(None, {}, p.parent).log(), may_be_empty=True),
    "tensors": Kind("a.safetensors", lambda: save({"a": torch.ones(3)}), read_state),
    "pickle": Kind("a.pt", pickled, read_state),
    "index": Kind("m.index.json", lambda: b'{"weight_map": {"a": "a.safetensors"}}', read_state),
    "chart": Kind("c.safetensors", lambda: encode_chart(Slice(torch.ones(3), torch.eye(3)[:2])), load_chart),
    "averages": Kind("averages.safetensors", averages, lambda p: read_averages(p, WeightSpace(torch.nn.Linear(2, 1)))),
    "table": Kind("a.csv", lambda: b"u,test_loss\n0,1\n1,2\n", open_survey),
    "surface": Kind("a.h5", surface, open_survey),
    "comparison": Kind(
        COMPARISON, lambda: bytes(xr.Dataset({"a": 1.0}).to_netcdf(engine="scipy")),
        lambda p: read_comparison(p.parent),
    ),
    "image": Kind("a.png", image, lambda p: picture(f"image:{p}")),
    "grey": Kind("a.png", image, lambda p: picture(f"grey:{p}")),
    "array": Kind("a.npy", array, lambda p: ArraySource(p)),
    "font": Kind("a.ttf", font, lambda p: picture("text:A", font=str(p))),
}  # fmt: skip
OTHER_TYPES = {
    "a list": b"[1, 2]\n",
    "a number": b"3\n",
    "deep": b"[" * 10_000,
    "undecodable": b"\xff\xfe\0\x93 a: b\n",
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_file_that_is_not_what_it_should_be_ends_in_one_line(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / kind.name
    (tmp_path / "a.safetensors").write_bytes(save({"a": torch.ones(3)}))
    whole = kind.content()
    path.write_bytes(whole)
    kind.read(path)
    harms = {**OTHER_TYPES, "cut off": whole[: len(whole) // 2 + 3]}
    if not kind.may_be_empty:
        harms["empty"] = b""
    for harm in harms.values():
        path.write_bytes(harm)
        with one_line():
            kind.read(path)
    path.unlink()
    with one_line():
        kind.read(path)
    path.mkdir()
    with one_line():
        kind.read(path)
    path.rmdir()
    if not kind.may_be_a_pipe:
        os.mkfifo(path)
        with one_line():
            kind.read(path)


READERS = {
    "json.load", "json.loads", "yaml.load", "yaml.safe_load", "safe_open", "safetensors.torch.load", "torch.load",
    "torch.jit.load", "np.load", "np.fromfile", "np.memmap", "np.loadtxt", "np.genfromtxt", "xr.open_zarr",
    "xr.open_dataset", "zarr.open", "zarr.open_group", "zarr.open_array", "h5py.File", "Image.open", "csv.reader",
    "open", "os.open", "io.open", "pickle.load", "pickle.loads",
}  # fmt: skip
ELSEWHERE = {
    "reproduce/run.py": "what was written to a text a moment before",
    "weights/unpickling.py": "from a file that the door looked at",
    "cli/terminal.py": "nothing, to write to",
    "machine.py": "what Linux says of its processor",
    "jobs/curvature_pieces.py": "an attribute of what the door read",
    "exchange/netcdf.py": "from bytes that the door read",
    "exchange/formats/csv.py": "from a text that the door read",
    "exchange/formats/li_hdf5.py": "to write",
    "exchange/stores.py": "a copy of a store whose metadata the door checked",
    "jobs/log.py": "to write",
    "jobs/sweep.py": "settings that the head has sent to its worker",
    "pools/envelope.py": "a token that the head has written",
    "pools/kinds/local.py": "what a worker of its own has sent",
    "pools/kinds/ray.py": "what a worker of its own has sent",
    "pools/local_worker.py": "what the head has sent",
    "pools/serving.py": "what the head has sent",
    "presence/counting.py": "chunks of marks whose array the door has looked at",
    "presence/presence.py": "to write",
    "provenance.py": "the package's own source",
    "locks/lock.py": "a lock, of which some hundred bytes are read",
    "locks/heartbeats.py": "what belongs to a lease, of which a thousand bytes are read",
    "locks/leases.py": "the text of a lease, of which a thousand bytes were read",
    "locks/detecting.py": "what Linux says of what is mounted",
    "surveying/arrays.py": "a store that the door checked, or a new one",
    "surveying/growth.py": "coordinates whose chunks the door looked at",
    "surveying/layout.py": "marks that the door looked at",
    "training/trajectory.py": "to write",
    "views/shrink.py": "a picture that was rendered a moment before",
}
"""Modules that open something by themselves, and why that is not a file of others."""


def test_files_of_others_are_read_through_one_module() -> None:
    root = Path(lossatlas.__file__).parent
    modules = {path.relative_to(root): path.read_text() for path in root.rglob("*.py")}
    found = {path.as_posix() for path, text in modules.items() if path.parts[0] != "files" and reads(text)}
    assert found == set(ELSEWHERE)


def reads(source: str) -> bool:
    """Whether a module calls something that opens or parses a file."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.ImportFrom) and (call.module or "").startswith("safetensors"):
            if {name.name for name in call.names} & {"load", "load_file", "safe_open"}:
                return True
        elif isinstance(call, ast.Call) and isinstance(call.func, ast.Name | ast.Attribute):
            name = ast.unparse(call.func)
            mode = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
            last = name.rpartition(".")[2]
            if name in READERS or (last in ("read_text", "read_bytes") and "." in name):
                return True
            if last == "open" and isinstance(mode, str) and re.fullmatch("[rwaxbt+]+", mode):
                return True
    return False


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "a").symlink_to("victim")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("look", [NetworkSpec.parse, lambda text: Trajectory.of(Path(text)), find_data_options])
def test_paths_whose_existence_cannot_be_determined(look: Callable[[str], Any]) -> None:
    for text in ("x" * 300, "x/" * 3000):
        with one_line("cannot be read: File name too long", Unreadable):
            look(text)
