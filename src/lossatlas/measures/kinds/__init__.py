"""Measures: one module each."""
