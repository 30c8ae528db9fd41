"""Gradients that explain themselves: where what is not finite comes from, and why a derivative is zero."""
