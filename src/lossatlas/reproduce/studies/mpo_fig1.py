"""Figure 1 of the multi-point paper."""

from lossatlas.reproduce.gallery import Gallery, Piece

__all__ = ["MPO_FIG1"]

CIFAR = {"model_options": {"max_pool": False}}

MPO_FIG1 = Gallery(
    "Figure 1 of Skorokhodov & Burtsev 2019: the loss draws a picture, on FashionMNIST and on CIFAR-10 (test images)",
    [
        Piece("heart", "fashion_mnist", {"size": "40", "seconds": 280.0}, {}),
        Piece("heart", "cifar10", {"size": "24", "seconds": 420.0}, CIFAR),
    ],
    "The published figure shows icons of its own; these are the project's.",
)
