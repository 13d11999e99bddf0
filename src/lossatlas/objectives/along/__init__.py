"""One module per objective of curves."""
