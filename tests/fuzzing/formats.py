"""Files of foreign formats, damaged byte by byte, and the functions of the library that read them.

They are read many to a process, which notes each that it is done with: where what decodes a format crashes, it was the
next.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from fuzzing.children import forked
from fuzzing.judge import Verdict, general, where
from fuzzing.mutation import HOSTILE_TEXTS, damaged_bytes, damaged_header, damaged_tree, deep

__all__ = ["FORMATS", "Read", "format_file", "read_all"]

EACH = 20.0
"""Seconds of computing that one file may take."""


@dataclass(frozen=True)
class FileFormat:
    """A format and who reads it."""

    made: Callable[[], list[bytes]]
    """Whole files of it."""
    name: str
    """What a file of it is called; a format may go by the suffix."""
    read: Callable[[Path], Any]
    """Reads one, and uses what came of it."""
    damaged: Callable[[random.Random, bytes], bytes] = damaged_bytes


@dataclass(frozen=True)
class Read:
    """What became of a file."""

    seed: str
    verdict: Verdict
    told: str = ""
    """A traceback or messages, where something is wrong."""


def format_file(rng: random.Random, name: str, folder: Path) -> Path:
    """A damaged file of a format.

    Args:
        rng: decides everything.
        name: of one of :data:`FORMATS`.
        folder: where the file is put.
    """
    form = FORMATS[name]
    path = folder / form.name
    seeds = _seeds(name)
    content = (
        form.damaged(rng, rng.choice(seeds))
        if rng.random() < 0.95
        else damaged_bytes(rng, rng.choice(_seeds(rng.choice(list(FORMATS)))))
    )
    path.write_bytes(content)
    return path


def read_all(name: str, seeds: Sequence[str], scratch: Path, found: Callable[[Read], None]) -> None:
    """Read one damaged file for each seed; tells what became of each.

    Args:
        name: of one of :data:`FORMATS`.
        seeds: a file is made from each.
        scratch: a folder for the files.
        found: told of each.
    """
    left, results = list(seeds), scratch / "results"
    while left:
        results.write_bytes(b"")
        ended = forked(partial(_read_each, name, left, scratch, results), scratch, patience=float("inf"))
        lines = results.read_text().splitlines()
        for told in map(json.loads, lines):
            found(Read(told["seed"], Verdict(**told["verdict"]), told["told"]))
        if len(lines) < len(left):  # the next was too much
            hung = ended.hung or ended.signal == signal.SIGPROF
            crash = Verdict("crash", f"{name}: signal {ended.signal}, exit {ended.code}")
            found(Read(left[len(lines)], Verdict("hang", name) if hung else crash, ended.errors))
        left = left[len(lines) + 1 :]


def _read_each(name: str, seeds: Sequence[str], scratch: Path, results: Path) -> int:
    with results.open("w", buffering=1) as file:
        for seed in seeds:
            path = format_file(random.Random(seed), name, scratch)
            verdict, told = tried(FORMATS[name].read, path)
            file.write(json.dumps({"seed": seed, "verdict": asdict(verdict), "told": told}) + "\n")
    return 0


def tried(read: Callable[[Path], Any], path: Path) -> tuple[Verdict, str]:
    """What a function makes of a file: it reads it, or says in one line why not. Who takes too long is killed."""
    from cyclopts import CycloptsError

    from lossatlas.errors import Caution, LossatlasError

    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which no loop in C can ignore
    signal.setitimer(signal.ITIMER_PROF, EACH)
    said, code = io.StringIO(), "0"
    with redirect_stderr(said), redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        try:
            read(path)
        except LossatlasError as error:
            code, told = str(error.exit_code), str(error)
            if len(told.splitlines()) > 1:  # the command line cuts long ones
                return Verdict("several lines", f"{type(error).__name__}: {general(told)[:80]!r}"), told
        except CycloptsError:
            code = "2"
        except BaseException:
            text = traceback.format_exc()
            return Verdict("traceback", where(text)), text
    for warning in warned:
        if not issubclass(warning.category, Caution):
            kind = f"{warning.category.__name__} in {Path(warning.filename).name}"
            return Verdict("several lines", f"{kind}: {general(str(warning.message))}"), str(warning.message)
    return Verdict(code), ""


@cache
def _seeds(name: str) -> list[bytes]:
    return FORMATS[name].made()


# Pictures.


def _images(*forms: str, **options: Any) -> Callable[[], list[bytes]]:
    def made() -> list[bytes]:
        import numpy as np
        from PIL import Image

        y, x = np.mgrid[:12, :9]
        grey = ((x * 29 + y * 17) % 256).astype(np.uint8)
        colour = np.stack([grey, grey[::-1], 255 - grey], axis=-1)
        images = [
            Image.fromarray(grey),
            Image.fromarray(colour),
            Image.fromarray(grey).convert("P"),
            Image.fromarray(grey > 99),
            Image.fromarray(np.dstack([colour, grey])),
        ]
        found = []
        for form in forms:
            for image in images:
                file = io.BytesIO()
                try:
                    image.save(file, form, **options)
                except (OSError, ValueError):  # a mode that the format lacks
                    continue
                found.append(file.getvalue())
        return found

    return made


def _pictured(path: Path) -> None:
    from lossatlas.pictures import picture

    _refused(lambda: picture(f"grey:{path}"), lambda: picture(f"image:{path}", 8), lambda: picture(f"image:{path}"))


def _refused(*reads: Callable[[], object]) -> None:
    """Call all of some functions, though some refuse; raises what the last one does."""
    from lossatlas.errors import LossatlasError

    for read in reads[:-1]:
        with suppress(LossatlasError):
            read()
    reads[-1]()


def _arrays() -> list[bytes]:
    import numpy as np

    found = []
    for array in (
        np.eye(8, dtype=bool),
        np.sign(np.arange(60).reshape(6, 10) % 3 - 1.0),
        np.ones((4, 4, 4), np.int8),
        np.arange(9) > 4,
        np.array([{}], object),
    ):
        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        found.append(file.getvalue())
    file = io.BytesIO()
    np.savez(file, np.eye(8))
    return [*found, file.getvalue()]


def _array(path: Path) -> None:
    from lossatlas.pictures import picture

    picture(f"array:{path}")


# Surveys.


def _survey() -> Any:
    import numpy as np
    import xarray as xr

    u, v = np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)
    values = u[:, None] ** 2 + v**2
    split = {"split": "test", "units": "nat"}
    return xr.Dataset(
        {
            "test_loss": (("u", "v"), values, {**split, "metric": "loss", "long_name": "test loss"}),
            "train_loss": (
                ("u", "v"),
                values + 1,
                {**split, "metric": "loss", "split": "train", "long_name": "train loss"},
            ),
            "test_accuracy": (
                ("u", "v"),
                1 - values / 3,
                {**split, "metric": "accuracy", "long_name": "test accuracy"},
            ),
            "target": (("u", "v"), np.sign(values - 1).astype(np.int8)),
        },
        {"u": u, "v": v},
    )


def _written(suffix: str) -> Callable[[], list[bytes]]:
    def made() -> list[bytes]:
        from lossatlas.exchange import FORMATS as KNOWN

        name = next(name for name in KNOWN if suffix in KNOWN[name].suffixes)
        whole = _survey()
        return [KNOWN[name]().bytes_of(survey) for survey in (whole, whole.isel(v=0, drop=True).drop_vars("target"))]

    return made


def _exported(path: Path) -> None:
    from lossatlas.exchange import FORMATS as KNOWN, open_survey

    survey, _ = open_survey(path)
    _refused(*(partial(KNOWN[name]().bytes_of, survey) for name in KNOWN))


def _csv(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.5:
        return damaged_bytes(rng, content)
    lines = [line.split(b",") for line in content.splitlines()]
    for _ in range(rng.choice((1, 1, 3))):
        line = rng.choice(lines)
        line[rng.randrange(len(line))] = rng.choice(HOSTILE_TEXTS).encode(errors="surrogateescape")
    return b"\n".join(b",".join(line) for line in lines)


def _stores() -> list[bytes]:
    """Zarr stores, as archives: a format is one file here."""
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"fuzzed.{os.getpid()}.zarr"
    _survey().to_zarr(folder, mode="w", consolidated=False)
    files = {
        str(path.relative_to(folder)): path.read_bytes().hex() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    shutil.rmtree(folder)
    return [json.dumps(files).encode()]


def _store(rng: random.Random, content: bytes) -> bytes:
    """One file of a store, seldom two, damaged."""
    files = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice(sorted(files))
        whole = bytes.fromhex(files[name])
        metadata = name.endswith("zarr.json") and rng.random() < 0.8
        files[name] = (_json(rng, whole) if metadata else damaged_bytes(rng, whole)).hex()
    return json.dumps(files).encode()


def _unpacked(path: Path) -> None:
    store = path.with_name("survey.zarr")
    if store.exists():
        shutil.rmtree(store)
    try:
        files = {name: bytes.fromhex(text) for name, text in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError, TypeError):  # the archive itself was damaged
        files = {"zarr.json": path.read_bytes()}
    for name, content in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(content)
    _exported(store)


# Weights.


def _network() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))


def _safetensors() -> list[bytes]:
    import torch
    from safetensors.torch import save

    state = _network().state_dict()
    return [
        save(state),
        save({**state, "flag": torch.tensor([True]), "half": torch.ones(3, dtype=torch.bfloat16)}, {"format": "pt"}),
    ]


def _header(rng: random.Random, content: bytes) -> bytes:
    return damaged_bytes(rng, content) if rng.random() < 0.4 else damaged_header(rng, content, Path("/nowhere"))


def _pickles() -> list[bytes]:
    import torch

    network = _network()
    optimizer = torch.optim.Adam(network.parameters())
    contents = (
        network.state_dict(),
        {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3},
        [network.state_dict()],
        network,
    )
    found = []
    for content in contents:
        for new in (True, False):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=new)
            found.append(file.getvalue())
    return found


def _loaded(path: Path) -> None:
    from lossatlas.weights.files import load_state, read_checkpoint

    checkpoint = read_checkpoint(path)
    _refused(
        lambda: dict(checkpoint),
        lambda: dict(read_checkpoint(path, "model")),
        lambda: load_state(_network(), checkpoint, str(path)),
    )


def _indices() -> list[bytes]:
    names = list(_network().state_dict())
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    return [json.dumps({"metadata": {"total_size": 1}, "weight_map": places}).encode()]


def _sharded(path: Path) -> None:
    import torch
    from safetensors.torch import save

    for shard in (1, 2):
        state = {name: value for i, (name, value) in enumerate(_network().state_dict().items()) if i % 2 == shard - 1}
        path.with_name(f"model-0000{shard}-of-00002.safetensors").write_bytes(save(state))
    _loaded(path)
    del torch


def _charts() -> list[bytes]:
    import torch

    from lossatlas.charts import CHARTS
    from lossatlas.charts.files import encode_chart

    ends = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    held = [True, False, True]
    charts = (
        CHARTS["plane"](ends[0], ends[1:], 2.0),
        CHARTS["corners"](ends[0], ends[1], ends[2:], 2.0),
        CHARTS["slice"](ends[0], ends[1:]),
        CHARTS["repeated_slice"](ends[0], ends[None, 1:]),
        CHARTS["grown"](ends),
        CHARTS["radial"](ends[:2], torch.arange(6) + 1),
        CHARTS["simplex"](ends, {}),
        CHARTS["through"](ends, {}),
        CHARTS["quadrilateral"](torch.cat([ends, ends[:1] + 1]), {}),
        CHARTS["bezier"](ends, held),
        CHARTS["chain"](ends, held),
    )
    return [encode_chart(chart) for chart in charts]


def _chart(path: Path) -> None:
    import torch

    from lossatlas.charts.files import load_chart

    chart = load_chart(path)
    chart.points(torch.full((2, len(chart.axes)), 0.5))
    chart.fingerprint()


def _trajectories() -> list[bytes]:
    lines = [
        {"step": step, "file": f"{step:09d}.safetensors", "epoch": step / 4, "loss": 2.0, "lr": 0.1, "phase": 0}
        for step in (0, 2, 4)
    ]
    return [b"".join(json.dumps(line).encode() + b"\n" for line in lines)]


def _lines(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.3:
        return damaged_bytes(rng, content)
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    lines[place] = _json(rng, lines[place])
    return b"".join(line + b"\n" for line in lines)


def _trajectory(path: Path) -> None:
    from lossatlas.training import Trajectory

    Trajectory(path.parent)


def _trees(*trees: Any) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(tree).encode() for tree in trees]


def _json(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.2:
        return damaged_bytes(rng, content)
    try:
        json.loads(content)
    except ValueError:  # damaged already
        return damaged_bytes(rng, content)
    return (
        deep(rng) if rng.random() < 0.03 else json.dumps(damaged_tree(rng, json.loads(content), Path("/nowhere")))
    ).encode()


def _yaml(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.3:
        return damaged_bytes(rng, content)
    tree = damaged_tree(rng, json.loads(content), Path("/nowhere"))
    return (deep(rng) if rng.random() < 0.03 else yaml.safe_dump(tree, sort_keys=False)).encode(errors="surrogatepass")


def _configured(path: Path) -> None:
    from lossatlas.cli.app import run

    run(["fit", "--config", str(path), "--print_config"])


def _plan(path: Path) -> None:
    from lossatlas.engine import Plan

    Plan.read(path)


SERVICE = {"strategy": "loop", "points": 3, "precision": "fp32", "examples": None}
PLAN = {
    "evaluate": SERVICE,
    "pullback": SERVICE,
    "derivatives": SERVICE,
    "threads": 1,
    "reason": "stated",
    "differentiates_inputs": False,
}
SETTINGS = {
    "pattern": "heart", "size": "8", "model": "mlp", "model.hidden": 8, "model.depth": 2, "steps": 4, "lr": 0.01,
    "coarse": [0.3, 0.6], "shares": [0.2, 0.3, 0.5], "betas": [0.9, 0.99], "invert": True, "schedule": "steps",
    "splits": ["train"], "seed": 3, "device": "cpu", "checkpoint": None, "data": "digits",
}  # fmt: skip
IMAGES = "PNG JPEG GIF WEBP TIFF BMP ICO PPM TGA PCX SGI JPEG2000 DDS ICNS EPS PDF".split()  # noqa: SIM905
FORMATS: dict[str, FileFormat] = {
    **{form.lower(): FileFormat(_images(form), f"image.{form.lower()}", _pictured) for form in IMAGES},
    "npy": FileFormat(_arrays, "array.npy", _array),
    "csv": FileFormat(_written(".csv"), "survey.csv", _exported, _csv),
    "hdf5": FileFormat(_written(".h5"), "survey.h5", _exported),
    "zarr": FileFormat(_stores, "store.json", _unpacked, _store),
    "safetensors": FileFormat(_safetensors, "weights.safetensors", _loaded, _header),
    "torch.save": FileFormat(_pickles, "weights.pt", _loaded),
    "chart": FileFormat(_charts, "chart.safetensors", _chart, _header),
    "trajectory": FileFormat(_trajectories, "index.jsonl", _trajectory, _lines),
    "index of shards": FileFormat(_indices, "model.safetensors.index.json", _sharded, _json),
    "yaml": FileFormat(_trees(SETTINGS), "config.yaml", _configured, _yaml),
    "plan": FileFormat(_trees(PLAN, {"plan": PLAN}), "plan.json", _plan, _json),
}
