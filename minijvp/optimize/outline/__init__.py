"""Outlining: equal stretches of a program become calls of one program, which is differentiated and compiled once."""
