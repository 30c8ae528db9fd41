"""Programs of libraries built on JAX: the function of each, and the arguments at which it is differentiated.

Each imports its library when it is built, so that a test takes the time of no other.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_map, tree_unflatten

LIBRARIES = """
beartype blackjax brax distrax dynamax e3nn_jax evosax flowjax gpjax haiku jax_md jaxopt jaxtyping jraph mujoco
mujoco.mjx netket penzai quax tensorflow_probability tinygp
""".split()


def are_installed() -> bool:
    """Whether the libraries are there, all of them: the optional dependencies `libraries` of pyproject.toml."""
    return all(find_spec(name) is not None for name in LIBRARIES)


class Program(NamedTuple):
    """A function of JAX with a number as result, the tree of floats in which it is differentiated, and the rest."""

    fun: Callable[..., Any]
    x: Any
    rest: tuple = ()
    tolerance: float = 1e-9
    forward: bool = True
    """Whether the library has forward mode: not of a rule of its own for cotangents."""
    large: bool = False
    """Thousands of operations, of which only the compiled gradient is compared."""


PROGRAMS: dict[str, Callable[[], Program]] = {}


def program(build: Callable[[], Program]) -> Callable[[], Program]:
    """Decorator: enter a program under its name."""
    PROGRAMS[build.__name__] = found = cache(build)
    return found


def normal(seed: int, *shape: int, scale: float = 1.0) -> jax.Array:
    """Numbers of a normal distribution, the same ones each time, in the widest float that is on."""
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal(shape))


def floats(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaves of a tree that can be differentiated, as a list of arrays, and the tree of such a list."""
    leaves, structure = tree_flatten(tree)
    where = [i for i, x in enumerate(leaves) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]

    def rebuild(some: Any) -> Any:
        new = list(leaves)
        for i, x in zip(where, some, strict=True):
            new[i] = x
        return tree_unflatten(structure, new)

    return [jnp.asarray(leaves[i]) for i in where], rebuild


def in_widest(tree: Any) -> Any:
    """The tree with its floats in the widest type that is on."""
    return tree_map(
        lambda x: jnp.asarray(x, float) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


# Probability


@program
def distrax_flow() -> Program:
    """The log likelihood of a flow of masked couplings by rational quadratic splines."""
    import distrax

    points = normal(0, 5, 2)

    def log_likelihood(params: Any, points: Any) -> Any:
        mask, spline = jnp.array([True, False]), lambda p: distrax.RationalQuadraticSpline(p, -3.0, 3.0)
        layers = []
        for i, (w, b, v) in enumerate(params):
            conditioner = lambda x, w=w, b=b, v=v: (jnp.tanh(x @ w + b) @ v).reshape(*x.shape, 13)
            layers.append(distrax.MaskedCoupling(mask if i % 2 else ~mask, conditioner, spline))
        base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
        return distrax.Transformed(base, distrax.Inverse(distrax.Chain(layers))).log_prob(points).sum()

    params = [(normal(i, 2, 4), normal(i + 1, 4), normal(i + 2, 4, 26)) for i in (1, 4)]
    return Program(log_likelihood, params, (points,))


@program
def distrax_hidden_markov_model() -> Program:
    """The log likelihood of observations under a chain of hidden states."""
    import distrax

    def log_likelihood(params: Any, y: Any) -> Any:
        start, moves, means, scales = params
        model = distrax.HMM(
            distrax.Categorical(logits=start),
            distrax.Categorical(logits=moves),
            distrax.Normal(means, jnp.exp(scales)),
        )
        return model.forward_backward(y)[3]

    return Program(log_likelihood, (normal(0, 3), normal(1, 3, 3), normal(2, 3), normal(3, 3)), (normal(4, 6),))


@program
def tfp_joint_distribution() -> Program:
    """The log density of a hierarchical model, whose parts are named."""
    import tensorflow_probability.substrates.jax as tfp

    tfd, tfb = tfp.distributions, tfp.bijectors

    def log_density(z: Any, y: Any) -> Any:
        model = tfd.JointDistributionSequential(
            [
                tfd.Normal(jnp.zeros(()), 10.0),
                tfd.HalfCauchy(jnp.zeros(()), 5.0),
                lambda tau, mu: tfd.Sample(tfd.Normal(mu, tau), 4),
                lambda theta: tfd.Independent(tfd.StudentT(5.0, theta, 2.0), 1),
            ]
        )
        exp = tfb.Exp()
        tau = exp.forward(z["tau"])
        found = model.log_prob([z["mu"], tau, z["theta"], y])
        return found + exp.forward_log_det_jacobian(z["tau"], event_ndims=0)

    z = {"mu": jnp.array(0.3), "tau": jnp.array(-0.2), "theta": normal(0, 4)}
    return Program(log_density, z, (normal(1, 4),))


@program
def tfp_gaussian_process() -> Program:
    """The log marginal likelihood of a Gaussian process with a Matern kernel."""
    import tensorflow_probability.substrates.jax as tfp

    tfd, kernels = tfp.distributions, tfp.math.psd_kernels

    def log_likelihood(p: Any, x: Any, y: Any) -> Any:
        kernel = kernels.MaternFiveHalves(jnp.exp(p["amplitude"]), jnp.exp(p["length"]))
        process = tfd.GaussianProcess(kernel, x[:, None], observation_noise_variance=jnp.exp(p["noise"]))
        return process.log_prob(y)

    p = {"amplitude": jnp.array(0.1), "length": jnp.array(-0.3), "noise": jnp.array(-2.0)}
    return Program(log_likelihood, p, (normal(0, 6), normal(1, 6)))


@program
def tfp_state_space_model() -> Program:
    """The log density of a series under a local linear trend, by a Kalman filter."""
    import tensorflow_probability.substrates.jax as tfp

    tfd = tfp.distributions

    def log_density(p: Any, y: Any) -> Any:
        model = tfd.LinearGaussianStateSpaceModel(
            num_timesteps=6,
            transition_matrix=p["moves"],
            transition_noise=tfd.MultivariateNormalDiag(jnp.zeros(2), jnp.exp(p["drift"])),
            observation_matrix=p["seen"],
            observation_noise=tfd.MultivariateNormalDiag(jnp.zeros(1), jnp.exp(p["noise"])),
            initial_state_prior=tfd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)),
        )
        return model.log_prob(y)

    p = {"moves": jnp.array([[1.0, 1.0], [0.0, 1.0]]), "drift": normal(0, 2), "seen": jnp.array([[1.0, 0.0]])}
    return Program(log_density, {**p, "noise": normal(1, 1)}, (normal(2, 6, 1),))


@program
def tinygp_dense() -> Program:
    """The log likelihood of a Gaussian process with a sum of kernels."""
    from tinygp import GaussianProcess, kernels, transforms

    def log_likelihood(p: Any, x: Any, y: Any) -> Any:
        periodic = kernels.ExpSineSquared(scale=jnp.exp(p["period"]), gamma=jnp.exp(p["gamma"]))
        smooth = transforms.Linear(jnp.exp(p["scale"]), kernels.Matern52())
        process = GaussianProcess(jnp.exp(p["height"]) * smooth + periodic, x, diag=jnp.exp(p["noise"]), mean=p["mean"])
        return process.log_probability(y)

    names = "period", "gamma", "scale", "height", "noise", "mean"
    p = dict(zip(names, normal(0, 6, scale=0.3)))
    return Program(log_likelihood, p, (jnp.sort(normal(1, 8)), normal(2, 8)))


@program
def tinygp_quasiseparable() -> Program:
    """The same by a state space model of the kernel, in time linear in the number of points."""
    from tinygp import GaussianProcess
    from tinygp.kernels import quasisep

    def log_likelihood(p: Any, x: Any, y: Any) -> Any:
        kernel = quasisep.Matern32(scale=jnp.exp(p["scale"])) + quasisep.SHO(
            omega=jnp.exp(p["omega"]), quality=2.0, sigma=jnp.exp(p["sigma"])
        )
        return GaussianProcess(kernel, x, diag=jnp.exp(p["noise"])).log_probability(y)

    p = dict(zip(("scale", "omega", "sigma", "noise"), normal(0, 4, scale=0.3)))
    return Program(log_likelihood, p, (jnp.sort(normal(1, 8)), normal(2, 8)))


@program
def gpjax_marginal_likelihood() -> Program:
    """The log marginal likelihood of a Gaussian process, in parameters that are kept positive."""
    import gpjax
    import paramax

    model = gpjax.gps.Prior(
        mean_function=gpjax.mean_functions.Constant(), kernel=gpjax.kernels.RBF(lengthscale=jnp.array([0.7, 1.2]))
    ) * gpjax.likelihoods.Gaussian(obs_stddev=jnp.array(0.3))
    x, rebuild = floats(in_widest(model))

    def log_likelihood(x: Any, points: Any, y: Any) -> Any:
        return gpjax.objectives.conjugate_mll(paramax.unwrap(rebuild(x)), gpjax.Dataset(X=points, y=y))

    return Program(log_likelihood, x, (normal(0, 7, 2), normal(1, 7, 1)))


@program
def gpjax_variational() -> Program:
    """The bound of a sparse Gaussian process with inducing points and labels of two classes."""
    import gpjax
    import paramax

    model = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Zero(), kernel=gpjax.kernels.Matern32()) * (
        gpjax.likelihoods.Bernoulli()
    )
    family = gpjax.variational_families.VariationalGaussian(model=model, inducing_inputs=normal(0, 3, 1))
    x, rebuild = floats(in_widest(family))

    def bound(x: Any, points: Any, labels: Any) -> Any:
        return gpjax.objectives.elbo(paramax.unwrap(rebuild(x)), gpjax.Dataset(X=points, y=labels))

    labels = jnp.asarray(normal(2, 8, 1) > 0, float)
    return Program(bound, x, (normal(1, 8, 1), labels))


@program
def dynamax_kalman_filter() -> Program:
    """The log marginal likelihood of emissions of a linear Gaussian state space model."""
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    model = LinearGaussianSSM(state_dim=2, emission_dim=2)
    params, _ = model.initialize(jax.random.key(0))
    x, rebuild = floats(in_widest(params))
    return Program(lambda x, y: model.marginal_log_prob(rebuild(x), y), x, (normal(0, 6, 2),))


@program
def dynamax_hidden_markov_model() -> Program:
    """The log marginal likelihood of emissions of a hidden Markov model."""
    from dynamax.hidden_markov_model import GaussianHMM

    model = GaussianHMM(3, 2)
    params, _ = model.initialize(jax.random.key(0))
    x, rebuild = floats(in_widest(params))
    return Program(lambda x, y: model.marginal_log_prob(rebuild(x), y), x, (normal(0, 6, 2),))


@program
def flowjax_autoregressive_flow() -> Program:
    """The log likelihood of a masked autoregressive flow."""
    import flowjax.distributions
    import flowjax.flows
    import paramax

    base = flowjax.distributions.Normal(jnp.zeros(2))
    how = dict(base_dist=base, flow_layers=2, nn_width=4)
    x, rebuild = floats(in_widest(flowjax.flows.masked_autoregressive_flow(jax.random.key(0), **how)))
    return Program(lambda x, y: paramax.unwrap(rebuild(x)).log_prob(y).sum(), x, (normal(0, 5, 2),))


@program
def flowjax_coupling_flow() -> Program:
    """The log likelihood of a coupling flow of splines."""
    import flowjax.bijections
    import flowjax.distributions
    import flowjax.flows
    import paramax

    base = flowjax.distributions.StudentT(jnp.full(3, 5.0))
    spline = flowjax.bijections.RationalQuadraticSpline(knots=4, interval=3)
    how = dict(base_dist=base, transformer=spline, flow_layers=2, nn_width=4)
    x, rebuild = floats(in_widest(flowjax.flows.coupling_flow(jax.random.key(1), **how)))
    return Program(lambda x, y: paramax.unwrap(rebuild(x)).log_prob(y).sum(), x, (normal(0, 5, 3),))


# Sampling


@program
def blackjax_trajectory() -> Program:
    """The energy after a few steps of Hamiltonian dynamics, in their start, their size and the masses."""
    from blackjax.mcmc import integrators, metrics

    def log_density(z: Any) -> Any:
        return -jnp.sum(jnp.cosh(z["a"])) - z["b"] ** 2 * jnp.sum(z["a"] ** 2) - jnp.exp(z["b"])

    def energy(start: Any, momentum: Any) -> Any:
        metric = metrics.default_metric(jnp.exp(start["masses"]))
        step = integrators.velocity_verlet(log_density, metric.kinetic_energy)
        state = integrators.new_integrator_state(log_density, start["z"], momentum)
        for _ in range(3):
            state = step(state, start["size"])
        return metric.kinetic_energy(state.momentum, position=state.position) - state.logdensity

    z = {"a": normal(0, 3), "b": jnp.array(0.2)}
    start = {"z": z, "size": jnp.array(0.1), "masses": normal(1, 4)}
    return Program(energy, start, ({"a": normal(2, 3), "b": jnp.array(0.5)},))


@program
def blackjax_variational() -> Program:
    """The divergence of a Gaussian from a posterior, by samples of it: what blackjax's meanfield_vi descends."""
    import optax
    from blackjax.vi import meanfield_vi

    def log_density(z: Any) -> Any:
        return -0.5 * jnp.sum((z - 1.0) ** 2) - jnp.sum(jnp.log1p(z**2))

    optimizer = optax.sgd(0.1)

    def after_a_step(x: Any, key: Any) -> Any:
        state = meanfield_vi.init(x["mean"], optimizer)
        state = state._replace(mu=x["mean"], rho=x["scale"])
        after: Any
        after, info = meanfield_vi.step(key, state, log_density, optimizer, num_samples=3)
        return info.elbo + jnp.sum(jnp.square(after.mu)) + jnp.sum(after.rho)

    return Program(after_a_step, {"mean": normal(0, 3), "scale": normal(1, 3)}, (jax.random.key(0),))


def ising(dtype: Any) -> tuple[Any, Any, Any, Any]:
    """A chain of spins in a field, a restricted Boltzmann machine, its parameters, and configurations."""
    import netket

    space = netket.hilbert.Spin(s=0.5, N=4)
    hamiltonian = netket.operator.IsingJax(space, netket.graph.Chain(length=4), h=1.0)
    machine = netket.models.RBM(alpha=1, param_dtype=dtype)
    spins = space.all_states()[::3]
    shapes = jax.eval_shape(machine.init, jax.random.key(0), spins)["params"]
    numbers = iter(range(9))
    draw = lambda s: 0.3 * normal(next(numbers), *s.shape).astype(s.dtype)
    return hamiltonian, machine, tree_map(draw, shapes), jnp.asarray(spins)


@program
def netket_expectation() -> Program:
    """The energy of a state, whose gradient by the score function is netket's own rule."""
    import netket

    hamiltonian, machine, params, spins = ising(float)

    def energy(params: Any, spins: Any) -> Any:
        log_psi = lambda params, s: machine.apply({"params": params}, s)

        def local(params: Any, s: Any) -> Any:
            connected, elements = hamiltonian.get_conn_padded(s)
            ratios = jnp.exp(log_psi(params, connected) - log_psi(params, s)[:, None])
            return (elements * ratios).sum(axis=1)

        return netket.jax.expect(lambda params, s: 2 * log_psi(params, s).real, local, params, spins)[0]

    return Program(energy, params, (spins,), forward=False)


@program
def netket_local_energies() -> Program:
    """The variance of local energies, by netket's kernel, in complex parameters."""
    from netket.vqs.mc import kernels

    hamiltonian, machine, params, spins = ising(complex)
    params = tree_map(lambda x: x * (1 + 0.5j), params)

    def variance(params: Any, spins: Any) -> Any:
        log_psi = lambda params, s: machine.apply({"params": params}, s)
        local = kernels.local_value_kernel_jax(log_psi, params, spins, hamiltonian)
        return jnp.var(local) + jnp.mean(local).real

    return Program(variance, params, (spins,))


# Physics


@program
def jax_md_lennard_jones() -> Program:
    """The energy of particles in a periodic box, by a list of neighbors, in positions and a parameter."""
    from jax_md import energy, space

    displacement, _ = space.periodic(3.0)
    neighbors, potential = energy.lennard_jones_neighbor_list(
        displacement, 3.0, sigma=0.9, r_onset=1.2, r_cutoff=1.4, dr_threshold=0.2
    )
    x = jnp.stack(jnp.meshgrid(*[jnp.arange(3.0)] * 2), -1).reshape(-1, 2) + 0.1 * normal(0, 9, 2)
    table = neighbors.allocate(x)

    def found(x: Any, table: Any) -> Any:
        return potential(x["positions"], table, epsilon=x["depth"])

    return Program(found, {"positions": x, "depth": jnp.array(1.1)}, (table,))


@program
def jax_md_forces() -> Program:
    """The squared forces of a potential of three bodies, themselves derivatives."""
    from jax_md import energy, quantity, space

    displacement, _ = space.free()
    force = quantity.force(energy.stillinger_weber(displacement))
    x = 2.3 * jnp.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.1], [0.2, 1.0, 0.0], [0.1, 0.2, 1.0]]) + 0.1 * normal(0, 4, 3)
    return Program(lambda x: (force(x) ** 2).sum(), x)


@program
def jax_md_dynamics() -> Program:
    """The squared distance that particles travel in a thermostat, in a parameter and their start."""
    from jax_md import energy, simulate, space

    displacement, shift = space.periodic(3.0)

    def distance(x: Any, key: Any) -> Any:
        potential = energy.soft_sphere_pair(displacement, sigma=x["size"])
        init, apply = simulate.nvt_nose_hoover(potential, shift, 0.01, 0.2, chain_length=2, sy_steps=1)
        state = init(key, x["positions"])
        state = jax.lax.fori_loop(0, 3, lambda _, state: apply(state), state)
        return (jax.vmap(displacement)(state.position, x["positions"]) ** 2).sum()

    return Program(distance, {"positions": 1.5 + normal(0, 5, 2), "size": jnp.array(1.3)}, (jax.random.key(0),))


PENDULUM = """
<mujoco>
  <option timestep="0.01" iterations="1" ls_iterations="4"><flag contact="disable"/></option>
  <worldbody>
    <body>
      <joint name="hinge" type="hinge" axis="0 1 0" damping="0.1" range="-30 30" limited="true"/>
      <geom type="capsule" size="0.05" fromto="0 0 0 0 0 -0.5"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" gear="2"/></actuator>
</mujoco>
"""


def pendulum() -> tuple[Any, Any, dict[str, Any]]:
    """A pendulum in MJX, its state, and a start beyond its limit, so that a constraint acts."""
    import mujoco
    from mujoco import mjx

    model = mujoco.MjModel.from_xml_string(PENDULUM)
    start = {"angle": jnp.array([0.9]), "speed": jnp.array([0.2]), "torque": jnp.array([0.5])}
    return mjx.put_model(model), mjx.make_data(model), start


@program
def mjx_mass_matrix() -> Program:
    """The energy of a pendulum by its kinematics and its mass matrix."""
    from mujoco import mjx

    physics, data, start = pendulum()

    def energy(x: Any) -> Any:
        state = data.replace(qpos=x["angle"], qvel=x["speed"])
        state = mjx.crb(physics, mjx.com_pos(physics, mjx.kinematics(physics, state)))
        return (state.qvel * mjx.mul_m(physics, state, state.qvel)).sum() / 2 + state.xipos[1, 2]

    return Program(energy, {name: start[name] for name in ("angle", "speed")}, large=True)


@program
def mjx_step() -> Program:
    """The squared state after a step of a pendulum, in the state before and a torque."""
    from mujoco import mjx

    physics, data, start = pendulum()

    def after(x: Any) -> Any:
        state = mjx.step(physics, data.replace(qpos=x["angle"], qvel=x["speed"], ctrl=x["torque"]))
        return (state.qpos**2).sum() + (state.qvel**2).sum()

    return Program(after, start, large=True)


@program
def brax_step() -> Program:
    """The squared state after a step of an environment's physics, in the state before and an action."""
    from brax import envs
    from brax.spring import pipeline

    system = envs.get_environment("inverted_pendulum", backend="spring").sys

    def after(x: Any) -> Any:
        state = pipeline.step(system, pipeline.init(system, x["q"], x["qd"]), x["action"])
        return (state.q**2).sum() + (state.qd**2).sum()

    x = {"q": jnp.array([0.1, 0.2]), "qd": jnp.array([-0.1, 0.3]), "action": jnp.array([0.4])}
    return Program(after, x, large=True)


@program
def e3nn_message() -> Program:
    """Messages between atoms: spherical harmonics of their distances, tensor products and an equivariant layer."""
    import e3nn_jax as e3nn

    layer = e3nn.flax.Linear("4x0e + 2x1o")
    source, target = jnp.array([0, 1, 2, 3, 0]), jnp.array([1, 2, 3, 0, 2])

    def messages(positions: Any) -> Any:
        distance = positions[target] - positions[source]
        around = e3nn.spherical_harmonics("0e + 1o + 2e", e3nn.IrrepsArray("1o", distance), normalize=True)
        radial = e3nn.bessel(jnp.linalg.norm(distance, axis=-1), 4, 5.0)
        return e3nn.tensor_product(around, e3nn.IrrepsArray("4x0e", radial))

    def invariant(x: Any, positions: Any) -> Any:
        out = layer.apply(x["params"], messages(x["positions"]))
        nodes = e3nn.scatter_sum(e3nn.gate(out), dst=target, output_size=4)
        return e3nn.norm(nodes, squared=True).array.sum()

    positions = normal(0, 4, 3)
    params = in_widest(layer.init(jax.random.key(0), messages(positions)))
    return Program(invariant, {"params": params, "positions": positions}, (positions,))


@program
def jraph_graph_network() -> Program:
    """A network on two graphs, one of them empty, as padding makes it: nodes, edges and the whole are updated."""
    import jraph

    graph = jraph.GraphsTuple(
        nodes=normal(0, 3, 2),
        edges=normal(1, 5, 2),
        senders=jnp.array([0, 1, 2, 0, 2]),
        receivers=jnp.array([1, 2, 0, 2, 1]),
        n_node=jnp.array([3]),
        n_edge=jnp.array([5]),
        globals=normal(2, 1, 2),
    )
    graph = tree_map(jnp.asarray, jraph.pad_with_graphs(graph, 5, 7, 2))

    def loss(params: Any, graph: Any) -> Any:
        dense = lambda name: lambda *xs: jnp.tanh(jnp.concatenate(xs, -1) @ params[name])
        make: Any = jraph.GraphNetwork
        network = make(
            update_edge_fn=dense("edges"),
            update_node_fn=dense("nodes"),
            update_global_fn=dense("globals"),
            attention_logit_fn=lambda edges, *rest: edges @ params["attention"],
            attention_reduce_fn=lambda edges, weights: edges * weights,
        )
        out, real = network(network(graph)), jnp.asarray(jraph.get_node_padding_mask(graph))
        return (out.globals**2).sum() + (out.nodes * real[:, None]).sum()

    params = {"edges": normal(3, 8, 2), "nodes": normal(4, 8, 2), "globals": normal(5, 6, 2)}
    return Program(loss, {**params, "attention": normal(6, 2, 1)}, (graph,))


# Models


@program
def haiku_convolutions() -> Program:
    """A network with batch norm, whose statistics are state, and dropout."""
    import haiku as hk

    def network(x: Any) -> Any:
        x = jax.nn.relu(hk.BatchNorm(True, True, 0.9)(hk.Conv2D(3, 3)(x), is_training=True))
        x = hk.dropout(hk.next_rng_key(), 0.3, hk.Flatten()(hk.avg_pool(x, (2, 2, 1), (2, 2, 1), "SAME")))
        return hk.nets.MLP([4, 1], activation=jax.nn.gelu)(x)

    transformed = hk.transform_with_state(network)
    images = normal(0, 3, 4, 4, 2)
    params, state = in_widest(transformed.init(jax.random.key(0), images))

    def loss(params: Any, state: Any, key: Any, images: Any) -> Any:
        out, state = transformed.apply(params, state, key, images)
        return (out**2).mean() + sum(x.sum() for x in jax.tree_util.tree_leaves(state) if x.dtype == images.dtype)

    return Program(loss, params, (state, jax.random.key(1), images))


@program
def haiku_recurrent() -> Program:
    """An LSTM along a sequence, with attention over its outputs."""
    import haiku as hk

    def network(x: Any) -> Any:
        cell = hk.LSTM(3)
        out, _ = hk.dynamic_unroll(cell, x, cell.initial_state(2))
        out = hk.MultiHeadAttention(2, 2, w_init=hk.initializers.VarianceScaling(1.0))(out, out, out)
        return hk.LayerNorm(-1, True, True)(out)

    transformed = hk.without_apply_rng(hk.transform(network))
    series = normal(0, 4, 2, 3)
    params = in_widest(transformed.init(jax.random.key(0), series))
    return Program(lambda params, x: (transformed.apply(params, x)[..., 0] ** 2).sum(), params, (series,))


@program
def quax_low_rank_adaptation() -> Program:
    """A model of equinox whose matrices are sums with products of small ones: arrays of quax's own."""
    import equinox as eqx
    import quax
    from quax.examples import lora

    model = eqx.nn.MLP(3, 2, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
    adapted = lora.loraify(in_widest(model), rank=1, scale=0.5, stop_gradient=False, key=jax.random.key(1))
    x, rebuild = floats(adapted)
    x = [a + 0.1 * normal(i, *a.shape) for i, a in enumerate(x)]
    return Program(lambda x, v: (jax.vmap(quax.quaxify(rebuild(x)))(v) ** 2).sum(), x, (normal(9, 4, 3),))


@program
def penzai_transformer() -> Program:
    """The loss of a small language model, of arrays whose axes have names."""
    from penzai import pz
    from penzai.models.transformer.variants import llamalike_common as common

    config = common.LlamalikeTransformerConfig(
        num_kv_heads=1,
        query_head_multiplier=2,
        embedding_dim=4,
        projection_dim=2,
        mlp_hidden_dim=4,
        num_decoder_blocks=1,
        vocab_size=7,
        mlp_variant="swiglu",
        tie_embedder_and_logits=False,
        parameter_dtype=jnp.zeros(()).dtype,
        activation_dtype=jnp.zeros(()).dtype,
    )
    model = common.build_llamalike_transformer(config, init_base_rng=jax.random.key(0))
    fixed, params = pz.unbind_params(model, freeze=True)
    x, rebuild = floats(params)

    def loss(x: Any, tokens: Any) -> Any:
        named = pz.nx.wrap(tokens).tag("batch", "seq")
        logits = pz.bind_variables(fixed, rebuild(x))(named).unwrap("batch", "seq", "vocabulary")
        return -jnp.take_along_axis(jax.nn.log_softmax(logits[:, :-1]), tokens[:, 1:, None], -1).mean()

    return Program(loss, x, (jnp.array([[1, 4, 2, 6], [0, 3, 3, 5]]),))


@program
def evosax_learned_strategy() -> Program:
    """The fitness that an evolution strategy reaches, in the networks that it is made of: a meta-gradient."""
    from evosax.algorithms import LearnedES

    strategy = LearnedES(population_size=4, solution=jnp.zeros(2))
    params = in_widest(strategy.default_params)
    x, rebuild = floats(params.params)

    def reached(x: Any, key: Any, start: Any) -> Any:
        now = params.replace(params=rebuild(x))
        state = strategy.init(key, start, now)
        for one in jax.random.split(key, 2):
            population, state = strategy.ask(one, state, now)
            fitness = jax.vmap(lambda v: ((v - 1.0) ** 2).sum() + jnp.prod(jnp.sin(v)))(population)
            state, _ = strategy.tell(one, population, fitness, state, now)
        return ((state.mean - 1.0) ** 2).sum() + jnp.log(state.std).sum()

    # JAX's own gradient differs by 2e-6 of it between one operation at a time and all compiled.
    return Program(reached, x, (jax.random.key(0), normal(0, 2)), tolerance=1e-5)


# Optimization


def ridge(params: Any, x: Any, y: Any, weight: Any) -> Any:
    return ((x @ params - y) ** 2).mean() + weight * (params**2).sum()


def held_out(solution: Any, x: Any, y: Any) -> Any:
    return (jnp.tanh(x @ solution - y) ** 2).sum()


@program
def jaxopt_implicit() -> Program:
    """The loss on other data of what a solver finds, by the derivative of the equation that it solves."""
    import jaxopt

    solver = jaxopt.LBFGS(ridge, maxiter=30, tol=1e-12, linesearch="backtracking", implicit_diff=True)

    def loss(weight: Any, x: Any, y: Any) -> Any:
        return held_out(solver.run(jnp.zeros(2), x, y, jnp.exp(weight)).params, x[::2], y[1::2])

    return Program(loss, jnp.array(-1.0), (normal(0, 6, 2), normal(1, 6)), forward=False, tolerance=1e-7)


@program
def jaxopt_unrolled() -> Program:
    """The same through the steps of a solver."""
    import jaxopt

    solver = jaxopt.GradientDescent(ridge, stepsize=0.1, maxiter=4, implicit_diff=False, tol=0.0)

    def loss(weight: Any, x: Any, y: Any) -> Any:
        return held_out(solver.run(jnp.zeros(2), x, y, jnp.exp(weight)).params, x[::2], y[1::2])

    return Program(loss, jnp.array(-1.0), (normal(0, 6, 2), normal(1, 6)))


@program
def jaxopt_constrained() -> Program:
    """The solution of a quadratic program with constraints, in all that defines it."""
    import jaxopt

    solver = jaxopt.OSQP(tol=1e-9, maxiter=4000)

    def found(x: Any, y: Any) -> Any:
        quadratic = x["a"] @ x["a"].T + 2 * jnp.eye(3)
        how = dict(params_obj=(quadratic, x["c"]), params_eq=(jnp.ones((1, 3)), x["sum"]))
        solution = solver.run(**how, params_ineq=(jnp.eye(3), x["bounds"])).params
        return jnp.vdot(solution.primal, y)

    x = {"a": normal(0, 3, 3), "c": normal(1, 3), "sum": jnp.array([1.0]), "bounds": jnp.array([0.2, 2.0, 2.0])}
    return Program(found, x, (normal(2, 3),), forward=False, tolerance=1e-5)


@program
def checked_by_beartype() -> Program:
    """A function whose arguments' shapes and dtypes are checked when it is called."""
    from tests.libraries import checked

    layer = checked.layer(jnp)
    weights = normal(0, 3, 4), normal(1, 4, 2)
    return Program(lambda w, x: layer(layer(x, w[0]), w[1]).sum(), weights, (normal(2, 5, 3),))
