"""The families of published networks: their numbers of parameters, and that each can be mapped."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.models import MODELS, Family

CIFAR, FASHION, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)
BC = {"bottleneck": True, "compression": 0.5}

SMALLEST: dict[str, Family] = {
    "vgg": la.VGG(depth=9, width=4),
    "vgg-bn": la.VGG(depth=9, width=4, batch_norm=True),
    "preresnet": la.PreResNet(depth=8, width=4),
    "preresnet-bottleneck": la.PreResNet(depth=11, width=4, bottleneck=True),
    "wrn": la.WRN(depth=10, widen=1),
    "densenet": la.DenseNet(depth=7, growth=4),
    "densenet-bc": la.DenseNet(depth=10, growth=4, **BC),
    "nin": la.NIN(channels=(12, 10, 8, 12, 12, 12, 12, 12)),
    "nin-bn": la.NIN(channels=(12, 10, 8, 12, 12, 12, 12, 12), batch_norm=True),
}
DEEPER: dict[str, Family] = {
    "vgg-11": la.VGG(depth=11, width=4),
    "vgg-16": la.VGG(depth=16, width=4, batch_norm=True),
    "densenet-121": la.DenseNet(depth=121, growth=2, **BC),
}
every_family = pytest.mark.parametrize("name", SMALLEST)


def build(family: Family, inputs: tuple[int, ...], outputs: int = 10) -> nn.Module:
    """The module with seeded parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return family.build(inputs, outputs)


def images(shape: tuple[int, ...], examples: int = 6) -> torch.Tensor:
    return torch.randn(examples, *shape, generator=torch.Generator().manual_seed(3))


def test_every_family_of_the_zoo_is_registered() -> None:
    for family in SMALLEST.values():
        assert MODELS[type(family).__name__.lower()] is type(family)


class TestParameterCounts:
    """On CIFAR-10: 3x32x32 images, ten outputs. Papers round their numbers; the exact ones follow from the shapes."""

    def assert_counts(self, family: Family, size: int) -> None:
        with torch.device("meta"):  # shapes alone: no memory, no random numbers
            module = family.build(CIFAR, 10)
        assert sum(p.numel() for p in module.parameters()) == size

    @pytest.mark.parametrize(
        ("depth", "batch_norm", "size"),
        [
            # The code of Li et al. 2018, which has batch normalisation: convolutions 1,735,488, linear layers
            # 4,096 * 256 + 256 and 256 * 10 + 10, normalisation 2 (1,152 + 256).
            (9, True, 2_789_706),
            (9, False, 2_789_706 - 2 * (1_152 + 256)),
            # torchvision's convolutions of configuration A, 9,220,480, and linear layers 2 (512 * 512 + 512) + 5,130.
            (11, False, 9_750_922),
            (11, True, 9_750_922 + 2 * 2_752),  # 9,756,426 in the table of chenyaofo/pytorch-cifar-models
            # Configuration D, 14,714,688 ("14.7M"), and the same linear layers: VGG16 of Garipov et al. 2018.
            (16, False, 15_245_130),
            (16, True, 15_245_130 + 2 * 4_224),  # 15,253,578 in the same table
        ],
    )
    def test_vgg(self, depth: int, batch_norm: bool, size: int) -> None:
        self.assert_counts(la.VGG(depth, batch_norm), size)

    @pytest.mark.parametrize(
        ("depth", "bottleneck", "size"),
        [
            # A ResNet of the same depth (269,722; 853,018; 1,727,962) and the 1x1 shortcuts, 16 * 32 + 32 * 64.
            (20, False, 272_282),
            (56, False, 855_578),
            (110, False, 1_730_522),  # 1.7M in table 5 of Zagoruyko & Komodakis 2016
            (164, True, 1_703_258),  # 1.7M in the same table, and in table 2 of Huang et al. 2017
        ],
    )
    def test_preresnet(self, depth: int, bottleneck: bool, size: int) -> None:
        self.assert_counts(la.PreResNet(depth, bottleneck), size)

    @pytest.mark.parametrize(
        ("depth", "widen", "size"),
        [  # tables 4 and 5 of Zagoruyko & Komodakis 2016
            (40, 1, 563_930),  # 0.6M
            (40, 2, 2_243_546),  # 2.2M
            (40, 4, 8_949_210),  # 8.9M
            (16, 8, 10_961_370),  # 11.0M
            (16, 10, 17_116_634),  # 17.1M
            (22, 8, 17_158_106),  # 17.2M
            (28, 10, 36_479_194),  # 36.5M
        ],
    )
    def test_wrn(self, depth: int, widen: int, size: int) -> None:
        self.assert_counts(la.WRN(depth, widen), size)

    @pytest.mark.parametrize(
        ("family", "size"),
        [  # table 2 of Huang et al. 2017
            (la.DenseNet(40, 12), 1_019_722),  # 1.0M
            (la.DenseNet(100, 12), 6_979_642),  # 7.0M
            (la.DenseNet(100, 24), 27_249_082),  # 27.2M
            (la.DenseNet(100, 12, **BC), 769_162),  # 0.8M
            (la.DenseNet(250, 24, **BC), 15_324_406),  # 15.3M
            (la.DenseNet(190, 40, **BC), 25_624_430),  # 25.6M
            # Table 1's 121 layers behind one 3x3 convolution, as in the code of Li et al. 2018, which took it from
            # kuangliu/pytorch-cifar; ImageNet's network with its 1000 outputs has 7,978,856.
            (la.DenseNet(121, 32, **BC), 6_956_298),
        ],
    )
    def test_densenet(self, family: la.DenseNet, size: int) -> None:
        self.assert_counts(family, size)

    def test_nin(self) -> None:
        """The authors' network for CIFAR-10 in Caffe's model zoo; 966,986 in osmr/imgclsmob, too."""
        blocks = [
            (3 * 25 + 1) * 192 + (192 + 1) * 160 + (160 + 1) * 96,
            (96 * 25 + 1) * 192 + 2 * (192 + 1) * 192,
            (192 * 9 + 1) * 192 + (192 + 1) * 192 + (192 + 1) * 10,
        ]
        assert sum(blocks) == 966_986
        self.assert_counts(la.NIN(), 966_986)
        self.assert_counts(la.NIN(batch_norm=True), 966_986 + 2 * (192 + 160 + 96 + 5 * 192 + 10))


@every_family
@pytest.mark.parametrize("shape", [CIFAR, FASHION, DIGITS, (2, 21, 30)])
def test_images_of_any_shape_go_forward_and_the_same_twice(name: str, shape: tuple[int, ...]) -> None:
    module = build(SMALLEST[name], shape, 7).eval()
    outputs = module(images(shape))
    assert outputs.shape == (6, 7)
    assert torch.equal(outputs, module(images(shape)))
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("name", DEEPER)
@pytest.mark.parametrize("shape", [CIFAR, FASHION, (2, 21, 30)])
def test_deeper_ones_go_forward(name: str, shape: tuple[int, ...]) -> None:
    outputs = build(DEEPER[name], shape, 7).eval()(images(shape))
    assert outputs.shape == (6, 7)
    assert outputs.isfinite().all()


@pytest.mark.parametrize("name", [*SMALLEST, *DEEPER])
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    """In evaluation mode: under a batch's own statistics the bias of a normalised convolution has none."""
    module = build((SMALLEST | DEEPER)[name], FASHION).eval()
    nn.functional.cross_entropy(module(images(FASHION)), torch.arange(6)).backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@every_family
@pytest.mark.parametrize("plan", ["loop", "vmap"])
def test_one_step_of_a_fit(name: str, plan: str) -> None:
    module = build(SMALLEST[name], DIGITS)
    problem = la.Problem(module, la.CrossEntropy())
    chart = la.Plane.random(module, initialiser=la.ModuleDefault())
    before = chart.controls().detach().clone()
    data = la.load_data("digits").train.data
    split = la.Split((data[0][:16], data[1][:16]))
    pattern = la.Pattern(la.picture("heart", 6), cells=2)
    result = la.fit(chart, pattern, problem, split, steps=1, batch_size=8, plan=plan)
    assert result.steps == 1
    assert math.isfinite(result.history[-1]["low_loss"])
    assert chart.controls().isfinite().all()
    moved = (chart.controls() != before).any(dim=1)
    assert moved.all()


class TestStructure:
    def test_a_preactivation_unit_without_its_last_weights_is_its_shortcut(self) -> None:
        module = build(la.PreResNet(depth=8, width=4), (2, 9, 10)).eval()
        same, halving = module[1], module[2]
        for unit in (same, halving):
            nn.init.zeros_(unit.residual[-1].weight)
        features = images((4, 9, 10))
        assert torch.equal(same(features), features)
        weight = halving.shortcut.weight[:, :, 0, 0]
        expected = torch.einsum("oi,bihw->bohw", weight, halving.activation(features)[:, :, ::2, ::2])
        torch.testing.assert_close(halving(features), expected)
        assert not halving.activation(features).lt(0).any()

    def test_a_wide_network_of_width_one_is_a_preresnet(self) -> None:
        wide, thin = build(la.WRN(depth=16, widen=1), CIFAR), build(la.PreResNet(depth=14), CIFAR)
        assert {k: v.shape for k, v in wide.state_dict().items()} == {k: v.shape for k, v in thin.state_dict().items()}

    def test_a_dense_layer_keeps_what_it_is_given(self) -> None:
        module = build(la.DenseNet(depth=10, growth=4, **BC), CIFAR).eval()
        features = module[0](images(CIFAR))
        grown = module[1](features)
        assert features.shape[1] == 8
        assert grown.shape[1] == 12
        assert torch.equal(grown[:, :8], features)

    def test_vgg_pools_odd_edges_with_what_is_there(self) -> None:
        sides, module = [], build(la.VGG(depth=11, width=1), FASHION)
        for layer in module:
            if isinstance(layer, nn.MaxPool2d):
                layer.register_forward_hook(lambda _, __, pooled: sides.append(pooled.shape[-1]))
        module(images(FASHION))
        assert sides == [14, 7, 4, 2, 1]

    def test_nin_pools_as_caffe_does(self) -> None:
        sides, module = [], build(la.NIN(channels=(6, 5, 4, 6, 6, 6, 6, 6)), CIFAR)
        for layer in module:
            if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                layer.register_forward_hook(lambda kind, _, pooled: sides.append((type(kind), pooled.shape[-1])))
        outputs = module(images(CIFAR))
        assert sides == [(nn.MaxPool2d, 16), (nn.AvgPool2d, 8)]
        assert not outputs.lt(0).any()

    @every_family
    def test_convolutions_are_drawn_as_in_the_papers_code_each_time(self, name: str) -> None:
        module = build(SMALLEST[name], CIFAR)
        space = la.WeightSpace(module)
        for draw in (space.vector_of(module), space_drawn(module, space)):
            for key, value in space.unflatten(draw).items():
                if value.ndim == 4 and value.numel() > 400:
                    outputs, _, *kernel = value.shape
                    assert float(value.std()) == pytest.approx(math.sqrt(2 / (math.prod(kernel) * outputs)), rel=0.15)
                if isinstance(module.get_submodule(key.rpartition(".")[0]), nn.Conv2d) and key.endswith("bias"):
                    assert not value.any()

    def test_a_deep_network_without_normalisation_sees_the_image(self) -> None:
        """PyTorch's own draws leave differences of a millionth of the outputs, these two hundredths."""
        outputs = build(la.VGG(depth=16, width=16), CIFAR)(images(CIFAR)).detach()
        assert float(outputs.std(dim=0).mean()) > 1e-2 * float(outputs.abs().mean())


def space_drawn(module: nn.Module, space: la.WeightSpace) -> torch.Tensor:
    return la.Plane.random(module, initialiser=la.ModuleDefault(), space=space).controls()[0].detach()


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: la.VGG(depth=10), "vgg's depth is 10; expected 9, 11, 13, 16 or 19"),
            (lambda: la.PreResNet(depth=29), "preresnet's depth is 29; expected 6 n + 2, such as 20, 56 or 110, w"),
            (lambda: la.PreResNet(depth=2), "preresnet's depth is 2; expected 6 n + 2"),
            (lambda: la.PreResNet(110 + 6, bottleneck=True), "depth is 116; expected 9 n + 2, such as 29, 164 or 1001"),
            (lambda: la.WRN(depth=20), "wrn's depth is 20; expected 6 n + 4, such as 10, 16, 22, 28 or 40"),
            (lambda: la.WRN(depth=-2), "wrn's depth is -2; expected 6 n + 4"),
            (lambda: la.DenseNet(depth=41), "densenet's depth is 41; expected 3 n + 4, such as 40 or 100, without"),
            (lambda: la.DenseNet(depth=43, bottleneck=True), "expected 6 n + 4, such as 40 or 100, or one of 121, "),
            (lambda: la.NIN(channels=(8, 8, 8)), "nin's channels are (8, 8, 8); expected 3 n - 1 positive numbers"),
            (lambda: la.NIN(channels=(8, 0)), "nin's channels is 0; expected a positive number"),
            (lambda: la.NIN(channels=()), "nin's channels are (); expected 3 n - 1 positive numbers"),
            (lambda: la.VGG(width=0), "vgg's width is 0; expected a positive number"),
            (lambda: la.PreResNet(width=-1), "preresnet's width is -1; expected a positive number"),
            (lambda: la.WRN(widen=0), "wrn's widen is 0; expected a positive number"),
            (lambda: la.DenseNet(growth=0), "densenet's growth is 0; expected a positive number"),
            (lambda: la.DenseNet(compression=0.0), "densenet's compression is 0.0; expected a number in (0, 1]"),
        ],
    )
    def test_options_that_cannot_be(self, make: Callable[[], Family], message: str) -> None:
        self.assert_refused(make, CIFAR, message)

    @pytest.mark.parametrize(
        ("family", "smallest"),
        [
            (la.VGG(depth=9, width=2), 5),
            (la.VGG(depth=11, width=2), 17),
            (la.VGG(depth=16, width=2), 17),
            (la.PreResNet(depth=8, width=2), 5),
            (la.WRN(depth=10, widen=1), 5),
            (la.DenseNet(depth=7, growth=2), 8),
            (la.DenseNet(depth=121, growth=2, **BC), 16),
            (la.NIN(channels=(4, 4, 4, 4, 4, 4, 4, 4)), 8),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Family) else str(value),
    )
    def test_images_of_which_a_single_pixel_would_reach_the_last_stage(self, family: Family, smallest: int) -> None:
        enough, few = (1, smallest, smallest), (1, 40, smallest - 1)
        module = build(family, enough).eval()
        sizes = []
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.register_forward_hook(lambda _, args, __: sizes.append(args[0].shape[-1]))
        module(images(enough))
        assert sizes[-1] == 2
        self.assert_refused(lambda: family, few, f"images of 40x{smallest - 1} are too small for ")
        self.assert_refused(lambda: family, few, f"; expected {smallest}x{smallest} or more: use larger images")

    @every_family
    def test_examples_that_are_not_images(self, name: str) -> None:
        self.assert_refused(
            lambda: SMALLEST[name], (64,), "needs images (channels, height, width); the examples have shape"
        )

    def assert_refused(self, make: Callable[[], Family], inputs: tuple[int, ...], message: str) -> None:
        with pytest.raises(la.BadInput) as refusal:
            make().build(inputs, 10)
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)
