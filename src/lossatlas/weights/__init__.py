"""Weight space: the flattened parameters of one module, and how to draw vectors in it."""

from lossatlas.weights.initialiser import INITIALISERS, Initialiser, Role
from lossatlas.weights.space import Entry, WeightSpace

__all__ = ["INITIALISERS", "Entry", "Initialiser", "Role", "WeightSpace"]
