"""Compilation by XLA: as a wrapper around jax.jit when nothing is traced, and as a primitive when something is.

jit : (a -> b) -> (a -> b)
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial, wraps
from threading import RLock
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

import jax
from jax.extend.core import find_top_trace
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten

from minijvp import trees
from minijvp.api.programs import stage_tree
from minijvp.calls.call import Call, applied
from minijvp.calls.compiles import explained
from minijvp.calls.in_jax import lower_with_rules
from minijvp.calls.programs import is_too_deep
from minijvp.calls.shardings import constrained
from minijvp.calls.static_arguments import StaticArguments, counted_in_jax, positional_names
from minijvp.calls.written_out import describe, plain_parameters, written_out
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.jaxpr import Jaxpr, evaluate, has_own_derivatives, lower
from minijvp.core.primitive import Primitive
from minijvp.core.tracer import is_traced, refuse_tracers, resolved
from minijvp.core.tracing import EVALUATION, JAX_EVALUATION, axes_here, evaluating, live_traces, state, traced_by_jax
from minijvp.core.types import Array, Params, jit_is_disabled, x64_enabled
from minijvp.errors import ArgumentError, EscapedTracerError, NonFiniteError
from minijvp.operations.families import nonzero
from minijvp.operations.sharding import spread_like
from minijvp.settings import DEFAULT_PLAN, Plan, config
from minijvp.tracebacks import border, nameless_border, shorten
from minijvp.transforms.linearize import linearize_jaxpr
from minijvp.transforms.staging import argument_type

STAGED_PER_FUNCTION, FORMS_PER_FUNCTION = 1024, 64


class Jit(Call):
    """The outputs of an open jaxpr, computed as one compiled program. Equal programs share one compilation."""

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr) -> tuple[Any, Any]:
        if hooks.linearizer.in_place(jaxpr):
            return applied(linearize_jaxpr(jaxpr, nonzero(tangents)), evaluate, primals, tangents)
        return super().linearize(primals, tangents, jaxpr=jaxpr)

    def impl(self, *args: Array, jaxpr: Jaxpr) -> tuple[Any, ...]:
        return Primitive.evaluate(self, args, {"jaxpr": jaxpr})

    def compile(self, params: Params) -> Any:
        jaxpr = params["jaxpr"]

        def compiled(*args: Array) -> tuple[Any, ...]:
            return tuple(lower(jaxpr, *args))

        compiled.__name__ = jaxpr.name or "compiled"
        return jax.jit(compiled)


jit_primitive = Jit("jit")
call = jit_primitive.call


class Staged:
    """What a call of a jitted function needs under a trace: its program, its constants and the tree of its result."""

    __slots__ = ("constants", "jaxpr", "out_tree")

    def __init__(self, closed: Jaxpr, out_tree: Any):
        self.jaxpr, self.constants = closed.hoist_constants()
        self.out_tree = out_tree


@border
def jit(
    fun: Callable[..., Any] | None = None,
    /,
    *,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
) -> Any:
    """A function that computes what `fun` does, compiled by XLA once for each set of argument types.

    jit : (a -> b) -> (a -> b)

    Args:
        fun: takes and returns pytrees of arrays; runs once per set of types (tree, shapes, dtypes, static values).
        in_shardings, out_shardings: a sharding, or a pytree of them that is a prefix of the arguments or the result.
        static_argnums, static_argnames: arguments that are ordinary Python values; they must be hashable.
        donate_argnums, donate_argnames: arguments whose memory the result may take over. Inside a transformation
            nothing is donated.
        keep_unused: keep arguments that the program does not read.
        inline: inside another program, insert the equations and not a call.
        compiler_options: passed on to XLA.

    The result has `trace`, `lower`, `eval_shape` and `clear_cache` as the result of jax.jit has them;
    `lower(...).compile()` gives `cost_analysis()` and `memory_analysis()`. Called under another memory budget (see
    `minijvp.config`), it is compiled for that too.

    Raises ArgumentError for arguments that are neither arrays nor static, and for static ones that cannot be hashed;
    EscapedTracerError for tracers whose transformation has ended.

    >>> import minijvp, minijvp.numpy as mnp
    >>> fast = minijvp.jit(minijvp.grad(lambda x: mnp.tanh(x) ** 2))
    >>> round(float(fast(0.5)), 4)
    0.7269
    """
    options: dict[str, Any] = {
        "static_argnums": static_argnums,
        "static_argnames": static_argnames,
        "donate_argnums": donate_argnums,
        "donate_argnames": donate_argnames,
        "keep_unused": keep_unused,
        "inline": inline,
        "compiler_options": compiler_options,
    }
    shardings = {"in_shardings": in_shardings, "out_shardings": out_shardings}
    options.update({k: v for k, v in shardings.items() if v is not None})
    if fun is None:
        return partial(jit, **options)
    trees.require_callable(fun, "jit")
    return known(fun, options)


deciding = RLock()  # an interrupt may come before it is released

_made: WeakKeyDictionary[Callable[..., Any], dict[Hashable, _Jitted]] = WeakKeyDictionary()


def known(fun: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """`fun` under jit: made again with the same options, it has everything that was compiled and staged before.

    As in JAX, functions are the same if they are equal; what cannot be looked up is made anew.
    """
    leaves, tree = tree_flatten(options)
    key = tree, *[(type(x), x) for x in leaves]
    with deciding:
        try:
            of_fun = _made.setdefault(fun, {})
            found = of_fun.get(key)
        except TypeError:  # for what has no hash or no weak references
            of_fun, key, found = dict[Hashable, _Jitted](), None, None
        kept = None if found is None else found.fun
        if found is None or kept is None:
            found, kept = _Jitted(fun, options), fun
            of_fun[key] = found
    return found.wrapper(fun, kept)


def clear_caches() -> None:
    """Forget everything that was compiled and staged, as `jax.clear_caches` does, and the programs of minijvp's jit."""
    jax.clear_caches()
    with deciding:
        for made in [made for of_fun in _made.values() for made in of_fun.values()]:
            made.staged.clear()


RECOVERABLE = TypeError, ValueError, EscapedTracerError, FloatingPointError
"""What a call may fail with that `recover` has a better answer for."""


def is_checking() -> bool:
    """Whether calls are to check their results here: by `config.check_nans`, and nothing is traced."""
    return config.check_nans and state.trace is EVALUATION and not traced_by_jax()


class _Jitted:
    """A function under jit: its compiled form, and its programs for use under a trace.

    It does not keep the function alive, since it is kept for as long as that lives; what `wrapper` returns does. What
    wraps that, by `trees.wraps`, has none of its methods: `lower` would give its program.
    """

    fun: Any = property(lambda self: self.reference())

    def __init__(self, fun: Callable[..., Any], options: dict[str, Any]):
        try:
            self.reference: Callable[[], Any] = ref(fun)
        except TypeError:
            self.reference = lambda: fun
        self.options = options
        self.inline = options["inline"]
        self.shardings = options.get("in_shardings"), options.get("out_shardings")
        self.static = StaticArguments(fun, counted_in_jax(fun, options["static_argnums"]), options["static_argnames"])
        self.staged: dict[tuple, Staged] = {}
        # Given both, an option means by each what it says; given one, JAX infers the other.
        self.tells_positions_from_names = any(
            options[f"{what}_argnums"] is not None and options[f"{what}_argnames"] is not None
            for what in ("static", "donate")
        )

        self.forms: dict[tuple[Plan, bool, bool], Any] = {}
        self.has_rules, self.is_plain = False, False
        self.watching: WeakSet[Any] = WeakSet()
        parameters = None if self.tells_positions_from_names else plain_parameters(fun)
        self.codes: Any = None if parameters is None else written_out(parameters)
        self.form(DEFAULT_PLAN, False)  # which checks the options

    # JAX drops the rules of a program that it differentiates, unless they are lowered with it, which takes some time.
    # So a function has two forms: a plain one, and one for calls inside of programs of JAX. Each call chooses its form,
    # until the first program turns out to have no rules: from then on there is only one form, with the rules of
    # programs that have some.

    def form(self, plan: Plan, in_jax: bool, donating: bool = True) -> Any:
        """The function under jax.jit by a plan, for calls inside of programs of JAX or outside, donating or not."""
        key = plan, in_jax, donating
        if len(self.forms) > FORMS_PER_FUNCTION and key not in self.forms:
            self.forms = {k: form for k, form in self.forms.items() if k[0] == DEFAULT_PLAN}
        return self.forms.get(key) or self.forms.setdefault(key, self.compile(in_jax, donating))

    def in_force(self) -> Any:
        """The form for the plan that is in force here, and for JAX, if that is tracing."""
        return self.form(hooks.linearizer.key(), not self.is_plain and traced_by_jax())

    def to_run(self) -> Any:
        """What a call runs: the form that is in force; where results are checked, with a check."""
        return self.explained(self.checked if is_checking() else self.in_force())

    def explained(self, run: Any, asker: str = "a call") -> Any:
        """What may compile; where that is to be explained, with a message if it does."""
        asked = other_plans and config.explain_compiles and not traced_by_jax()
        return explained(self.fun, self.static, run, self, asker) if asked else run

    def checked(self, *args: Any, **kwargs: Any) -> Any:
        """The result of a call, if it is finite; without donations, for the arguments may be needed once more."""
        donates = any([self.options[f"donate_{what}"] is not None for what in ("argnums", "argnames")])
        result = self.form(hooks.linearizer.key(), False, not donates)(*args, **kwargs)
        hooks.check(result, self.fun, args, kwargs)
        return result

    def compile(self, in_jax: bool, donating: bool = True) -> Any:
        """The function under jax.jit, which keeps what it compiles by the identity of what it is given."""

        this = ref(self)  # so that everything goes with the last reference

        @nameless_border
        def lowered(*args: Any, **kwargs: Any) -> Any:
            return this().lowered(args, kwargs, in_jax)  # type: ignore[union-attr]

        describe(lowered, self.fun)
        options = {k: v for k, v in self.options.items() if donating or not k.startswith("donate_")}
        try:
            return jax.jit(lowered, **options)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"jit of {trees.function_name(self.fun)} received options that do not fit: {error}",
                f"Its parameters are {positional_names(self.fun)}, and options name arguments by position or by name.",
                "Correct the option.",
            ) from None

    def lowered(self, args: tuple, kwargs: dict[str, Any], in_jax: bool) -> Any:
        """What jax.jit traces: stage the function to our jaxpr, then evaluate that with jax.lax."""
        if jit_is_disabled():
            return self.fun(*args, **kwargs)
        dynamic, dynamic_kwargs, static = self.static.split(args, kwargs)
        leaves, tree = trees.flatten_numbers((dynamic, dynamic_kwargs), trees.is_float0_for_jax)
        with evaluating(), spread_like([*leaves, *tree_leaves(self.shardings)]):
            types = tuple(map(argument_type, leaves))
            jaxpr, out_tree = stage_tree(self.static.close(self.fun, static), tree, types, lowered=True)
            jaxpr = hooks.linearizer.lowered(jaxpr)
        return tree_unflatten(out_tree, self.lowering(jaxpr, in_jax)(jaxpr, *leaves))

    def lowering(self, jaxpr: Jaxpr, in_jax: bool) -> Callable[..., Sequence[Any]]:
        """How a program is lowered: with its rules, if it may be called inside of JAX."""
        if in_jax:
            return lower_with_rules
        with deciding:
            if has_own_derivatives(jaxpr):
                self.has_rules = True
                return lower_with_rules if self.is_plain else lower
            if not self.has_rules and not self.is_plain:
                self.is_plain = True
                for watching in self.watching:
                    watching.__code__ = self.codes[1]
            return lower

    def clear_cache(self) -> None:
        """Forget everything that was compiled and staged."""
        self.staged.clear()
        for compiled in tuple(self.forms.values()):
            compiled.clear_cache()

    def wrapper(self, fun: Callable[..., Any], kept: Any) -> Callable[..., Any]:
        """The public function, which keeps the one that is compiled, for one that is equal to that.

        What it does on top of jax.jit's is all that a call costs more.
        """
        compiled, to_run = self.form(DEFAULT_PLAN, False), self.to_run
        under_trace, recover = self.call_under_trace, self.recover

        def jitted(*args: Any, **kwargs: Any) -> Any:
            if live_traces and state.trace is not EVALUATION:
                return under_trace(args, kwargs)
            run = to_run() if other_plans or (not self.is_plain and traced_by_jax()) else compiled
            try:
                return run(*args, **kwargs) if kwargs else run(*args)
            except RECOVERABLE as error:
                return recover(error, args, kwargs)

        jitted = wraps(fun)(border(jitted) if self.codes is None else self.written_out(compiled))
        methods = {name: self.method(name, kept) for name in ("trace", "lower", "eval_shape")}
        making = jit, {"fun": fun, **self.options}
        vars(jitted).update(methods, clear_cache=self.clear_cache, making=making, _keeps=kept)
        return jitted

    def method(self, name: str, kept: Any) -> Callable[..., Any]:
        """A method of the compiled form that is in force when it is called, which keeps the function alive."""

        @wraps(getattr(self.form(DEFAULT_PLAN, False), name))
        @border
        def method(*args: Any, **kwargs: Any) -> Any:
            return self.explained(getattr(self.in_force(), name), name)(*args, **kwargs)

        vars(method).update(_keeps=kept)
        return method

    def written_out(self, compiled: Any) -> Any:
        """The public function with the parameters of `fun` written out, which has plain ones only."""
        scope = dict(live_traces=live_traces, state=state, evaluation=EVALUATION, compiled=compiled, to_run=self.to_run)
        scope |= dict(other_plans=other_plans, find_top_trace=find_top_trace, jax_evaluation=JAX_EVALUATION)
        scope |= dict(under_trace=self.call_under_trace, recover=self.recover, errors=RECOVERABLE)
        scope |= dict(shorten=shorten, builtins__=builtins)
        hidden = {f"__{name}": value for name, value in scope.items()}  # no parameter has such a name
        with deciding:
            found = FunctionType(self.codes[self.is_plain], hidden)
            if not self.is_plain:
                self.watching.add(found)
        return found

    def call_under_trace(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        return self.explained(self.run_under_trace)(*args, **kwargs)

    def run_under_trace(self, /, *args: Any, **kwargs: Any) -> Any:
        if jit_is_disabled():
            return self.fun(*args, **kwargs)
        dynamic, dynamic_kwargs, static = self.static.split(args, kwargs)
        leaves, tree = trees.flatten_numbers((dynamic, dynamic_kwargs))
        leaves = self.require_arrays(leaves, args, kwargs)
        types = tuple(map(argument_type, leaves))
        key = (tree, types, static, x64_enabled(), axes_here(), hooks.linearizer.key())
        staged = self.staged.get(key)
        if staged is None:
            staged = Staged(*stage_tree(constrained(self.static.close(self.fun, static), *self.shardings), tree, types))
            # A program that closes over tracers belongs to this call alone.
            if not any(map(is_traced, staged.constants)):
                if len(self.staged) >= STAGED_PER_FUNCTION:
                    self.staged.clear()
                self.staged[key] = staged
        if self.inline or is_too_deep(staged.jaxpr):
            outs: Sequence[Any] = evaluate(staged.jaxpr, *staged.constants, *leaves)
        else:
            outs = jit_primitive(*staged.constants, *leaves, jaxpr=staged.jaxpr)
        return tree_unflatten(staged.out_tree, outs)

    def require_arrays(self, leaves: Sequence[Any], args: tuple, kwargs: dict[str, Any]) -> list[Any]:
        """The leaves of the arguments that are not static, as arrays; ArgumentError names the one that is none."""

        def where(i: int) -> str:
            dynamic, dynamic_kwargs, static = self.static.split(args, kwargs)
            fixed = {key for key, _, _ in static}
            positions = [k for k in range(len(args)) if k not in fixed]
            name = trees.call_namer(self.fun, dynamic, dynamic_kwargs, positions)(i)
            return f"{name}, an argument of {trees.function_name(self.fun)} under jit,"

        return trees.as_arrays(leaves, where)

    def recover(self, error: Exception, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result where an argument had yet to be computed; else our own error, if the arguments are to blame."""
        if isinstance(error, NonFiniteError):
            raise error
        if isinstance(error, FloatingPointError):  # JAX checks, by jax_debug_nans or jax_debug_infs
            explained = hooks.explainer(self.fun, args, kwargs)
            raise error if explained is None else explained from error
        leaves, tree = tree_flatten((args, kwargs))
        values = resolved(leaves)
        if values is not leaves:
            args, kwargs = tree_unflatten(tree, values)
            return self.in_force()(*args, **kwargs)
        dynamic, dynamic_kwargs, _ = self.static.split(args, kwargs)
        leaves, _ = tree_flatten((dynamic, dynamic_kwargs))
        refuse_tracers(leaves, trees.function_name(self.fun))
        self.require_arrays(leaves, args, kwargs)
        raise error
