"""A page in the browser in which one walks through surveys: ``lossatlas explore``."""
