"""Figure 2 of the multi-point paper."""

from lossatlas.reproduce.gallery import Gallery, Piece

__all__ = ["MPO_FIG2"]

MPO_FIG2 = Gallery(
    "Figure 2 of Skorokhodov & Burtsev 2019: a pattern and the accuracy that was found for it (FashionMNIST)",
    [Piece("skull", "fashion_mnist", {"size": "32", "seconds": 720.0, "boundary_only": True}, {})],
    "The published figure shows the accuracy landscape of a drawing in lines.",
    metrics=("accuracy", "loss"),
)
