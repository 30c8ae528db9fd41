"""What the docstrings of errors say besides: an example, with its message, the usual causes, and what to do.

They are added to the classes, where `help` finds them, and so do the pages about errors in docs. The tests run them.
"""

from __future__ import annotations

from minijvp import errors

PAGES: dict[type, str] = {
    errors.MinijvpError: """
    >>> import minijvp
    >>> try:
    ...     minijvp.grad(lambda x: 2 * x)(3)
    ... except minijvp.MinijvpError as error:
    ...     print(error.why, *error.__notes__)
    Integers and booleans have no derivative: no value lies close to another. More: help(minijvp.errors.ArgumentError)
    """,
    errors.ArgumentError: """
    >>> import minijvp
    >>> minijvp.grad(lambda x: 2 * x)(minijvp.numpy.int32(3))  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.ArgumentError: grad of <lambda> received i32[] for x.
    Integers and booleans have no derivative: no value lies close to another.
    Pass floats (1.0 for 1; x.astype(float)), choose another argument with argnums, or say allow_int=True for a gradient
    of dtype float0, or non_differentiable='none' for None.
    More: help(minijvp.errors.ArgumentError)

    Arguments are checked where you call, before anything is traced, and named as you named them (`params['w']`). Types
    are short: `f32[3,4]` is float32 with shape (3, 4), and a star says that it was a Python number. It is a TypeError
    and a ValueError, whichever of these you expect. The usual ones:

    - a result that is no number under `grad`: reduce it (`.mean()`), or ask for a Jacobian (`jacrev`, `jacfwd`);
    - sizes that differ under `vmap`: `in_axes=(0, None)` has the second argument be the same for all;
    - a tangent or cotangent that is not like what it belongs to: `mnp.zeros_like`, `mnp.ones_like` make one that is.
    """,
    errors.UnsupportedArgumentError: """
    >>> import minijvp, numpy
    >>> total = numpy.zeros(())
    >>> minijvp.grad(lambda x: minijvp.numpy.sum(x, out=total))(minijvp.numpy.ones(3))
    Traceback (most recent call last):
    minijvp.errors.UnsupportedArgumentError: minijvp.numpy.sum received out, and out is not supported.
    Results are new arrays; where they lie is decided outside.
    Omit out.
    More: help(minijvp.errors.UnsupportedArgumentError)

    Arrays never change, so there is nothing to write into: use the result, `total = mnp.sum(x)`. To write into a part
    of an array, `x = x.at[i].set(y)`. Memory is used again where `jit(f, donate_argnums=0)` gives an argument away.
    """,
    errors.ConcretizationError: """
    >>> import minijvp
    >>> def relu(x):
    ...     return x if x > 0 else 0.0
    >>> minijvp.jit(relu)(3.0)  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.ConcretizationError: bool() (an `if`, `while`, `and`, `or`, `not` or `assert`) needs the value of a
    traced bool[], made at ...:2 (relu): return x if x > 0 else 0.0.
    Under the staging of relu the program runs once for all values, so there is no value to look at.
    Use mnp.where (or mnp.select) in place of `if`, an argument in static_argnums or static_argnames of jit for values
    that steer Python, or take this part of the program out of the transformation.
    More: help(minijvp.errors.ConcretizationError)

    Under `jit` and `vmap`, and in the bodies of `scan`, `while_loop` and `cond`, Python runs once for all values. Under
    eager `grad`, `jvp` and `vjp` it runs on the values: only `float(x)` is refused, which would lose the derivative.

    - an `if` on arrays: `mnp.where(x > 0, x, 0.0)`, or `lax.cond` where one side is dear; a `while`: `lax.while_loop`;
    - a number that steers Python (`range(n)`, a shape, a flag): `jit(f, static_argnames="n")`;
    - `float(x)` or `print` to look at it: `minijvp.debug.print("{}", x)`; or `minijvp.disable_jit()` to find a fault.
    """,
    errors.NonConcreteBooleanIndexError: """
    >>> import minijvp
    >>> minijvp.jit(lambda x: x[x > 0].sum())(minijvp.numpy.array([1.0, -2.0]))  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.NonConcreteBooleanIndexError: x[mask] received a traced mask, bool[2].
    How many elements it chooses depends on values, and shapes must be known while tracing.
    Use mnp.where(mask, x, other) to pick element by element, mnp.sum(x, where=mask) and the like to reduce, and
    mnp.where(mask, new, x) for x.at[mask].set(new).
    More: help(minijvp.errors.NonConcreteBooleanIndexError)

    Keep the shape, and let the mask choose values: `mnp.sum(x, where=x > 0)`. Where at most n are wanted,
    `mnp.nonzero(mask, size=n, fill_value=0)` gives as many indices. Under eager derivatives, masks may be used.
    """,
    errors.EscapedTracerError: """
    >>> import minijvp
    >>> kept = []
    >>> _ = minijvp.jit(lambda x: (kept.append(x), 2 * x)[1])(1.0)
    >>> kept[0] + 1  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.EscapedTracerError: a function of minijvp.numpy or of JAX received a StagingTracer that escaped from
    the staging of <lambda>.
    That transformation has ended, and its tracers stand for no value any more. It was probably stored in a global, a
    list, an attribute or a cache while the function was being transformed.
    Return the value from the transformed function (for values besides the result: has_aux=True).
    More: help(minijvp.errors.EscapedTracerError)

    - a value besides the result: `grad(f, has_aux=True)`, where f returns `loss, others`;
    - a state that a method keeps in `self`: take it as an argument, and return the new one;
    - a cache (`functools.cache`) that was filled inside: fill it before, or cache what does not depend on arguments.
    """,
    errors.ForeignFunctionError: """
    >>> import jax.numpy as jnp
    >>> import minijvp
    >>> minijvp.grad(lambda x: jnp.sin(x) * x)(jnp.float32(1.0))  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.ForeignFunctionError: a function or an index of JAX received a traced f32[] of a linearization
    (grad, vjp, linearize), used at ...:1 (<lambda>): minijvp.grad(lambda x: jnp.sin(x) * x)(jnp.float32(1.0))...
    It does not know minijvp's tracers, and would have to drop the derivative or the batch axis.
    Make the function that calls JAX one of minijvp, by from_jax; or write in its place: minijvp.numpy.sin(x)
    More: help(minijvp.errors.ForeignFunctionError)

    - code of yours: `import minijvp.numpy as mnp` in the place of `numpy` and `jax.numpy`;
    - code that stays JAX's, a model of flax or an optimizer of optax: `minijvp.from_jax(model.apply)(params, x)`;
    - a function of NumPy, SciPy or C++ that is called with values: `minijvp.pure_callback`, with a `custom_vjp`.
    """,
    errors.MissingPackageError: """
    >>> from unittest.mock import patch
    >>> import minijvp
    >>> with patch.dict("sys.modules", sympy=None):  # as if SymPy were not installed
    ...     minijvp.symbolic.derivative(minijvp.numpy.sin, 1.0)
    Traceback (most recent call last):
    minijvp.errors.MissingPackageError: minijvp.symbolic needs the package 'sympy', which is not installed.
    It comes with the extra 'symbolic' of minijvp, because nothing else needs it.
    Install it: pip install "minijvp[symbolic]".
    More: help(minijvp.errors.MissingPackageError)

    The extras are `pictures` (Matplotlib), `symbolic` (SymPy) and others: docs/install.md lists them.
    """,
    errors.MissingRuleError: """
    >>> import jax, numpy
    >>> import minijvp
    >>> sine = lambda x: minijvp.pure_callback(numpy.sin, jax.ShapeDtypeStruct((), "float32"), x)
    >>> minijvp.grad(sine)(1.0)  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.MissingRuleError: pure_callback of sin was differentiated.
    What a Python function does with its arguments is not recorded, so its derivative is not known.
    Give it a rule: put the call in a function with custom_jvp or custom_vjp. Where the derivative is not wanted, apply
    stop_gradient to the arguments.
    More: help(minijvp.errors.MissingRuleError)

    Of a primitive of yours, the error shows how the rule is written (docs/extending.md says more). What calls one of
    another library goes into a function with `custom_jvp`, whose rule is made of operations that have rules.
    """,
    errors.UnboundAxisError: """
    >>> import minijvp
    >>> centred = lambda x: x - minijvp.lax.pmean(x, "batch")
    >>> minijvp.vmap(centred)(minijvp.numpy.ones(3))
    Traceback (most recent call last):
    minijvp.errors.UnboundAxisError: the axis name 'batch' is not bound.
    A collective speaks along the axis of a surrounding vmap, or one that a shard_map made manual; known here: [].
    Call the function under vmap(..., axis_name='batch'), or under shard_map over a mesh with that axis.
    More: help(minijvp.errors.UnboundAxisError)

    Name the axis where it is made, `vmap(f, axis_name="batch")`; or take the mean along an axis of x, `x.mean(0)`.
    """,
    errors.JaxprError: """
    >>> from dataclasses import replace
    >>> import minijvp
    >>> program = minijvp.make_jaxpr(lambda x: x + 1)(minijvp.numpy.float32(1.0))
    >>> replace(program, inputs=()).check()
    Traceback (most recent call last):
    minijvp.errors.JaxprError: the equation of add reads a variable that is not defined, in
    { lambda ;  . let
        a:f32[] = add b 1.0
      in (a,) }
    More: help(minijvp.errors.JaxprError)

    `check` a program made by hand where it is made; of a primitive of yours, `minijvp.check_primitive` names the rule.
    Otherwise it is a fault of minijvp: please report it.
    """,
    errors.DerivativeError: """
    >>> import minijvp
    >>> square = minijvp.custom_vjp(lambda x: x * x)
    >>> square.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * x,))  # 2 is missing
    >>> minijvp.check_rule(square, 1.0)  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.DerivativeError: check_rule of <lambda>: forward mode of result of <lambda> by x is 0.12573022 and
    should be 0.2514604...: a relative difference of 0.5, where 1e-06 is allowed.
    ...

    A table of all checks follows, with the ones that differ marked. Raised by `check_rule` and `check_grads`:

    - the rule is wrong: forward or reverse mode differ, and the Taylor remainder falls with slope 1 and not 2;
    - the point is a kink or a jump (`abs` at 0): choose another;
    - the function is inexact (a solver inside): give `rtol` or `atol`.
    """,
    errors.NonFiniteError: """
    >>> import minijvp
    >>> with minijvp.config(check_nans=True):  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    ...     minijvp.grad(minijvp.numpy.sqrt)(0.0)
    Traceback (most recent call last):
    minijvp.errors.NonFiniteError: sqrt: inf arises in the backward pass.
      line: ...
      operation: div, derivative of sqrt, in the backward pass, makes inf of 0.5, 0
      result: result is inf
    Results are checked: by minijvp.config(check_nans=True), or by jax_debug_nans.
    The derivative of sqrt is infinite at 0: add a small number inside, sqrt(x + eps), or choose before it: where(ok,
    f(where(ok, x, safe)), other), with a safe value inside too. minijvp.config(nan_safe=True) has zeros absorb what is
    not finite in derivatives.
    More: help(minijvp.errors.NonFiniteError)

    The remedy is that for this operation. `minijvp.explain_nan(f)(x)` gives the same report without the setting;
    `grad(f, nan_safe=True)` computes the derivative that there is in spite of it (docs/debugging.md).
    """,
    errors.RuleError: """
    >>> import minijvp
    >>> from minijvp.extend import Elementwise
    >>> double = Elementwise("doubled", lambda x: 2 * x, lambda t, out, x: 3 * t)
    >>> x = minijvp.numpy.float32([1.0, 2.0])
    >>> minijvp.check_primitive(double, [(x,)])  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    minijvp.errors.RuleError: check_primitive of doubled: 1 of 9 checks failed.
    jvp at doubled-float32[2]: tangent for arguments [0] by differences: -1.7995515[0], expected -1.199701 ...
    A rule does not do what the others say, or what differences and loops say of the function.
    Correct that rule. ...

    Each check that failed has a line: which rule, at which sample, what was found and what was expected. Correct the
    rule; at a kink say `Sample(..., finite_differences=False)` (docs/extending.md).
    """,
    errors.UnsupportedVersionError: """
    >>> from minijvp.versions import check
    >>> check((3, 11), "0.9.2")  # what `import minijvp` does, with the versions that it finds
    Traceback (most recent call last):
    minijvp.errors.UnsupportedVersionError: minijvp needs JAX 0.10 to 0.12, and found JAX 0.9.2.
    JAX changes its public functions between minor versions; these are the ones that minijvp is tested with.
    Run: pip install "jax>=0.10,<0.13" "jaxlib>=0.10,<0.13"
    More: help(minijvp.errors.UnsupportedVersionError)

    `pip check` says which package has asked for that JAX; an environment of its own keeps them apart.
    """,
    errors.RedefinedPrimitiveWarning: """
    >>> import warnings
    >>> from minijvp.extend import Nondifferentiable
    >>> __name__ = "a_notebook"
    >>> with warnings.catch_warnings(record=True, action="always") as found:
    ...     steps = [Nondifferentiable("step_twice", lambda x: 1.0 * (x > 0)) for _ in range(2)]
    >>> print(found[0].message)  # doctest: +NORMALIZE_WHITESPACE
    the primitive 'step_twice' was made before, and is replaced. Programs that were staged or compiled with the old one
    keep it and its rules. That is as it should be where a definition is run again; if both are meant, give one of them
    another name.

    Where a cell is run again, all is well. Make primitives at the top of a module, not in a function that runs often.
    """,
    errors.UnusedScopeWarning: """
    >>> import warnings
    >>> import minijvp
    >>> with warnings.catch_warnings(record=True, action="always") as found:
    ...     scope = minijvp.config(check_nans=True)
    ...     del scope
    >>> print(found[0].message)  # doctest: +NORMALIZE_WHITESPACE
    minijvp.config(check_nans=True) changes nothing: it was called, and not entered. Write `with
    minijvp.config(check_nans=True):` for a part of a program, or minijvp.config.update(check_nans=True) for the whole
    process.
    """,
}


def plug_in() -> None:
    """Add each text to the docstring of its error."""
    for kind, text in PAGES.items():
        kind.__doc__ = f"{kind.__doc__ or ''}\n{text}"
