"""Splits of what people have: data sets, loaders, Hugging Face data sets, lists, iterables, arrays."""

from __future__ import annotations

import collections
import dataclasses
import os
import time
import types
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils import data as torch_data
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.data import Batches, batch_source
from lossatlas.fitting import Fit
from lossatlas.streams import make_generator

N = 61
X = torch.randn(N, 4, generator=make_generator(0, "x"))
Y = torch.randint(3, (N,), generator=make_generator(0, "y"))
LENGTHS = [1 + k % 5 for k in range(N)]
SEQUENCES = [{"tokens": torch.arange(length) + k, "label": k % 3} for k, length in enumerate(LENGTHS)]


class Map(Dataset[Any]):
    """Items of a list, which counts how often each is read."""

    def __init__(self, items: Any) -> None:
        self.items = items
        self.read: collections.Counter[int] = collections.Counter()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        self.read[row] += 1
        return self.items[row]


class Stream(IterableDataset[Any]):
    def __init__(self, items: Any) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class Batched(Map):
    """One that reads several items at once."""

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self.items[row] for row in rows]

    def __getitem__(self, row: int) -> Any:
        raise AssertionError("one by one")


class Padding:
    """A collation that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, items: list[Any]) -> dict[str, Tensor]:
        self.calls += 1
        return padded(items)


def padded(items: list[Any]) -> dict[str, Tensor]:
    tokens = pad_sequence([item["tokens"] for item in items], batch_first=True, padding_value=-1)
    return {"tokens": tokens, "labels": torch.tensor([item["label"] for item in items])}


def pairs() -> list[tuple[Tensor, int]]:
    return [(x, int(y)) for x, y in zip(X, Y, strict=True)]


def equal(one: Any, other: Any) -> bool:
    both = list(zip(tree_leaves(one), tree_leaves(other), strict=True))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in both)


def same(one: la.Split, other: la.Split) -> None:
    """Whatever is asked of two splits has the same answer."""
    assert len(one) == len(other)
    assert one.fingerprint() == other.fingerprint()
    some = torch.tensor([4, 0, len(one) - 1])
    assert equal(one.take(some), other.take(some))
    for first, second in zip(one.eval_batches(17), other.eval_batches(17), strict=True):
        assert equal(first, second)
    parts = [split.subset(11, make_generator(1, "part")) for split in (one, other)]
    assert equal(*(part.take(torch.arange(11)) for part in parts))
    assert parts[0].fingerprint() == parts[1].fingerprint() != one.fingerprint()
    assert [part.population for part in parts] == [len(one)] * 2


tensors = la.Split((X, Y))
PAIRS: dict[str, Any] = {
    "arrays": lambda: (X.numpy(), Y.numpy()),
    "labels in a list": lambda: (X, Y.tolist()),
    "a batch as a loader gives it": lambda: [X, Y],
    "data set": lambda: Map(pairs()),
    "read several at once": lambda: Batched(pairs()),
    "tensor data set": lambda: TensorDataset(X, Y),
    "parts": lambda: torch_data.ConcatDataset(
        [TensorDataset(X[:9], Y[:9]), torch_data.Subset(TensorDataset(X, Y), range(9, N))]
    ),
    "loader": lambda: DataLoader(Map(pairs()), batch_size=8),
    "loader of tensors": lambda: DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True),
    "workers": lambda: DataLoader(Map(pairs()), batch_size=8, shuffle=True, num_workers=2),
    "loader of examples": lambda: DataLoader(Map(pairs()), batch_size=None),
    "loader of batches": lambda: DataLoader(Map([(X[:30], Y[:30]), (X[30:], Y[30:])]), batch_size=None),
    "items": pairs,
    "items of lists": lambda: [(x.tolist(), y) for x, y in pairs()],
    "batches": lambda: [(X[:30], Y[:30]), (X[30:], Y[30:])],
    "loader's batches": lambda: list(DataLoader(TensorDataset(X, Y), batch_size=8)),
}


class TestWhatIsTaken:
    @pytest.mark.parametrize("name", PAIRS)
    def test_pairs_are_those_of_tensors(self, name: str) -> None:
        split = la.Split.of(PAIRS[name]())
        same(split, tensors)
        assert isinstance(split.take(torch.arange(2)), tuple)
        assert not split.streamed

    def test_a_split_is_itself(self) -> None:
        assert la.Split.of(tensors) is tensors
        with pytest.raises(la.BadInput, match="taken as it is"):
            la.Split.of(tensors, first=3)

    def test_mappings_of_any_kind_become_dicts(self) -> None:
        for kind in (dict, collections.UserDict, collections.OrderedDict, types.MappingProxyType):
            split = la.Split.of([kind({"x": X[:30], "labels": Y[:30]}), kind({"x": X[30:], "labels": Y[30:]})])
            batch = split.take(torch.arange(3))
            assert type(batch) is dict
            assert equal(batch, {"x": X[:3], "labels": Y[:3]})
            same(split, la.Split.of(kind({"x": X, "labels": Y})))

    def test_named_tuples_stay(self) -> None:
        class Both(NamedTuple):
            x: Any
            y: Any

        for source in (Both(X, Y), Map([Both(*pair) for pair in pairs()]), [Both(X.numpy(), Y)]):
            batch = la.Split.of(source).take(torch.arange(3))
            assert type(batch) is Both
            assert equal(batch, Both(X[:3], Y[:3]))

    def test_arrays_are_not_copied(self, tmp_path: Path) -> None:
        x = X.numpy().copy()
        assert la.Split.of((x, Y)).data[0].data_ptr() == x.ctypes.data
        np.save(tmp_path / "x.npy", x)
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        split = la.Split.of((mapped, Y))
        assert split.data[0].data_ptr() == mapped.ctypes.data
        same(split, tensors)

    def test_arrays_that_torch_cannot_use_as_they_are(self) -> None:
        big = X.numpy().astype(">f4")
        same(la.Split.of((big, Y)), tensors)
        same(la.Split.of((X.numpy()[::-1].copy()[::-1], Y)), tensors)
        with pytest.raises(la.BadInput, match="entry '0' of the examples is an array of object"):
            la.Split.of((np.array([None, 1.0]), Y))

    def test_how_many_examples_batches_made_is_said(self) -> None:
        tagged = [(torch.ones(7, 2), torch.zeros(7, dtype=torch.int64)) for _ in range(1200)]
        assert la.Split.of(tagged).notes == ("1,200 batches are joined: 8,400 examples",)
        assert la.Split.of(tagged, first=30).notes == ("1,200 batches are joined: 30 examples",)
        whole = la.Split.of(tagged, collate=torch_data.default_collate)
        assert len(whole) == 1200
        assert whole.notes == ()

    def test_text_in_mappings_is_left_out_and_said(self) -> None:
        items = [{"x": x, "text": "a", "none": None, "labels": y} for x, y in pairs()]
        split = la.Split.of(DataLoader(Map([{k: v for k, v in item.items() if k != "none"} for item in items])))
        assert equal(split.take(torch.arange(3)), {"x": X[:3], "labels": Y[:3]})
        assert split.notes == ("entries without numbers are left out: text",)
        whole = la.Split.of({"x": X, "labels": Y, "text": ["a"] * N, "none": None})
        assert whole.notes == ("entries without numbers are left out: none, text",)
        assert "none, text" in repr(whole)

    def test_the_first_examples(self) -> None:
        short = la.Split((X[:7], Y[:7]))
        for name in ("data set", "tensor data set", "loader", "items", "batches", "arrays"):
            same_first = la.Split.of(PAIRS[name](), first=7)
            assert same_first.fingerprint() == short.fingerprint(), name
        with pytest.raises(la.BadInput, match="first is 0"):
            la.Split.of(pairs(), first=0)

    def test_nothing_is_drawn_from_the_users_generators(self) -> None:
        state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
        split = la.Split.of(DataLoader(Map(pairs()), shuffle=True))
        next(split.eval_batches(3))
        assert torch.equal(state, torch.get_rng_state())
        assert (numpys == np.random.get_state()[1]).all()

    def test_a_transform_is_applied(self) -> None:
        images = torch.randint(256, (N, 3, 2, 2), generator=make_generator(0, "i"), dtype=torch.uint8)
        normalise = la.Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
        same(la.Split.of(TensorDataset(images, Y), transform=normalise), la.Split((images, Y), normalise))

    @given(
        count=st.integers(1, 40), width=st.integers(1, 3), batch=st.integers(1, 9), group=st.integers(1, 9),
        memory=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 99),
    )  # fmt: skip
    def test_any_loader_is_its_tensors(
        self, count: int, width: int, batch: int, group: int, memory: float, seed: int
    ) -> None:
        x = torch.randn(count, width, generator=make_generator(seed, "x"))
        y = torch.arange(count)
        items = Map([{"x": a, "y": b} for a, b in zip(x, y, strict=True)])
        split = la.Split.of(DataLoader(items, batch_size=batch, shuffle=True, drop_last=True), memory=memory)
        whole = la.Split({"x": x, "y": y})
        assert split.held == (memory > 0)
        groups, others = ([*one.eval_batches(group)] for one in (split, whole))
        assert equal([g["x"] for g in groups], [g["x"] for g in others])
        assert torch.equal(torch.cat([g["y"] for g in groups]), y)
        rows = torch.randperm(count, generator=make_generator(seed, "rows"))[:3]
        assert equal(split.take(rows), {"x": x[rows], "y": y[rows]})
        parts = [one.subset(1 + count // 2, make_generator(seed, "part")) for one in (split, whole, split)]
        assert len({part.fingerprint() for part in parts}) == 1
        assert split.fingerprint() == whole.fingerprint()


class TestLoaders:
    def loader(self, sampler: Any = None, **options: Any) -> DataLoader[Any]:
        return DataLoader(TensorDataset(X, Y), batch_size=8, sampler=sampler, **options)

    def test_the_order_is_ours_and_said(self) -> None:
        assert la.Split.of(self.loader()).notes == ()
        split = la.Split.of(self.loader(shuffle=True))
        assert split.notes == ("examples are in the order of the data set: the loader's shuffling is left to steps",)
        assert split.batch_size == 8
        assert split.to("cpu").subset(9, make_generator(0, "a")).batch_size == 8

    @pytest.mark.parametrize(
        "sampler",
        [
            torch_data.SubsetRandomSampler([17, 3, 40]),
            torch_data.SubsetRandomSampler(torch.tensor([40, 3, 17])),
            [17, 40, 3],
        ],
    )
    def test_a_subset_is_respected(self, sampler: Any) -> None:
        split = la.Split.of(self.loader(sampler))
        assert equal(split.data, (X[[3, 17, 40]], Y[[3, 17, 40]]))
        assert split.population == 3
        (note,) = split.notes
        assert note.startswith("3 of 61 examples, those of the loader's")
        single = la.Split.of(DataLoader(Map(pairs()), sampler=sampler))
        assert single.fingerprint() == split.fingerprint()

    def test_batch_samplers_are_asked(self) -> None:
        ds = TensorDataset(X, Y)
        split = la.Split.of(DataLoader(ds, batch_sampler=[[5, 2], [9]]))
        assert equal(split.data, (X[[2, 5, 9]], Y[[2, 5, 9]]))
        assert split.batch_size is None
        same(la.Split.of(DataLoader(ds, batch_sampler=[range(30, N), range(30)])), tensors)

    @pytest.mark.parametrize(
        ("sampler", "said"),
        [
            (torch_data.WeightedRandomSampler([1.0] * N, N), "WeightedRandomSampler samples examples by weights"),
            (torch_data.RandomSampler(range(N), replacement=True), "samples 61 of 61 examples with replacement"),
            (torch_data.RandomSampler(range(N), num_samples=5), "samples 5 of 61 examples, other ones in every epoch"),
            ([1, 2, 1], "list takes examples more than once"),
            (range(40, 70), "other things than indices"),
            ([], "takes no examples"),
        ],
    )
    def test_samplers_that_are_refused(self, sampler: Any, said: str) -> None:
        with pytest.raises(la.BadInput, match=said):
            la.Split.of(self.loader(sampler))

    def test_an_endless_sampler_is_not_followed_for_ever(self) -> None:
        class Endless(torch_data.Sampler[int]):
            def __init__(self) -> None: ...

            def __iter__(self) -> Iterator[int]:
                while True:
                    yield 0

        with pytest.raises(la.BadInput, match="more than once"):
            la.Split.of(self.loader(Endless()))


class TestCollations:
    def test_batches_are_the_collations_own(self) -> None:
        for source in (DataLoader(Map(SEQUENCES), batch_size=4, shuffle=True, collate_fn=padded), SEQUENCES):
            split = la.Split.of(source, collate=None if source is not SEQUENCES else padded)
            assert split.held
            for size, found in zip((15, 15, 15, 16), split.eval_batches(16), strict=True):
                assert len(found["labels"]) == size
            rows = torch.tensor([40, 2, 7])
            assert equal(split.take(rows), padded([SEQUENCES[row] for row in rows]))
            edges = [N * k // 4 for k in range(5)]
            groups = [padded(SEQUENCES[a:b]) for a, b in pairwise(edges)]
            assert equal([*split.eval_batches(16)], groups)

    def test_evaluation_groups_are_collated_once_and_steps_each_time(self) -> None:
        padding = Padding()
        split = la.Split.of(Map(SEQUENCES), collate=padding)
        first = [*split.eval_batches(16)]
        calls = padding.calls
        assert equal(first, [*split.eval_batches(16)])
        assert padding.calls == calls
        split.take(torch.arange(3))
        assert padding.calls == calls + 1
        cramped = la.Split.of(Map(SEQUENCES), collate=padding, memory=0.0)
        [*cramped.eval_batches(16)]
        calls = padding.calls
        [*cramped.eval_batches(16)]
        assert padding.calls == calls + 4

    def test_each_item_is_read_once_where_it_fits(self) -> None:
        source = Map(SEQUENCES)
        split = la.Split.of(source, collate=padded)
        before = source.read.total()
        assert before <= N + 2 * batch_source.SAMPLED
        [*split.eval_batches(9)]
        split.take(torch.arange(4))
        split.fingerprint()
        assert source.read.total() == before

    def test_streamed_and_held_are_the_same(self) -> None:
        for items, collate in ((SEQUENCES, padded), (pairs(), None)):
            held, streamed = (la.Split.of(Map(items), collate=collate, memory=memory) for memory in (1.0, 0.0))
            assert [split.held for split in (held, streamed)] == [True, False]
            assert streamed.streamed
            assert "are read as they are needed" in streamed.notes[-1]
            same(held, streamed)

    def test_a_subset_of_what_is_streamed_is_read_once_where_it_fits(self) -> None:
        source = Map(pairs())
        each = 4 * 4 + 8
        split = la.Split.of(source, memory=12 * each / 2**30)
        assert not split.held
        part = split.subset(11, make_generator(0, "part"))
        assert part.held
        source.read.clear()
        [*part.eval_batches(3)]
        assert not source.read
        assert not split.subset(13, make_generator(0, "part")).held

    def test_large_sources_are_known_by_some_of_their_items(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("tensors", "items"):
            monkeypatch.setattr(f"lossatlas.data.batch_sources.{module}.FULL_HASH", 100)
        source = Map(pairs())
        streamed = la.Split.of(source, memory=0.0)
        source.read.clear()
        streamed.fingerprint()
        assert source.read.total() == batch_source.SAMPLED
        same(streamed, la.Split.of(source))
        same(*(la.Split.of(Map(SEQUENCES), collate=padded, memory=memory) for memory in (0.0, 1.0)))
        assert la.Split.of((X, Y)).fingerprint() == la.Split((X, Y)).fingerprint() != streamed.fingerprint()
        assert la.Split.of(Map(pairs()[:-1])).fingerprint() != streamed.fingerprint()

    def test_workers_read_what_this_process_would(self) -> None:
        same(la.Split.of(Map(pairs()), memory=0.0, workers=2), tensors)

    def test_checks_look_at_the_beginning_of_what_is_streamed(self) -> None:
        held, streamed = (la.Split.of(Map(pairs()), memory=memory) for memory in (1.0, 0.0))
        assert equal([torch.cat([y for _, y in one.inspect(7)]) for one in (held, streamed)], [Y, Y[:7]])
        assert torch.equal(torch.cat([y for _, y in tensors.subset(9, make_generator(0, "a")).inspect()]).sort().values,
                           tensors.subset(9, make_generator(0, "a")).data[1].sort().values)  # fmt: skip
        padding = la.Split.of(Map(SEQUENCES), collate=padded)
        assert sum(len(batch["labels"]) for batch in padding.inspect(3)) == N

    def test_batches_move_to_a_device_and_items_stay(self) -> None:
        split = la.Split.of(Map(SEQUENCES), collate=padded).to("meta")
        assert {leaf.device.type for batch in split.eval_batches(9) for leaf in tree_leaves(batch)} == {"meta"}
        assert split.to("cpu").fingerprint() == split.fingerprint()


class TestHuggingFace:
    def table(self) -> datasets.Dataset:
        columns = {"x": X.tolist(), "labels": Y.tolist(), "text": ["a"] * N}
        return datasets.Dataset.from_dict(columns)

    def test_columns_of_numbers_are_tensors_and_the_object_stays(self) -> None:
        table = self.table()
        before = table.format
        split = la.Split.of(table)
        assert equal(split.data, {"x": X, "labels": Y})
        assert split.notes == ("columns without numbers are left out: text",)
        assert table.format == before
        assert isinstance(table[0]["x"], list)

    def test_chosen_columns_and_transforms_are_the_users(self) -> None:
        assert [*la.Split.of(self.table().with_format("torch", columns=["x"])).data] == ["x"]
        own = self.table().with_transform(lambda rows: {"twice": [2 * torch.tensor(x) for x in rows["x"]]})
        assert equal(la.Split.of(own).data, {"twice": 2 * X})
        loader = DataLoader(self.table().with_format("torch"), batch_size=4)
        assert equal(la.Split.of(loader).data, {"x": X, "labels": Y})

    def test_ragged_columns_need_a_collation(self) -> None:
        ragged = datasets.Dataset.from_dict({"tokens": [t["tokens"].tolist() for t in SEQUENCES],
                                             "label": [t["label"] for t in SEQUENCES]})  # fmt: skip
        with pytest.raises(la.BadInput, match=r"default collation fails on items 0 and \d+ of .*; give collate="):
            la.Split.of(ragged)
        same(la.Split.of(ragged, collate=padded), la.Split.of(SEQUENCES, collate=padded))

    def test_several_and_none(self) -> None:
        with pytest.raises(
            la.BadInput, match=r'data sets by name \(train, test\); choose one: source\["train"\] or source\["test"\]'
        ):
            la.Split.of(datasets.DatasetDict({"train": self.table(), "test": self.table()}))
        with pytest.raises(la.BadInput, match="no column of numbers; its columns are text"):
            la.Split.of(self.table().select_columns("text"))

    def test_the_only_one_is_taken_and_said(self) -> None:
        split = la.Split.of(datasets.DatasetDict({"train": self.table()}))
        assert equal(split.data, {"x": X, "labels": Y})
        assert split.notes == ("the only data set there is, 'train'", "columns without numbers are left out: text")

    @pytest.mark.parametrize("batch_size", [4, None])
    def test_a_loader_without_a_format_gives_what_its_data_set_does(self, batch_size: int | None) -> None:
        split = la.Split.of(DataLoader(self.table(), batch_size=batch_size))
        same(split, la.Split.of(self.table()))
        assert split.notes == ("columns without numbers are left out: text",)
        stream = la.Split.of(DataLoader(self.table().to_iterable_dataset(), batch_size=batch_size), first=7)
        assert equal(stream.data, {"x": X[:7], "labels": Y[:7]})

    def test_a_loader_of_a_part_does_so_too(self) -> None:
        part = torch_data.Subset(self.table(), [3, 5, 8])  # type: ignore[arg-type]
        assert equal(la.Split.of(DataLoader(part)).data, {"x": X[[3, 5, 8]], "labels": Y[[3, 5, 8]]})

    def test_a_loaders_own_collation_gets_what_it_always_got(self) -> None:
        def of_text(rows: list[Any]) -> dict[str, Tensor]:
            assert all(isinstance(row["x"], list) for row in rows)
            return {"letters": torch.tensor([len(row["text"]) for row in rows])}

        split = la.Split.of(DataLoader(self.table(), batch_size=4, collate_fn=of_text))
        assert equal(split.data, {"letters": torch.ones(N, dtype=torch.int64)})

    def test_iterable(self) -> None:
        stream = self.table().to_iterable_dataset()
        with pytest.raises(la.BadInput, match="say first=N"):
            la.Split.of(stream)
        split = la.Split.of(stream, first=7)
        assert equal(split.data, {"x": X[:7], "labels": Y[:7]})


class Refilled(Map):
    """One whose items are all the same memory."""

    def __init__(self, items: Any, kind: str = "pair") -> None:
        super().__init__(items)
        self.kind = kind
        self.buffer = torch.empty(4)

    def __getitem__(self, row: int) -> Any:
        x, y = super().__getitem__(row)
        self.buffer.copy_(x)
        view = self.buffer.numpy() if self.kind == "array" else self.buffer
        return {"mapping": collections.UserDict({"x": view, "y": y}), "nested": [(view, view), y]}.get(
            self.kind, (view, y)
        )


class TestReusedBuffers:
    """What is read into the same memory again and again is every example, not the last one for all."""

    def test_yielded_batches(self) -> None:
        def batches(kind: str) -> Iterator[Any]:
            buffer = torch.empty(10, 4)
            for start in range(0, 60, 10):
                buffer.copy_(X[start : start + 10])
                yield (buffer.numpy() if kind == "array" else buffer), Y[start : start + 10]

        for kind in ("array", "tensor"):
            split = la.Split.of(batches(kind), first=60)
            assert equal(split.data, (X[:60], Y[:60]))

        class Batches(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                return batches("tensor")

        loader = DataLoader(Batches(), batch_size=None)
        assert equal(la.Split.of(loader, first=60).data, (X[:60], Y[:60]))

    @pytest.mark.parametrize("kind", ["pair", "array", "mapping", "nested"])
    @pytest.mark.parametrize("memory", [0.0, 1.0])
    def test_items(self, kind: str, memory: float) -> None:
        for source in (Refilled(pairs(), kind), DataLoader(Refilled(pairs(), kind), batch_size=8)):
            leaves = tree_leaves([*la.Split.of(source, memory=memory).eval_batches(N)])
            assert equal(leaves, [X, X, Y] if kind == "nested" else [X, Y])

    def test_yielded_items(self) -> None:
        items = Refilled(pairs())
        assert equal(la.Split.of((items[k] for k in range(N)), first=N).data, (X, Y))

    def test_items_of_a_class_with_a_collation(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Example:
            x: Tensor
            y: int

        class Examples(Refilled):
            def __getitem__(self, row: int) -> Example:
                return Example(*super().__getitem__(row))

        def joined(examples: list[Example]) -> tuple[Tensor, Tensor]:
            return torch.stack([e.x for e in examples]), torch.tensor([e.y for e in examples])

        for memory in (0.0, 1.0):
            split = la.Split.of(Examples(pairs()), collate=joined, memory=memory)
            assert equal(split.data, (X, Y))

    def test_batches_of_a_data_set(self) -> None:
        items = Refilled([(X[k], Y[k : k + 1]) for k in range(N)])

        class Batches(Map):
            def __getitem__(self, row: int) -> Any:
                x, y = items[row]
                return x[None], y

        assert equal(la.Split.of(DataLoader(Batches(range(N)), batch_size=None)).data, (X, Y))

    def test_collations(self) -> None:
        buffer = torch.empty(N, 4)

        def into_buffer(chosen: list[Any]) -> tuple[Tensor, Tensor]:
            torch.stack([x for x, _ in chosen], out=(made := buffer[: len(chosen)]))
            return made, torch.tensor([y for _, y in chosen])

        split = la.Split.of(pairs(), collate=into_buffer)
        for _ in range(2):
            assert equal([torch.cat(column) for column in zip(*split.eval_batches(9), strict=True)], [X, Y])

        class Masking(Map):
            def __getitem__(self, row: int) -> Any:
                return X[row] * torch.rand(4), 0

        with pytest.raises(la.BadInput, match="differs when it is read twice"):
            la.Split.of(Masking(range(N)), collate=into_buffer)

    def test_lists_are_not_copied(self) -> None:
        seen: set[int] = set()

        def noting(chosen: list[Any]) -> dict[str, Tensor]:
            seen.update(item["tokens"].data_ptr() for item in chosen)
            return padded(chosen)

        la.Split.of(SEQUENCES, collate=noting)
        assert seen == {item["tokens"].data_ptr() for item in SEQUENCES}  # type: ignore[attr-defined]


class TestOrderOfKeys:
    """Dicts of equal keys are equal, whatever the order; that of the first stays."""

    @staticmethod
    def turned(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: TestOrderOfKeys.turned(value[key]) for key in reversed(value)}

    def batch(self, part: slice | int) -> Any:
        return {"x": {"a": X[part], "b": 2 * X[part]}, "y": Y[part]}

    def test_batches(self) -> None:
        split = la.Split.of([self.batch(slice(30)), self.turned(self.batch(slice(30, N)))])
        assert list(split.data) == ["x", "y"]
        assert list(split.data["x"]) == ["a", "b"]
        assert equal(split.data, self.batch(slice(N)))
        same(split, la.Split.of(self.batch(slice(N))))

    def test_items_and_collations(self) -> None:
        items = [self.batch(row) if row < 30 else self.turned(self.batch(row)) for row in range(N)]
        for memory in (0.0, 1.0):
            split = la.Split.of(Map(items), memory=memory)
            for rows in ([3], [40], [2, 50]):
                assert equal(split.take(torch.tensor(rows)), self.batch(rows))

        def changing(chosen: list[Any]) -> Any:
            batch = torch_data.default_collate(chosen)
            return self.turned(batch) if len(chosen) % 2 else batch

        split = la.Split.of(Map(items), collate=changing)
        for rows in ([3], [2, 50]):
            batch = split.take(torch.tensor(rows))
            assert equal(batch, self.batch(rows))
            assert list(batch["x"]) == list(split.take(torch.arange(2))["x"])

    def test_what_is_read_twice(self) -> None:
        class Turning(Map):
            def __getitem__(self, row: int) -> Any:
                item = super().__getitem__(row)
                return TestOrderOfKeys.turned(item) if self.read[row] > 1 else item

        split = la.Split.of(Turning([self.batch(row) for row in range(N)]))
        assert equal(split.data, self.batch(slice(N)))


class TestIterables:
    @pytest.mark.parametrize(
        "source",
        [
            lambda: Stream(pairs()),
            lambda: (pair for pair in pairs()),
            lambda: Stream([(X[:4], Y[:4]), (X[4:], Y[4:])]),
            lambda: DataLoader(Stream(pairs()), batch_size=4, num_workers=2),
            lambda: DataLoader(Stream([(X[:4], Y[:4]), (X[4:], Y[4:])]), batch_size=None),
        ],
    )
    def test_the_first_examples(self, source: Any) -> None:
        with pytest.raises(la.BadInput, match="say first=N"):
            la.Split.of(source())
        split = la.Split.of(source(), first=9)
        assert split.fingerprint() == la.Split((X[:9], Y[:9])).fingerprint()
        assert split.notes[0].startswith("the first 9 examples of a")

    def test_any_name_of_a_class_fits_the_sentence(self) -> None:
        class It(Stream): ...

        with pytest.raises(la.BadInput, match="^an object of type It is read from its beginning"):
            la.Split.of(It(pairs()))
        assert la.Split.of(It(pairs()), first=3).notes == ("the first 3 examples of an object of type It",)

    def test_fewer_than_requested_is_said(self) -> None:
        split = la.Split.of(Stream(pairs()), first=100)
        assert len(split) == N
        assert split.notes == ("all 61 examples, fewer than first=100, of an object of type Stream",)

    def test_what_cannot_be(self) -> None:
        with pytest.raises(la.BadInput, match="a Stream yields nothing|the Stream yields nothing"):
            la.Split.of(Stream([]), first=3)
        with pytest.raises(la.BadInput, match=r"100,000,000 examples take .* GiB; take a|smaller"):
            la.Split.of(Stream(pairs()), first=100_000_000, memory=0.01)

        def failing() -> Iterator[Any]:
            yield pairs()[0]
            raise OSError("the net is down")

        with pytest.raises(la.BadInput, match="fails after 1 examples: OSError: the net is down"):
            la.Split.of(failing(), first=3)

    def test_one_that_begins_otherwise_is_refused(self) -> None:
        class Shuffled(Stream):
            def __iter__(self) -> Iterator[Any]:
                return iter([self.items[k] for k in torch.randperm(N)])

        torch.manual_seed(0)
        with pytest.raises(la.BadInput, match="begins with another example when it is read twice"):
            la.Split.of(Shuffled(pairs()), first=3)
        assert len(la.Split.of(Shuffled(pairs()), first=3, allow_random=True)) == 3


class Noisy(Dataset[Any]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, row: int) -> Any:
        return X[row] + torch.randn(4) * (row == N - 1) + np.random.rand() * (row == N - 1), Y[row]


class TestRandomItems:
    def test_they_are_refused_by_name(self) -> None:
        with pytest.raises(
            la.BadInput, match="item 60 of the data set differs when it is read twice.*allow_random=True"
        ):
            la.Split.of(Noisy())

    def test_they_stay_what_they_were_where_they_are_allowed(self) -> None:
        held, again = (la.Split.of(Noisy(), allow_random=True) for _ in range(2))
        assert held.fingerprint() == again.fingerprint()
        same(held, la.Split.of(Noisy(), allow_random=True, memory=0.0))
        assert not torch.equal(held.data[0][-1], X[-1])

    def test_so_are_collations_that_draw(self) -> None:
        def masked(items: list[Any]) -> dict[str, Tensor]:
            batch = padded(items)
            return {**batch, "tokens": torch.where(torch.rand(batch["tokens"].shape) < 0.5, 0, batch["tokens"])}

        with pytest.raises(la.BadInput, match="differs when it is read twice"):
            la.Split.of(SEQUENCES, collate=masked)
        split = la.Split.of(SEQUENCES, collate=masked, allow_random=True)
        assert equal(split.take(torch.arange(9)), split.take(torch.arange(9)))


class Failing(Map):
    def __getitem__(self, row: int) -> Any:
        if row == 37:
            raise OSError("no such image")
        return super().__getitem__(row)


class Lying(Map):
    def __len__(self) -> int:
        return N + 9


def ragged_at(row: int) -> list[Any]:
    return [(x[:3] if k == row else x, y) for k, (x, y) in enumerate(pairs())]


def failing_collation(items: list[Any]) -> Any:
    if any(item["tokens"][0] == 37 for item in items):
        raise ValueError("cannot pad\nthis")
    return padded(items)


class TestBadInput:
    @pytest.mark.parametrize(
        ("source", "options", "said"),
        [
            (lambda: Map([]), {}, "the Map has no items"),
            (lambda: DataLoader(Map([]), batch_size=4), {}, "the Map has no items"),
            (list, {}, "the list of examples is empty"),
            (lambda: Failing(pairs()), {}, "item 37 of the data set cannot be read: OSError: no such image"),
            (
                lambda: Failing(pairs()),
                {"workers": 2},
                "item 37 of the data set cannot be read: OSError: no such image",
            ),
            (lambda: Lying(pairs()), {}, "says that it has 70 items, and item 64 is not there"),
            (lambda: Map(ragged_at(60)), {}, r"items 0 and 60 .*stack expects each tensor.*; give collate="),
            (lambda: Map(ragged_at(37)), {}, r"items 0 and 37 .*; give collate="),
            (
                lambda: SEQUENCES,
                {"collate": failing_collation},
                "collation fails on item 37 .*: ValueError: cannot pad",
            ),
            (lambda: SEQUENCES, {"collate": lambda _: object()}, "is of type object; expected tensors"),
            (
                lambda: SEQUENCES,
                {"collate": lambda items: pad_sequence([i["tokens"] for i in items])},
                r"a batch of 16 items has shape \(5, 16\); expected a first dimension",
            ),
            (lambda: [{"x": X, "y": Y}, {"x": X}], {}, "batch 1 has another structure than batch 0: x instead of x, y"),
            (
                lambda: [(X, Y), (X[:, :3], Y)],
                {},
                r"entry '0' is float32 \(3,\) in batch 1 and float32 \(4,\) in batch 0",
            ),
            (lambda: [(X, Y), (X, Y.float())], {}, r"entry '1' is float32 \(\) in batch 1"),
            (lambda: [(Y, Y)] * 3, {}, "could hold examples or batches"),
            (lambda: (X, Y[:9]), {}, "lengths differ .*0: 61, 1: 9"),
            (lambda: ((X[:9], Y[:9]), (X[9:], Y[9:])), {}, "give several batches, or items, as a list"),
            (lambda: (X, Y), {"collate": padded}, "tensors are one batch already"),
            (lambda: "digits", {}, "'digits' is text"),
            (lambda: 3, {}, "cannot be taken from an object of type int"),
            (lambda: la.Dataset("two", (X, Y), (X, Y)), {}, r"several splits; choose its \.train or its \.test"),
            (lambda: pairs(), {"memory": -1.0}, "memory is -1"),
            (lambda: pairs(), {"workers": -1}, "workers is -1"),
            (lambda: {"text": ["a", "b"]}, {}, "no numbers"),
            (lambda: Map([{"text": "a"}] * 3), {}, "hold no numbers"),
        ],
    )
    def test_one_line_says_what_is_wrong(self, source: Any, options: dict[str, Any], said: str) -> None:
        with pytest.raises(la.BadInput, match=said) as found:
            la.Split.of(source(), **options)
        assert "\n" not in str(found.value)

    @pytest.mark.parametrize(("count", "row"), [(N, 37), (601, 320)])
    def test_an_item_of_another_type_is_named(self, count: int, row: int) -> None:
        """Item 37 is in the first batch, and not tried before; item 320 of 601 is tried, and not in the first batch."""
        items = [(torch.ones(2), float(k) if k == row else k) for k in range(count)]
        said = rf"entry '1' is float64 \(\) in item {row} of the data set and int64 \(\) in item 0; convert it"
        for source in (items, Map(items)):
            with pytest.raises(la.BadInput, match=said):
                la.Split.of(source)

    def test_other_structures_from_batch_to_batch(self) -> None:
        items = [{"tokens": t["tokens"], "label": t["label"], "more": k == 37} for k, t in enumerate(SEQUENCES)]

        def moody(chosen: list[Any]) -> dict[str, Tensor]:
            more = {"more": torch.ones(len(chosen))} if any(item["more"] for item in chosen) else {}
            return {**padded(chosen), **more}

        with pytest.raises(la.BadInput, match="have another structure than others: tokens, labels, more instead of"):
            la.Split.of(items, collate=moody)

    def test_what_fails_in_the_midst_cannot_be_finished(self) -> None:
        split = la.Split.of(Failing(pairs()), memory=0.0)
        with pytest.raises(la.CannotFinish, match="item 37 of the data set cannot be read"):
            [*split.eval_batches(10)]
        with pytest.raises(la.CannotFinish, match="item 37"):
            split.take(torch.tensor([37]))

    def test_a_worker_that_dies_is_reported_where_its_batch_is_waited_for(self) -> None:
        class Mortal(Map):
            def __getitem__(self, row: int) -> Any:
                if row == 50 and torch_data.get_worker_info() is not None:
                    os._exit(1)
                return super().__getitem__(row)

        groups = la.Split.of(Mortal(pairs()), memory=0.0, workers=1).eval_batches(10)
        next(groups)
        time.sleep(0.5)  # the worker is dead now, which is not reported in the middle of other work
        with pytest.raises(la.CannotFinish, match="a worker process that reads the data set failed"):
            list(groups)


class TestWhereSplitsAreTaken:
    problem = la.Problem(nn.Linear(4, 3), la.CrossEntropy())

    def chart(self) -> la.Plane:
        return la.Plane.random(self.problem.module, initialiser=la.Xavier(), seed=1)

    @pytest.mark.parametrize("source", [(X, Y), DataLoader(Map(pairs()), batch_size=7, shuffle=True)])
    def test_surveys_fits_engines_and_statistics(self, source: Any) -> None:
        def results(examples: Any, **steps: Any) -> list[Any]:
            chart = self.chart()
            grid = la.make_grid(chart, (3, 2))
            reestimated = la.ReestimatedStatistics(examples, 2, 5)
            survey = la.survey(chart, grid, self.problem, {"t": examples}, plan="loop", buffers=reestimated)
            engine = la.engine_for(self.problem, chart, examples, plan="loop")
            la.fit(
                chart,
                la.Pattern(la.picture("heart", 6), cells=3),
                self.problem,
                examples,
                steps=2,
                plan="loop",
                **steps,
            )
            return [
                survey["t_loss"].values.tolist(),
                engine.network.fingerprint,
                reestimated.record,
                chart.fingerprint(),
            ]

        steps = {"batch_size": 7} if isinstance(source, DataLoader) else {}
        assert results(source) == results(tensors, **steps)

    def test_steps_have_the_loaders_batch_size(self) -> None:
        loader = DataLoader(TensorDataset(X, Y), batch_size=7)
        from lossatlas.schedules.kinds.linear import LinearDecay
        from lossatlas.training.optimizers import parse_optimizer

        def training(**options: Any) -> la.Training:
            torch.manual_seed(0)
            module = nn.Linear(4, 3)
            return la.Training(
                la.Problem(module, la.CrossEntropy()), la.WeightSpace(module), loader, epochs=2,
                optimizer=parse_optimizer("sgd"), schedule=LinearDecay(), **options,
            )  # fmt: skip

        assert training().total_steps == 2 * (N // 7)
        assert training(batch_size=10).total_steps == 2 * (N // 10)
        engine = la.engine_for(self.problem, self.chart(), loader, plan="loop")
        pattern = la.Pattern(la.picture("heart", 6), cells=3)
        fit = Fit(self.chart(), pattern, engine, loader, la.Steps(2), optimizer=la.Adam())
        assert fit._batches.size == 7
        assert Batches(la.Split.of(loader), 9, 0).size == 9

    def test_padding_counts_as_the_collation_makes_it(self) -> None:
        """A survey of padded batches of unequal lengths equals networks called by hand on the same groups."""

        class Bag(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.EmbeddingBag(80, 3, mode="sum", padding_idx=0)

            def forward(self, tokens: Tensor) -> Tensor:
                return self.embedding(tokens + 1)

        module = Bag()
        chart = la.slice_around(module, ("random",), seed=1)
        problem = la.Problem(module, la.CrossEntropy(), la.Dict())
        source = DataLoader(Map(SEQUENCES), batch_size=4, collate_fn=padded)
        survey = la.survey(chart, {"u": np.array([0.0, 0.4])}, problem, {"t": source}, eval_batch_size=9, plan="loop")
        with torch.no_grad():
            losses = [
                nn.functional.cross_entropy(module(b["tokens"]), b["labels"])
                for b in map(padded, [[s] for s in SEQUENCES])
            ]
        assert survey["t_loss"].values[0] == pytest.approx(float(torch.stack(losses).mean()), abs=1e-6)

    def test_a_survey_goes_on_whether_its_examples_are_held_or_streamed(self, tmp_path: Path) -> None:
        chart = self.chart()

        def survey(count: int, **options: Any) -> Any:
            split = la.Split.of(DataLoader(Map(pairs()), batch_size=7), **options)
            part = split.subset(20, make_generator(0, "part"))
            grid = la.make_grid(chart, (count, 3))
            return la.survey(chart, grid, self.problem, {"t": part}, plan="loop", path=tmp_path / "s").load()

        streamed = survey(3, memory=0.0)
        again = survey(5)
        assert again.sizes["u"] == 5
        assert again.sel(u=streamed["u"])["t_loss"].values.tolist() == streamed["t_loss"].values.tolist()
        assert (again["t_loss_standard_error"].values > 0).all()

    def test_errors_name_the_split(self) -> None:
        chart = self.chart()
        for splits, said in (
            ({"t": (X, Y), "other": Failing(pairs())}, "the other examples: item 37"),
            *(
                ({name: (X, Y)}, f"{name!r} is not a name of a split; expected letters")
                for name in ("", "a/b", "../a", 3)
            ),
            ({"target": (X, Y)}, "'target' cannot name a split"),
            ({"path": (X, Y)}, "'path' cannot name a split"),
            (DataLoader(Map(pairs())), "a DataLoader is not a mapping of splits; expected a dict"),
        ):
            with pytest.raises(la.BadInput, match=said):
                la.survey(chart, la.make_grid(chart, (2, 2)), self.problem, splits, plan="loop")

    def test_a_dataset_of_anything(self) -> None:
        data = la.Dataset("mine", DataLoader(TensorDataset(X, Y), shuffle=True), (X.numpy(), Y.numpy()))
        same(data.train, data.test)
        assert data.count_classes() == 3
        assert data.notes == ("train: " + data.train.notes[0],)
        streamed = la.Dataset("mine", la.Split.of(Map(pairs()), memory=0.0), (X, X))
        assert streamed.count_classes() is None

    def test_the_command_line_takes_loaders_and_says_what_became_of_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        module = types.ModuleType("somebodys")
        module.make = lambda: (DataLoader(Map(pairs()), batch_size=7, shuffle=True), Map(pairs()[:9]))  # type: ignore[attr-defined]
        module.named = lambda: {"test": (X, Y), "train": TensorDataset(X, Y)}  # type: ignore[attr-defined]
        module.wrong = lambda: ((X, Y), Failing(pairs()))  # type: ignore[attr-defined]
        monkeypatch.setitem(__import__("sys").modules, "somebodys", module)
        assert la.load_data("somebodys:named").count_classes() == 3
        options = ["--model=mlp", "--epochs=1", "--out", str(tmp_path / "run")]
        assert main(["train", "--data=somebodys:make", *options]) == 0
        assert "train: examples are in the order of the data set" in " ".join(capsys.readouterr().err.split())
        assert main(["train", "--data=somebodys:make", *options, "--resume"]) == 0
        assert main(["train", "--data=somebodys:wrong", "--model=mlp", "--out", str(tmp_path / "other")]) == 2
        assert "data 'somebodys:wrong': the test examples: item 37" in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "other").exists()
