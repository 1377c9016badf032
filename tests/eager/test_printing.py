"""What tensors print: PyTorch's texts, character for character."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from graphc.eager.printing import get_printoptions, printoptions, set_printoptions, tensor_text
from graphc.ir.dtype import (
    DType,
    bf16,
    bool_,
    c64,
    c128,
    f8e4m3fn,
    f16,
    f32,
    f64,
    i32,
    i64,
    set_default_dtype,
    u8,
    u64,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A tensor and its text."""

    label: str
    values: Any
    dtype: DType
    text: str
    options: dict[str, Any]
    facts: dict[str, Any]


def case(label: str, values: Any, dtype: DType, text: str, options: dict[str, Any] | None = None, **facts: Any) -> Case:
    return Case(label, values, dtype, text, options or {}, facts)


TEXTS = (
    case("zeros have no digits", [0.0, 0.0], f32, "tensor([0., 0.])"),
    case("whole numbers end in a point", [1.0, -2.0, 30.0], f32, "tensor([ 1., -2., 30.])"),
    case("fractions have four digits", [1.0, 0.25, -3.5], f32, "tensor([ 1.0000,  0.2500, -3.5000])"),
    case("negative zero", [-0.0, 1.0, 2.0], f32, "tensor([-0., 1., 2.])"),
    case("nothing finite", [nan, inf, -inf], f32, "tensor([nan, inf, -inf])"),
    case(
        "nan does not widen a column",
        [[nan, 1.0], [1.0, -inf]],
        f32,
        """tensor([[nan, 1.],
        [1., -inf]])""",
    ),
    case("nan is aligned with fractions", [nan, 1.5, -inf], f32, "tensor([   nan, 1.5000,   -inf])"),
    case("a thousand to one is fixed", [1.0, 1000.0], f32, "tensor([   1., 1000.])"),
    case("more than a thousand to one is scientific", [1.0, 1001.0], f32, "tensor([1.0000e+00, 1.0010e+03])"),
    case("the ratio counts zeros out", [0.0, 0.5, 400.0], f32, "tensor([  0.0000,   0.5000, 400.0000])"),
    case("fractions over a thousand to one", [0.5, 501.0], f32, "tensor([5.0000e-01, 5.0100e+02])"),
    case("small numbers are scientific", [9e-5], f32, "tensor([9.0000e-05])"),
    case("not quite as small", [0.00011, 0.1], f32, "tensor([0.0001, 0.1000])"),
    case("1e-4 is below itself in float32", [1e-4], f32, "tensor([1.0000e-04])"),
    case("1e-4 is not in float64", [1e-4], f64, "tensor([0.0001], dtype=torch.float64)"),
    case("1e8 is fixed", [1e8], f32, "tensor([100000000.])"),
    case("above 1e8 is scientific", [1.1e8], f32, "tensor([1.1000e+08])"),
    case("eight digits", [12345678.0], f32, "tensor([12345678.])"),
    case("rounded to more digits than float32 has", [123456.7], f32, "tensor([123456.7031])"),
    case("least float32", [1e-45, 1.0], f32, "tensor([1.4013e-45, 1.0000e+00])"),
    case("three digits of exponent", [1e300, 1e-300], f64, "tensor([1.0000e+300, 1.0000e-300], dtype=torch.float64)"),
    case("scientific nan", [1e10, nan, -inf], f32, "tensor([1.0000e+10,        nan,       -inf])"),
    case(
        "columns are aligned",
        [[1.5, -20.0], [0.25, 300.0]],
        f32,
        """tensor([[ 1.5000e+00, -2.0000e+01],
        [ 2.5000e-01,  3.0000e+02]])""",
    ),
    case("a number", 3.25, f32, "tensor(3.2500)"),
    case("a whole number", -4.0, f32, "tensor(-4.)"),
    case("a small number", 1e-4, f32, "tensor(1.0000e-04)"),
    case("nan alone", nan, f32, "tensor(nan)"),
    case("an integer", 3, i64, "tensor(3)"),
    case("a bool", True, bool_, "tensor(True)"),
    case(
        "integers are aligned",
        [[1, -200], [30, 4]],
        i64,
        """tensor([[   1, -200],
        [  30,    4]])""",
    ),
    case("other integers say so", [1, 2], i32, "tensor([1, 2], dtype=torch.int32)"),
    case("bytes", [255, 0], u8, "tensor([255,   0], dtype=torch.uint8)"),
    case("the widest integer", [2**64 - 1], u64, "tensor([18446744073709551615], dtype=torch.uint64)"),
    case("bools are aligned", [True, False, True], bool_, "tensor([ True, False,  True])"),
    case("float64 says so", [1.0, 2.0], f64, "tensor([1., 2.], dtype=torch.float64)"),
    case("half", [1.0009, 65504.0], f16, "tensor([1.0010e+00, 6.5504e+04], dtype=torch.float16)"),
    case("bfloat16 digits", [0.1, 3.0], bf16, "tensor([0.1001, 3.0000], dtype=torch.bfloat16)"),
    case("eight bits", [448.0, 0.1], f8e4m3fn, "tensor([4.4800e+02, 1.0156e-01], dtype=torch.float8_e4m3fn)"),
    case("complex", [1 + 2j, 3 - 4j], c64, "tensor([1.+2.j, 3.-4.j])"),
    case("parts have notations of their own", [1.5 + 2j, -1 - 20j], c64, "tensor([ 1.5000+2.j, -1.0000-20.j])"),
    case(
        "imaginary parts are not aligned",
        [1 + 2j, 100.5 - 20.25j],
        c128,
        "tensor([  1.0000+2.0000j, 100.5000-20.2500j], dtype=torch.complex128)",
    ),
    case("complex nan", [complex(nan, inf), complex(1, -inf)], c64, "tensor([nan+infj, 1.-infj])"),
    case("a scientific part", [1e-5 + 1j, 1 + 2j], c64, "tensor([1.0000e-05+1.j, 1.0000e+00+2.j])"),
    case("a complex number", complex(-0.0, -0.5), c64, "tensor(-0.-0.5000j)"),
    case("empty", [], f32, "tensor([])"),
    case("empty with sizes", np.zeros((0, 3)), f32, "tensor([], size=(0, 3))"),
    case("empty integers", [], i64, "tensor([], dtype=torch.int64)"),
    case("empty bools", np.zeros((2, 0)), bool_, "tensor([], size=(2, 0), dtype=torch.bool)"),
    case("empty complex", [], c64, "tensor([], dtype=torch.complex64)"),
    case(
        "three dimensions",
        np.zeros((2, 2, 2)),
        f32,
        """tensor([[[0., 0.],
         [0., 0.]],

        [[0., 0.],
         [0., 0.]]])""",
    ),
    case(
        "four dimensions",
        np.arange(8).reshape(2, 2, 1, 2),
        i64,
        """tensor([[[[0, 1]],

         [[2, 3]]],


        [[[4, 5]],

         [[6, 7]]]])""",
    ),
    case(
        "rows are broken",
        np.arange(20) * 1.5,
        f32,
        """tensor([ 0.0000,  1.5000,  3.0000,  4.5000,  6.0000,  7.5000,  9.0000, 10.5000,
        12.0000, 13.5000, 15.0000, 16.5000, 18.0000, 19.5000, 21.0000, 22.5000,
        24.0000, 25.5000, 27.0000, 28.5000])""",
    ),
    case(
        "rows of negative integers",
        np.full(30, -1000),
        i64,
        """tensor([-1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000,
        -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000,
        -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000])""",
    ),
    case(
        "rows of matrices are broken",
        np.arange(52.0).reshape(2, 26),
        f32,
        """tensor([[ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,
         14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25.],
        [26., 27., 28., 29., 30., 31., 32., 33., 34., 35., 36., 37., 38., 39.,
         40., 41., 42., 43., 44., 45., 46., 47., 48., 49., 50., 51.]])""",
    ),
    case(
        "rows of complex numbers",
        np.arange(7) * 1.5 + 0.5j,
        c64,
        """tensor([0.0000+0.5000j, 1.5000+0.5000j, 3.0000+0.5000j, 4.5000+0.5000j,
        6.0000+0.5000j, 7.5000+0.5000j, 9.0000+0.5000j])""",
    ),
    case("long vectors are cut", np.arange(1001), i64, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    case(
        "a thousand and one rows",
        np.zeros((1001, 1)),
        f32,
        """tensor([[0.],
        [0.],
        [0.],
        ...,
        [0.],
        [0.],
        [0.]])""",
    ),
    case(
        "the ends decide the notation",
        np.r_[1.0, 2.0, 3.0, np.full(1000, 1e-9), 4.0, 5.0, 6.0],
        f32,
        "tensor([1., 2., 3.,  ..., 4., 5., 6.])",
    ),
    case(
        "each long dimension is cut",
        np.arange(1008).reshape(7, 2, 8, 9),
        i64,
        """tensor([[[[   0,    1,    2,  ...,    6,    7,    8],
          [   9,   10,   11,  ...,   15,   16,   17],
          [  18,   19,   20,  ...,   24,   25,   26],
          ...,
          [  45,   46,   47,  ...,   51,   52,   53],
          [  54,   55,   56,  ...,   60,   61,   62],
          [  63,   64,   65,  ...,   69,   70,   71]],

         [[  72,   73,   74,  ...,   78,   79,   80],
          [  81,   82,   83,  ...,   87,   88,   89],
          [  90,   91,   92,  ...,   96,   97,   98],
          ...,
          [ 117,  118,  119,  ...,  123,  124,  125],
          [ 126,  127,  128,  ...,  132,  133,  134],
          [ 135,  136,  137,  ...,  141,  142,  143]]],


        [[[ 144,  145,  146,  ...,  150,  151,  152],
          [ 153,  154,  155,  ...,  159,  160,  161],
          [ 162,  163,  164,  ...,  168,  169,  170],
          ...,
          [ 189,  190,  191,  ...,  195,  196,  197],
          [ 198,  199,  200,  ...,  204,  205,  206],
          [ 207,  208,  209,  ...,  213,  214,  215]],

         [[ 216,  217,  218,  ...,  222,  223,  224],
          [ 225,  226,  227,  ...,  231,  232,  233],
          [ 234,  235,  236,  ...,  240,  241,  242],
          ...,
          [ 261,  262,  263,  ...,  267,  268,  269],
          [ 270,  271,  272,  ...,  276,  277,  278],
          [ 279,  280,  281,  ...,  285,  286,  287]]],


        [[[ 288,  289,  290,  ...,  294,  295,  296],
          [ 297,  298,  299,  ...,  303,  304,  305],
          [ 306,  307,  308,  ...,  312,  313,  314],
          ...,
          [ 333,  334,  335,  ...,  339,  340,  341],
          [ 342,  343,  344,  ...,  348,  349,  350],
          [ 351,  352,  353,  ...,  357,  358,  359]],

         [[ 360,  361,  362,  ...,  366,  367,  368],
          [ 369,  370,  371,  ...,  375,  376,  377],
          [ 378,  379,  380,  ...,  384,  385,  386],
          ...,
          [ 405,  406,  407,  ...,  411,  412,  413],
          [ 414,  415,  416,  ...,  420,  421,  422],
          [ 423,  424,  425,  ...,  429,  430,  431]]],


        ...,


        [[[ 576,  577,  578,  ...,  582,  583,  584],
          [ 585,  586,  587,  ...,  591,  592,  593],
          [ 594,  595,  596,  ...,  600,  601,  602],
          ...,
          [ 621,  622,  623,  ...,  627,  628,  629],
          [ 630,  631,  632,  ...,  636,  637,  638],
          [ 639,  640,  641,  ...,  645,  646,  647]],

         [[ 648,  649,  650,  ...,  654,  655,  656],
          [ 657,  658,  659,  ...,  663,  664,  665],
          [ 666,  667,  668,  ...,  672,  673,  674],
          ...,
          [ 693,  694,  695,  ...,  699,  700,  701],
          [ 702,  703,  704,  ...,  708,  709,  710],
          [ 711,  712,  713,  ...,  717,  718,  719]]],


        [[[ 720,  721,  722,  ...,  726,  727,  728],
          [ 729,  730,  731,  ...,  735,  736,  737],
          [ 738,  739,  740,  ...,  744,  745,  746],
          ...,
          [ 765,  766,  767,  ...,  771,  772,  773],
          [ 774,  775,  776,  ...,  780,  781,  782],
          [ 783,  784,  785,  ...,  789,  790,  791]],

         [[ 792,  793,  794,  ...,  798,  799,  800],
          [ 801,  802,  803,  ...,  807,  808,  809],
          [ 810,  811,  812,  ...,  816,  817,  818],
          ...,
          [ 837,  838,  839,  ...,  843,  844,  845],
          [ 846,  847,  848,  ...,  852,  853,  854],
          [ 855,  856,  857,  ...,  861,  862,  863]]],


        [[[ 864,  865,  866,  ...,  870,  871,  872],
          [ 873,  874,  875,  ...,  879,  880,  881],
          [ 882,  883,  884,  ...,  888,  889,  890],
          ...,
          [ 909,  910,  911,  ...,  915,  916,  917],
          [ 918,  919,  920,  ...,  924,  925,  926],
          [ 927,  928,  929,  ...,  933,  934,  935]],

         [[ 936,  937,  938,  ...,  942,  943,  944],
          [ 945,  946,  947,  ...,  951,  952,  953],
          [ 954,  955,  956,  ...,  960,  961,  962],
          ...,
          [ 981,  982,  983,  ...,  987,  988,  989],
          [ 990,  991,  992,  ...,  996,  997,  998],
          [ 999, 1000, 1001,  ..., 1005, 1006, 1007]]]])""",
    ),
    case("needs gradients", [1.0, 2.0], f32, "tensor([1., 2.], requires_grad=True)", requires_grad=True),
    case(
        "made by an operation", [1.0, 2.0], f32, "tensor([1., 2.], grad_fn=<AddBackward0>)", grad_fn_name="AddBackward0"
    ),
    case(
        "dtype before gradients",
        [1.0, 2.0],
        f64,
        "tensor([1., 2.], dtype=torch.float64, requires_grad=True)",
        requires_grad=True,
    ),
    case(
        "what does not fit goes on a new line",
        np.arange(8) * 1.5,
        f32,
        """tensor([ 0.0000,  1.5000,  3.0000,  4.5000,  6.0000,  7.5000,  9.0000, 10.5000],
       grad_fn=<AddBackward0>)""",
        grad_fn_name="AddBackward0",
    ),
    case(
        "what fits behind the last row",
        np.arange(9) * 1.5,
        f32,
        """tensor([ 0.0000,  1.5000,  3.0000,  4.5000,  6.0000,  7.5000,  9.0000, 10.5000,
        12.0000], grad_fn=<AddBackward0>)""",
        grad_fn_name="AddBackward0",
    ),
    case(
        "each on a line of its own",
        np.full(17, 0.0),
        f64,
        """tensor([0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.],
       dtype=torch.float64,
       grad_fn=<AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABackward>)""",
        grad_fn_name="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABackward",
    ),
    case(
        "empty that needs gradients",
        np.zeros((0, 2)),
        f64,
        "tensor([], size=(0, 2), dtype=torch.float64, requires_grad=True)",
        requires_grad=True,
    ),
    case(
        "a parameter",
        [[1.0, 2.0]],
        f32,
        """Parameter containing:
tensor([[1., 2.]], requires_grad=True)""",
        requires_grad=True,
        is_parameter=True,
    ),
    case(
        "a frozen parameter",
        [1.5],
        f32,
        """Parameter containing:
tensor([1.5000])""",
        is_parameter=True,
    ),
    case(
        "a subclass",
        [[1.0, 2.0], [3.0, 4.0]],
        f32,
        """MyTensor([[1., 2.],
          [3., 4.]])""",
        type_name="MyTensor",
    ),
    case("without values", np.zeros((2, 3)), f32, "tensor(..., device='meta', size=(2, 3))", device="meta"),
    case(
        "without values, of integers",
        np.zeros(2),
        i64,
        "tensor(..., device='meta', size=(2,), dtype=torch.int64)",
        device="meta",
    ),
)

OPTIONS = (
    case("precision", [1.5, 2.25], f32, "tensor([1.50, 2.25])", options={"precision": 2}),
    case("no digits", [1.5, 2.0], f32, "tensor([2, 2])", options={"precision": 0}),
    case("scientific without digits", [1.5e10, 2.0], f32, "tensor([2e+10, 2e+00])", options={"precision": 0}),
    case("eight digits", [1.5, 2.1], f32, "tensor([1.50000000, 2.09999990])", options={"precision": 8}),
    case("precision of complex", [1.25 + 3j], c64, "tensor([1.25+3.j])", options={"precision": 2}),
    case("threshold", np.arange(10), i64, "tensor([0, 1, 2,  ..., 7, 8, 9])", options={"threshold": 5}),
    case(
        "threshold of short dimensions",
        np.ones((3, 7)),
        f32,
        """tensor([[1., 1., 1.,  ..., 1., 1., 1.],
        [1., 1., 1.,  ..., 1., 1., 1.],
        [1., 1., 1.,  ..., 1., 1., 1.]])""",
        options={"threshold": 10},
    ),
    case(
        "not above the threshold",
        np.ones((2, 3)),
        f32,
        """tensor([[1., 1., 1.],
        [1., 1., 1.]])""",
        options={"threshold": 6},
    ),
    case(
        "edgeitems",
        np.arange(24).reshape(4, 6),
        i64,
        """tensor([[ 0,  ...,  5],
        ...,
        [18,  ..., 23]])""",
        options={"threshold": 5, "edgeitems": 1},
    ),
    case(
        "no edgeitems",
        np.arange(24).reshape(4, 6),
        i64,
        "tensor([...], size=(4, 6))",
        options={"threshold": 5, "edgeitems": 0},
    ),
    case("no edgeitems nor cut", [1.0, 2.0], f32, "tensor([1., 2.], size=(2,))", options={"edgeitems": 0}),
    case("no edgeitems of a number", 3.0, f32, "tensor(3., size=())", options={"edgeitems": 0}),
    case(
        "linewidth",
        np.arange(10) * 1.5,
        f32,
        """tensor([ 0.0000,  1.5000,
         3.0000,  4.5000,
         6.0000,  7.5000,
         9.0000, 10.5000,
        12.0000, 13.5000])""",
        options={"linewidth": 30},
    ),
    case(
        "no width",
        [1.5, 2.0],
        f32,
        """tensor([1.5000,
        2.0000])""",
        options={"linewidth": 0},
    ),
    case(
        "narrow with gradients",
        [0.0, 0.0],
        f32,
        """tensor([0., 0.],
       requires_grad=True)""",
        options={"linewidth": 20},
        requires_grad=True,
    ),
    case("always scientific", [1.0, 2.5], f32, "tensor([1.0000e+00, 2.5000e+00])", options={"sci_mode": True}),
    case("never scientific", [1e-8, 1.0], f32, "tensor([0.0000, 1.0000])", options={"sci_mode": False}),
    case(
        "never scientific, large",
        [1.5, 1e9],
        f32,
        "tensor([         1.5000, 1000000000.0000])",
        options={"sci_mode": False},
    ),
    case("zeros stay", [0.0, 0.0], f32, "tensor([0., 0.])", options={"sci_mode": True}),
    case("scientific complex", [1.25 + 3j], c64, "tensor([1.2500e+00+3.0000e+00j])", options={"sci_mode": True}),
    case("integers stay", [1, 2], i64, "tensor([1, 2])", options={"sci_mode": True}),
    case(
        "scientific nan",
        [nan, 1.0],
        f32,
        "tensor([             nan, 1.0000000000e+00])",
        options={"sci_mode": True, "precision": 10},
    ),
    case(
        "short",
        np.arange(1001) * 0.5,
        f32,
        "tensor([  0.00,   0.50,  ..., 499.50, 500.00])",
        options={"profile": "short"},
    ),
    case("capitals are no profile", [1.25, 2.0], f32, "tensor([1.2500, 2.0000])", options={"profile": "SHORT"}),
    case("full", [1.25, 2.0], f32, "tensor([1.2500, 2.0000])", options={"profile": "full"}),
    case(
        "a profile and a change",
        [1.25, 2.0],
        f32,
        "tensor([1.250, 2.000])",
        options={"profile": "short", "precision": 3},
    ),
    case("an unknown profile", [1.25, 2.0], f32, "tensor([1.2500, 2.0000])", options={"profile": "tiny"}),
)


@pytest.fixture(autouse=True)
def usual_options() -> Iterator[None]:
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")
    set_default_dtype(f32)


def text_of(values: Any, dtype: DType, **facts: Any) -> str:
    array = np.array(values)
    return tensor_text(array if array.dtype == np.uint64 else array.astype(dtype.numpy), dtype, **facts)


@pytest.mark.parametrize("each", TEXTS + OPTIONS, ids=lambda each: each.label)
def test_prints_as_pytorch_does(each: Case) -> None:
    with printoptions(**each.options):
        assert text_of(each.values, each.dtype, **each.facts) == each.text


DEFAULTS = (
    (f64, [1.0], f64, "tensor([1.])"),
    (f64, [1.0], f32, "tensor([1.], dtype=torch.float32)"),
    (f64, [1j], c128, "tensor([0.+1.j])"),
    (f64, [1j], c64, "tensor([0.+1.j], dtype=torch.complex64)"),
    (f64, [], f64, "tensor([])"),
    (f64, [], f32, "tensor([], dtype=torch.float32)"),
    (f64, [1], i64, "tensor([1])"),
    (f16, [1.0], f16, "tensor([1.])"),
    (f16, [1j], c64, "tensor([0.+1.j])"),
    (bf16, [1.0], bf16, "tensor([1.])"),
    (bf16, [1.0], f32, "tensor([1.], dtype=torch.float32)"),
)


@pytest.mark.parametrize(("default", "values", "dtype", "text"), DEFAULTS)
def test_the_default_dtype_is_not_said(default: DType, values: Any, dtype: DType, text: str) -> None:
    set_default_dtype(default)
    assert text_of(values, dtype) == text


def test_values_in_any_memory_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert tensor_text(array.T[::-1], f32) == "tensor([[2., 5.],\n        [1., 4.],\n        [0., 3.]])"
    assert tensor_text(np.broadcast_to(np.float32(1), (2, 2)), f32) == "tensor([[1., 1.],\n        [1., 1.]])"


def test_options_are_kept_until_set_again() -> None:
    assert get_printoptions() == {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
    set_printoptions(precision=2, sci_mode=True)
    set_printoptions(linewidth=100)  # each call sets sci_mode
    assert get_printoptions() == {"precision": 2, "threshold": 1000, "edgeitems": 3, "linewidth": 100, "sci_mode": None}
    set_printoptions(profile="full")
    assert get_printoptions() == {"precision": 4, "threshold": inf, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def test_a_block_gives_the_options_back() -> None:
    set_printoptions(precision=3)
    with printoptions(precision=1, edgeitems=5):
        assert text_of([1.25], f32) == "tensor([1.2])"
    assert text_of([1.25], f32) == "tensor([1.250])"
    assert get_printoptions()["edgeitems"] == 3
