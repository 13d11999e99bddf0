"""Files of weights as other tools write them: which of their tensors are a network's, and which of several networks."""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import shlex
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import Tensor, nn

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.recipes import SurveyConfig
from lossatlas.recipes.survey import build_survey
from lossatlas.specs import NetworkSpec
from lossatlas.training.start import load_start
from lossatlas.weights import WeightSpace, checkpoint, unpickling
from lossatlas.weights.checkpoint import Checkpoint
from lossatlas.weights.files import collect_state, load_state, read_checkpoint, serialise_state
from lossatlas.weights.loading import flatten_state

NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "anything", "a.b")
PREFIXES = (
    "",
    "model.",
    "net.",
    "module.",
    "backbone.encoder.",
    "model._orig_mod.",
    "_orig_mod.module.",
    "ema.module.",
)


class Everything(nn.Module):
    """Running statistics, tied parameters, a buffer that is not saved, and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6, bias=False)
        self.decode.weight = self.encode.weight
        self.scale = nn.Parameter(torch.rand(()))
        self.register_buffer("shift", torch.rand(6), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        return self.decode(torch.tanh(self.encode(hidden))) * self.scale + self.shift


def everything(seed: int) -> Everything:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Everything()
        module.first[1].running_mean.normal_()
        module.first[1].running_var.uniform_(0.5, 2)
        module.shift.fill_(0.25)
    return module.eval()


def linear(seed: int, *sizes: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        return nn.Sequential(*layers)


def put(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def saved(folder: Path, content: Any, **options: Any) -> Path:
    torch.save(content, folder / "a.pt", **options)
    return folder / "a.pt"


def loaded(module: nn.Module, path: Path | str) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of the module, of zeros, with the state of a file; and what was said."""
    fresh = copy.deepcopy(module)
    with torch.no_grad():
        for name, value in fresh.state_dict().items():
            value.fill_(3 if name.endswith("num_batches_tracked") else 0)
    return fresh, load_state(fresh, load_start(str(path)), f"checkpoint {path}")


def agree(one: nn.Module, other: nn.Module) -> None:
    inputs = torch.linspace(-1, 1, 20).view(5, 4)
    assert torch.equal(one(inputs), other(inputs))
    for (name, value), (_, found) in zip(collect_state(one).items(), collect_state(other).items(), strict=True):
        assert name.endswith("num_batches_tracked") or torch.equal(value, found), name


class TestNames:
    @pytest.mark.parametrize("prefix", PREFIXES)
    @pytest.mark.parametrize("key", [None, *NESTED])
    def test_what_stands_before_all_names(self, tmp_path: Path, prefix: str, key: str | None) -> None:
        module = everything(1)
        state = put(module.state_dict(), prefix)
        found, said = loaded(module, saved(tmp_path, state if key is None else {key: state, "epoch": 3}))
        agree(module, found)
        assert said == ()

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_what_old_files_lack_and_what_is_never_saved(self, tmp_path: Path, prefix: str) -> None:
        module = everything(1)
        state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k and k != "decode.weight"}
        fresh = copy.deepcopy(module)
        fresh.first[1].num_batches_tracked.fill_(7)
        assert load_state(fresh, read_checkpoint(saved(tmp_path, put(state, prefix))), "it") == ()
        agree(module, fresh)
        assert int(fresh.first[1].num_batches_tracked) == 7
        whole = {name: value + 1 if name == "shift" else value for name, value in collect_state(module).items()}
        save_file(put(whole, prefix), tmp_path / "a.safetensors")
        found, _ = loaded(module, tmp_path / "a.safetensors")
        assert torch.equal(found.shift, module.shift + 1)  # ours keep buffers that are not saved, too

    def test_averaged_models_and_further_entries(self, tmp_path: Path) -> None:
        module = everything(1)
        averaged = torch.optim.swa_utils.AveragedModel(module).state_dict()
        path = saved(tmp_path, {**averaged, "module.head.weight": torch.ones(2), "epoch": 3, "name": "best"})
        found, said = loaded(module, path)
        agree(module, found)
        assert said == (
            f"checkpoint {path} has more than the model, which is left out: n_averaged, module.head.weight",
        )
        many = {f"metric.{k}": torch.ones(k + 1) for k in range(20)}
        _, said = loaded(module, saved(tmp_path, {"state_dict": {**put(module.state_dict(), "model."), **many}}))
        assert len(said) == 1
        assert said[0].endswith(
            "metric.0, metric.1, metric.2, metric.3, metric.4, metric.5, metric.6, metric.7 and 12 more"
        )

    def test_wrappers_inside_of_names(self, tmp_path: Path) -> None:
        module = everything(1)
        names = {name: name.replace("first.", "first._orig_mod.") for name in module.state_dict()}
        names["encode.weight"] = "encode._fsdp_wrapped_module._checkpoint_wrapped_module.weight"
        path = saved(tmp_path, {names[name]: value for name, value in module.state_dict().items()})
        agree(module, loaded(module, path)[0])
        wrapped = copy.deepcopy(module)
        wrapped.first = nn.Sequential(OrderedDict(_orig_mod=wrapped.first))  # as torch.compile does
        torch.save(module.state_dict(), path)
        assert load_state(wrapped, read_checkpoint(path), "it") == ()
        agree(module, wrapped.eval())

    def test_a_module_that_wraps_what_the_file_is_of(self, tmp_path: Path) -> None:
        class Around(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.backbone = inner
                self.forward = inner.forward

        module = everything(1)
        for state in (module.state_dict(), put(module.state_dict(), "net.")):
            found, said = loaded(Around(module), saved(tmp_path, state))
            agree(module, found.backbone)
            assert said == ()
        small = nn.Sequential(OrderedDict(head=nn.Linear(4, 4)))
        state = linear(1, 4, 4, 4).state_dict()
        with pytest.raises(la.BadInput, match="is of another model"):
            load_state(small, state, "it")  # either layer would fit, and neither is called a head

    def test_values_beside_tensors(self, tmp_path: Path) -> None:
        class Remembering(nn.Linear):
            remembered: Any = None

            def get_extra_state(self) -> Any:
                return {"remembered": self.remembered}

            def set_extra_state(self, state: Any) -> None:
                self.remembered = state["remembered"]

        module = nn.Sequential(Remembering(4, 4), nn.BatchNorm1d(4)).eval()
        module[0].remembered = "this"
        state = module.state_dict()
        assert isinstance(state, OrderedDict)
        state["1.num_batches_tracked"] = 12  # type: ignore[assignment]
        state["date"] = "today"  # type: ignore[assignment]
        state["rate"] = np.float64(0.1)  # type: ignore[assignment]
        fresh = copy.deepcopy(module)
        fresh[0].remembered = None
        fresh[0].weight.data.zero_()
        path = saved(tmp_path, put(state, "model."))
        assert load_state(fresh, read_checkpoint(path), "it") == ()
        agree(module, fresh)
        assert (fresh[0].remembered, int(fresh[1].num_batches_tracked)) == ("this", 12)
        del state["0._extra_state"]
        fresh[0].remembered = "other"
        assert load_state(fresh, state, "it") == ("it lacks, and the model keeps: 0._extra_state",)
        assert fresh[0].remembered == "other"

    def test_arrays_of_numpy_are_weights(self, tmp_path: Path) -> None:
        module = everything(1)
        state = {name: np.array(value.numpy(), order="F") for name, value in module.state_dict().items()}
        agree(module, loaded(module, saved(tmp_path, {"params": state}))[0])


class TestRefused:
    def refuse(self, module: nn.Module, state: Mapping[str, Any], match: str) -> None:
        before = copy.deepcopy(module.state_dict())
        with pytest.raises(la.BadInput, match=match) as raised:
            load_state(module, state, "checkpoint x.pt")
        assert "\n" not in str(raised.value)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    @pytest.mark.parametrize("prefix", ["", "model.", "module."])
    def test_another_model(self, prefix: str) -> None:
        state = put(linear(1, 4, 6, 3).state_dict(), prefix)
        shapes = r"'0.weight' has shape \(6, 4\) there and has shape \(5, 4\) in the model; choose the model"
        self.refuse(linear(2, 4, 5, 3), state, shapes)
        self.refuse(linear(2, 4, 6, 3, 3), state, r"'2.weight' is missing there and has shape \(3, 3\) in the model")
        # What is more than the model does not make up for what is missing.
        renamed = {name.replace("1.", "2."): value for name, value in state.items()}
        self.refuse(linear(2, 4, 6, 3), renamed, r"'1.weight' is missing there and has shape \(3, 6\)")
        counted = nn.BatchNorm1d(4)
        lacking = {name: value for name, value in counted.state_dict().items() if name != "running_var"}
        self.refuse(counted, put(lacking, prefix), r"'running_var' is missing there")

    def test_entries_that_are_not_tensors(self) -> None:
        state = {**linear(1, 4, 3).state_dict(), "0.bias": "none"}
        self.refuse(linear(2, 4, 3), state, r"'0.bias' is missing there and has shape \(3,\) in the model")

    def test_weights_that_a_model_ties_and_the_file_does_not(self) -> None:
        module = everything(1)
        state = {**module.state_dict(), "decode.weight": module.decode.weight + 1}
        self.refuse(module, state, "'encode.weight' and 'decode.weight' differ there and are one in the model")

    def test_numbers_that_are_not_the_weights(self) -> None:
        module = linear(1, 4, 4)
        quantised = {**module.state_dict(), "0.weight": torch.ones(4, 4, dtype=torch.int8), "0.scale": torch.ones(4)}
        self.refuse(module, quantised, "has '0.weight' as torch.int8 and the model as torch.float32")
        self.refuse(module, {**module.state_dict(), "0.weight": torch.ones(4, 4) * 1j}, "as torch.complex64")
        doubled = {name: value.double() for name, value in module.state_dict().items()}
        assert load_state(linear(2, 4, 4), doubled, "it") == ()

    def test_files_without_weights(self, tmp_path: Path) -> None:
        for content in ({"epoch": 3}, "text", [1, 2], torch.ones(3), {"optimizer": {"exp_avg": torch.ones(3)}}):
            with pytest.raises(la.BadInput, match="holds no state_dict"):
                read_checkpoint(saved(tmp_path, content))
        endless: dict[str, Any] = {}
        endless["self"] = endless
        with pytest.raises(la.BadInput, match="holds no state_dict"):
            read_checkpoint(saved(tmp_path, endless))


PLAIN_AND_AVERAGE = [
    ("model", "model_ema"), ("state_dict", "state_dict_ema"), ("params", "params_ema"), ("G", "G_ema"),
    ("model_state_dict", "ema_state_dict"), ("net", "netEMA"), ("generator", "swa"), ("model", "EMAModel"),
    ("weights", "averaged.module"), ("model.module", "ema.module"), ("", "ema"),
]  # fmt: skip


def nested(path: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state under a dotted path of mappings."""
    found = dict(state)
    for key in reversed(path.split(".") if path else []):
        found = {key: found}
    return found


class TestSeveral:
    @pytest.mark.parametrize(("plain", "average"), PLAIN_AND_AVERAGE)
    @pytest.mark.parametrize("as_prefixes", [False, True])
    @pytest.mark.parametrize("turned", [False, True])
    def test_the_plain_one_is_taken_said_and_chosen(
        self, tmp_path: Path, plain: str, average: str, as_prefixes: bool, turned: bool
    ) -> None:
        trained, mean = everything(1), everything(2)
        of: Callable[[str, nn.Module], dict[str, Any]]
        if as_prefixes:
            of = lambda path, module: put(module.state_dict(), f"{path}." if path else "")  # noqa: E731
        else:
            of = lambda path, module: nested(path, module.state_dict())  # noqa: E731
        parts = [of(plain, trained), of(average, mean)]
        path = saved(tmp_path, {k: v for part in parts[:: -1 if turned else 1] for k, v in part.items()})
        found, said = loaded(trained, path)
        agree(trained, found)
        taken = f"{plain or 'the top level'} is taken, {path}#KEY takes another ({average})"
        assert said == (f"checkpoint {path} holds several networks that fit: {taken}",)
        found, said = loaded(trained, f"{path}#{average}")
        agree(mean, found)
        assert said == ()
        if plain:
            found, said = loaded(trained, f"{path}#{plain}")
            agree(trained, found)
            assert said == ()

    def test_equal_copies_are_one(self, tmp_path: Path) -> None:
        module = everything(1)
        found, said = loaded(module, saved(tmp_path, {"a": module.state_dict(), "b": module.state_dict()}))
        agree(module, found)
        assert said == ()

    def test_what_nothing_tells_apart_is_refused(self, tmp_path: Path) -> None:
        student, teacher = everything(1), everything(2)
        state = {**put(student.state_dict(), "student."), **put(teacher.state_dict(), "teacher.")}
        path = saved(tmp_path, {"state_dict": state})
        ways = f"choose one of {path}#state_dict.student, {path}#state_dict.teacher"
        with pytest.raises(la.BadInput, match=f"holds several networks that fit; {ways}"):
            loaded(student, path)
        found, said = loaded(student, f"{path}#state_dict.teacher")
        agree(teacher, found)
        assert said == ()  # the other network is nothing that was left out
        path = saved(tmp_path, {"ema_0.9": student.state_dict(), "ema_0.99": teacher.state_dict()})
        with pytest.raises(la.BadInput, match="holds several networks that fit"):
            loaded(student, path)
        agree(teacher, loaded(student, f"{path}#ema_0.99")[0])
        agree(teacher, loaded(student, f"{saved(tmp_path, [student.state_dict(), teacher.state_dict()])}#1")[0])

    def test_what_optimisers_keep_is_not_a_network(self, tmp_path: Path) -> None:
        module = everything(1)
        moments = {name: value * 0 for name, value in module.state_dict().items()}
        path = saved(tmp_path, {"anything": module.state_dict(), "optimizer": {"momentum": moments}})
        found, said = loaded(module, path)
        agree(module, found)
        assert said == ()

    def test_a_network_among_others(self, tmp_path: Path) -> None:
        teacher = linear(3, 4, 6, 6)
        student = linear(1, 4, 5, 6)
        state = {**put(teacher.state_dict(), "teacher."), **put(student.state_dict(), "student.")}
        path = saved(tmp_path, state)
        found, said = loaded(student, path)
        agree(student, found)
        names = ", ".join(put(teacher.state_dict(), "teacher."))
        assert said == (f"checkpoint {path} has more than the model, which is left out: {names}",)
        with pytest.raises(la.BadInput, match=r"'0.weight' has shape \(6, 4\) there and has shape \(5, 4\)"):
            loaded(student, f"{path}#teacher")

    def test_keys_that_are_not_there_list_those_that_are(self, tmp_path: Path) -> None:
        module = everything(1)
        parts = {
            "state_dict": put(module.state_dict(), "net."),
            "ema": module.state_dict(),
            "epoch": 3,
            "optimizer": {},
        }
        path = saved(tmp_path, parts)
        for key in ("emma", "", "epoch", "optimizer", "state_dict.n", "em"):
            with pytest.raises(la.BadInput) as raised:
                load_start(f"{path}#{key}")
            assert str(raised.value) == (
                f"checkpoint {path} holds nothing under {key!r}; its keys: state_dict, state_dict.net, ema, ema.first, "
                "ema.encode, ema.decode"
            )
        agree(module, loaded(module, f"{path}#state_dict")[0])

    def test_without_a_module_a_key_is_that_part(self, tmp_path: Path) -> None:
        one, other = {"weight": torch.ones(2)}, {"weight": torch.zeros(2)}
        path = saved(tmp_path, {"state_dict": put(one, "module."), "ema": {"module": other}, "epoch": 3})
        for key, expected in ((None, one), ("state_dict", one), ("ema", other), ("ema.module", other)):
            found = read_checkpoint(path, key)
            assert found.keys() == expected.keys()
            assert len(found) == 1
            assert torch.equal(found["weight"], expected["weight"])
        path = saved(tmp_path, {**put(one, "a."), **put(other, "b.")})
        assert torch.equal(read_checkpoint(path, "b")["weight"], other["weight"])

    def test_every_file_of_weights_has_keys(self, tmp_path: Path) -> None:
        student, teacher = everything(1), everything(2)
        state = {**put(collect_state(student), "student."), **put(collect_state(teacher), "teacher.")}
        (tmp_path / "model.safetensors").write_bytes(serialise_state(state))
        for name in (tmp_path / "model.safetensors", tmp_path):
            agree(teacher, loaded(student, f"{name}#teacher")[0])

    def test_vectors_of_a_space(self, tmp_path: Path) -> None:
        trained, mean = everything(1), everything(2)
        space = WeightSpace(trained)
        path = saved(tmp_path, {"model": put(trained.state_dict(), "module."), "ema": mean.state_dict()})
        for key, module, lines in (("", trained, 1), ("#ema", mean, 0)):
            vector, said = flatten_state(space, load_start(f"{path}{key}"), "it")
            assert torch.equal(vector, space.vector_of(module))
            assert len(said) == lines
        with pytest.raises(la.BadInput, match="'scale' of shape .* is missing"):
            flatten_state(space, {"weight": torch.ones(2)}, "it")


class Reduced:
    """Is pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def scalars() -> dict[str, Any]:
    return {
        "loss": np.float64(0.25), "step": np.int64(3), "half": np.float16(2), "done": np.bool_(True),
        "name": np.str_("größe"), "order": np.dtype(">f4").type(2), "wide": np.complex128(1 + 2j),
        "state": np.random.RandomState(0).get_state(), "empty": np.zeros((0, 3)), "bytes": np.bytes_(b"ab"),
    }  # fmt: skip


class TestObjects:
    @pytest.mark.parametrize("zipped", [True, False])
    def test_numbers_and_arrays_of_numpy(self, tmp_path: Path, zipped: bool) -> None:
        module = everything(1)
        path = saved(tmp_path, {"state_dict": module.state_dict(), **scalars()}, _use_new_zipfile_serialization=zipped)
        before = set(torch.serialization.get_safe_globals())
        agree(module, loaded(module, path)[0])
        assert set(torch.serialization.get_safe_globals()) == before

    def test_numpy_before_its_second_version(self, tmp_path: Path) -> None:
        """Its modules were called otherwise, and so in the file."""
        module = everything(1)
        path = saved(tmp_path, {"state_dict": module.state_dict(), **scalars()})
        content = path.read_bytes()
        old, new = b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"
        assert new in content
        torch.save({"state_dict": module.state_dict(), **scalars()}, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes().replace(new, old))
        agree(module, loaded(module, path)[0])

    def test_numbers_are_what_they_were(self, tmp_path: Path) -> None:
        values = {str(k): value for k, value in enumerate([np.arange(6.0).reshape(2, 3).T, np.arange(4, dtype=">i2")])}
        found = read_checkpoint(saved(tmp_path, values))
        for name, value in values.items():
            np.testing.assert_array_equal(found[name].numpy(), value)

    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize(
        "attack",
        [
            lambda sprung: Reduced(eval, (f"open({str(sprung)!r}, 'w')",)),
            lambda sprung: Reduced(os.system, (f"touch {sprung}",)),
            lambda sprung: Reduced(Path.touch, (sprung,)),
            # Objects in arrays of NumPy are read by pickle, and an array of pointers would be any memory.
            lambda sprung: np.array([Reduced(eval, (f"open({str(sprung)!r}, 'w')",))], dtype=object),
            lambda _: Reduced(np.dtype, ("O8", False, True)),
            lambda _: Reduced(np.dtype, ("f8,O8", False, True)),
            lambda _: Reduced(np.dtype, ("f8", False, True), (3, "|", "O8", None, None, -1, -1, 63)),
            lambda _: Reduced(np.float64(1).__reduce__()[0], (np.dtype("f8"), b"\0" * 4)),
            lambda _: Reduced(np.float64(1).__reduce__()[0], ("f8", b"\0" * 8)),
            lambda _: Reduced(
                np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (9,), np.dtype("f8"), False, b"\0" * 8)
            ),
        ],
    )
    def test_what_would_be_executed_is_not(self, tmp_path: Path, attack: Callable[[Path], Any], zipped: bool) -> None:
        path = saved(
            tmp_path,
            {"state_dict": {"weight": torch.ones(2)}, "more": attack(tmp_path / "sprung")},
            _use_new_zipfile_serialization=zipped,
        )
        before = set(torch.serialization.get_safe_globals())
        with pytest.raises(la.BadInput, match=r"\A.*(would execute code|may be truncated).*\Z"):
            read_checkpoint(path)
        assert not (tmp_path / "sprung").exists()
        assert set(torch.serialization.get_safe_globals()) == before

    def test_what_is_not_allowed_is_named(self, tmp_path: Path) -> None:
        many = [argparse.Namespace(), Path(), Reduced(eval, ("1",)), slice(1), Reduced(os.system, ("true",))]
        path = saved(tmp_path, {"weight": torch.ones(2), "more": many})
        with pytest.raises(la.BadInput, match=r"\(argparse.Namespace, builtins.eval, .* and 1 more\), so nothing was"):
            read_checkpoint(path)
        torch.save({"weight": torch.ones(2), "more": many[0]}, path, _use_new_zipfile_serialization=False)
        with pytest.raises(la.BadInput, match=r"execute code \(argparse.Namespace\), so nothing was loaded"):
            read_checkpoint(path)

    @pytest.mark.parametrize(
        ("around", "zipped"),
        [
            *product(
                [
                    lambda module: {"state_dict": module.state_dict(), "args": argparse.Namespace(lr=0.1)},
                    lambda module: {"epoch": 3, "net": module.state_dict(), "args": argparse.Namespace(lr=0.1)},
                    lambda module: {"args": argparse.Namespace(lr=0.1), **module.state_dict()},
                    lambda module: {"args": argparse.Namespace(lr=0.1), "mine": module.state_dict()},
                    lambda module: module,
                ],
                [True, False],
            ),
            # Of modules within files that torch wrote before 1.6 nothing can be told without executing them.
            (lambda module: {"epoch": 3, "model": module}, True),
            (lambda module: {"args": argparse.Namespace(lr=0.1), "mine": module}, True),
        ],
    )
    def test_the_line_that_saves_it_again_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: Callable[[nn.Module], Any], zipped: bool
    ) -> None:
        module = linear(1, 4, 3)
        path = saved(tmp_path, around(module), _use_new_zipfile_serialization=zipped)
        with pytest.raises(la.BadInput, match="if you trust the file, save its weights alone: python -c") as raised:
            read_checkpoint(path)
        line = str(raised.value).partition("alone: ")[2]
        monkeypatch.chdir(tmp_path)
        exec(shlex.split(line)[2], {})
        agree(module, loaded(module, tmp_path / "weights.pt")[0])

    @pytest.mark.parametrize("name", ["sys\0tem", "\udcff"])
    def test_names_that_no_class_can_have(self, tmp_path: Path, name: str) -> None:
        file = io.BytesIO()
        torch.save({"a": torch.ones(2), "b": Path("x")}, file, _use_new_zipfile_serialization=False)
        named = file.getvalue().replace(b"PosixPath", name.encode(errors="surrogateescape"))
        assert named != file.getvalue()
        (tmp_path / "w.pt").write_bytes(named)
        with pytest.raises(la.BadInput, match="w.pt"):
            read_checkpoint(tmp_path / "w.pt")

    def test_archives_of_torchscript(self, tmp_path: Path) -> None:
        module = linear(1, 4, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls it old
            torch.jit.script(module).save(tmp_path / "a.pt")
        with pytest.raises(la.BadInput, match="is a TorchScript archive, whose code is not executed"):
            read_checkpoint(tmp_path / "a.pt")

    def test_files_that_are_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pt"
        torch.save({"weight": torch.ones(2)}, path, pickle_protocol=4)
        with pytest.raises(la.BadInput, match="is a pickle of another kind than torch.save writes"):
            read_checkpoint(path)
        for content in (b"", b"text", b"\x80\x02}q\x00(X\x01"):
            path.write_bytes(content)
            with pytest.raises(la.BadInput, match="cannot be read, it may be truncated"):
                read_checkpoint(path)

    def test_archives_that_unpack_to_more_than_there_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = saved(tmp_path, {"weight": torch.zeros(2**18)})
        with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
            for entry in whole.infolist():
                packed.writestr(entry.filename, whole.read(entry))
        assert (tmp_path / "b.pt").stat().st_size < 2**14
        assert read_checkpoint(tmp_path / "b.pt")["weight"].shape == (2**18,)
        monkeypatch.setattr(unpickling, "free_room", lambda: 2**19)
        with pytest.raises(la.BadInput, match=r"b.pt unpacks to 1,\d{3},\d{3} bytes and 524,288 are free"):
            read_checkpoint(tmp_path / "b.pt")

    def test_claims_of_storages_are_not_believed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pt"
        torch.save({"weight": torch.ones(4)}, path, _use_new_zipfile_serialization=False)
        content = path.read_bytes()
        for size in (4, 5, 6, 7):
            claim = b"\x8a" + bytes([size]) + (2 ** (8 * size - 2)).to_bytes(size, "little")
            path.write_bytes(content.replace(b"cpuq\x06K\x04", b"cpuq\x06" + claim))
            with pytest.raises(la.BadInput, match="cannot be read, it may be truncated"):
                read_checkpoint(path)

    def test_mappings_that_hold_one_another_many_times(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint, "MOST_ENTRIES", 10**4)
        content: Any = {"weight": torch.ones(2)}
        for _ in range(6):
            content = {str(number): content for number in range(100)}
        with pytest.raises(la.BadInput, match="holds more than 10,000 entries, counted as often as it names them"):
            read_checkpoint(saved(tmp_path, content))
        lists: Any = []
        for _ in range(60):
            lists = [lists, lists]
        assert list(read_checkpoint(saved(tmp_path, {"weight": torch.ones(2), "more": lists}))) == ["weight"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[]", "Expected `object`, got `array`"),
            ("{}", "missing required field `weight_map`"),
            ('{"weight_map": {"a": 3}}', "Expected `str`, got `int`"),
            (json.dumps({"weight_map": {"a": "a" * 300}}), "'aaa.*; shards are files beside it"),
            ('{"weight_map": {"a": "a\\r\\nb"}}', r"names 'a\\r\\nb'; shards are files beside it"),
            ('{"weight_map": {"a": "../a.safetensors"}}', r"names '../a.safetensors'; shards are files beside it"),
            ('{"weight_map": {"a": "/etc/passwd"}}', "names '/etc/passwd'; shards are files beside it"),
            ('{"weight_map": {"a": ".."}}', "names '..'"),
            ('{"weight_map": {"a": "b/a.safetensors"}}', "names 'b/a.safetensors'"),
            ('{"weight_map": {"a": "none.safetensors"}}', "its shard none.safetensors does not exist"),
            ('{"weight_map": {"b": "a.safetensors"}}', "lacks 'b'"),
        ],
    )
    def test_an_index_names_files_beside_it(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "in").mkdir()
        for folder in (tmp_path, tmp_path / "in"):
            save_file({"a": torch.ones(2)}, folder / "a.safetensors")
        index = tmp_path / "in" / "model.safetensors.index.json"
        index.write_text(content)
        for path in (index, tmp_path / "in"):
            with pytest.raises(la.BadInput, match=message):
                read_checkpoint(path)
        index.write_text('{"weight_map": {"a": "a.safetensors"}, "metadata": {"total_size": 8}}')
        assert list(read_checkpoint(tmp_path / "in")) == ["a"]


class TestNaming:
    @pytest.mark.parametrize(
        ("spec", "there", "expected"),
        [
            ("a.pt", [], ("a.pt", None, "")),
            ("a.pt#ema", [], ("a.pt", "ema", "")),
            ("a.pt#ema", ["a.pt"], ("a.pt", "ema", "")),
            ("a.pt#ema", ["a.pt#ema"], ("a.pt#ema", None, "")),
            ("a#1.pt", ["a#1.pt"], ("a#1.pt", None, "")),
            ("a#1.pt#ema", ["a#1.pt"], ("a#1.pt", "ema", "")),
            ("a#1.pt#ema", [], ("a#1.pt", "ema", "")),
            ("a#1@20", ["a#1"], ("a#1", None, "20")),
            ("a@20", [], ("a", None, "20")),
            ("a@20", ["a"], ("a", None, "20")),
            ("a@20", ["a@20"], ("a@20", None, "")),
            ("a.pt#b@20", ["a.pt"], ("a.pt", "b@20", "")),
            ("of@home/a.pt", [], ("of@home/a.pt", None, "")),
            ("of@home/a.pt#k", [], ("of@home/a.pt", "k", "")),
            ("a.pt#", ["a.pt"], ("a.pt", "", "")),
        ],
    )
    def test_what_is_there_decides(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, there: list[str], expected: tuple[str, ...]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in there:
            Path(name).touch()
        found = NetworkSpec.parse(spec)
        assert (str(found.path), found.key, found.step) == expected

    def test_a_checkpoint_of_a_checkpoint_is_itself(self) -> None:
        checkpoint = Checkpoint.of({"weight": torch.ones(2)}, "it")
        assert Checkpoint.of(checkpoint, "other") is checkpoint


SCRIPT = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=g)
    y = torch.randint(0, 3, (64,), generator=g)
    return (x, y), (x, y)
"""


class Place:
    """A script, and files of two networks made by it."""

    def __init__(self, folder: Path, module: Any) -> None:
        self.folder, self.script = folder, module
        self.networks = [self.network(seed) for seed in (1, 2)]
        state, average = (network.state_dict() for network in self.networks)
        torch.save({"model": put(state, "module."), "model_ema": average, "epoch": 3}, folder / "both.pt")
        torch.save({"n_averaged": torch.tensor(5), **put(state, "module.")}, folder / "averaged.pt")

    def network(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.script.make()
            module[1].running_mean.normal_()
            return module.eval()

    def loss(self, module: nn.Module) -> float:
        inputs, labels = self.script.data()[0]
        return float(nn.functional.cross_entropy(module(inputs), labels).detach())

    def run(self, verb: str, *tokens: str) -> xr.Dataset | None:
        common = [
            "--model=checkpointed:make",
            "--data=checkpointed:data",
            "--plan=loop",
            f"--out={self.folder / 'run'}",
        ]
        if verb == "train":
            common.remove("--plan=loop")
        else:
            common += ["--splits=test", "--no_pictures"]
        assert main([verb, *tokens, *common, "--overwrite"]) == 0
        store = self.folder / "run" / "survey.zarr"
        return xr.open_zarr(str(store), consolidated=False, chunks=None).load() if store.exists() else None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    (tmp_path / "checkpointed.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "checkpointed", raising=False)
    monkeypatch.chdir(tmp_path)
    import checkpointed  # type: ignore[import-not-found]

    return Place(tmp_path, checkpointed)


class TestVerbs:
    """A key, and what is said, wherever a network is named."""

    TAKEN = "both.pt holds several networks that fit: model.module is taken, both.pt#KEY takes another (model_ema)"

    def said(self, capsys: pytest.CaptureFixture[str], *lines: str) -> None:
        """These lines, once each, and nothing else of checkpoints."""
        told = " ".join(capsys.readouterr().err.split())
        for line in lines:
            assert told.count(line) == 1, told
        assert told.count("several networks") + told.count("more than the model") == len(lines), told

    def test_around_a_checkpoint(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        for name, network, lines in (
            ("both.pt", 0, (f"checkpoint {self.TAKEN}",)),
            ("both.pt#model_ema", 1, ()),
            ("averaged.pt", 0, ("checkpoint averaged.pt has more than the model, which is left out: n_averaged",)),
        ):
            found = place.run("survey", f"--checkpoint={name}", "--directions=random", "--grid=3")
            assert found is not None
            expected = place.loss(place.networks[network])
            np.testing.assert_allclose(found.test_loss.sel(u=0).item(), expected, rtol=1e-5)
            self.said(capsys, *lines)

    def test_on_the_chart_of_a_run(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        place.run("survey", "--checkpoint=both.pt#model_ema", "--directions=random", "--grid=3")
        (place.folder / "run").rename(place.folder / "before")
        found = place.run("survey", "--run=before", "--grid=3")
        assert found is not None
        np.testing.assert_allclose(found.test_loss.sel(u=0).item(), place.loss(place.networks[1]), rtol=1e-5)
        self.said(capsys)

    def test_between_networks_of_one_file(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        found = place.run("survey", "--between", "both.pt", "both.pt#model_ema", "--at=0,1", "--buffers=interpolated")
        assert found is not None
        np.testing.assert_allclose(found.test_loss.values, [*map(place.loss, place.networks)], rtol=1e-5)
        self.said(capsys, f"checkpoint {self.TAKEN}")
        names = build_survey(
            SurveyConfig(
                model="checkpointed:make",
                data="checkpointed:data",
                between=("both.pt", "both.pt#model_ema"),
                splits=("test",),
            )
        ).site.networks
        assert [network.name for network in names] == ["both.pt", "both.pt#model_ema"]

    def test_towards_a_network_and_along_its_weights(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        first = ("--checkpoint=averaged.pt", "--at=0,1")
        out = "checkpoint averaged.pt has more than the model, which is left out: n_averaged"
        module = place.network(1)
        # The statistics are the centre's on all of the line.
        buffers = dict(place.networks[0].named_buffers())
        load_state(module, {**place.networks[1].state_dict(), **buffers}, "it")
        expected = [place.loss(place.networks[0]), place.loss(module)]
        found = place.run("survey", *first, "--directions=towards:both.pt#model_ema")
        assert found is not None
        np.testing.assert_allclose(found.test_loss.values, expected, rtol=1e-5)
        self.said(capsys, out)
        place.run("survey", *first, "--directions=file:both.pt")
        self.said(capsys, out, f"checkpoint {self.TAKEN}")

    def test_a_curve_between_networks_of_one_file(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        place.run("connect", "both.pt", "both.pt#model_ema", "--steps=1", "--grid=3", "--plane=0", "--ensembles=0")
        self.said(capsys, f"checkpoint {self.TAKEN}")

    def test_the_start_of_a_training(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        for name, network, lines in (("both.pt#model_ema", 1, ()), ("both.pt", 0, (f"the start {self.TAKEN}",))):
            place.run("train", f"--init_from={name}", "--epochs=1", "--snapshots=step:1")
            self.said(capsys, *lines)
            start = load_start(f"{place.folder / 'run'}@0")
            for key, value in place.networks[network].named_parameters():
                assert torch.equal(start[key], value)

    def test_the_centre_of_a_fit(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = ("--pattern=heart", "--size=5", "--steps=1", "--cells=4", "--buffers=frozen", "--train_origin=false")
        place.run("fit", "--checkpoint=both.pt#model_ema", *tokens)
        chart = la.load_chart(place.folder / "run" / "chart.safetensors")
        assert torch.equal(chart.controls()[0], WeightSpace(place.networks[1]).vector_of(place.networks[1]))
        self.said(capsys)
        place.run("fit", "--checkpoint=both.pt", *tokens)
        self.said(capsys, f"checkpoint {self.TAKEN}")

    def test_python_warns_once(self, place: Place) -> None:
        module = place.networks[0]
        with pytest.warns(UserWarning, match=r"both.pt holds several networks that fit") as told:
            la.slice_around(module, ["file:both.pt", "random"], repeats=3)
        assert len(told) == 1
        assert told[0].filename == __file__
        chart = la.slice_around(module, ["towards:both.pt#model_ema"])
        expected = WeightSpace(module).vector_of(place.networks[1])
        torch.testing.assert_close(chart.origin + chart.directions[0], expected)

    def test_a_run_is_not_replaced_by_what_is_made_of_it(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place.run("train", "--epochs=1")
        tokens = ["--init_from=run/model.safetensors#0", "--epochs=1", "--overwrite", "--out=run"]
        assert main(["train", "--model=checkpointed:make", "--data=checkpointed:data", *tokens]) == 2
        assert "holds run/model.safetensors, which is an input of the run" in " ".join(capsys.readouterr().err.split())

    def test_an_unknown_key_is_one_line(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = ["--model=checkpointed:make", "--data=checkpointed:data", "--checkpoint=both.pt#average", "--out=run"]
        assert main(["survey", *tokens]) == 2
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 1
        assert "both.pt holds nothing under 'average'; its keys: model, model.module, model_ema" in told
        assert not Path("run").exists()
