"""Layers that the families of convolutional networks share."""

from __future__ import annotations

from torch import nn

from lossatlas.errors import BadInput

__all__ = ["Convolution", "image_channels", "make_preactivated"]


class Convolution(nn.Conv2d):
    """A convolution that preserves the size of images, up to the stride.

    Initialised as in the published code of these networks (He et al. 2015, arXiv 1502.01852): normal with variance
    2 / (kernel^2 outputs), biases 0. PyTorch's default is too small for deep networks without normalisation: the
    outputs of VGG-16 would not depend on the image. ``reset_parameters`` initialises in the same way.
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(width_in, width_out, kernel, stride, padding=kernel // 2, bias=bias)

    def reset_parameters(self) -> None:
        """Initialise weights and biases in place, as the class says."""
        if self.weight.is_meta:  # there is nothing to initialise, and torch would import its compiler to find that out
            return
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def make_preactivated(width_in: int, width_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Make batch normalisation, ReLU and a convolution without biases, in this order."""
    return [nn.BatchNorm2d(width_in), nn.ReLU(), Convolution(width_in, width_out, kernel, stride)]


def image_channels(network: str, inputs: tuple[int, ...], smallest: int) -> int:
    """Check that examples are images large enough for a network, and return their number of channels.

    Args:
        network: the name of the network, for messages.
        inputs: the shape of one example.
        smallest: the smallest height and width for which more than one pixel reaches the last stage; with a single
            pixel only the centre of a 3x3 kernel would be used.

    Raises:
        BadInput: they are not images, or too small.
    """
    if len(inputs) != 3:
        raise BadInput(f"{network} needs images (channels, height, width); the examples have shape {inputs}")
    channels, height, width = inputs
    if min(height, width) < smallest:
        raise BadInput(
            f"images of {height}x{width} are too small for {network}; expected {smallest}x{smallest} or more: "
            "use larger images, or a network that halves them less often"
        )
    return channels
