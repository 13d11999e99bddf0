"""Callbacks of training frameworks that record trajectories; each needs its framework to be installed."""
