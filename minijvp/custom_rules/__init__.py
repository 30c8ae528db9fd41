"""Functions with derivative and batching rules of their users, and linear maps with a given transpose."""
