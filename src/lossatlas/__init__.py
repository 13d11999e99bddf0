"""Maps of the loss landscapes of neural networks.

Public names stand in ``__init__.pyi`` and are resolved when they are first used, so that importing the package imports
nothing heavy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
# `import *` does without the callbacks, which need packages of their extras.
__all__ = [name for name in __all__ if name not in {"HuggingFaceTrajectory", "LightningTrajectory"}]
