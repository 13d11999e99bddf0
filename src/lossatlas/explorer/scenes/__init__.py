"""Kinds of surveys as the page draws them, one module each: :class:`lossatlas.explorer.scene.Scene`."""
