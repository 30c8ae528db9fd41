"""Eager derivatives: compiled rules, and gradients that recur."""
