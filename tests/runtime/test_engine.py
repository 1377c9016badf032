"""The engine: text to object, object to addresses, and its reports of what LLVM refuses."""

from __future__ import annotations

import ctypes
import threading

import pytest

from graphc.ir.errors import MemoryExceeded
from graphc.runtime import engine
from graphc.runtime.target import TARGETS, host_target

DOUBLE = """
define i32 @double_it(i32 %x) nounwind {
  %place = alloca i32
  store i32 %x, ptr %place
  %value = load i32, ptr %place
  %result = mul i32 %value, 2
  ret i32 %result
}
"""

# A loop over explicit vectors with masked loads and stores, as kernels are.
KERNEL = """
declare <16 x i1> @llvm.get.active.lane.mask.v16i1.i64(i64, i64)
declare <16 x float> @llvm.masked.load.v16f32.p0(ptr, <16 x i1>, <16 x float>)
declare void @llvm.masked.store.v16f32.p0(<16 x float>, ptr, <16 x i1>)
define void @kernel(ptr %x, ptr %y, i64 %n) {attributes} {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %mask = call <16 x i1> @llvm.get.active.lane.mask.v16i1.i64(i64 %i, i64 %n)
  %from = getelementptr float, ptr %x, i64 %i
  %v = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %from, <16 x i1> %mask, <16 x float> zeroinitializer)
  %f = fadd <16 x float> %v, splat (float 0.5)
  %to = getelementptr float, ptr %y, i64 %i
  call void @llvm.masked.store.v16f32.p0(<16 x float> %f, ptr align 4 %to, <16 x i1> %mask)
  %next = add i64 %i, 16
  br label %loop
done:
  ret void
}}
"""


def call_double(address: int, value: int) -> int:
    result: int = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(address)(value)
    return result


@pytest.mark.parametrize("clean", [False, True])
def test_text_becomes_code_that_runs(clean: bool) -> None:
    code = engine.compile_object(DOUBLE, host_target(), clean=clean)
    assert call_double(engine.load(code, ["double_it"])["double_it"], 21) == 42


def test_the_same_object_can_be_loaded_twice() -> None:
    code = engine.compile_object(DOUBLE, host_target())
    first, second = (engine.load(code, ["double_it"]) for _ in range(2))
    assert first["double_it"] != second["double_it"]
    assert call_double(first["double_it"], 1) == call_double(second["double_it"], 1) == 2


def test_code_that_nobody_has_is_unloaded() -> None:
    object_bytes = engine.compile_object(DOUBLE, host_target())
    before = engine.loaded()
    code = engine.load(object_bytes, ["double_it"])
    assert engine.loaded() == before + 1
    del code
    assert engine.loaded() == before


def test_clean_up_removes_the_detour_through_memory() -> None:
    assert "alloca" not in engine.cleaned(DOUBLE, host_target())


def test_assembly_is_text_for_the_target() -> None:
    assert "double_it:" in engine.assembly(DOUBLE, host_target())
    assert "zmm" in engine.assembly(
        KERNEL.format(attributes=TARGETS["x86-64-v4"].function_attributes), TARGETS["x86-64-v4"]
    )


@pytest.mark.parametrize("name", TARGETS)
def test_every_named_target_gets_object_code(name: str) -> None:
    target = TARGETS[name]
    code = engine.compile_object(KERNEL.format(attributes=target.function_attributes), target, clean=True)
    defined, needed = engine.object_symbols(code)
    assert (defined, needed) == (("kernel",), ())


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.runs_here])
def test_narrower_targets_give_the_same_bits_here(name: str) -> None:
    target = TARGETS[name]
    code = engine.compile_object(KERNEL.format(attributes=target.function_attributes), target)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
        engine.load(code, ["kernel"])["kernel"]
    )
    x = (ctypes.c_float * 19)(*[0.1 * i for i in range(19)])
    y = (ctypes.c_float * 20)()
    function(x, y, 19)
    expected = [ctypes.c_float(v + 0.5).value for v in x]  # exact in double, then rounded once
    assert list(y) == [*expected, 0.0]


@pytest.mark.parametrize(
    "text, says",
    [
        ("define i32 @f(i32 %x) {\n  %y = mul i32 %x, 2.0\n  ret i32 %y\n}", "cannot be parsed"),
        ("define i32 @f() {\n  %x = add i32 %y, 1\n  %y = add i32 %x, 1\n  ret i32 %y\n}", "is not valid"),
    ],
)
def test_a_module_that_llvm_refuses_is_an_internal_error_that_holds_it(text: str, says: str) -> None:
    with pytest.raises(engine.InternalCompilerError, match=says) as caught:
        engine.compile_object(text, host_target())
    assert caught.value.text == text


def test_a_missing_symbol_is_named() -> None:
    text = "declare void @absent_one()\ndefine void @f() {\n  call void @absent_one()\n  ret void\n}"
    code = engine.compile_object(text, host_target())
    with pytest.raises(engine.InternalCompilerError, match="calls what the runtime does not provide: absent_one"):
        engine.load(code, ["f"])
    with pytest.raises(engine.InternalCompilerError, match="does not define g"):
        engine.load(engine.compile_object(DOUBLE, host_target()), ["double_it", "g"])


def test_libm_is_not_offered() -> None:
    text = (
        "declare float @expf(float)\ndefine float @f(float %x) {\n  %y = call float @expf(float %x)\n  ret float %y\n}"
    )
    with pytest.raises(engine.InternalCompilerError, match="expf"):
        engine.load(engine.compile_object(text, host_target()), ["f"])


def test_an_imported_symbol_is_called() -> None:
    seen: list[int] = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int32)(seen.append)
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    engine.import_symbol("test_engine_callback", address)
    text = """declare void @test_engine_callback(i32)
    define void @f() {
      call void @test_engine_callback(i32 7)
      ret void
    }"""
    ctypes.CFUNCTYPE(None)(engine.load(engine.compile_object(text, host_target()), ["f"])["f"])()
    assert seen == [7]
    with pytest.raises(AssertionError, match="imported twice"):
        engine.import_symbol("test_engine_callback", address + 1)
    # What this test registered must not outlive its callback.
    engine.keep(callback)


def test_code_that_is_no_object_is_refused() -> None:
    with pytest.raises(engine.InternalCompilerError, match="not 64-bit little-endian ELF"):
        engine.load(b"this is not an object", ["f"])


def test_a_truncated_object_is_refused(run_child) -> None:
    output = run_child("""
        from graphc.runtime import engine
        from graphc.runtime.target import host_target
        code = engine.compile_object("define void @f() {\\n ret void\\n}", host_target())
        for size in range(0, len(code), 7):
            try:
                engine.load(code[:size], ["f"])
            except engine.InternalCompilerError:
                pass
        engine.load(code, ["f"])
        print("alive")
    """)
    assert output == "alive\n"


def test_more_code_than_the_system_can_map_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    code = engine.compile_object(DOUBLE, host_target())
    engine.load(code, ["double_it"])
    most = engine.loaded() + 1
    monkeypatch.setattr(engine, "most_libraries", lambda: most)
    only = engine.load(code, ["double_it"])
    with pytest.raises(MemoryExceeded, match="pieces of compiled code are loaded"):
        engine.load(code, ["double_it"])
    del only
    assert engine.load(code, ["double_it"])["double_it"]


def test_threads_compile_and_load_at_once() -> None:
    results: dict[int, int] = {}

    def work(number: int) -> None:
        for i in range(5):
            text = DOUBLE.replace("i32 %value, 2", f"i32 %value, {number * 10 + i}")
            code = engine.load(engine.compile_object(text, host_target(), clean=True), ["double_it"])
            results[number * 10 + i] = call_double(code["double_it"], 3)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: 3 * n for n in (10 * number + i for number in range(4) for i in range(5))}


def test_a_child_forked_during_a_compile_can_compile(run_child) -> None:
    output = run_child("""
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of a fork with threads
        from graphc.runtime import engine
        from graphc.runtime.target import host_target
        text = "define i32 @f(i32 %x) {\\n  %y = mul i32 %x, 2\\n  ret i32 %y\\n}"
        stop = False
        def work():
            while not stop:
                engine.load(engine.compile_object(text, host_target()), ["f"])
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                engine.load(engine.compile_object(text, host_target()), ["f"])
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop = True
        thread.join()
        print("alive")
    """)
    assert output == "alive\n"
