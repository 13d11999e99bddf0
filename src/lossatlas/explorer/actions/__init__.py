"""What the page does on request, one module each: :class:`lossatlas.explorer.action.Action`."""
