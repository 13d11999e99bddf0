"""Networks by name."""

from lossatlas.models.family import MODELS, Family, check_room, load_model, model_options

__all__ = ["MODELS", "Family", "check_room", "load_model", "model_options"]
