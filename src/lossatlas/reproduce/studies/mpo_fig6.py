"""Figure 6 of the multi-point paper."""

from lossatlas.reproduce.gallery import Gallery, Piece

__all__ = ["MPO_FIG6"]

MPO_FIG6 = Gallery(
    "Figure 6 of Skorokhodov & Burtsev 2019: more pictures on CIFAR-10 (training and test images)",
    [
        Piece(name, "cifar10", {"size": "20", "seconds": 240.0}, {"model_options": {"max_pool": False}})
        for name in ("star", "ring", "heart")
    ],
    "In the published figure training and test maps differ more than on FashionMNIST.",
    splits=("train", "test"),
)
