"""Figure 5 of the multi-point paper."""

from lossatlas.reproduce.gallery import Gallery, Piece

__all__ = ["MPO_FIG5"]

LINES = {"boundary_only": True, "coarse": (0.25, 0.5)}

MPO_FIG5 = Gallery(
    "Figure 5 of Skorokhodov & Burtsev 2019: more pictures on FashionMNIST (test images)",
    [
        *(Piece(name, "fashion_mnist", {"size": "32", "seconds": 90.0}, {}) for name in ("star", "ring")),
        # Thin lines take their time.
        *(Piece(name, "fashion_mnist", {"size": "32", "seconds": 270.0, **LINES}, {}) for name in ("smiley", "spiral")),
    ],
    "The published figure shows icons of its own; these are the project's.",
)
