"""Anybody's network: its checkpoints, batches, outputs and losses; against plain calls of the module itself."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from networks import make, plane
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

import lossatlas as la
from lossatlas.charts import Slice
from lossatlas.cli.main import main
from lossatlas.engine import Plan
from lossatlas.engine.network import Network
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.losses import BatchMean, load_loss
from lossatlas.metrics import choose_metrics
from lossatlas.recipes.problem import _feed, _loss
from lossatlas.training.start import load_start
from lossatlas.weights.files import load_state, read_state

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:There is a performance drop because we have not yet implemented the batching rule:UserWarning"
    ),
    # Some variants of `Body` leave one of its layers out.
    pytest.mark.filterwarnings("ignore:unused by the model on these data.*'second:lossatlas.errors.Caution"),
]

TOKENS, LENGTH = 31, 7
COORDS = np.array([-1.0, 0.0, 0.4])


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def gpt2() -> nn.Module:
    config = GPT2Config(
        n_layer=2, n_embd=16, n_head=2, vocab_size=TOKENS, n_positions=12, bos_token_id=0, eos_token_id=0
    )
    return seeded(lambda: GPT2LMHeadModel(config))


def bert() -> nn.Module:
    config = BertConfig(
        num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=32, vocab_size=TOKENS,
        max_position_embeddings=12, num_labels=3,
    )  # fmt: skip
    return seeded(lambda: BertForSequenceClassification(config))


def sentences(count: int = 10) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(TOKENS, (count, LENGTH), generator=generator)
    mask = (torch.arange(LENGTH) < (torch.arange(count) % 5 + 3)[:, None]).long()
    return {"input_ids": tokens, "attention_mask": mask}


def texts() -> dict[str, Tensor]:
    """Every label counts, padding too, so that means over examples and over tokens are the same."""
    return {**sentences(), "labels": sentences()["input_ids"]}


def classified() -> dict[str, Tensor]:
    return {**sentences(), "labels": torch.arange(10) % 3}


def random_slice(space: la.WeightSpace, module: nn.Module, scale: float = 0.1) -> Slice:
    direction = scale * torch.randn(1, space.size, generator=torch.Generator().manual_seed(2))
    origin = space.vector_of(module)
    return la.Slice(origin, direction.to(origin))


def by_hand(module: nn.Module, space: la.WeightSpace, chart: Slice, of: Callable[[nn.Module], Tensor]) -> np.ndarray:
    """What ``of`` makes of copies of the module whose parameters were set one by one, in evaluation mode."""
    values = []
    for point in chart.points(torch.from_numpy(COORDS)[:, None].to(chart.controls())):
        twin = copy.deepcopy(module).eval()
        own = dict(twin.named_parameters(remove_duplicate=False))
        with torch.no_grad():
            for name, value in space.unflatten(point).items():
                own[name].copy_(value)
        values.append(float(of(twin).detach()))
    return np.array(values)


def line(problem: la.Problem, split: la.Split, space: la.WeightSpace, plan: Any, *metrics: str, **options: Any) -> Any:
    return la.survey(
        random_slice(space, problem.module), {"u": COORDS}, problem, {"test": split}, buffers=la.FrozenStatistics(),
        plan=plan, metrics=list(metrics) or None, space=space, **options,
    )  # fmt: skip


class TestTransformers:
    """Models of ``transformers``, made from a configuration."""

    MODELS = ((gpt2, texts), (bert, classified))

    @pytest.mark.parametrize(("build", "examples"), MODELS)
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_line_is_the_models_own_loss_at_weights_set_by_hand(
        self, build: Callable[[], nn.Module], examples: Callable[[], dict[str, Tensor]], strategy: str
    ) -> None:
        module, data = build(), examples()
        problem = la.Problem(module, la.CrossEntropy(), la.Dict())
        space = la.WeightSpace(module)
        found = line(problem, la.Split(data), space, strategy)
        expected = by_hand(module, space, random_slice(space, module), lambda twin: twin(**data).loss)
        np.testing.assert_allclose(found["test_loss"], expected, rtol=1e-5)

    @pytest.mark.parametrize("attention", ["eager", "sdpa"])
    def test_an_automatic_plan_finds_a_strategy(self, attention: str) -> None:
        module, data = gpt2(), texts()
        module.set_attn_implementation(attention)
        problem = la.Problem(module, la.CrossEntropy(), la.Dict())
        engine = la.engine_for(
            problem, random_slice(la.WeightSpace(module), module), la.Split(data), measuring=0.05,
            buffers=la.FrozenStatistics(),
        )  # fmt: skip
        assert engine.plan.evaluate.strategy in STRATEGIES

    def test_tied_embeddings_are_in_weight_space_once(self) -> None:
        space = la.WeightSpace(gpt2())
        (embedding,) = (entry for entry in space.entries if "lm_head.weight" in entry.names)
        assert embedding.names == ("transformer.wte.weight", "lm_head.weight")
        assert space.size == sum(p.numel() for p in gpt2().parameters())

    def test_labels_of_padding_do_not_count(self) -> None:
        module, data = gpt2(), texts()
        data["labels"] = data["labels"].masked_fill(data["attention_mask"] == 0, -100)
        problem = la.Problem(module, la.CrossEntropy(), la.Dict())
        found = line(problem, la.Split(data), la.WeightSpace(module), "loop", eval_batch_size=3)["test_loss"].values[1]
        with torch.no_grad():
            expected = float(module.eval()(**data).loss)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize("strategy", ["loop", "vmap"])
    def test_a_models_own_mean_is_what_a_batch_mean_shows(self, strategy: str) -> None:
        module, data = gpt2(), texts()
        data["labels"] = data["labels"].masked_fill(data["attention_mask"] == 0, -100)
        feed = la.Dict(output="loss", with_targets=True)
        problem = la.Problem(module, BatchMean(lambda own, _: own), feed)
        space = la.WeightSpace(module)
        expected = by_hand(module, space, random_slice(space, module), lambda twin: twin(**data).loss)
        np.testing.assert_allclose(line(problem, la.Split(data), space, strategy)["test_loss"], expected, rtol=1e-5)

    def test_only_causal_models_compare_with_the_next_token(self) -> None:
        data = classified()
        assert not la.Problem(bert(), la.CrossEntropy(), la.Dict()).feed.shift
        assert torch.equal(la.Problem(bert(), la.CrossEntropy(), la.Dict()).feed.targets(data), data["labels"])
        data = texts()
        shifted = la.Problem(gpt2(), la.CrossEntropy(), la.Dict()).feed
        assert torch.equal(shifted.targets(data), data["labels"][:, 1:])
        kept = la.Problem(gpt2(), la.CrossEntropy(), la.Dict(shift=False)).feed
        assert torch.equal(kept.targets(data), data["labels"])

    def test_from_the_command_line_with_a_folder_of_weights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mine_any.py").write_text(
            f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import torch\nfrom test_any_network import gpt2, texts\n"
            "def make():\n    return gpt2()\n\n"
            "def data():\n    return texts(), texts()\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        module = gpt2()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(1.5)
        module.save_pretrained(tmp_path / "saved", max_shard_size="8KB")
        assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 2
        out = tmp_path / "run"
        status = main([
            "survey", "--model=mine_any:make", "--data=mine_any:data", f"--checkpoint={tmp_path / 'saved'}",
            "--directions=random", "--grid=3", "--range", "-1", "1", "--splits=test", "--plan=loop", "--examples=all",
            "--no-pictures", "--device=cpu", f"--out={out}",
        ])  # fmt: skip
        assert status == 0
        import xarray as xr

        with torch.no_grad():
            expected = float(module.eval()(**texts()).loss)
        found = xr.open_zarr(out / "survey.zarr", consolidated=False)["test_loss"].sel(u=0.0).item()
        np.testing.assert_allclose(found, expected, rtol=1e-5)


class TestCheckpoints:
    """Files of weights, as others write them."""

    def states_agree(self, path: Path, module: nn.Module) -> None:
        fresh = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in fresh.parameters():
                parameter.zero_()
        load_state(fresh, read_state(path), str(path))
        for (name, value), (_, other) in zip(module.named_parameters(), fresh.named_parameters(), strict=True):
            assert torch.equal(value, other), name

    @pytest.mark.parametrize("shards", ["8KB", "1GB"])
    def test_folders_that_transformers_writes(self, tmp_path: Path, shards: str) -> None:
        module = gpt2()
        module.save_pretrained(tmp_path, max_shard_size=shards)
        assert (tmp_path / "model.safetensors.index.json").exists() == (shards == "8KB")
        self.states_agree(tmp_path, module)
        assert load_start(str(tmp_path)).keys() == read_state(tmp_path).keys()
        if shards == "8KB":
            self.states_agree(tmp_path / "model.safetensors.index.json", module)

    def sharded(self, folder: Path, suffix: str = ".bin") -> nn.Module:
        module = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
        state = module.state_dict()
        parts = {f"pytorch_model-0000{i + 1}-of-00002{suffix}": list(state)[2 * i : 2 * i + 2] for i in range(2)}
        for file, names in parts.items():
            torch.save({name: state[name] for name in names}, folder / file)
        places = {name: file for file, names in parts.items() for name in names}
        (folder / f"pytorch_model{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
        return module

    def test_shards_and_whole_files_of_torch(self, tmp_path: Path) -> None:
        self.states_agree(tmp_path, self.sharded(tmp_path))
        module = nn.Linear(3, 2)
        torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
        self.states_agree(tmp_path, module)

    def test_a_shard_that_is_missing_truncated_or_lacks_something(self, tmp_path: Path) -> None:
        self.sharded(tmp_path)
        second = tmp_path / "pytorch_model-00002-of-00002.bin"
        whole = second.read_bytes()
        second.write_bytes(whole[: len(whole) // 2])
        with one_line(rf"checkpoint {second} cannot be read, it may be truncated"):
            read_state(tmp_path)
        torch.save({"1.weight": torch.ones(2, 4)}, second)
        with one_line(rf"shard {second} lacks '1.bias', which pytorch_model.bin.index.json says is in it"):
            read_state(tmp_path)
        second.unlink()
        with one_line(r"is not whole: its shard pytorch_model-00002-of-00002.bin does not exist"):
            read_state(tmp_path)
        (tmp_path / "pytorch_model.bin.index.json").write_text("{")
        with one_line("expected a weight_map of names and files"):
            read_state(tmp_path)

    def test_nothing_in_a_shard_is_executed(self, tmp_path: Path) -> None:
        self.sharded(tmp_path)
        torch.save({"1.weight": Trap(tmp_path / "sprung")}, tmp_path / "pytorch_model-00002-of-00002.bin")
        with one_line("holds objects that would execute code"):
            read_state(tmp_path)
        assert not (tmp_path / "sprung").exists()

    def test_folders_without_weights(self, tmp_path: Path) -> None:
        with one_line("holds no weights; expected one of model.safetensors"):
            read_state(tmp_path)

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
    @pytest.mark.parametrize("key", [None, "state_dict", "model", "net"])
    def test_what_wrappers_put_before_names(self, tmp_path: Path, prefix: str, key: str | None) -> None:
        module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        state = {prefix + name: value for name, value in module.state_dict().items()}
        torch.save(state if key is None else {key: state, "epoch": 3}, tmp_path / "a.pt")
        assert read_state(tmp_path / "a.pt").keys() == module.state_dict().keys()
        self.states_agree(tmp_path / "a.pt", module)

    def test_names_keep_what_not_all_of_them_begin_with(self, tmp_path: Path) -> None:
        torch.save({"module.weight": torch.ones(2), "head.weight": torch.ones(2)}, tmp_path / "a.pt")
        assert list(read_state(tmp_path / "a.pt")) == ["module.weight", "head.weight"]

    def test_modules_that_are_wrapped_themselves(self, tmp_path: Path) -> None:
        inner = nn.Linear(3, 2)
        outer = nn.DataParallel(inner)
        torch.save(outer.state_dict(), tmp_path / "outer.pt")
        torch.save(inner.state_dict(), tmp_path / "inner.pt")
        for file in ("outer.pt", "inner.pt"):
            self.states_agree(tmp_path / file, outer)
            self.states_agree(tmp_path / file, inner)

    def test_the_first_difference_of_another_architecture(self, tmp_path: Path) -> None:
        self.sharded(tmp_path)
        wider = nn.DataParallel(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)))
        before = copy.deepcopy(wider.state_dict())
        with one_line(r"'module.0.weight' has shape \(4, 3\) there and has shape \(5, 3\) in the model"):
            load_state(wider, read_state(tmp_path), f"checkpoint {tmp_path}")
        assert all(torch.equal(value, before[name]) for name, value in wider.state_dict().items())


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class one_line:  # noqa: N801
    """Expects a BadInput whose message matches and is one line."""

    def __init__(self, match: str) -> None:
        self.raises = pytest.raises(la.BadInput, match=match)

    def __enter__(self) -> None:
        self.info = self.raises.__enter__()

    def __exit__(self, *error: Any) -> bool:
        refused = self.raises.__exit__(*error)
        assert "\n" not in str(self.info.value)
        return bool(refused)


class Named(NamedTuple):
    aux: Tensor
    logits: Tensor


class TestFeeds:
    """What a loss sees of what a module returns."""

    @pytest.mark.parametrize(
        "returned",
        [
            lambda x: {"aux": x.sum(), "logits": x},
            lambda x: Named(x.sum(), x),
            lambda x: x,
            lambda x: (x, x.sum()),
            lambda x: [x, None],
        ],
    )
    @pytest.mark.parametrize("dicts", [False, True])
    def test_logits_are_found(self, returned: Callable[[Tensor], Any], dicts: bool) -> None:
        feed = la.Problem(nn.Identity(), la.CrossEntropy(), la.Dict() if dicts else la.Pair()).feed
        x = torch.ones(2, 3)
        assert feed.output(returned(x)) is x

    def test_a_users_function_gets_tuples_whole(self) -> None:
        returned = (torch.ones(2), torch.zeros(2))
        assert la.Problem(nn.Identity(), lambda out, _: out[0]).feed.output(returned) is returned

    def test_an_output_that_is_named(self) -> None:
        x = torch.ones(2, 3)
        assert la.Dict(output=None).output({"logits": x}) == {"logits": x}
        assert la.Dict(output=1).output((None, x)) is x
        assert la.Pair(output="head").output({"logits": None, "head": x}) is x
        with one_line("the model returns no 'logits'; it returns mean, scale"):
            la.Dict(output="logits").output({"mean": x, "scale": x})
        with one_line("a batch has no 'labels'; its entries are input, score"):
            la.Dict().targets({"input": x, "score": x})

    def test_a_feed_of_ones_own_is_left_alone(self) -> None:
        class Own(la.Pair):
            def __init__(self) -> None:
                pass

            def inputs(self, batch: Any) -> Any:
                return (2 * batch[0],), {}

        feed = la.Problem(nn.Identity(), la.SquaredError(), Own()).feed
        assert isinstance(feed, Own)
        assert torch.equal(feed.inputs((torch.ones(2), None))[0][0], torch.full((2,), 2.0))

    def test_of_the_command_line(self) -> None:
        labels = torch.arange(4)
        feed, inputs, targets = _feed(la.Split({"input_ids": torch.ones(4, 2), "labels": labels}))
        assert isinstance(feed, la.Dict)
        assert inputs is None
        assert torch.equal(targets, labels)
        feed, inputs, targets = _feed(la.Split(({"a": torch.ones(4, 2)}, labels)))
        assert isinstance(feed, la.Pair)
        assert inputs is None
        with one_line("examples are dicts of x, y; expected the targets under 'labels'"):
            _feed(la.Split({"x": torch.ones(2), "y": torch.ones(2)}))


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean(dim=1)


class Scaled(la.SquaredError):
    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return 3 * super().__call__(outputs, targets)


NUMBER = 3
INSTANCE = Scaled()


class Needy(la.SquaredError):
    def __init__(self, factor: float) -> None:
        self.factor = factor


class TestLosses:
    """Losses of one's own, and positions that do not count."""

    def test_of_the_command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mine_loss", sys.modules[__name__])
        x, y = torch.randn(5, 2), torch.randn(5, 2)
        torch.testing.assert_close(_loss("mine_loss:absolute", y)(x, y), (x - y).abs().mean(1))
        for name in ("Scaled", "INSTANCE"):
            torch.testing.assert_close(_loss(f"mine_loss:{name}", y)(x, y), 3 * (x - y).square().mean(1))
        assert type(_loss("auto", y)) is la.SquaredError
        with one_line("'NUMBER' is not callable in module 'mine_loss'"):
            load_loss("mine_loss:NUMBER")
        with one_line(r"loss 'mine_loss:Needy' failed: .*missing 1 required positional argument"):
            load_loss("mine_loss:Needy")
        with one_line("'cross_entropie' is not a loss; did you mean 'cross_entropy'.*module:callable"):
            _loss("cross_entropie", y)
        with one_line("targets in a dict do not determine a loss; give --loss"):
            _loss("auto", {"boxes": y})

    def test_positions_that_are_ignored(self) -> None:
        logits = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        labels = torch.arange(24).reshape(4, 6) % 5
        lengths = torch.tensor([6, 3, 1, 0])
        padded = labels.masked_fill(torch.arange(6) >= lengths[:, None], -100)
        every = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(4, 6)
        expected = torch.stack([every[i, :n].mean() if n else every.new_zeros(()) for i, n in enumerate(lengths)])
        torch.testing.assert_close(la.CrossEntropy()(logits, padded), expected)
        minus = padded.masked_fill(padded == -100, -1)
        torch.testing.assert_close(la.CrossEntropy(ignore_index=-1)(logits, minus), expected)
        la.CrossEntropy().check(logits, padded, padded)
        with one_line("labels run from -1 to 4"):
            la.CrossEntropy().check(logits, minus, minus)
        assert la.CrossEntropy().weights(padded).tolist() == lengths.tolist()
        without_the_first = la.CrossEntropy(ignore_index=0)
        assert without_the_first.weights(labels).tolist() == (labels != 0).sum(dim=1).tolist()

    @pytest.mark.parametrize("strategy", ["plain", "loop", "threads", "vmap", "batched"])
    @pytest.mark.parametrize("group", [12, 5])
    def test_batch_means_fold_to_the_mean_of_all(self, strategy: str, group: int) -> None:
        problem, split = make("regression")
        means = la.Problem(problem.module, BatchMean(nn.functional.mse_loss))
        assert problem.loss.per_example
        assert not means.loss.per_example
        space = la.WeightSpace(problem.module)
        for metric in ("loss", "gradient_norm"):
            both = [line(each, split, space, strategy, metric, eval_batch_size=group) for each in (problem, means)]
            np.testing.assert_allclose(*(found[f"test_{metric}"].values for found in both), rtol=1e-6)

    def test_means_that_are_none(self) -> None:
        problem, split = make("regression")
        with one_line(r"returned shape \(12, 2\); expected \(\)"):
            BatchMean(lambda out, y: out - y)(*(torch.zeros(12, 2),) * 2)
        bad = la.Problem(problem.module, lambda *_: 3.0)
        with one_line(r"the loss returned float for 8 examples"):
            line(bad, split, la.WeightSpace(problem.module), "loop")

    def test_equal_losses_are_recorded_alike_and_others_are_not(self) -> None:
        assert la.CrossEntropy().record == "CrossEntropy"
        assert la.CrossEntropy(ignore_index=-1).record != la.CrossEntropy().record
        assert la.PerExample(absolute).record == la.PerExample(absolute).record
        assert la.PerExample(absolute).record != BatchMean(absolute).record
        assert la.PerExample(nn.L1Loss()).record != la.PerExample(nn.MSELoss()).record


class Square(torch.autograd.Function):
    """Without a rule for vmap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * slope


class Body(nn.Module):
    """Two layers, and something between them that subclasses choose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.first(x)))


class Custom(Body):
    def between(self, x: Tensor) -> Tensor:
        return Square.apply(self.second(x))


class Checkpointed(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(lambda x: self.between(self.first(x)), x, use_reentrant=False))


class ByFunctions(Body):
    """Its checkpointed part calls no layer, and keeps as many tensors whoever's parameters it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(6))

    def between(self, x: Tensor) -> Tensor:
        def part(x: Tensor) -> Tensor:
            return nn.functional.layer_norm(x, (6,), self.scale, self.shift)

        return checkpoint(part, x, use_reentrant=False)


class InPlace(Body):
    def between(self, x: Tensor) -> Tensor:
        x = x.relu_()
        x = self.second(x)
        x *= 2
        filled = torch.zeros(len(x), 6, dtype=x.dtype)
        filled[:, :3] = x[:, 3:]
        return filled


class WritesToInputs(Body):
    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return super().forward(x)


class Buffers(Body):
    """With a buffer that is not saved, one of booleans, and a number as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.linspace(-1, 1, 6), persistent=False)
        self.register_buffer("kept", torch.arange(6) % 2 == 0)
        self.temperature = nn.Parameter(torch.tensor(0.7))

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh((x + self.shift) * self.kept / self.temperature)


class Adapted(Body):
    """Frozen layers with low-rank adapters."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)
        self.lora_down, self.lora_up = nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False)

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(x) + self.lora_up(self.lora_down(x)))


class Quantised(Body):
    """With parameters of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(6), requires_grad=False)
        self.nothing = nn.Parameter(torch.zeros(0, 5))

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(x)) * self.table


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x[..., None])[0][:, -1])


class Chooses(Body):
    """With control flow that depends on weights."""

    def between(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.second.weight.sum() > 0 else torch.relu(x)


def weight_norm() -> nn.Module:
    module = Body()
    nn.utils.parametrizations.weight_norm(module.first)
    nn.utils.parametrizations.orthogonal(module.second)
    return module


def old_weight_norm() -> nn.Module:
    module = Body()
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(module.first)
    module(torch.ones(1, 3))  # leaves a tensor with a graph in an attribute
    return module


def compiled() -> nn.Module:
    return torch.compile(Body(), backend="eager")


POINTWISE = {"plain", "loop", "threads"}
"""Strategies that can serve any network."""

MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...], set[str]]] = {
    # How it is made, the patterns of what varies, and the strategies that serve it.
    "body": (Body, ("*",), {*STRATEGIES}),
    "custom function": (Custom, ("*",), POINTWISE),
    # A survey leaves derivatives to the loop where a strategy has none.
    "checkpointed": (Checkpointed, ("*",), {*STRATEGIES}),
    "checkpointed functions": (ByFunctions, ("*",), {*STRATEGIES}),
    "in place": (InPlace, ("*",), POINTWISE),
    "writes to inputs": (WritesToInputs, ("*",), {*STRATEGIES}),
    "buffers": (Buffers, ("*",), {*STRATEGIES}),
    "frozen": (Adapted, ("*",), {*STRATEGIES}),
    "adapters": (Adapted, ("lora_*",), {*STRATEGIES}),
    "head": (Body, ("head.*",), {*STRATEGIES}),
    "integers": (Quantised, ("*",), {*STRATEGIES}),
    "recurrent": (Recurrent, ("*",), POINTWISE),
    "control flow": (Chooses, ("*",), POINTWISE),
    "weight norm": (weight_norm, ("*",), {*STRATEGIES}),
    "old weight norm": (old_weight_norm, ("*",), {*STRATEGIES}),
    "data parallel": (lambda: nn.DataParallel(Body()), ("*",), {*STRATEGIES}),
    "compiled": (compiled, ("*",), {*STRATEGIES}),
}


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(11, width, generator=generator, dtype=torch.float64) for width in (3, 2))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_losses_and_gradients_are_those_of_the_module_itself(name: str, strategy: str) -> None:
    build, patterns, able = MODULES[name]
    module = seeded(build).double()
    if name == "old weight norm":
        module(rows()[0])
    problem, split = la.Problem(module, la.SquaredError()), la.Split(rows())
    space = la.WeightSpace(module, patterns)
    if strategy not in able:
        with one_line(f"no strategy can evaluate this model: {strategy}"):
            line(problem, split, space, strategy)
        return
    # A survey in two groups, so that what a call leaves behind would be seen by the next.
    found = line(problem, split, space, strategy, "loss", "gradient_norm", eval_batch_size=6)

    def loss(twin: nn.Module) -> Tensor:
        inputs, targets = rows()
        return (twin(inputs) - targets).square().mean()

    def norm(twin: nn.Module) -> Tensor:
        own = dict(twin.named_parameters(remove_duplicate=False))
        varied = [own[entry.name].requires_grad_() for entry in space.entries]
        slopes = torch.autograd.grad(loss(twin), varied, allow_unused=True)
        return torch.stack([slope.square().sum() for slope in slopes if slope is not None]).sum().sqrt()

    hand = without_graphs(module)
    chart = random_slice(space, module)
    np.testing.assert_allclose(found["test_loss"], by_hand(hand, space, chart, loss), rtol=1e-6)
    np.testing.assert_allclose(found["test_gradient_norm"], by_hand(hand, space, chart, norm), rtol=1e-6)
    assert torch.equal(split.data[0], rows()[0])


def without_graphs(module: nn.Module) -> nn.Module:
    """The module, ready to be copied by hand: what old weight normalisation left in it has no copy."""
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                vars(part)[name] = value.detach()
    return module


@pytest.mark.parametrize("name", ["control flow", "custom function", "checkpointed", "recurrent"])
def test_an_automatic_plan_leaves_out_who_cannot_serve(name: str) -> None:
    module = seeded(MODULES[name][0]).double()
    engine = la.engine_for(
        la.Problem(module, la.SquaredError()), random_slice(la.WeightSpace(module), module), la.Split(rows()),
        measuring=0.05,
    )  # fmt: skip
    services = (engine.plan.evaluate, engine.plan.pullback, engine.plan.derivatives)
    assert {service.strategy for service in services[1:]} <= POINTWISE
    assert "pullback without vmap" in engine.plan.reason


class TestParameters:
    """Which parameters a space is made of."""

    def test_frozen_ones_vary_unless_patterns_leave_them_out(self) -> None:
        module = Adapted()
        assert la.WeightSpace(module).size == sum(p.numel() for p in module.parameters())
        assert [entry.name for entry in la.WeightSpace(module, ["lora_*"]).entries] == [
            "lora_down.weight", "lora_up.weight",
        ]  # fmt: skip

    def test_integers_and_nothing_are_held(self) -> None:
        names = {entry.name for entry in la.WeightSpace(Quantised()).entries}
        assert names == {name for name, _ in Body().named_parameters()}
        with one_line("parameter 'table' has dtype torch.int64; expected real floating point"):
            la.WeightSpace(Quantised(), ["table"])

    def test_complex_ones_and_those_without_a_shape_are_refused(self) -> None:
        module = nn.Linear(2, 2)
        module.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))
        with one_line("parameter 'phase' has dtype torch.complex64"):
            la.WeightSpace(module)
        assert la.WeightSpace(module, ["weight", "bias"]).size == 6
        with one_line("parameter 'weight' has no shape yet; call the model on a batch first"):
            la.WeightSpace(nn.LazyLinear(3))

    def test_numbers_of_16_bits_are_evaluated_in_32(self) -> None:
        module = seeded(Body).bfloat16()
        wide = copy.deepcopy(module).float()
        x, y = (part.bfloat16() for part in rows())
        space = la.WeightSpace(module)
        chart = random_slice(space, wide)
        found = [
            la.survey(chart, {"u": COORDS}, la.Problem(each, la.SquaredError()), {"test": la.Split(data)}, plan="loop")
            for each, data in ((module, (x, y)), (wide, (x.float(), y.float())))
        ]
        np.testing.assert_array_equal(*(survey["test_loss"].values for survey in found))

    def test_a_buffer_that_is_not_saved_makes_another_network(self) -> None:
        module = Buffers()
        other = copy.deepcopy(module)
        other.shift += 1
        space = la.WeightSpace(module)
        marks = [
            Network(la.Problem(each, la.SquaredError()), space, la.FrozenStatistics(), random_slice(space, module))
            for each in (module, copy.deepcopy(module), other)
        ]
        assert marks[0].fingerprint == marks[1].fingerprint != marks[2].fingerprint


class Cached(Body):
    def between(self, x: Tensor) -> Tensor:
        if not hasattr(self, "cache"):
            self.cache = 2 * self.second.weight.detach()
        return nn.functional.linear(x, self.cache)


class Clamped(Body):
    def between(self, x: Tensor) -> Tensor:
        self.second.weight.data.mul_(0.5)
        return self.second(x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Cached, "the model's output depends on earlier calls"),
        (Clamped, "the forward pass writes to parameter 'second.weight'"),
    ],
)
def test_modules_that_are_not_a_function_of_their_parameters(build: Callable[[], nn.Module], message: str) -> None:
    module = seeded(build).double()
    with one_line(message):
        line(la.Problem(module, la.SquaredError()), la.Split(rows()), la.WeightSpace(module), "loop")


def test_what_cannot_be_copied_is_refused() -> None:
    module = Body().double()
    module.log = (line for line in ())
    with one_line(r"the model cannot be copied \(.*generator.*\); keep such things outside of it"):
        line(la.Problem(module, la.SquaredError()), la.Split(rows()), la.WeightSpace(module), "loop")


class Broke(Exception):
    pass


class Fuse:
    """Raises from one of its calls on, whoever makes them: copies are itself."""

    def __deepcopy__(self, memo: Any) -> Fuse:
        return self

    def __init__(self, kind: type[BaseException] | None, calls: int) -> None:
        self.kind, self.calls = kind, calls

    def __call__(self, *_: Any) -> None:
        self.calls -= 1
        if self.kind is not None and self.calls <= 0:
            raise self.kind("in the middle")


def portrait(module: nn.Module) -> list[Any]:
    """Everything about a module that somebody could see: identities, values, modes, gradients, hooks."""
    named = list(chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)))
    return [
        [(name, id(value), value._version, value.device, value.dtype, value.requires_grad) for name, value in named],
        [(name, value.detach().clone()) for name, value in named],
        [(name, id(value.grad), None if value.grad is None else value.grad.clone()) for name, value in named],
        [(name, id(part), type(part), part.training) for name, part in module.named_modules()],
        [list(getattr(part, kind).items()) for part in module.modules() for kind in HOOKS],
        [sorted(vars(part)) for part in module.modules()],
    ]


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks")


def surroundings() -> list[Any]:
    return [torch.get_num_threads(), torch.is_grad_enabled(), torch.get_rng_state(), torch.get_default_dtype()]


def flat(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from flat(part)
    else:
        yield tree


def same(before: Any, after: Any) -> bool:
    pairs = list(zip(flat(before), flat(after), strict=True))
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


def survey_it(problem: la.Problem, split: la.Split) -> None:
    la.survey(
        plane(problem), {"u": COORDS, "v": COORDS[:2]}, problem, {"train": split}, plan="loop",
        metrics=["loss", "gradient_norm"], eval_batch_size=5,
    )  # fmt: skip


def fit_it(problem: la.Problem, split: la.Split) -> None:
    la.fit(
        plane(problem), la.Pattern(la.picture("heart", 6), cells=2), problem, split, steps=2, plan="threads",
        batch_size=4,
    )  # fmt: skip


def plan_it(problem: la.Problem, split: la.Split) -> None:
    engine = la.engine_for(problem, plane(problem), split, measuring=0.01)
    controls = plane(problem).controls().detach()
    engine.evaluate(torch.eye(3).to(controls), controls, split, choose_metrics(problem.loss), 5)


@pytest.mark.parametrize("name", ["mlp", "batch_norm", "tied", "dict_batches", "transformer"])
@pytest.mark.parametrize("use", [survey_it, fit_it, plan_it])
@pytest.mark.parametrize("place", ["forward", "loss"])
@pytest.mark.parametrize(("kind", "calls"), [(None, 6), (Broke, 2), (Broke, 9), (KeyboardInterrupt, 9)])
@pytest.mark.usefixtures("two_threads")
def test_a_users_module_comes_back_as_it_was(
    name: str,
    use: Callable[[la.Problem, la.Split], None],
    place: str,
    kind: type[BaseException] | None,
    calls: int,
) -> None:
    made, split = make(name)
    module = made.module
    module.train()
    next(module.children()).eval()  # a mixture, as where a part is frozen
    parameters = list(module.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    fuse = Fuse(kind, calls)
    if place == "forward":
        module.register_forward_pre_hook(fuse)
        problem = made
    else:
        function = made.loss

        def loss(outputs: Any, targets: Any) -> Tensor:
            fuse()
            return function(outputs, targets)

        problem = la.Problem(module, la.PerExample(loss, classifies=function.classifies), made.feed)
    before, around, data = portrait(module), surroundings(), copy.deepcopy(split.data)
    if kind is None:
        use(problem, split)
    else:
        with pytest.raises((kind, la.BadInput)):
            use(problem, split)
    assert fuse.calls <= 0
    assert same(before, portrait(module))
    assert same(around, surroundings())
    assert all(map(torch.equal, tree_leaves(data), tree_leaves(split.data)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_module_in_training_mode_is_evaluated_in_evaluation_mode(strategy: str) -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2)))
    module.double().train()
    module(rows()[0])
    space = la.WeightSpace(module)
    found = line(la.Problem(module, la.SquaredError()), la.Split(rows()), space, strategy)
    x, y = rows()
    expected = by_hand(module, space, random_slice(space, module), lambda twin: (twin(x) - y).square().mean())
    np.testing.assert_allclose(found["test_loss"], expected, rtol=1e-6)
    assert all(part.training for part in module.modules())


def test_a_stated_plan_is_served_too() -> None:
    module = seeded(Checkpointed).double()
    space = la.WeightSpace(module)
    found = line(la.Problem(module, la.SquaredError()), la.Split(rows()), space, Plan.of("loop", 2), "gradient_norm")
    plain = seeded(Body).double()
    expected = line(la.Problem(plain, la.SquaredError()), la.Split(rows()), space, Plan.of("loop", 2), "gradient_norm")
    np.testing.assert_allclose(found["test_gradient_norm"], expected["test_gradient_norm"], rtol=1e-6)


def test_a_mean_of_the_batch_is_not_a_loss_for_clips_of_examples() -> None:
    problem, split = make("mlp")
    own = la.Problem(
        problem.module, la.BatchMean(lambda outputs, targets: nn.functional.cross_entropy(outputs, targets))
    )
    heart = la.picture("heart", size=6)
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match="is not a loss per example"):
        la.fit(chart, la.Pattern(heart), own, split, steps=1, plan="loop")
    clipped = la.Pattern(heart, clip=la.ClipPerCell(2.5))
    assert la.fit(chart, clipped, own, split, steps=1, plan="loop").steps == 1


def test_a_stated_plan_that_cannot_serve_is_refused_in_one_line() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            outputs = self.head(inputs)
            return outputs if float(outputs.sum()) > 0 else 2 * outputs

    module = Branching()
    problem = la.Problem(module, la.SquaredError())
    split = la.Split((torch.randn(6, 3), torch.randn(6, 2)))
    chart = plane(problem, axes=1)
    with pytest.raises(la.BadInput, match="strategy 'vmap' of the plan cannot evaluate this model"):
        la.survey(chart, la.make_grid(chart, (3,)), problem, {"test": split}, plan=la.Plan.of("vmap", 2))
