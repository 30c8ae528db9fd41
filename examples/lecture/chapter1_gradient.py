"""Chapter 1: what a gradient is.

The steepness of a curve, the steepest way up for a function of two variables, and the descent against it.
"""

from __future__ import annotations

import numpy as np
from notes import BLUE, INK, PALE, RUST, Notes, panels, run

import minijvp
import minijvp.numpy as mnp


def f(x):
    return 2 * x**3 - 6 * x**2 + x + 1


def bowl(p):
    x, y = p
    return 2 * x**2 + 3 * y**2


def a_curve(show: Notes) -> None:
    show.heading("A curve and its steepness")
    show.text(
        "The gradient of a curve at a point is the gradient of its tangent there: how much y grows when x grows by 1. "
        f"On the line y = x/2 it is {minijvp.grad(lambda x: x / 2)(3.0):g} everywhere."
    )
    slope = minijvp.grad(f)
    points = (-0.5, 0.0, 1.0, 2.0, 2.5)
    show.table(
        "f(x) = 2x³ − 6x² + x + 1",
        ("x", "f(x)", "minijvp.grad(f)(x)", "6x² − 12x + 1"),
        [(x, f(x), slope(x), 6 * x**2 - 12 * x + 1) for x in points],
    )
    show.text(
        f"At x = 2 the gradient is {slope(2.0):g}. Where it is zero, at "
        f"{1 - (5 / 6) ** 0.5:.3f} and {1 + (5 / 6) ** 0.5:.3f}, the curve turns."
    )
    figure, (curve, gradient) = panels("the curve, and its tangents", "its gradient")
    xs = np.linspace(-0.75, 3.1, 200)
    curve.plot(xs, f(xs), color=BLUE, linewidth=2)
    gradient.plot(xs, minijvp.vmap(slope)(xs), color=RUST, linewidth=2)
    for x in points[1:4]:
        near = np.array([x - 0.6, x + 0.6])
        curve.plot(near, f(x) + slope(x) * (near - x), color=RUST, linewidth=1.4)
        curve.plot(x, f(x), "o", color=INK, markersize=5)
        gradient.plot(x, slope(x), "o", color=INK, markersize=5)
        place = (8, 4) if x < 1 else (6, -13)  # on the side where the curve is not
        label = f"f′({x:g}) = {slope(x):g}"
        gradient.annotate(label, (x, float(slope(x))), place, textcoords="offset points", fontsize=9)
    gradient.axhline(0, color=PALE, linewidth=0.8)
    curve.set(xlabel="x", ylabel="f(x)", ylim=(-9, 6))
    gradient.set(xlabel="x", ylabel="f′(x)", ylim=(-8, 22))
    show.picture("gradient_of_a_curve", figure, "The gradient is the steepness of the tangent: 1 at x = 2.")


def two_variables(show: Notes) -> None:
    show.heading("Two variables")
    at = (4.0, 5.0)
    g = np.array(minijvp.grad(bowl)(at))
    show.text(
        f"The gradient of f(x, y) = 2x² + 3y² is (4x, 6y). At (4, 5) f is {bowl(at):g} and `minijvp.grad` gives "
        f"({g[0]:g}, {g[1]:g}): it has the form of the argument, a pair."
    )
    show.correction("At (4, 5) the gradient of 2x² + 3y² is (16, 30). The slide has (15, 30); 4x is 16 there.")
    directions = {"gradient (16, 30)": g, "(15, 30)": np.array([15.0, 30.0]), "along x": np.array([1.0, 0.0])}
    directions |= {"along y": np.array([0.0, 1.0]), "across (−30, 16)": np.array([-30.0, 16.0])}
    rows = []
    for name, direction in directions.items():
        unit = direction / np.linalg.norm(direction)
        _, change = minijvp.jvp(bowl, (at,), (tuple(unit),))
        rows.append((name, unit[0], unit[1], change))
    show.table(
        "How fast f grows at (4, 5) along directions of length 1", ("direction", "dx", "dy", "growth of f"), rows
    )
    show.text(
        "No direction is steeper than the gradient, and the growth along it is the gradient's length, "
        f"√(16² + 30²) = {np.linalg.norm(g):g}. Across it f does not change: gradients stand on the level lines."
    )


def descent(show: Notes) -> None:
    show.heading("Gradient descent")
    path = [np.array([4.0, 5.0])]
    for _ in range(12):
        path.append(path[-1] - 0.1 * np.array(minijvp.grad(bowl)(tuple(path[-1]))))
    rows = [(i, *path[i], bowl(path[i])) for i in (0, 1, 2, 4, 8, 12)]
    show.table("Steps of −0.1 times the gradient", ("step", "x", "y", "f"), rows)
    show.text(f"Against the gradient f falls, from {bowl(path[0]):g} to {bowl(path[-1]):.1e} in 12 steps.")

    figure, (plane, fall) = panels("level lines, gradients, and a descent", "f at each step", height=4.2)
    x, y = np.meshgrid(np.linspace(-6, 6.5, 90), np.linspace(-5, 7, 90))
    plane.contour(x, y, bowl((x, y)), levels=[2, 10, 25, 50, 80, 107, 150, 200], colors=PALE, linewidths=0.7)
    grid = np.stack(np.meshgrid(np.linspace(-5, 5, 6), np.linspace(-4, 6, 6)), -1).reshape(-1, 2)
    arrows = minijvp.vmap(minijvp.grad(lambda p: bowl((p[0], p[1]))))(mnp.asarray(grid))
    plane.quiver(*grid.T, *np.asarray(arrows).T, color=BLUE, alpha=0.55, width=0.004, scale=420)
    plane.plot(*np.array(path).T, "o-", color=RUST, markersize=4, linewidth=1.3)
    plane.annotate("(4, 5)", (4, 5), (6, 4), textcoords="offset points", fontsize=9)
    plane.set(xlabel="x", ylabel="y", aspect="equal")
    fall.semilogy([bowl(p) for p in path], "o-", color=RUST, markersize=4, linewidth=1.3)
    fall.set(xlabel="step", ylabel="f")
    show.picture(
        "gradient_descent", figure, "Blue: gradients, which point uphill, across the level lines. Red: the descent."
    )


def chapter(show: Notes) -> None:
    a_curve(show)
    two_variables(show)
    descent(show)


if __name__ == "__main__":
    run(chapter)
