"""A call for each function of JAX: arguments at which its gradient exists. Jax arrays of floats are differentiated.

The arguments are Python text, in which the names of `NAMES` mean what is there; `kw(...)` has the keyword arguments.
"""

CALLS: dict[str, dict[str, str]] = {
    "x": {
        "jax.lax": """
            DotDimensionNumbers abs acos asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil conj cos cosh
            cumlogsumexp cummax cummin cumprod cumsum digamma erf erf_inv erfc exp exp2 expm1 floor is_finite
            lgamma log log1p logistic neg optimization_barrier reciprocal round rsqrt sign sin sinh sort sqrt
            square stack stage stop_gradient tan tanh unstack
        """,
        "jax.lax.linalg": "eigh lu qr svd",
        "jax.nn": """
            celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log1mexp
            log_sigmoid log_softmax logmeanexp logsumexp mish relu relu6 selu sigmoid silu soft_sign softmax
            softplus sparse_plus sparse_sigmoid squareplus standardize swish tanh
        """,
        "jax.numpy": """
            abs absolute acos all amax amin any arccos arcsin arcsinh arctan arctanh argmax argmin argsort
            argwhere around array asarray asin asinh atan atanh atleast_1d atleast_2d atleast_3d average block
            broadcast_arrays cbrt ceil clip column_stack concat concatenate conj conjugate copy corrcoef cos
            cosh count_nonzero cov cumprod cumsum deg2rad degrees diag diag_indices_from diagflat diagonal diff
            dstack ediff1d empty_like exp exp2 expm1 fabs flatnonzero flip fliplr flipud floor frexp gradient
            histogram histogram_bin_edges histogramdd hstack i0 iscomplex iscomplexobj isfinite isinf isnan
            isneginf isposinf isreal isrealobj lexsort log log10 log1p log2 logical_not matrix_transpose max
            mean median min modf nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian
            nanmin nanprod nanstd nansum nanvar negative nonzero ones_like poly positive prod ptp rad2deg
            radians ravel real reciprocal rint rot90 round sign signbit sin sinc sinh sort sort_complex sqrt
            square squeeze stack std sum tan tanh trace transpose trapezoid tril tril_indices_from trim_zeros
            triu triu_indices_from trunc unique unique_all unique_counts unique_inverse unique_values unstack
            unwrap var vstack zeros_like
        """,
        "jax.numpy.fft": """
            fft fft2 fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2 rfftn
        """,
        "jax.numpy.linalg": """
            cond det diagonal eigh eigvals eigvalsh inv matrix_norm matrix_rank matrix_transpose norm pinv qr
            slogdet svd svdvals trace vector_norm
        """,
        "jax.scipy.fft": "dct dctn idct idctn",
        "jax.scipy.integrate": "trapezoid",
        "jax.scipy.linalg": """
            block_diag circulant companion det eigh expm fiedler fiedler_companion hankel inv lu lu_factor qr
            svd toeplitz
        """,
        "jax.scipy.signal": "detrend istft stft welch",
        "jax.scipy.special": """
            dawsn digamma entr erf erfc erfcx erfinv exp1 expi expit factorial fresnel gamma gammaln gammasgn i0
            i0e i1 i1e log_ndtr log_softmax loggamma logit logsumexp ndtr ndtri sici softmax spence wofz
        """,
        "jax.scipy.stats": "mode rankdata sem",
        "jax.scipy.stats.cauchy": "cdf isf logcdf logpdf logsf pdf ppf sf",
        "jax.scipy.stats.expon": "cdf logcdf logpdf logsf pdf ppf sf",
        "jax.scipy.stats.gumbel_l": "cdf logcdf logpdf logsf pdf sf",
        "jax.scipy.stats.gumbel_r": "cdf logcdf logpdf logsf pdf sf",
        "jax.scipy.stats.laplace": "cdf logpdf pdf",
        "jax.scipy.stats.logistic": "cdf isf logpdf pdf ppf sf",
        "jax.scipy.stats.norm": "cdf isf logcdf logpdf logsf pdf ppf sf",
        "jax.scipy.stats.poisson": "entropy",
        "jax.scipy.stats.uniform": "cdf ppf",
    },
    "v, w": {
        "jax.lax": """
            add atan2 broadcast_like complex div dot eq ge gt igamma igammac le lt max min mul ne pow rem
            sort_key_val sub
        """,
        "jax.numpy": """
            add allclose append arctan2 array_equal array_equiv atan2 compress convolve copysign correlate
            digitize divide divmod dot equal extract float_power floor_divide fmax fmin fmod full_like geomspace
            greater greater_equal histogram2d hypot inner isclose isin kron less less_equal linspace logaddexp
            logaddexp2 logical_and logical_or logical_xor logspace matmul maximum minimum mod multiply
            nanpercentile nanquantile not_equal outer percentile polyadd polydiv polymul polysub polyval pow
            power quantile remainder roll searchsorted select setdiff1d setxor1d subtract true_divide union1d
            unravel_index vdot vecdot
        """,
        "jax.numpy.linalg": "matmul outer vecdot",
        "jax.scipy.cluster.vq": "vq",
        "jax.scipy.signal": "convolve correlate csd fftconvolve",
        "jax.scipy.special": """
            beta betaln boxcox boxcox1p gammainc gammaincc kl_div owens_t poch rel_entr xlog1py xlogy zeta
        """,
        "jax.scipy.stats.bernoulli": "cdf logpmf pmf ppf",
        "jax.scipy.stats.chi2": "cdf logcdf logpdf logsf pdf sf",
        "jax.scipy.stats.gamma": "cdf logcdf logpdf logsf pdf sf",
        "jax.scipy.stats.gennorm": "cdf logpdf pdf",
        "jax.scipy.stats.geom": "logpmf pmf",
        "jax.scipy.stats.pareto": "ppf",
        "jax.scipy.stats.poisson": "cdf",
        "jax.scipy.stats.t": "logpdf pdf",
        "jax.scipy.stats.vonmises": "logpdf pdf",
        "jax.scipy.stats.wrapcauchy": "logpdf pdf",
    },
    "v, 1": {
        "jax.lax": """
            approx_max_k approx_min_k broadcast_to_rank collapse dynamic_index_in_dim index_in_dim integer_pow
            top_k
        """,
        "jax.nn": "one_hot",
        "jax.numpy": "argpartition array_split expand_dims hsplit partition resize split vsplit",
        "jax.scipy.linalg": "convolution_matrix",
        "jax.scipy.special": "multigammaln",
    },
    "x, y": {
        "jax.lax": "batch_matmul",
        "jax.lax.linalg": "triangular_solve",
        "jax.numpy": "matvec tensordot vecmat",
        "jax.numpy.linalg": "lstsq solve tensordot",
        "jax.scipy.linalg": "expm_frechet rsf2csf solve solve_triangular",
        "jax.scipy.signal": "convolve2d correlate2d",
        "jax.scipy.sparse.linalg": "bicgstab gmres",
        "jax.scipy.special": "comb",
    },
    "key, v": {
        "jax.random": """
            bernoulli categorical chisquare choice dirichlet gamma geometric loggamma lognormal pareto
            permutation poisson rayleigh t wald
        """,
    },
    "x, 0, 1": {
        "jax.lax": "dynamic_slice_in_dim slice_in_dim",
        "jax.numpy": "moveaxis swapaxes",
        "jax.scipy.stats.multivariate_normal": "logpdf pdf",
        "jax.scipy.stats.truncnorm": "cdf logcdf logpdf logsf pdf sf",
    },
    "b, v, w": {
        "jax.lax": "select select_n",
        "jax.numpy": "interp where",
        "jax.scipy.stats.binom": "logpmf pmf",
        "jax.scipy.stats.nbinom": "logpmf pmf",
        "jax.scipy.stats.uniform": "logpdf pdf",
    },
    "v": {
        "jax.numpy": "cumulative_prod cumulative_sum ix_ meshgrid polyder polyint roots vander",
    },
    "c": {
        "jax.lax": "acosh imag real",
        "jax.numpy": "acosh angle arccosh imag",
    },
    "A, y": {
        "jax.scipy.stats.pareto": "cdf logcdf logpdf logsf pdf sf",
    },
    "i, v": {
        "jax.numpy": "bincount choose",
        "jax.scipy.special": "expn polygamma",
        "jax.scipy.stats.poisson": "logpmf pmf",
    },
    "key, v, w": {
        "jax.random": "beta binomial double_sided_maxwell f truncated_normal weibull_min",
    },
    "v, w, v + 0.3": {
        "jax.lax": "clamp",
    },
    "v, i": {
        "jax.numpy": "delete ldexp repeat take take_along_axis tile",
    },
    "v, jnp.array([[0], [2], [3]]), w[:3], lax.ScatterDimensionNumbers((), (0,), (0,))": {
        "jax.lax": "scatter scatter_add scatter_max scatter_min scatter_sub",
    },
    "v, w, u": {
        "jax.nn": "dot_product_attention",
        "jax.scipy.special": "hyp1f1",
        "jax.scipy.stats.beta": "logpdf pdf",
    },
    "x, (0, )": {
        "jax.lax": "reduce_max reduce_min reduce_prod reduce_sum rev",
    },
    "A": {
        "jax.lax.linalg": "cholesky",
        "jax.numpy.linalg": "cholesky",
        "jax.scipy.linalg": "cho_factor cholesky",
    },
    "v, 1, 2": {
        "jax.scipy.stats.beta": "cdf logcdf logsf sf",
    },
    "v, (1, )": {
        "jax.lax": "broadcast expand_dims tile",
    },
    "v, w, u, v": {
        "jax.scipy.special": "hyp2f1",
        "jax.scipy.stats.betabinom": "logpmf pmf",
    },
    "(2, ), s": {
        "jax.lax": "full",
        "jax.numpy": "full",
    },
    "0.5, v": {
        "jax.scipy.stats.gumbel_l": "ppf",
        "jax.scipy.stats.gumbel_r": "ppf",
    },
    "i, 8, v / v.sum()": {
        "jax.scipy.stats.multinomial": "logpmf pmf",
    },
    "key, v, A": {
        "jax.random": "multinomial multivariate_normal",
    },
    "m[None], m[None][:, :2], (1, 1), 'SAME'": {
        "jax.lax": "conv conv_general_dilated",
    },
    "v / v.sum(), w": {
        "jax.scipy.stats.dirichlet": "logpdf pdf",
    },
    "v, 'float32'": {
        "jax.lax": "convert_element_type",
        "jax.numpy": "astype",
    },
    "v, (1, ), (3, )": {
        "jax.lax": "dynamic_slice slice",
    },
    "v[:3], w[:3]": {
        "jax.numpy": "cross",
        "jax.numpy.linalg": "cross",
    },
    "x, (0, 1)": {
        "jax.lax": "transpose",
        "jax.numpy": "permute_dims",
    },
    "x, (2, 8)": {
        "jax.lax": "reshape",
        "jax.numpy": "reshape",
    },
    "x, 1": {
        "jax.numpy": "rollaxis",
        "jax.numpy.linalg": "matrix_power",
    },
    "'ij,jk->ik', x, y": {
        "jax.numpy": "einsum",
    },
    "(A, False), v": {
        "jax.scipy.linalg": "cho_solve",
    },
    "(A, np.array([1, 2, 3, 3], np.int32)), v": {
        "jax.scipy.linalg": "lu_solve",
    },
    "0, 3, lambda k, z:z*1.5, v": {
        "jax.lax": "fori_loop",
    },
    "A, v": {
        "jax.numpy.linalg": "tensorsolve",
        "jax.scipy.sparse.linalg": "cg",
    },
    "[v, w], 0": {
        "jax.lax": "concatenate",
    },
    "[x, y]": {
        "jax.numpy.linalg": "multi_dot",
    },
    "b, v": {
        "jax.numpy": "heaviside",
    },
    "c, 'fft', (4,)": {
        "jax.lax": "fft",
    },
    "i, 3, s": {
        "jax.scipy.special": "betainc",
    },
    "i, 4, v, w": {
        "jax.scipy.special": "sph_harm_y",
    },
    "jnp.sum, 0, x": {
        "jax.numpy": "apply_along_axis",
    },
    "jnp.sum, x, [0]": {
        "jax.numpy": "apply_over_axes",
    },
    "key, (3,), 'float64', s, t": {
        "jax.random": "uniform",
    },
    "key, (4, ), s, t": {
        "jax.random": "randint",
    },
    "key, 0 * s, s, s + 1": {
        "jax.random": "triangular",
    },
    "key, s": {
        "jax.random": "generalized_normal",
    },
    "lambda a, b: a*b, v": {
        "jax.lax": "associative_scan",
    },
    "lambda z, q:(z+q, z*q), s, v": {
        "jax.lax": "scan",
    },
    "lambda z: A @ z, v, lambda matvec, b: jnp.linalg.inv(A) @ b, lambda vecmat, b: jnp.linalg.inv(A.T) @ b": {
        "jax.lax": "custom_linear_solve",
    },
    "lambda z: z*v, v": {
        "jax.lax": "map",
    },
    "m, 2": {
        "jax.numpy": "dsplit",
    },
    "np.ones(4), 2 * np.ones(4), v": {
        "jax.lax": "betainc",
    },
    "np.ones(4), v": {
        "jax.lax": "polygamma",
    },
    "s": {
        "jax.numpy.linalg": "tensorinv",
    },
    "s, kw(v=2)": {
        "jax.scipy.special": "bessel_jn",
    },
    "v, (1, 3)": {
        "jax.lax": "split",
    },
    "v, (2, 4)": {
        "jax.numpy": "broadcast_to",
    },
    "v, (4, ), (0, )": {
        "jax.lax": "broadcast_in_dim",
    },
    "v, jnp.array([[0], [2], [3]]), w[:3], lax.ScatterDimensionNumbers((), (0,), (0,)), kw(unique_indices=True)": {
        "jax.lax": "scatter_mul",
    },
    "v, (i,), (0,)": {
        "jax.lax": "index_take",
    },
    "v, 0.0, ((1, 1, 0), )": {
        "jax.lax": "pad",
    },
    "v, 0.0, lax.add, (0, )": {
        "jax.lax": "reduce",
    },
    "v, 1, s": {
        "jax.numpy": "insert",
    },
    "v, 2": {
        "jax.numpy": "pad",
    },
    "v, 5, 10": {
        "jax.lax": "reduce_precision",
    },
    "v, i[:2], w[:2], kw(inplace=False)": {
        "jax.numpy": "put",
    },
    "v, [v > 0.5], [jnp.sin, jnp.cos]": {
        "jax.numpy": "piecewise",
    },
    "v, i[:, None], lax.GatherDimensionNumbers((), (0,), (0,)), (1,)": {
        "jax.lax": "gather",
    },
    "v, kw(default=jnp.sin)": {
        "jax.lax": "platform_dependent",
    },
    "v, v": {
        "jax.numpy": "intersect1d",
    },
    "v, v > 0.5, w, kw(inplace=False)": {
        "jax.numpy": "place",
    },
    "v, w + 3, u, x": {
        "jax.lax.linalg": "tridiagonal_solve",
    },
    "v, w, 1": {
        "jax.numpy": "polyfit",
    },
    "v, w[:1], (1, )": {
        "jax.lax": "dynamic_update_slice",
    },
    "v, w[:2], 1, 0": {
        "jax.lax": "dynamic_update_slice_in_dim",
    },
    "v, w[:3]": {
        "jax.scipy.linalg": "leslie",
    },
    "v,-jnp.inf,lax.max,(2,),(1,),'VALID'": {
        "jax.lax": "reduce_window",
    },
    "v[None], (0,)": {
        "jax.lax": "squeeze",
    },
    "v[None], w[None]": {
        "jax.scipy.linalg": "eigh_tridiagonal",
    },
    "x, [v, w], 1": {
        "jax.scipy.ndimage": "map_coordinates",
    },
    "x, i[None], v[None], 0, kw(inplace=False)": {
        "jax.numpy": "put_along_axis",
    },
    "x, m.reshape(2, 4, 3), jnp.array([1, 3])": {
        "jax.lax": "ragged_dot",
    },
    "x, s": {
        "jax.lax": "full_like",
    },
    "x, v, 1, 0": {
        "jax.lax": "dynamic_update_index_in_dim",
    },
    "x, v, kw(inplace=False)": {
        "jax.numpy": "fill_diagonal",
    },
    "x, y, (((1,), (0,)), ((), ()))": {
        "jax.lax": "dot_general",
    },
    "x[None, None], (2, 2), (1, 1), 'VALID'": {
        "jax.lax": "conv_general_dilated_patches",
    },
    "x[None, None], y.reshape(1, 4, 2, 2), (2, 2), 'VALID', (2, 2)": {
        "jax.lax": "conv_general_dilated_local",
    },
    "x[None, None], y[None, None], (1, 1), 'SAME', (1, 1), (1, 1)": {
        "jax.lax": "conv_with_general_padding",
    },
    "x[None,None],y[None,None],(1,1),'SAME'": {
        "jax.lax": "conv_transpose",
    },
}
"""Arguments, and the functions of each module that are called with them."""

EAGER = set(
    """
    jax.lax.full jax.numpy.argwhere jax.numpy.bincount jax.numpy.choose jax.numpy.compress jax.numpy.extract
    jax.numpy.flatnonzero jax.numpy.full jax.numpy.intersect1d jax.numpy.nonzero jax.numpy.pad jax.numpy.roots
    jax.numpy.setdiff1d jax.numpy.setxor1d jax.numpy.tile jax.numpy.trim_zeros jax.numpy.union1d jax.numpy.unique
    jax.numpy.unique_all jax.numpy.unique_counts jax.numpy.unique_inverse jax.numpy.unique_values
    jax.scipy.special.sph_harm_y
    """.split()
)
"""Those that look at values, so that JAX differentiates them only with nothing compiled."""
