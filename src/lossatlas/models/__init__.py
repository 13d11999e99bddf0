"""Networks by name."""

from lossatlas.models.family import MODELS, Family, check_weights_fit, find_model_options, load_model

__all__ = ["MODELS", "Family", "check_weights_fit", "find_model_options", "load_model"]
