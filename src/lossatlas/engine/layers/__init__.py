"""One module per function of torch that a strategy computes in its own way for many networks at once."""
