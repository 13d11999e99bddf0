"""Networks by name."""

from lossatlas.models.family import MODELS, Family, load_model, model_options

__all__ = ["MODELS", "Family", "load_model", "model_options"]
