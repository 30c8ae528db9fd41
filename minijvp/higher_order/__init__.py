"""Primitives that carry functions."""
