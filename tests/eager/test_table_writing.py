"""Every entry of the table that writes: the form in place and `out=`, against the form that gives a new tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import Tensor
from graphc.eager.inplace import IN_PLACE
from tests.composite.case import Values
from tests.eager.table_cases import calls, free_function_of, function_of, leaves, tensor_of

OUT = (
    "abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr all amax amin aminmax angle any arange arccos "
    "arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh baddbmm bernoulli bitwise_and "
    "bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm bucketize cat ceil cholesky "
    "cholesky_inverse cholesky_solve clamp clip column_stack complex concat concatenate conj_physical copysign cos "
    "cosh cross cummax cummin cumprod cumsum deg2rad diag digamma div divide dot dstack eq erf erfc erfinv exp exp2 "
    "expm1 eye fft.fft fft.fft2 fft.fftfreq fft.fftn fft.hfft fft.hfft2 fft.hfftn fft.ifft fft.ifft2 fft.ifftn "
    "fft.ihfft fft.ihfft2 fft.ihfftn fft.irfft fft.irfft2 fft.irfftn fft.rfft fft.rfft2 fft.rfftfreq fft.rfftn fix "
    "float_power floor floor_divide fmax fmin fmod frac frexp full gather gcd ge geqrf ger greater greater_equal gt "
    "hamming_window heaviside histc histogram hstack hypot i0 igamma igammac index_add index_copy index_reduce "
    "index_select inner inverse isneginf isposinf kron kthvalue lcm ldexp le lerp less less_equal lgamma "
    "linalg.cholesky linalg.cholesky_ex linalg.cond linalg.cross linalg.det linalg.eig linalg.eigh linalg.eigvals "
    "linalg.eigvalsh linalg.householder_product linalg.inv linalg.inv_ex linalg.lu linalg.lu_factor "
    "linalg.lu_factor_ex linalg.lu_solve linalg.matrix_norm linalg.matrix_power linalg.matrix_rank linalg.multi_dot "
    "linalg.norm linalg.pinv linalg.qr linalg.slogdet linalg.solve linalg.solve_ex linalg.solve_triangular linalg.svd "
    "linalg.svdvals linalg.tensorinv linalg.tensorsolve linalg.vecdot linalg.vector_norm linspace log log10 log1p log2 "
    "logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit logspace logsumexp lt "
    "lu_solve lu_unpack matmul matrix_power max maximum mean median min minimum mm mode msort mul multinomial multiply "
    "mv mvlgamma nan_to_num nanmean nanmedian nanquantile narrow_copy ne neg negative nextafter normal not_equal ones "
    "ormqr outer polar polygamma pow qr quantile rad2deg rand randint randn randperm range reciprocal remainder renorm "
    "round row_stack rsqrt searchsorted sgn sigmoid sign signbit sin sinc sinh sort special.airy_ai special.bessel_j0 "
    "special.bessel_j1 special.bessel_y0 special.bessel_y1 special.chebyshev_polynomial_t "
    "special.chebyshev_polynomial_u special.chebyshev_polynomial_v special.chebyshev_polynomial_w special.digamma "
    "special.entr special.erf special.erfc special.erfcx special.erfinv special.exp2 special.expit special.expm1 "
    "special.gammainc special.gammaincc special.gammaln special.hermite_polynomial_h special.hermite_polynomial_he "
    "special.i0 special.i0e special.i1 special.i1e special.laguerre_polynomial_l special.legendre_polynomial_p "
    "special.log1p special.log_ndtr special.logit special.logsumexp special.modified_bessel_i0 "
    "special.modified_bessel_i1 special.modified_bessel_k0 special.modified_bessel_k1 special.multigammaln "
    "special.ndtr special.ndtri special.polygamma special.psi special.round special.scaled_modified_bessel_k0 "
    "special.scaled_modified_bessel_k1 special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u "
    "special.shifted_chebyshev_polynomial_v special.shifted_chebyshev_polynomial_w special.spherical_bessel_j0 "
    "special.xlog1py special.xlogy special.zeta sqrt square stack std sub subtract svd take_along_dim tan tanh topk "
    "triangular_solve tril triu true_divide trunc var vdot vstack where xlogy zeros"
).split()
"""Functions that take `out=` in PyTorch."""


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def in_memory(array: Values) -> tuple[Tensor, Tensor]:
    """A tensor with room around each element, and the part of it that has the values."""
    whole = graphc.zeros(tuple(2 * n + 1 for n in array.shape), dtype=tensor_of(array).dtype)
    part = whole[tuple(slice(1, None, 2) for _ in array.shape)] if array.ndim else whole[...]
    part._array[...] = array
    return whole, part


@pytest.mark.parametrize("is_view", [False, True], ids=["whole", "part"])
@pytest.mark.parametrize("name", sorted(IN_PLACE))
def test_form_in_place_writes_what_the_function_gives(name: str, is_view: bool) -> None:
    written = 0
    for call in calls()[name]:
        place = 1 if name == "polygamma" else 0
        if not isinstance(call.args[place], np.ndarray):
            continue
        args, kwargs = call.replace(tensor_of)
        expected = function_of(name)(*args, **kwargs)
        whole, target = in_memory(call.args[place]) if is_view else (args[place], args[place])
        rest = args[:place] + args[place + 1 :]
        fits = expected.shape == target.shape and graphc.can_cast(expected.dtype, target.dtype)
        before, address, dtype = target._version, target.data_ptr(), target.dtype
        if not fits or (name == "float_power" and expected.dtype is not dtype):
            untouched = target.tolist()
            with pytest.raises(RuntimeError):
                getattr(target, f"{name}_")(*rest, **kwargs)
            assert target.tolist() == untouched
            assert target._version == before
            continue
        written += 1
        assert getattr(target, f"{name}_")(*rest, **kwargs) is target
        np.testing.assert_array_equal(target._array, expected._array.astype(target._array.dtype))
        assert (target.dtype, target.data_ptr()) == (dtype, address)
        assert target._version == whole._version == before + 1
        if is_view:
            around = np.ones(whole.shape, np.bool_)
            around[tuple(slice(1, None, 2) for _ in whole.shape) if whole.ndim else ...] = False
            assert not np.any(whole._array[around])
    assert written or name == "float_power"  # it computes in float64


@pytest.mark.parametrize("name", OUT)
def test_out_gets_what_the_function_gives(name: str) -> None:
    function = free_function_of(name)
    assert function is not None
    for call in calls()[name][:2]:
        args, kwargs = call.replace(tensor_of)
        expected = function(*args, **kwargs)
        if not all(isinstance(each, Tensor) for each in leaves(expected)):
            continue
        outs = [_transposed(each) for each in leaves(expected)]
        before = [each._version for each in outs]
        strides = [each.stride() for each in outs]
        found: Any = function(*args, **kwargs, out=tuple(outs) if isinstance(expected, tuple) else outs[0])
        for got, out, want, version, stride in zip(leaves(found), outs, leaves(expected), before, strides, strict=True):
            assert got is out
            np.testing.assert_array_equal(out._array, want._array, strict=True)
            assert (out._version, out.stride()) == (version + 1, stride)
        assert type(found) is type(expected)


def _transposed(like: Tensor) -> Tensor:
    """An empty tensor of this type, of which the first dimension is the fastest in memory."""
    order = tuple(reversed(range(like.ndim)))
    return graphc.zeros(tuple(reversed(like.shape)), dtype=like.dtype).permute(order)


def test_an_empty_out_gets_the_size_of_the_result() -> None:
    x, out = graphc.tensor([[1.0, 2.0], [3.0, 4.0]]), graphc.empty(0)
    assert graphc.add(x, 1, out=out) is out
    assert out.tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_out_of_a_call_with_a_gradient_is_refused() -> None:
    x = graphc.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"functions with out=.+ arguments don't support automatic differentiation"):
        graphc.exp(x, out=graphc.empty(1))
