"""Composable transformations of numerical Python functions: differentiation, batching and compilation, on XLA."""

from minijvp import versions  # the check of the installed versions comes first

# isort: split
from minijvp import lax, nn, numerical, numpy, random, scipy, symbolic
from minijvp.core.config import config
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracing import Tracer
from minijvp.errors import (
    ArgumentError,
    ConcretizationError,
    DerivativeError,
    EscapedTracerError,
    ForeignFunctionError,
    JaxprError,
    MinijvpError,
    MissingPackageError,
    MissingRuleError,
    UnsupportedVersionError,
    UnusedScopeWarning,
)
from minijvp.higher_order import policies as checkpoint_policies
from minijvp.higher_order.custom_rules import custom_jvp, custom_vjp
from minijvp.higher_order.jit import jit
from minijvp.higher_order.remat import checkpoint, checkpoint_name, remat
from minijvp.higher_order.tap import tap
from minijvp.interop import from_jax, to_jax
from minijvp.lax import stop_gradient
from minijvp.lax.roots import fixed_point, root
from minijvp.tools.checking import check_grads, check_rule
from minijvp.tools.external import external
from minijvp.transforms.derivatives import grad, value_and_grad
from minijvp.transforms.jacobians import hessian, jacfwd, jacobian, jacrev
from minijvp.transforms.jvp import jvp
from minijvp.transforms.linear_maps import linear_transpose, linearize, vjp
from minijvp.transforms.staging import eval_shape, make_jaxpr
from minijvp.transforms.vmap import vmap
from minijvp.views.backward_graph import backward_graph
from minijvp.views.draw import draw
from minijvp.views.python.code import to_python
from minijvp.views.remat_plan import remat_plan
from minijvp.views.residuals import residual_report
from minijvp.views.traces import forward_trace, reverse_trace

__all__ = [
    "ArgumentError",
    "ConcretizationError",
    "DerivativeError",
    "EscapedTracerError",
    "ForeignFunctionError",
    "Jaxpr",
    "JaxprError",
    "MinijvpError",
    "MissingPackageError",
    "MissingRuleError",
    "Tracer",
    "UnsupportedVersionError",
    "UnusedScopeWarning",
    "backward_graph",
    "check_grads",
    "check_rule",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "config",
    "custom_jvp",
    "custom_vjp",
    "draw",
    "eval_shape",
    "external",
    "fixed_point",
    "forward_trace",
    "from_jax",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "nn",
    "numerical",
    "numpy",
    "random",
    "remat",
    "remat_plan",
    "residual_report",
    "reverse_trace",
    "root",
    "scipy",
    "stop_gradient",
    "symbolic",
    "tap",
    "to_jax",
    "to_python",
    "value_and_grad",
    "versions",
    "vjp",
    "vmap",
]
