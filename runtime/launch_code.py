"""The call from Python into a program, as LLVM IR: a builtin function that checks its arrays and runs native code.

In: nothing; the text is the same for every program and every CPython from 3.10 to 3.14 (without the interpreter's lock
removed). Out: a module with
    launch_enter(ptr entry, ptr block) -> i32    run a program in the floating-point mode that it was compiled for
    launch_call(ptr self, ptr arguments, i64 count) -> ptr    a METH_FASTCALL function; `self` is a bytearray, see below

`launch_call` knows one layout at a time: a table of 64-bit words, which `launch` writes. Its head has the fields of
`HEAD`; then come the block's constant part and the records of the arguments and of the outputs:
    argument    dtype, flags it must have, rank, sizes        each an exact size: symbols are settled before
    output      dtype, rank, sizes
It makes the outputs, runs the program, and returns them as a tuple; or the program's status where it is not 0; or None
where anything is not exactly as the table says: then Python code looks at it in its own time.

The block that a program gets is made of 64-bit words: the addresses of its inputs, of its outputs, and then the
constant part of the table (addresses of constants, values of sizes), and last the address of the arena.
"""

from __future__ import annotations

# Where CPython and numpy 2 keep what is read here, in bytes; `launch` compares each with what Python says.
OBJECT_TYPE = 8
ARRAY_DATA = 16
ARRAY_RANK = 24
ARRAY_SIZES = 32
ARRAY_DTYPE = 56
ARRAY_FLAGS = 64

HEAD = {
    "entry_point": "ptr",
    "inputs": "i64",
    "outputs": "i64",
    "constant_words": "i64",
    "first_record": "i64",  # offset in bytes of the first argument's record
    "releases_lock": "i64",
    "arena": "i64",  # address of the arena of this layout, 0 if it needs none
    "arena_flag": "ptr",  # where the same address is while no call uses the arena, else 0
    "arena_owner": "ptr",  # the object that keeps the arena
    "none": "ptr",
    "array_type": "ptr",
    "make_array": "ptr",  # numpy's PyArray_Empty
}

PYTHON_FUNCTIONS = {
    "PyByteArray_AsString": "ptr @PyByteArray_AsString(ptr)",
    "PyErr_Clear": "void @PyErr_Clear()",
    "PyEval_RestoreThread": "void @PyEval_RestoreThread(ptr)",
    "PyEval_SaveThread": "ptr @PyEval_SaveThread()",
    "PyLong_FromLong": "ptr @PyLong_FromLong(i64)",
    "PyTuple_New": "ptr @PyTuple_New(i64)",
    "PyTuple_SetItem": "i32 @PyTuple_SetItem(ptr, i64, ptr)",
    "Py_DecRef": "void @Py_DecRef(ptr)",
    "Py_IncRef": "void @Py_IncRef(ptr)",
}


def head_offset(field: str) -> int:
    """Offset in bytes of a field of the head."""
    return 8 * tuple(HEAD).index(field)


def enter_text(arch: str) -> str:
    """`launch_enter` for a machine; the code of kernels counts on subnormals and on rounding to nearest.

    A library may have changed either for the calling thread. To read the mode takes a nanosecond, to change it ten.
    """
    if arch == "x86_64":
        declarations = "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)"
        # 0xFFC0: all but the flags of past exceptions; 0x1F80: every exception masked, nothing else
        read = """%mode_at = alloca i32, align 4
  %ours_at = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %mode_at)
  %mode = load i32, ptr %mode_at
  %control = and i32 %mode, 65472
  %is_ours = icmp eq i32 %control, 8064"""
        change = "store i32 8064, ptr %ours_at\n  call void @llvm.x86.sse.ldmxcsr(ptr %ours_at)"
        restore = "call void @llvm.x86.sse.ldmxcsr(ptr %mode_at)"
    elif arch == "aarch64":
        declarations = "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)"
        read = "%mode = call i64 @llvm.aarch64.get.fpcr()\n  %is_ours = icmp eq i64 %mode, 0"
        change = "call void @llvm.aarch64.set.fpcr(i64 0)"
        restore = "call void @llvm.aarch64.set.fpcr(i64 %mode)"
    else:
        declarations = change = restore = ""
        read = "%is_ours = icmp eq i1 true, true"
    return f"""
{declarations}
define i32 @launch_enter(ptr %entry, ptr %block) nounwind {{
  {read}
  br i1 %is_ours, label %plain, label %changed
plain:
  %status = call i32 %entry(ptr %block)
  ret i32 %status
changed:
  {change}
  %changed_status = call i32 %entry(ptr %block)
  {restore}
  ret i32 %changed_status
}}
"""


def call_text(arch: str) -> str:
    """The whole module, for CPython."""
    declarations = "".join(f"declare {signature}\n" for signature in PYTHON_FUNCTIONS.values())
    head = "".join(
        f"  %{name}_at = getelementptr i8, ptr %table, i64 {head_offset(name)}\n"
        f"  %{name} = load {kind}, ptr %{name}_at\n"
        for name, kind in HEAD.items()
    )
    return f"""
{declarations}
{enter_text(arch)}

define internal ptr @return_none(ptr %none) nounwind {{
  call void @Py_IncRef(ptr %none)
  ret ptr %none
}}

define ptr @launch_call(ptr %self, ptr %arguments, i64 %count) nounwind {{
entry:
  %table = call ptr @PyByteArray_AsString(ptr %self)
{head}
  %is_right_count = icmp eq i64 %count, %inputs
  br i1 %is_right_count, label %make_room, label %decline

make_room:
  %arrays = add i64 %inputs, %outputs
  %words = add i64 %arrays, %constant_words
  %words_and_arena = add i64 %words, 1
  %block = alloca i64, i64 %words_and_arena, align 16
  %results = alloca ptr, i64 %arrays, align 16
  %first_at = getelementptr i8, ptr %table, i64 %first_record
  br label %next_argument

next_argument:
  %i = phi i64 [ 0, %make_room ], [ %i_next, %accept ]
  %record = phi ptr [ %first_at, %make_room ], [ %record_next, %accept ]
  %has_argument = icmp ult i64 %i, %inputs
  br i1 %has_argument, label %argument, label %take_arena
argument:
  %object_at = getelementptr ptr, ptr %arguments, i64 %i
  %object = load ptr, ptr %object_at
  %type_at = getelementptr i8, ptr %object, i64 {OBJECT_TYPE}
  %type = load ptr, ptr %type_at
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %array, label %decline
array:
  %dtype_at = getelementptr i8, ptr %object, i64 {ARRAY_DTYPE}
  %dtype = load ptr, ptr %dtype_at
  %wanted_dtype = load ptr, ptr %record
  %is_dtype = icmp eq ptr %dtype, %wanted_dtype
  %flags_at = getelementptr i8, ptr %object, i64 {ARRAY_FLAGS}
  %flags = load i32, ptr %flags_at
  %wanted_flags_at = getelementptr i8, ptr %record, i64 8
  %wanted_flags = load i32, ptr %wanted_flags_at
  %common_flags = and i32 %flags, %wanted_flags
  %has_flags = icmp eq i32 %common_flags, %wanted_flags
  %rank_at = getelementptr i8, ptr %object, i64 {ARRAY_RANK}
  %rank32 = load i32, ptr %rank_at
  %rank = zext i32 %rank32 to i64
  %wanted_rank_at = getelementptr i8, ptr %record, i64 16
  %wanted_rank = load i64, ptr %wanted_rank_at
  %is_rank = icmp eq i64 %rank, %wanted_rank
  %fits0 = and i1 %is_dtype, %has_flags
  %fits = and i1 %fits0, %is_rank
  br i1 %fits, label %shape, label %decline
shape:
  %sizes_at = getelementptr i8, ptr %object, i64 {ARRAY_SIZES}
  %sizes = load ptr, ptr %sizes_at
  %wanted_sizes = getelementptr i8, ptr %record, i64 24
  br label %next_size
next_size:
  %d = phi i64 [ 0, %shape ], [ %d_next, %compare ]
  %has_size = icmp ult i64 %d, %rank
  br i1 %has_size, label %compare, label %accept
compare:
  %size_at = getelementptr i64, ptr %sizes, i64 %d
  %size = load i64, ptr %size_at
  %wanted_size_at = getelementptr i64, ptr %wanted_sizes, i64 %d
  %wanted_size = load i64, ptr %wanted_size_at
  %d_next = add i64 %d, 1
  %is_size = icmp eq i64 %size, %wanted_size
  br i1 %is_size, label %next_size, label %decline
accept:
  %data_at = getelementptr i8, ptr %object, i64 {ARRAY_DATA}
  %data = load i64, ptr %data_at
  %input_slot = getelementptr i64, ptr %block, i64 %i
  store i64 %data, ptr %input_slot
  %record_next = getelementptr i64, ptr %wanted_sizes, i64 %rank
  %i_next = add i64 %i, 1
  br label %next_argument

take_arena:
  ; whoever comes here holds the interpreter's lock: no other call is between these lines
  %free_arena = load i64, ptr %arena_flag
  store i64 0, ptr %arena_flag
  %has_arena = icmp eq i64 %free_arena, %arena
  br i1 %has_arena, label %own_arena, label %decline
own_arena:
  call void @Py_IncRef(ptr %arena_owner)
  br label %next_output

next_output:
  %o = phi i64 [ 0, %own_arena ], [ %o_next, %made ]
  %out_record = phi ptr [ %record, %own_arena ], [ %out_record_next, %made ]
  %has_output = icmp ult i64 %o, %outputs
  br i1 %has_output, label %output, label %fill_constants
output:
  %out_dtype = load ptr, ptr %out_record
  %out_rank_at = getelementptr i8, ptr %out_record, i64 8
  %out_rank = load i64, ptr %out_rank_at
  %out_rank32 = trunc i64 %out_rank to i32
  %out_sizes = getelementptr i8, ptr %out_record, i64 16
  call void @Py_IncRef(ptr %out_dtype)
  %made_array = call ptr %make_array(i32 %out_rank32, ptr %out_sizes, ptr %out_dtype, i32 0)
  %is_made = icmp ne ptr %made_array, null
  br i1 %is_made, label %made, label %no_memory
made:
  %result_slot = getelementptr ptr, ptr %results, i64 %o
  store ptr %made_array, ptr %result_slot
  %out_data_at = getelementptr i8, ptr %made_array, i64 {ARRAY_DATA}
  %out_data = load i64, ptr %out_data_at
  %out_index = add i64 %inputs, %o
  %out_slot = getelementptr i64, ptr %block, i64 %out_index
  store i64 %out_data, ptr %out_slot
  %out_record_next = getelementptr i64, ptr %out_sizes, i64 %out_rank
  %o_next = add i64 %o, 1
  br label %next_output

fill_constants:
  %constants = getelementptr i8, ptr %table, i64 {8 * len(HEAD)}
  %rest = getelementptr i64, ptr %block, i64 %arrays
  br label %next_constant
next_constant:
  %c = phi i64 [ 0, %fill_constants ], [ %c_next, %constant ]
  %has_constant = icmp ult i64 %c, %constant_words
  br i1 %has_constant, label %constant, label %run
constant:
  %constant_at = getelementptr i64, ptr %constants, i64 %c
  %constant_value = load i64, ptr %constant_at
  %constant_slot = getelementptr i64, ptr %rest, i64 %c
  store i64 %constant_value, ptr %constant_slot
  %c_next = add i64 %c, 1
  br label %next_constant

run:
  %arena_slot = getelementptr i64, ptr %block, i64 %words
  store i64 %arena, ptr %arena_slot
  %lets_others_run = icmp ne i64 %releases_lock, 0
  br i1 %lets_others_run, label %run_unlocked, label %run_locked
run_locked:
  %locked_status = call i32 @launch_enter(ptr %entry_point, ptr %block)
  br label %done
run_unlocked:
  %thread = call ptr @PyEval_SaveThread()
  %unlocked_status = call i32 @launch_enter(ptr %entry_point, ptr %block)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %done
done:
  %status = phi i32 [ %locked_status, %run_locked ], [ %unlocked_status, %run_unlocked ]
  store i64 %arena, ptr %arena_flag
  call void @Py_DecRef(ptr %arena_owner)
  %is_good = icmp eq i32 %status, 0
  br i1 %is_good, label %return_results, label %return_status

return_results:
  %tuple = call ptr @PyTuple_New(i64 %outputs)
  %has_tuple = icmp ne ptr %tuple, null
  br i1 %has_tuple, label %next_item, label %return_status
next_item:
  %t = phi i64 [ 0, %return_results ], [ %t_next, %item ]
  %has_item = icmp ult i64 %t, %outputs
  br i1 %has_item, label %item, label %return_tuple
item:
  %item_at = getelementptr ptr, ptr %results, i64 %t
  %item_object = load ptr, ptr %item_at
  %ignored = call i32 @PyTuple_SetItem(ptr %tuple, i64 %t, ptr %item_object)
  %t_next = add i64 %t, 1
  br label %next_item
return_tuple:
  ret ptr %tuple

return_status:
  call void @drop(ptr %results, i64 %outputs)
  br i1 %is_good, label %failed, label %return_number
return_number:
  %status_long = sext i32 %status to i64
  %number = call ptr @PyLong_FromLong(i64 %status_long)
  ret ptr %number
failed:
  ; the interpreter has no memory for a tuple and says so
  ret ptr null

no_memory:
  call void @PyErr_Clear()
  call void @drop(ptr %results, i64 %o)
  store i64 %arena, ptr %arena_flag
  call void @Py_DecRef(ptr %arena_owner)
  br label %decline
decline:
  %nothing = call ptr @return_none(ptr %none)
  ret ptr %nothing
}}

define internal void @drop(ptr %objects, i64 %count) nounwind {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i_next, %one ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %one, label %done
one:
  %at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %at
  call void @Py_DecRef(ptr %object)
  %i_next = add i64 %i, 1
  br label %next
done:
  ret void
}}
"""
