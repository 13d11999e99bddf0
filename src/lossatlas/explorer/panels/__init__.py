"""What the page says of a point that was evaluated, one module each: :class:`lossatlas.explorer.panel.Panel`."""
