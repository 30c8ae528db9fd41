"""checkpoint, remat, checkpoint_name and policies, the public functions: against those of JAX, and what they keep."""

from __future__ import annotations

import inspect
import linecache
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from jax.tree_util import tree_leaves

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, checkpoint, grad, jacfwd, jit, jvp, make_jaxpr, vjp, vmap
from tests.side_by_side import both, same

X, V, ONES = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0]), np.ones(2, "float32")
W = jnp.array([[0.2, -0.4, 0.1], [0.5, 0.3, -0.7], [-0.1, 0.6, 0.4]])
SIDES = (minijvp, mnp, minijvp.checkpoint_name, minijvp.lax), (jax, jnp, checkpoint_name, jax.lax)


def agree(case: Callable[..., Any]) -> None:
    ours, theirs = [case(*side) for side in SIDES]
    same(ours, theirs)


def test_trees_keywords_defaults_static_arguments_and_closures() -> None:
    def case(api: Any, np: Any, name: Any, lax: Any) -> Any:
        @partial(api.checkpoint, static_argnums=(1,))
        def fun(tree: Any, power: int, *, scale: Any = 2.0) -> Any:
            return {"out": np.sin(tree["a"]) ** power * scale + tree["n"], "n": tree["n"] + 1}

        @api.remat
        def outer(x: Any) -> Any:
            inner = api.checkpoint(lambda y: np.exp(np.sin(y * x)), prevent_cse=False)
            return inner(x) * fun({"a": x, "n": np.asarray(3)}, 3, scale=x)["out"]

        total = lambda x: np.sum(outer(x) + fun({"a": x, "n": 2}, 2)["out"])
        values = [outer(X), api.grad(total)(X), api.jit(api.grad(total))(X), api.hessian(total)(X)]
        values += [api.jvp(outer, (X,), (V,)), api.vmap(api.grad(outer))(X), api.grad(api.jit(total))(X)]
        return [*values, api.linearize(outer, X)[1](V), fun({"a": X, "n": np.asarray(2)}, 2)["n"]]

    agree(case)


def test_a_decorator_with_and_without_options_and_a_method() -> None:
    @minijvp.checkpoint
    def plain(x: Any) -> Any:
        """Sine."""
        return mnp.sin(mnp.sin(x))

    @minijvp.checkpoint(policy=minijvp.checkpoint_policies.dots_saveable)
    def with_options(x: Any) -> Any:
        return plain(x)

    class Layer:
        @partial(minijvp.remat, static_argnums=0)
        def apply(self, x: Any) -> Any:
            return plain(x)

    wanted = jax.grad(lambda x: jnp.sin(jnp.sin(x)))(0.7)
    for fun in (plain, with_options, Layer().apply):
        same(grad(fun)(0.7), wanted)
    assert (plain.__doc__, plain.__name__) == ("Sine.", "plain")


def test_captured_values_get_their_gradient() -> None:
    def case(api: Any, np: Any, name: Any, lax: Any) -> Any:
        def fun(x: Any) -> Any:
            inner = api.checkpoint(lambda y: np.sin(x) * y**2)
            return lax.scan(lambda c, _: (inner(c), c), x, None, length=2)[0]

        return api.grad(fun)(0.7), api.grad(api.grad(fun))(0.7), api.vmap(api.jacfwd(api.grad(fun)))(X)

    agree(case)


# Policies


def layers(api: Any, np: Any, name: Any) -> Callable[..., Any]:
    """Two products, one of them inside a jit and one with a batch axis, and two names."""

    def fun(x: Any) -> Any:
        y = name(np.sin(api.jit(lambda x: W @ x)(x)), "first")
        z = name(np.cos(np.einsum("ij,ij->i", W * y, W)), "second")
        return np.exp(np.sin(z))

    return fun


def policies(api: Any) -> dict[str, Any]:
    p = api.checkpoint_policies
    named = {f"{n}({k})": getattr(p, n)(*k) for n in NAMED for k in [("first",), ("second",), ("first", "second"), ()]}
    plain = {n: getattr(p, n) for n in PLAIN}
    return {**named, **plain, "both": p.save_from_both_policies(p.dots_saveable, p.save_only_these_names("second"))}


NAMED = ["save_only_these_names", "save_any_names_but_these", "save_anything_except_these_names"]
PLAIN = ["everything_saveable", "nothing_saveable", "dots_saveable", "checkpoint_dots"]
PLAIN += ["dots_with_no_batch_dims_saveable", "checkpoint_dots_with_no_batch_dims"]


def count(text: str, word: str) -> int:
    return text.count(f" {word} ") + text.count(f" {word}[")


@pytest.mark.parametrize("name", policies(minijvp))
def test_gradients_under_a_policy(name: str) -> None:
    fun = layers(minijvp, mnp, minijvp.checkpoint_name)
    judge = layers(jax, jnp, lambda x, name: x)
    wanted = jax.grad(lambda x: judge(x).sum())(X)
    for api in (minijvp, jax):
        saved = checkpoint(fun, policy=policies(api)[name])
        total = lambda x, saved=saved: mnp.sum(saved(x))
        same(grad(total)(X), wanted)
        same(jit(grad(total))(X), wanted)
    same(jvp(saved, (X,), (V,)), jax.jvp(judge, (X,), (V,)))
    same(jacfwd(grad(total))(X), jax.hessian(lambda x: judge(x).sum())(X))
    same(vmap(grad(total))(W), jax.vmap(jax.grad(lambda x: judge(x).sum()))(W))


KEPT = {
    "nothing_saveable": 1,
    "dots_saveable": 3,
    "dots_with_no_batch_dims_saveable": 2,
    "save_only_these_names(('first',))": 2,
    "save_only_these_names(('first', 'second'))": 3,
    "save_any_names_but_these(('first',))": 2,
    "save_any_names_but_these(())": 3,
    "both": 4,
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_policy_keeps(name: str) -> None:
    """The argument, and what the policy names; policies of JAX are understood, in their programs too."""
    fun = layers(minijvp, mnp, minijvp.checkpoint_name)
    judge = layers(jax, jnp, checkpoint_name)
    by_jax = minijvp.from_jax(jax.checkpoint(judge, policy=policies(jax)[name]))
    for saved in (checkpoint(fun, policy=policies(minijvp)[name]), checkpoint(fun, policy=policies(jax)[name]), by_jax):
        leaves = {id(x): x for x in tree_leaves(vjp(saved, X)[1])}.values()
        assert len([x for x in leaves if x.shape == X.shape]) == KEPT[name]


def test_a_policy_of_the_user() -> None:
    asked = []

    def policy(primitive: Any, *types: Any, **params: Any) -> bool:
        asked.append((primitive.name, [t.shape for t in types]))
        return primitive.name == "exp"

    fun = checkpoint(lambda x: mnp.sin(mnp.exp(x)) * mnp.exp(mnp.sin(x)), policy=policy)
    text = str(make_jaxpr(grad(lambda x: mnp.sum(fun(x))))(X))
    assert count(text, "exp") == 2
    assert ("sin", [(3,)]) in asked
    same(grad(lambda x: mnp.sum(fun(x)))(X), jax.grad(lambda x: jnp.sum(jnp.sin(jnp.exp(x)) * jnp.exp(jnp.sin(x))))(X))


def test_a_policy_of_the_user_of_jax_is_asked_about_primitives_of_jax() -> None:
    judge = jax.checkpoint(
        lambda x: jnp.sin(jnp.exp(x) * x), policy=lambda primitive, *_, **__: primitive is jax.lax.exp_p
    )
    leaves = {id(x): x for x in tree_leaves(vjp(minijvp.from_jax(judge), X)[1])}
    assert len(leaves) == 2
    same(vjp(minijvp.from_jax(judge), X)[1](V), jax.vjp(judge, X)[1](V))


def test_what_is_kept_is_not_computed_again() -> None:
    fun = layers(minijvp, mnp, minijvp.checkpoint_name)
    p = minijvp.checkpoint_policies
    products = []
    for policy in (None, p.dots_saveable, p.everything_saveable):
        total = lambda x, policy=policy: mnp.sum(checkpoint(fun, policy=policy)(x))
        products.append(count(str(make_jaxpr(minijvp.value_and_grad(total))(X)), "dot_general"))
    assert products == [6, 4, 4]  # two forward, two again, two backward


# Names that nobody has


def block(x: Any) -> Any:
    """Names at the top, in a call, in a loop, in a choice and in an inner checkpoint."""
    name, lax = minijvp.checkpoint_name, minijvp.lax
    x = minijvp.jit(lambda x: name(mnp.sin(x), "call"))(name(mnp.cos(x), "top"))
    x = lax.scan(lambda c, _: (name(mnp.sin(c), "loop"), None), x, None, length=2)[0]
    x = lax.cond(mnp.sum(x) > 0, lambda x: name(x * 2, "choice"), lambda x: x, x)
    return mnp.sum(checkpoint(lambda x: name(mnp.sin(x), "inner"))(x))


BLOCK = ("call", "choice", "inner", "loop", "top")


def warned(run: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return caught


@pytest.mark.parametrize("kind", [*NAMED, "save_from_both_policies"])
def test_a_policy_that_mentions_unknown_names_warns_with_the_known_ones(kind: str) -> None:
    p = minijvp.checkpoint_policies
    if kind in NAMED:
        make = getattr(p, kind)
    else:
        make = lambda *names: p.save_from_both_policies(p.dots_saveable, p.save_only_these_names(*names))
    (caught,) = warned(lambda: grad(checkpoint(block, policy=make("top", "lop", "chioce")))(X))
    assert (caught.category, caught.filename) == (UserWarning, __file__)
    assert linecache.getline(__file__, caught.lineno).lstrip().startswith("(caught,) = warned(")
    known = "The names in it are 'call', 'choice', 'inner', 'loop', 'top'."
    wanted = f"checkpoint of block: the policy mentions 'chioce', 'lop', and no value has such a name. {known}"
    assert str(caught.message) == wanted
    assert not warned(lambda: grad(checkpoint(block, policy=make("top", "loop")))(X))


def test_it_warns_once_for_a_program_in_every_mode() -> None:
    p = minijvp.checkpoint_policies
    fun = checkpoint(lambda x: block(x) * 3, policy=p.save_only_these_names("top", "once"))

    def run() -> None:
        for _ in range(2):
            jit(grad(grad(lambda x: fun(x * X))))(0.5)
            jit(vmap(grad(fun)))(W)
            jvp(fun, (X,), (V,))

    assert [str(w.message).partition(",")[0] for w in warned(run)] == [
        "checkpoint of <lambda>: the policy mentions 'once'"
    ]
    assert not warned(run)
    other = checkpoint(lambda x: block(x) * 4, policy=p.save_only_these_names("top", "error"))
    for _ in range(2):
        with pytest.raises(UserWarning, match="mentions 'error'"):  # by the filter that pytest is given
            grad(other)(X)


def test_a_policy_may_serve_functions_with_a_part_of_its_names_each() -> None:
    p = minijvp.checkpoint_policies
    policy = p.save_from_both_policies(p.save_only_these_names(*BLOCK), p.save_any_names_but_these("elsewhere"))
    assert not warned(lambda: grad(checkpoint(block, policy=policy))(X))
    for unnamed in (mnp.sin, lambda x: minijvp.checkpoint_name(x, "mine")):
        fun = lambda x, unnamed=unnamed: mnp.sum(unnamed(x) ** 2)
        assert len(warned(lambda fun=fun: grad(checkpoint(fun, policy=policy))(X))) == 1
    # Of policies of JAX, of functions and of a call outside of every transformation nothing is said.
    theirs = jax.checkpoint_policies.save_only_these_names("nowhere")
    for silent in (theirs, lambda *_, **__: False, p.dots_saveable, None, p.save_only_these_names()):
        assert not warned(lambda silent=silent: grad(checkpoint(block, policy=silent))(X))
    assert not warned(lambda: checkpoint(block, policy=p.save_only_these_names("nowhere"))(X))


def test_policies_by_name_are_equal_if_they_say_the_same() -> None:
    p = minijvp.checkpoint_policies
    for kind in NAMED:
        make = getattr(p, kind)
        assert make("a", "b") == make("b", "a") != make("a")
        assert hash(make("a", "b")) == hash(make("b", "a"))
    assert len({getattr(p, kind)("a") for kind in NAMED}) == 3
    both = p.save_from_both_policies
    assert both(p.dots_saveable, p.save_only_these_names("a")) == both(p.dots_saveable, p.save_only_these_names("a"))


# Memory


def deep(wrap: Callable[..., Any], n: int = 12) -> Callable[..., Any]:
    """A loop over layers, each with several activations of its own."""

    def layer(h: Any, w: Any) -> Any:
        for _ in range(4):
            h = mnp.tanh(mnp.sin(h @ w) * mnp.cos(h))
        return h

    step = wrap(layer)
    return lambda ws, x: mnp.sum(minijvp.lax.scan(lambda h, w: (step(h, w), None), x, ws)[0])


def test_compiled_memory_inside_scan() -> None:
    ws, x = jnp.zeros((12, 16, 16)), jnp.ones((256, 16))
    p = minijvp.checkpoint_policies
    wraps = [
        lambda f: f,
        checkpoint,
        partial(checkpoint, policy=p.dots_saveable),
        partial(checkpoint, prevent_cse=False),
    ]
    with minijvp.config(memory_budget="off"):
        compiled = [jit(grad(deep(wrap))).lower(ws, x).compile() for wrap in wraps]
    plain, nothing, dots, unheld = [c.memory_analysis().temp_size_in_bytes for c in compiled]
    assert nothing < plain / 4
    assert unheld < plain / 4
    assert nothing < dots < plain
    results = [c(ws, x) for c in compiled]
    for result in results[1:]:
        same(result, results[0])


def test_eager_memory() -> None:
    def held(wrap: Callable[..., Any]) -> int:
        def net(x: Any) -> Any:
            for _ in range(5):
                x = wrap(lambda x: mnp.tanh(mnp.sin(mnp.exp(mnp.cos(x)))))(x)
            return x

        leaves = tree_leaves(vjp(net, jnp.ones((64, 64)))[1])
        return sum({id(x): x.nbytes for x in leaves}.values())

    one = np.ones((64, 64)).nbytes
    assert held(checkpoint) <= 5 * one
    assert held(lambda f: f) >= 15 * one


# Bad input


def test_bad_input() -> None:
    p = minijvp.checkpoint_policies
    name = minijvp.checkpoint_name
    for run, words in (
        (lambda: checkpoint(3.0), "checkpoint received 3.0"),
        (lambda: checkpoint(mnp.sin, policy="dots"), "policy='dots'"),
        (lambda: p.offload_dot_with_no_batch_dims("device", "pinned_host"), "moves none to another memory"),
        (lambda: p.save_and_offload_only_these_names(names_which_can_be_saved=[]), "moves none to another memory"),
        (lambda: grad(lambda x: checkpoint(lambda x, y: x)(x, "s"))(1.0), "y is 's' of type str"),
        (lambda: grad(lambda x: checkpoint(lambda x: "s")(x))(1.0), "result of <lambda> is 's'"),
        (lambda: grad(lambda x: checkpoint(lambda x, y: x, static_argnums=1)(x, [1]))(1.0), "cannot be hashed"),
        (lambda: name(1.0, 3), "checkpoint_name received the name 3"),
        (lambda: name({"a": "s"}, "n"), r"x\['a'\] is 's' of type str"),
        (lambda: p.save_only_these_names(["a", "b"]), r"save_only_these_names received the name \['a', 'b'\] of type"),
        (lambda: p.save_any_names_but_these("a", 3), "save_any_names_but_these received the name 3 of type int"),
        (lambda: p.save_anything_except_these_names(None), "received the name None of type NoneType"),
    ):
        with pytest.raises(ArgumentError, match=words):
            run()


def test_the_interface_is_that_of_jax() -> None:
    ours, theirs = [set(inspect.signature(api.checkpoint).parameters) for api in (minijvp, jax)]
    assert theirs - {"fun"} <= ours
    assert minijvp.remat is minijvp.checkpoint
    names = {n for n in dir(jax.checkpoint_policies) if not n.startswith("_")}
    assert names == set(minijvp.checkpoint_policies.__all__)
    same(minijvp.checkpoint_name({"a": X}, "n"), {"a": X})


@pytest.mark.parametrize(
    "options", [{"static_argnums": 5}, {"static_argnums": (0, -3)}, {"static_argnames": "missing"}]
)
def test_static_arguments_that_a_function_does_not_have(options: dict[str, Any]) -> None:
    with pytest.raises(minijvp.ArgumentError, match="static arguments that do not fit"):
        minijvp.checkpoint(lambda x, n: x**n, **options)
    with pytest.raises(minijvp.ArgumentError, match="static arguments that do not fit"):
        minijvp.checkpoint(**options)(lambda x, n: x**n)


def test_functions_see_arrays_without_a_derivative_too() -> None:
    def case(api: Any, np: Any) -> Any:
        f = api.checkpoint(lambda n, x, *, y: (n, x.astype(int), {"y": y["y"].at[0].add(n * x)}, 1), static_argnums=0)
        return f(2, 3.5, y={"y": ONES}), api.checkpoint(lambda s, x: x * len(s), static_argnums=0)("ab", 1.0)

    both(case)
