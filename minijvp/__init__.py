"""Composable transformations of numerical Python functions: differentiation, batching and compilation, on XLA.

Functions are written with `minijvp.numpy`, `minijvp.lax`, `minijvp.nn`, `minijvp.scipy` and `minijvp.random`, which
have what the modules of JAX of these names have; those written for JAX become functions of minijvp by `from_jax`.

Transformations take a function and return one, and may be nested in any order:
    grad, value_and_grad        gradients, in reverse mode
    jacfwd, jacrev, hessian     whole Jacobians and Hessians
    jvp, linearize, vjp         derivatives in directions, forward and backward
    vmap                        a function of one element for all elements of an axis
    jit, checkpoint, shard_map  compiled; with less memory; on several devices
    custom_jvp, custom_vjp      functions with a derivative of their own

What derivatives are made of, and why they are what they are:
    make_jaxpr, draw, to_python                        the program of a function: as text, as a picture, as Python
    forward_trace, reverse_trace, backward_graph       each value with its derivative
    residual_report, remat_plan                        what reverse mode keeps in memory, for which line
    explain_nan, why_zero, check_grads, debug          where a nan or a zero comes from; whether a derivative is right
    symbolic, numerical                                derivatives by SymPy, and by differences

Settings are in `config`. `minijvp.extend` is for new primitives and transformations.

>>> import minijvp, minijvp.numpy as mnp
>>> float(minijvp.jit(minijvp.grad(lambda x: mnp.sum(x**3)))(2.0))
12.0
"""

# ruff: noqa: E402
from minijvp import versions  # the check of the installed versions comes first
from minijvp.collector import Rest

rest = Rest()  # a collection would cost a third of the import

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

import jax
from jax import (
    Array,
    Device,
    NamedSharding,
    P,
    ShapeDtypeStruct,
    Shard,
    block_until_ready,
    check_tracer_leaks,
    copy_to_host_async,
    debug_infs,
    debug_nans,
    default_backend,
    default_device,
    default_matmul_precision,
    device_count,
    device_get,
    devices,
    disable_jit,
    effects_barrier,
    enable_x64,
    float0,
    live_arrays,
    local_device_count,
    local_devices,
    log_compiles,
    make_array_from_callback,
    make_array_from_process_local_data,
    make_array_from_single_device_arrays,
    make_mesh,
    print_environment_info,
    process_count,
    process_index,
    process_indices,
    set_mesh,
    transfer_guard,
)

from minijvp import error_pages, nan_safe, numpy, optimize
from minijvp.api.batching import vmap
from minijvp.api.gradients import grad, value_and_grad
from minijvp.api.linear_maps import jvp, linearize, vjp
from minijvp.api.programs import eval_shape, make_jaxpr
from minijvp.calls import pickles
from minijvp.calls import policies as checkpoint_policies
from minijvp.calls.jit import jit
from minijvp.calls.remat import checkpoint, checkpoint_name, remat
from minijvp.calls.scopes import ensure_compile_time_eval, named_call, named_scope
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracer import Tracer, typeof
from minijvp.custom_rules.decorators import custom_jvp, custom_vjp
from minijvp.derivatives.jacobians import (
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    value_and_jacobian,
    value_grad_and_hessian,
)
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
    NonFiniteError,
    RedefinedPrimitiveWarning,
    RuleError,
    UnboundAxisError,
    UnsupportedArgumentError,
    UnsupportedVersionError,
    UnusedScopeWarning,
)
from minijvp.explain import hooked as explain_hooked
from minijvp.interop import from_jax, to_jax
from minijvp.interop.surface import bridge
from minijvp.settings import config
from minijvp.tools import rule_checks
from minijvp.views import hooked as views_hooked

if TYPE_CHECKING:  # what is imported when it is first used
    from minijvp import lax, nn, numerical, random, scipy, symbolic
    from minijvp.api.taylor import jet, taylor
    from minijvp.calls.host_calls import pure_callback
    from minijvp.calls.jit import clear_caches
    from minijvp.calls.linear_transpose import linear_transpose
    from minijvp.calls.passes import fwd_and_bwd
    from minijvp.calls.shard_map import shard_map
    from minijvp.calls.tap import tap
    from minijvp.explain.explain_nan import explain_nan
    from minijvp.lax import stop_gradient
    from minijvp.lax.bars import progress
    from minijvp.lax.roots import fixed_point, root
    from minijvp.products.diagonals import divergence, hessian_diagonal
    from minijvp.products.laplacians import biharmonic, laplacian
    from minijvp.products.operators import ggn_operator, hessian_operator, jacobian_operator
    from minijvp.products.products import elementwise_grad, fishervp, ggnvp, hvp
    from minijvp.tools.checking import check_grads, check_rule
    from minijvp.tools.external import external
    from minijvp.tools.rules import check_primitive
    from minijvp.views.backward_graph import backward_graph
    from minijvp.views.draw import draw
    from minijvp.views.python.code import to_python
    from minijvp.views.remat_plan import remat_plan
    from minijvp.views.residuals import residual_report
    from minijvp.views.traces import forward_trace, reverse_trace

device_put = bridge(jax.device_put, jax, "device_put")

MODULES = ["ad_checkpoint", "custom_batching", "custom_derivatives", "debug", "distributed", "dlpack", "dtypes"]
MODULES += ["errors", "experimental", "export", "extend", "flatten_util", "image", "lax", "monitoring", "nn"]
MODULES += ["numerical", "ops", "profiler", "random", "scipy", "sharding", "stages", "symbolic", "test_util", "tree"]
MODULES += ["tree_util", "typing"]
"""Modules that are imported when they are first used."""

OF_JAX = frozenset(
    {
        "CompilerEffortLevel",
        "Inline",
        "allow_f16_reductions",
        "array_garbage_collection_guard",
        "auto_pcast",
        "checking_leaks",
        "debug_key_reuse",
        "default_prng_impl",
        "ds",
        "enable_checks",
        "enable_custom_prng",
        "explain_cache_misses",
        "get_abstract_mesh",
        "get_mesh",
        "host_count",
        "host_id",
        "host_ids",
        "jax2tf_associative_scan_reductions",
        "legacy_prng_key",
        "make_user_context",
        "memory",
        "no_execution",
        "no_tracing",
        "numpy_dtype_promotion",
        "numpy_rank_promotion",
        "remove_size_one_mesh_axis_from_type",
        "softmax_custom_jvp",
        "thread_guard",
        "threefry_partitionable",
        "transfer_guard_device_to_device",
        "transfer_guard_device_to_host",
        "transfer_guard_host_to_device",
        "use_abstract_mesh",
        "version",
    }
)
"""Other names that are JAX's own: settings for a `with` statement, devices and shardings."""

ELSEWHERE = {
    "backward_graph": "views.backward_graph",
    "check_grads": "tools.checking",
    "check_primitive": "tools.rules",
    "check_rule": "tools.checking",
    "clear_caches": "calls.jit",
    "draw": "views.draw",
    "explain_nan": "explain.explain_nan",
    "external": "tools.external",
    "forward_trace": "views.traces",
    "fwd_and_bwd": "calls.passes",
    "linear_transpose": "calls.linear_transpose",
    "progress": "lax.bars",
    "pure_callback": "calls.host_calls",
    "remat_plan": "views.remat_plan",
    "reshard": "sharding",
    "residual_report": "views.residuals",
    "reverse_trace": "views.traces",
    "shard_map": "calls.shard_map",
    "sparse_hessian": "sparse",
    "sparse_jacobian": "sparse",
    "sparsity": "sparse",
    "stop_gradient": "lax",
    "tap": "calls.tap",
    "to_python": "views.python.code",
    "why_zero": "explain.why_zero",
    **dict.fromkeys(("closure_convert", "custom_gradient"), "custom_derivatives"),
    **dict.fromkeys(("fixed_point", "root"), "lax.roots"),
    **dict.fromkeys(("jet", "taylor"), "api.taylor"),
    **dict.fromkeys(("divergence", "hessian_diagonal"), "products.diagonals"),
    **dict.fromkeys(("biharmonic", "laplacian"), "products.laplacians"),
    **dict.fromkeys(("ggn_operator", "hessian_operator", "jacobian_operator"), "products.operators"),
    **dict.fromkeys(("elementwise_grad", "fishervp", "ggnvp", "hvp"), "products.products"),
}
"""Where functions are that are imported when they are first used."""


def __dir__() -> list[str]:
    return sorted({*__all__, *MODULES, *OF_JAX.intersection(dir(jax)), *ELSEWHERE})


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"minijvp.{name}")
    if name in OF_JAX:
        return getattr(jax, name)
    if name in ELSEWHERE:
        return globals().setdefault(name, getattr(import_module(f"minijvp.{ELSEWHERE[name]}"), name))
    raise AttributeError(f"module 'minijvp' has no attribute {name!r}")


error_pages.plug_in()
pickles.plug_in()
nan_safe.plug_in()
optimize.plug_in()
rule_checks.plug_in()
explain_hooked.plug_in()
views_hooked.plug_in()
del rest

__version__ = versions.VERSION

__all__ = [
    "ArgumentError",
    "Array",
    "ConcretizationError",
    "DerivativeError",
    "Device",
    "EscapedTracerError",
    "ForeignFunctionError",
    "Jaxpr",
    "JaxprError",
    "MinijvpError",
    "MissingPackageError",
    "MissingRuleError",
    "NamedSharding",
    "NonFiniteError",
    "P",
    "RedefinedPrimitiveWarning",
    "RuleError",
    "ShapeDtypeStruct",
    "Shard",
    "Tracer",
    "UnboundAxisError",
    "UnsupportedArgumentError",
    "UnsupportedVersionError",
    "UnusedScopeWarning",
    "__version__",
    "backward_graph",
    "biharmonic",
    "block_until_ready",
    "check_grads",
    "check_primitive",
    "check_rule",
    "check_tracer_leaks",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "clear_caches",
    "closure_convert",
    "config",
    "copy_to_host_async",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "debug_infs",
    "debug_nans",
    "default_backend",
    "default_device",
    "default_matmul_precision",
    "device_count",
    "device_get",
    "device_put",
    "devices",
    "disable_jit",
    "divergence",
    "draw",
    "effects_barrier",
    "elementwise_grad",
    "enable_x64",
    "ensure_compile_time_eval",
    "eval_shape",
    "explain_nan",
    "external",
    "fishervp",
    "fixed_point",
    "float0",
    "forward_trace",
    "from_jax",
    "fwd_and_bwd",
    "ggn_operator",
    "ggnvp",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hessian_operator",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacobian_operator",
    "jacrev",
    "jet",
    "jit",
    "jvp",
    "laplacian",
    "lax",
    "linear_transpose",
    "linearize",
    "live_arrays",
    "local_device_count",
    "local_devices",
    "log_compiles",
    "make_array_from_callback",
    "make_array_from_process_local_data",
    "make_array_from_single_device_arrays",
    "make_jaxpr",
    "make_mesh",
    "named_call",
    "named_scope",
    "nn",
    "numerical",
    "numpy",
    "print_environment_info",
    "process_count",
    "process_index",
    "process_indices",
    "progress",
    "pure_callback",
    "random",
    "remat",
    "remat_plan",
    "residual_report",
    "reverse_trace",
    "root",
    "scipy",
    "set_mesh",
    "shard_map",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "stop_gradient",
    "symbolic",
    "tap",
    "taylor",
    "to_jax",
    "to_python",
    "transfer_guard",
    "typeof",
    "value_and_grad",
    "value_and_jacobian",
    "value_grad_and_hessian",
    "versions",
    "vjp",
    "vmap",
    "why_zero",
]
