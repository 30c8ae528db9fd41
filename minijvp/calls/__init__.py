"""Primitives that carry one program and call it: each transformation of the call calls the transformed program."""
