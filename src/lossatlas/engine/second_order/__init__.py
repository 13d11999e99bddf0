"""Whether products with second-order operators are right, which torch does not say of all modules.

A layer whose backward pass is its own may lack a second derivative, or have one that silently lacks terms: where it
works on detached tensors or with NumPy. Products are therefore compared once with differences of gradients, in 64 bits
and on a few examples, and a layer that fails is named.
"""

from lossatlas.engine.second_order.checking import check_operator

__all__ = ["check_operator"]
