"""Random programs under random words of transformations, in every mode, held against JAX and against differences.

`python -m tests.fuzz --seconds 600` looks for new failures and prints each as a minimal program. A `Plan` says what a
program is made of (plans.py), a deck of operations says how (deck/), and building.py turns the plan into the source of
a function that runs on the side of minijvp and on that of JAX (sides.py), so that one text gives both. A `Case` is a
plan, a word and a mode; judging.py holds it against JAX, and shrinking.py makes a failing one small.
"""
