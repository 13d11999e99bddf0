"""Networks by name."""

from lossatlas.models.family import MODELS, Family, check_weights_fit, load_model, model_options

__all__ = ["MODELS", "Family", "check_weights_fit", "load_model", "model_options"]
