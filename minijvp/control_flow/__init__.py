"""Primitives that decide which programs run, and how often: cond, scan, while."""
