"""Jacobians and Hessians: linear programs applied to unit vectors, all at once or some at a time."""
