"""Trajectories recorded by the callbacks of training frameworks, one file each; each needs its framework."""
