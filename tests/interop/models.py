"""Programs that were written for JAX and its libraries: flax, equinox, numpyro, jax.scipy, jax.numpy.linalg.

Each is a real function of a tree of floats, and of more arguments: data, random keys, state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.stats as stats
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from flax import linen, nnx
from jax import lax
from jax.tree_util import tree_map
from numpyro.infer.util import log_density
from sklearn.datasets import load_digits


class Program(NamedTuple):
    """A function for JAX, the point at which it is differentiated, and the arguments that come after that."""

    fun: Callable[..., Any]
    x: Any
    rest: tuple = ()
    tolerance: float = 1e-10


def normal(seed: int, *shape: int) -> jax.Array:
    """Numbers of a normal distribution, the same ones each time."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def as_doubles(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.astype("float64") if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def digits(n: int) -> tuple[jax.Array, jax.Array]:
    """The first handwritten digits of scikit-learn, as images of 8 by 8 with one channel, and what they show."""
    data = load_digits()
    return jnp.asarray(data.images[:n, :, :, None] / 16), jnp.asarray(data.target[:n])


# flax


class CNN(linen.Module):
    """A convolutional network with batch norm and dropout."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(3, (3, 3), use_bias=False)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=False)(x))
        x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.gelu(linen.Dense(8)(x.reshape(x.shape[0], -1)))
        x = linen.Dropout(0.3, deterministic=False)(x)
        return linen.Dense(10)(x)


def cnn_loss(params: Any, stats: Any, images: Any, labels: Any, key: Any) -> Any:
    """The loss, and the running statistics of the batch norm."""
    variables = {"params": params, "batch_stats": stats}
    logits, updates = CNN().apply(variables, images, mutable=["batch_stats"], rngs={"dropout": key})
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return loss, updates["batch_stats"]


def flax_cnn() -> Program:
    images, labels = digits(3)
    key = jax.random.key(1)
    variables = as_doubles(CNN().init({"params": key, "dropout": key}, images))
    rest = variables["batch_stats"], images, labels, key
    return Program(lambda *args: cnn_loss(*args)[0], variables["params"], rest)


class Encoder(linen.Module):
    """A block of a transformer: attention and a network of two layers, each behind a norm and beside a residual."""

    @linen.compact
    def __call__(self, x: Any, mask: Any) -> Any:
        y = linen.LayerNorm()(x)
        x = x + linen.MultiHeadDotProductAttention(num_heads=2)(y, mask=mask)
        y = linen.LayerNorm()(x)
        y = linen.Dense(x.shape[-1])(linen.gelu(linen.Dense(6)(y)))
        return x + y


def flax_transformer() -> Program:
    x = normal(0, 2, 3, 4)
    mask = linen.make_causal_mask(jnp.ones((2, 3)))
    params = as_doubles(Encoder().init(jax.random.key(0), x, mask)["params"])

    def loss(params: Any, x: Any, mask: Any) -> Any:
        out: Any = Encoder().apply({"params": params}, x, mask)
        return (out**2).mean()

    return Program(loss, params, (x, mask))


class Perceptron(nnx.Module):
    """A network of flax's other interface, whose modules hold their state."""

    def __init__(self, rngs: nnx.Rngs):
        self.first, self.last = nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)
        self.norm, self.dropout = nnx.LayerNorm(4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(self.dropout(jnp.tanh(self.norm(self.first(x)))))


def flax_nnx() -> Program:
    graph, params, rest = nnx.split(Perceptron(nnx.Rngs(0)), nnx.Param, ...)

    def loss(params: Any, rest: Any, x: Any) -> Any:
        return (nnx.merge(graph, params, rest, copy=True)(x) ** 2).sum()

    return Program(loss, as_doubles(params), (rest, normal(0, 2, 3)))


# equinox


class Recurrent(eqx.Module):
    """A GRU over a sequence, read by an MLP."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.MLP

    def __init__(self, key: Any):
        self.cell = eqx.nn.GRUCell(2, 3, key=key)
        self.readout = eqx.nn.MLP(3, "scalar", 4, 1, activation=jax.nn.softplus, key=key)

    def __call__(self, xs: Any) -> Any:
        last, _ = lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(3), xs)
        return self.readout(last)


def equinox_gru() -> Program:
    params, static = eqx.partition(Recurrent(jax.random.key(0)), eqx.is_inexact_array)

    def loss(params: Any, xs: Any) -> Any:
        model = eqx.combine(params, static)
        return (jax.vmap(model)(xs) ** 2).mean()

    return Program(loss, as_doubles(params), (normal(0, 2, 4, 2),))


# numpyro


def schools(sigma: Any, y: Any) -> None:
    """Eight schools: effects that share their mean and their spread."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(sigma)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def numpyro_schools() -> Program:
    y, sigma = jnp.array([28.0, 8.0, -3.0, 7.0]), jnp.array([15.0, 10.0, 16.0, 11.0])
    x = {"mu": jnp.array(1.5), "log_tau": jnp.array(0.7), "theta": normal(1, 4)}

    def log_posterior(x: Any, sigma: Any, y: Any) -> Any:
        values = {"mu": x["mu"], "tau": jnp.exp(x["log_tau"]), "theta": x["theta"]}
        return log_density(schools, (sigma, y), {}, values)[0] + x["log_tau"]

    return Program(log_posterior, x, (sigma, y))


def numpyro_elbo() -> Program:
    """Bayesian logistic regression, seen by a normal distribution that is sampled through its parameters."""

    def model(features: Any, y: Any) -> None:
        w = numpyro.sample("w", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        scale = numpyro.sample("scale", dist.Gamma(2.0, 1.0))
        numpyro.sample("y", dist.Bernoulli(logits=features @ w * scale), obs=y)

    def elbo(x: Any, features: Any, y: Any, key: Any) -> Any:
        guide = dist.MultivariateNormal(x["mean"], scale_tril=jnp.tril(x["scale"]))
        scale_guide = dist.LogNormal(x["shift"], 0.5)
        w, scale = guide.rsample(key), scale_guide.rsample(key)
        entropy = -guide.log_prob(w) - scale_guide.log_prob(scale)
        return log_density(model, (features, y), {}, {"w": w, "scale": scale})[0] + entropy

    x = {"mean": normal(0, 2), "scale": jnp.array([[1.2, 0.0], [0.3, 0.8]]), "shift": jnp.array(0.4)}
    return Program(elbo, x, (normal(1, 5, 2), jnp.array([0, 1, 1, 0, 1]), jax.random.key(3)))


# jax.scipy.stats


def densities() -> Program:
    """The logarithms of many densities."""

    def total(x: Any) -> Any:
        a, b = x["a"], x["b"]
        terms = [
            stats.norm.logpdf(0.3, a, b),
            stats.gamma.logpdf(x["y"], a, scale=b),
            stats.beta.logpdf(0.4, a, b),
            stats.t.logpdf(x["y"], a, 0.2, b),
            stats.dirichlet.logpdf(jnp.array([0.2, 0.5, 0.3]), jnp.exp(x["y"])),
            stats.poisson.logpmf(jnp.array([0, 3, 5]), x["y"]),
            stats.cauchy.logpdf(a, b, 2.0),
            stats.chi2.logpdf(b, a),
            stats.laplace.logpdf(a, b),
            stats.logistic.logpdf(a, b),
            stats.pareto.logpdf(3.0, a, 0.0, b),
            stats.truncnorm.logpdf(0.1, -a, b),
            stats.binom.logpmf(2, 5, b / 2),
            stats.nbinom.logpmf(2, a, b / 2),
            stats.betabinom.logpmf(2, 5, a, b),
            stats.expon.logpdf(a, 0.1, b),
            stats.geom.logpmf(2, b / 2),
            stats.vonmises.logpdf(a, b),
            stats.gennorm.logpdf(a, b),
            stats.norm.logcdf(a),
            stats.gamma.logcdf(b, 1.3),
        ]
        return sum(jnp.sum(t) for t in terms)

    return Program(total, {"a": jnp.array(1.4), "b": jnp.array(0.8), "y": jnp.array([0.4, 1.1, 2.0])})


def gaussian_mixture() -> Program:
    def log_likelihood(x: Any, data: Any) -> Any:
        covariance = x["root"] @ x["root"].T + jnp.eye(2)
        parts = [stats.multivariate_normal.logpdf(data, m, covariance) for m in x["means"]]
        weights = jax.nn.log_softmax(x["weights"])
        return jax.scipy.special.logsumexp(jnp.stack(parts) + weights[:, None], axis=0).sum()

    x = {"root": normal(0, 2, 2), "means": normal(1, 2, 2), "weights": normal(2, 2)}
    return Program(log_likelihood, x, (normal(3, 4, 2),))


# jax.numpy.linalg


def linear_systems() -> Program:
    """Solutions, determinants and factors of a symmetric positive definite matrix."""

    def total(x: Any, b: Any) -> Any:
        a = x @ x.T + 3 * jnp.eye(3)
        factor = jnp.linalg.cholesky(a)
        w, v = jnp.linalg.eigh(a)
        sign, logdet = jnp.linalg.slogdet(x)
        solution = jnp.linalg.solve(x + 4 * jnp.eye(3), b)
        triangle = jax.scipy.linalg.solve_triangular(factor, b, lower=True)
        return (
            jnp.sin(solution).sum()
            + sign * logdet
            + (triangle**2).sum()
            + (w * (v**2).sum(0)).sum()
            + jnp.linalg.det(x)
            + jax.scipy.linalg.cho_solve((factor, True), b).sum()
            + jnp.sqrt(w).sum()
            + ((v * w) @ v.T)[0, 1]
        )

    return Program(total, normal(0, 3, 3), (normal(1, 3, 2),))


def singular_values() -> Program:
    """A nuclear norm, a pseudo-inverse, least squares, an orthogonal factor, a matrix exponential."""

    def total(x: Any, b: Any) -> Any:
        u, s, vt = jnp.linalg.svd(x, full_matrices=False)
        q, r = jnp.linalg.qr(x)
        return (
            s.sum()
            + jnp.linalg.norm(x)
            + ((u[:, :1] * s[:1]) @ vt[:1] * x).sum()
            + (jnp.linalg.pinv(x) ** 2).sum()
            + (q[:, 0] * b).sum()
            + (r**2).sum()
            + jnp.linalg.lstsq(x, b)[0].sum()
            + jax.scipy.linalg.expm(x.T @ x / 9).sum()
        )

    return Program(total, normal(0, 3, 2), (normal(1, 3),))


# jax.numpy, jax.nn, jax.lax, jax.image


def signals() -> Program:
    """Resizing, interpolation, convolution, Fourier transforms, sums of products of several operands."""

    def total(x: Any, knots: Any) -> Any:
        image = jax.image.resize(x, (3, 7), "cubic")
        smaller = jax.image.resize(x, (2, 3), "linear", antialias=True)
        at = jnp.interp(x[0], knots, jnp.sin(knots) * x[1])
        smooth = jnp.convolve(x[0], x[1], mode="same")
        product = jnp.einsum("ij,jk,kl->il", x, x.T, x)
        spectrum = jnp.abs(jnp.fft.rfft(x, axis=1)) ** 2
        flat = jax.scipy.signal.convolve2d(x, x[:2, :2], mode="valid")
        parts = [image**2, smaller, at**2, smooth, product, spectrum, flat, jnp.sort(x, axis=1) * knots[:5]]
        parts += [jnp.cumsum(x, 0), jnp.percentile(x, 30.0), jnp.trapezoid(x), jnp.polyval(x[0], 0.3)]
        return sum(jnp.sin(p).sum() for p in parts)

    return Program(total, normal(0, 4, 5), (jnp.linspace(-2.0, 2.0, 5),))


def attention() -> Program:
    """Attention with a bias and a mask, of the kind that jax.nn has, between rotations of its operands."""

    def total(x: Any, mask: Any) -> Any:
        out = jax.nn.dot_product_attention(x["q"], x["k"], x["v"], bias=x["bias"], mask=mask, is_causal=True)
        gates = jax.nn.glu(out) + jax.nn.standardize(out)[..., :2]
        return (jax.nn.silu(gates) * jax.nn.one_hot(jnp.array([0, 1]), 2)).sum() + jax.nn.logsumexp(out)

    x = {
        "q": normal(0, 1, 3, 2, 4),
        "k": normal(1, 1, 3, 2, 4),
        "v": normal(2, 1, 3, 2, 4),
        "bias": normal(3, 1, 2, 3, 3),
    }
    mask = jnp.array([[[[True, True, False], [True, True, True], [True, False, True]]]])
    return Program(total, x, (mask,), tolerance=1e-6)  # jax.nn computes the softmax in float32


def lstm() -> Program:
    """A recurrent network by hand: a scan of one step of an LSTM."""

    def loss(params: Any, xs: Any, lengths: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(x @ params["w"] + h @ params["u"] + params["b"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        _, hs = lax.scan(step, (jnp.zeros((2, 3)),) * 2, xs)
        last = hs[lengths - 1, jnp.arange(2)]
        return (last**2).sum() + hs.mean()

    params = {"w": normal(0, 2, 12), "u": normal(1, 3, 12), "b": normal(2, 12)}
    return Program(loss, params, (normal(3, 4, 2, 2), jnp.array([2, 4])))


@jax.custom_vjp
def clipped(x: Any, limit: Any) -> Any:
    """The operand, with a cotangent that does not exceed a limit: a rule that has no transpose."""
    return x * 1.0


clipped.defvjp(lambda x, limit: (x * 1.0, limit), lambda limit, ct: (jnp.tanh(ct / limit) * limit, jnp.zeros(())))


@jax.custom_vjp
def tenth(x: Any) -> Any:
    """The operand, with a tenth of its cotangent: a rule that is linear."""
    return x * 1.0


tenth.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (0.1 * ct,))


@jax.custom_jvp
def log1pexp(x: Any) -> Any:
    """log(1 + exp(x)), of a tangent that does not overflow."""
    return jnp.log1p(jnp.exp(x))


log1pexp.defjvps(lambda t, out, x: (1 - 1 / (1 + jnp.exp(x))) * t)


def custom_tangent() -> Program:
    return Program(lambda x: (log1pexp(x) * jnp.sin(x)).sum() + jax.vmap(log1pexp)(x**2)[0], normal(0, 3))


def custom_cotangent() -> Program:
    """Forward mode is what JAX does not have here; a linear rule has a transpose."""
    return Program(lambda x: jnp.sin(tenth(x**2)).sum(), normal(0, 3))


def nonlinear_cotangent() -> Program:
    """Forward mode is what nobody has here."""
    return Program(lambda x, limit: (clipped(jnp.exp(x), limit) ** 2).sum(), normal(0, 3), (jnp.array(2.0),))


def branches() -> Program:
    """Choices on values: a cond inside a scan, a switch, a checkpointed part."""

    def total(x: Any, n: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = lax.cond(row.sum() > 0, lambda c: jnp.sin(c) * row, lambda c: c * x[0] + row**2, c)
            return c, c.sum()

        last, sums = lax.scan(jax.checkpoint(step), x[0], x)
        chosen = lax.switch(n, [jnp.cos, jnp.tanh, lambda y: y**3], last)
        return chosen.sum() + (sums**2).sum() + lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * x[1, 0], x[0, 0])

    return Program(total, normal(0, 3, 2), (jnp.array(1),))


def newton() -> Program:
    """The root of an equation, by a while loop."""

    def root(x: Any, tolerance: Any) -> Any:
        def step(state: Any) -> Any:
            y, _ = state
            change = (y**3 + x["a"] * y - x["b"]) / (3 * y**2 + x["a"])
            return y - change, jnp.abs(change)

        return lax.while_loop(lambda state: state[1] > tolerance, step, (x["b"], jnp.full((), jnp.inf)))[0]

    return Program(root, {"a": jnp.array(1.3), "b": jnp.array(2.1)}, (1e-12,))


PROGRAMS = [
    flax_cnn,
    flax_transformer,
    flax_nnx,
    equinox_gru,
    numpyro_schools,
    numpyro_elbo,
    densities,
    gaussian_mixture,
    linear_systems,
    singular_values,
    signals,
    attention,
    lstm,
    custom_tangent,
    custom_cotangent,
    nonlinear_cotangent,
    branches,
]
