"""Weight space: the flattened parameters of one module, random vectors in it, and checkpoints."""

from lossatlas.weights.initialiser import INITIALISERS, Initialiser, Role
from lossatlas.weights.space import Entry, WeightSpace

__all__ = ["INITIALISERS", "Entry", "Initialiser", "Role", "WeightSpace"]
