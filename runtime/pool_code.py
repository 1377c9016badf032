"""The thread pool as LLVM IR: workers that spin a little, then sleep in the kernel, and a fork-join of 0.1 us.

In: a target. Out: the text of a module with
    pool_run(ptr function, ptr argument)                 run function(argument, i64 thread, i64 threads) on all threads
    pool_run_n(ptr function, ptr argument, i64 most)     on at most so many
    pool_reset()                                         in a forked child, where the workers do not exist
and the variables `pool_threads` (i64, what pool_run uses), `pool_started` (i64) and `pool_spin` (i32, pauses before
sleep). Workers start when first needed and live as long as the process. The caller is thread 0 and does its share.

One word says what there is to do: the low half is the region's number, on which sleepers wait, the high half its
thread count. A worker whose number is not below the count must not look at the function and argument, for the caller
does not wait for it before it writes the next ones; so both halves must arrive together. A share belongs to whoever
first writes the region's number into the share's claim. An entry while a region runs (from a task, or from another
thread of the program) does the work by itself, as the only thread.
"""

from __future__ import annotations

from graphc.runtime.target import Target
from graphc.runtime.threads import MAX_THREADS

# The futex system call, where the pool knows it. Both are little-endian, as the two halves of the word require.
_FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98}

# Pauses before sleep: 50 to 150 us, a few times what it costs to wake up.
SPIN = {"x86_64": 4096, "aarch64": 8192}

# Pauses that the caller grants the workers to begin.
_GRACE = 256


def is_supported(target: Target) -> bool:
    """Whether the pool can be built for `target`: Linux, on a machine whose system calls it knows."""
    return "linux" in target.triple and target.arch in _FUTEX_NUMBER


def pool_text(target: Target) -> str:
    """The module, for a target that `is_supported`."""
    futex = f"call i64 (i64, ...) @syscall(i64 {_FUTEX_NUMBER[target.arch]}"
    if target.arch == "x86_64":
        declarations = "declare void @llvm.x86.sse2.pause()\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)"
        pause = "call void @llvm.x86.sse2.pause()"
        # Round to nearest, subnormals kept, no traps: a thread inherits its creator's mode, whatever that was.
        set_float_mode = "call void @llvm.x86.sse.ldmxcsr(ptr @float_mode)"
    else:
        declarations = "declare void @llvm.aarch64.isb(i32)\ndeclare void @llvm.aarch64.set.fpcr(i64)"
        pause = "call void @llvm.aarch64.isb(i32 15)"
        set_float_mode = "call void @llvm.aarch64.set.fpcr(i64 0)"
    # 137: FUTEX_WAIT_BITSET, 138: FUTEX_WAKE_BITSET, 128: FUTEX_WAIT, 129: FUTEX_WAKE; all private to the process.
    return f"""
; what the two sides write often lies 64 bytes apart
@pool_word     = internal global i64 0, align 64
@pool_pending  = internal global i32 0, align 64
@pool_sleepers = internal global i64 0, align 64
@pool_work     = internal global {{ ptr, ptr, i64, i64, i64, i64, i64, i64 }} zeroinitializer, align 64
@pool_busy     = internal global i32 0, align 64
@pool_waiting  = internal global i32 0, align 4
@pool_claims   = internal global [{64 * MAX_THREADS} x i8] zeroinitializer, align 64
@pool_threads  = global i64 1, align 64
@pool_started  = global i64 1, align 8
@pool_spin     = global i32 {SPIN[target.arch]}, align 4
@float_mode    = internal constant i32 8064, align 4
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_setdetachstate(ptr, i32)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
declare i32 @sigdelset(ptr, i32)
declare i64 @llvm.smin.i64(i64, i64)
declare i32 @llvm.umin.i32(i32, i32)
{declarations}

; the sleepers' bit of a thread; threads above 63 have none, and are woken unasked
define internal i64 @sleeper_bit(i64 %thread) nounwind alwaysinline {{
  %low = icmp ult i64 %thread, 64
  %shift = and i64 %thread, 63
  %bit = shl i64 1, %shift
  %result = select i1 %low, i64 %bit, i64 0
  ret i64 %result
}}

define internal ptr @pool_worker(ptr %number) nounwind {{
entry:
  %thread = ptrtoint ptr %number to i64
  %bit = call i64 @sleeper_bit(i64 %thread)
  %not_bit = xor i64 %bit, -1
  %group = and i64 %thread, 31
  %group32 = trunc i64 %group to i32
  %group_bit = shl i32 1, %group32
  {set_float_mode}
  br label %spin
spin:
  ; at first no word equals the last one seen; regions begun before this thread existed have counts below its number
  %last = phi i64 [ -1, %entry ], [ %last, %again ], [ %word, %skip ], [ %word, %finished ], [ %last, %park ]
  %turn = phi i32 [ 0, %entry ], [ %next_turn, %again ], [ %turn, %skip ], [ 0, %finished ], [ %limit, %park ]
  %word = load atomic i64, ptr @pool_word acquire, align 8
  %is_new = icmp ne i64 %word, %last
  br i1 %is_new, label %look, label %idle
idle:
  %limit = load atomic i32, ptr @pool_spin monotonic, align 4
  %next_turn = add nuw i32 %turn, 1
  %patient = icmp ult i32 %turn, %limit
  br i1 %patient, label %again, label %park
again:
  {pause}
  br label %spin
park:
  %s0 = atomicrmw or ptr @pool_sleepers, i64 %bit seq_cst
  %number_seen = trunc i64 %last to i32
  %r0 = {futex}, ptr @pool_word, i32 137, i32 %number_seen, ptr null, ptr null, i32 %group_bit)
  %s1 = atomicrmw and ptr @pool_sleepers, i64 %not_bit seq_cst
  br label %spin
look:
  %count = lshr i64 %word, 32
  %takes_part = icmp ult i64 %thread, %count
  br i1 %takes_part, label %consider, label %skip
consider:
  ; a claim that is not older than the region: the caller was quicker, or this is about a region long past
  %number_now = trunc i64 %word to i32
  %claim_offset = shl i64 %thread, 6
  %claim = getelementptr i8, ptr @pool_claims, i64 %claim_offset
  %claimed = load atomic i32, ptr %claim monotonic, align 64
  %age = sub i32 %number_now, %claimed
  %is_older = icmp sgt i32 %age, 0
  br i1 %is_older, label %try, label %skip
try:
  %exchanged = cmpxchg ptr %claim, i32 %claimed, i32 %number_now acq_rel monotonic
  %is_ours = extractvalue {{ i32, i1 }} %exchanged, 1
  br i1 %is_ours, label %run, label %skip
skip:
  br label %spin
run:
  %function = load ptr, ptr @pool_work
  %argument_at = getelementptr i8, ptr @pool_work, i64 8
  %argument = load ptr, ptr %argument_at
  call void %function(ptr %argument, i64 %thread, i64 %count)
  %before = atomicrmw sub ptr @pool_pending, i32 1 seq_cst
  %was_last = icmp eq i32 %before, 1
  br i1 %was_last, label %tell, label %finished
tell:
  %waiting = load atomic i32, ptr @pool_waiting seq_cst, align 4
  %is_waiting = icmp ne i32 %waiting, 0
  br i1 %is_waiting, label %wake, label %finished
wake:
  %r1 = {futex}, ptr @pool_pending, i32 129, i32 1, ptr null, ptr null, i32 0)
  br label %finished
finished:
  br label %spin
}}

; start workers until there are `wanted` threads; the result is how many there are
define internal i64 @pool_grow(i64 %wanted) nounwind noinline {{
entry:
  %attributes = alloca [256 x i8], align 16
  %identity = alloca i64, align 16
  %blocked = alloca [256 x i8], align 16
  %previous = alloca [256 x i8], align 16
  %a0 = call i32 @pthread_attr_init(ptr %attributes)
  %a1 = call i32 @pthread_attr_setdetachstate(ptr %attributes, i32 1)
  %a2 = call i32 @pthread_attr_setstacksize(ptr %attributes, i64 {8 << 20})
  ; signals are for the program's own threads, save those (ILL, BUS, FPE, SEGV) that tell of a fault right here
  %b0 = call i32 @sigfillset(ptr %blocked)
  %b1 = call i32 @sigdelset(ptr %blocked, i32 4)
  %b2 = call i32 @sigdelset(ptr %blocked, i32 7)
  %b3 = call i32 @sigdelset(ptr %blocked, i32 8)
  %b4 = call i32 @sigdelset(ptr %blocked, i32 11)
  %b5 = call i32 @pthread_sigmask(i32 2, ptr %blocked, ptr %previous)
  %first = load i64, ptr @pool_started
  br label %next
next:
  %have = phi i64 [ %first, %entry ], [ %more, %created ]
  %is_short = icmp slt i64 %have, %wanted
  br i1 %is_short, label %create, label %done
create:
  %number = inttoptr i64 %have to ptr
  %failed = call i32 @pthread_create(ptr %identity, ptr %attributes, ptr @pool_worker, ptr %number)
  %is_created = icmp eq i32 %failed, 0
  br i1 %is_created, label %created, label %refused
created:
  %more = add nuw nsw i64 %have, 1
  br label %next
refused:
  ; the system grants no more: be content with these, and do not ask at each region
  store atomic i64 %have, ptr @pool_threads monotonic, align 8
  br label %done
done:
  store i64 %have, ptr @pool_started
  %c0 = call i32 @pthread_sigmask(i32 2, ptr %previous, ptr null)
  %c1 = call i32 @pthread_attr_destroy(ptr %attributes)
  ret i64 %have
}}

define void @pool_run(ptr %function, ptr %argument) nounwind {{
  call void @pool_run_n(ptr %function, ptr %argument, i64 {MAX_THREADS})
  ret void
}}

define void @pool_run_n(ptr %function, ptr %argument, i64 %most) nounwind {{
entry:
  %all = load atomic i64, ptr @pool_threads monotonic, align 8
  %wanted = call i64 @llvm.smin.i64(i64 %all, i64 %most)
  %is_shared = icmp sgt i64 %wanted, 1
  br i1 %is_shared, label %claim, label %alone
alone:
  call void %function(ptr %argument, i64 0, i64 1)
  ret void
claim:
  %claimed = cmpxchg ptr @pool_busy, i32 0, i32 1 acquire monotonic
  %is_ours = extractvalue {{ i32, i1 }} %claimed, 1
  br i1 %is_ours, label %ours, label %alone
ours:
  %started = load i64, ptr @pool_started
  %is_enough = icmp sge i64 %started, %wanted
  br i1 %is_enough, label %publish, label %grow
grow:
  %have = call i64 @pool_grow(i64 %wanted)
  %can = call i64 @llvm.smin.i64(i64 %have, i64 %wanted)
  br label %publish
publish:
  %count = phi i64 [ %wanted, %ours ], [ %can, %grow ]
  store ptr %function, ptr @pool_work
  %argument_at = getelementptr i8, ptr @pool_work, i64 8
  store ptr %argument, ptr %argument_at
  %count32 = trunc i64 %count to i32
  %others = sub i32 %count32, 1
  store atomic i32 %others, ptr @pool_pending monotonic, align 4
  %old_word = load atomic i64, ptr @pool_word monotonic, align 8
  %old_number = trunc i64 %old_word to i32
  %number = add i32 %old_number, 1
  %low = zext i32 %number to i64
  %high = shl i64 %count, 32
  %word = or i64 %high, %low
  store atomic i64 %word, ptr @pool_word seq_cst, align 8
  %asleep = load atomic i64, ptr @pool_sleepers seq_cst, align 8
  %is_large = icmp ugt i64 %count, 63
  %shift = and i64 %count, 63
  %above = shl i64 -1, %shift
  %below = xor i64 %above, -1
  %members = select i1 %is_large, i64 -1, i64 %below
  %members_asleep = and i64 %asleep, %members
  %any_asleep = icmp ne i64 %members_asleep, 0
  %must_wake = or i1 %is_large, %any_asleep
  br i1 %must_wake, label %wake, label %work
wake:
  %is_all_groups = icmp ugt i64 %count, 31
  %low_groups = trunc i64 %below to i32
  %groups = select i1 %is_all_groups, i32 -1, i32 %low_groups
  %r0 = {futex}, ptr @pool_word, i32 138, i32 2147483647, ptr null, ptr null, i32 %groups)
  br label %work
work:
  call void %function(ptr %argument, i64 0, i64 %count)
  %limit = load atomic i32, ptr @pool_spin monotonic, align 4
  %grace = call i32 @llvm.umin.i32(i32 %limit, i32 {_GRACE})
  br label %join_early
join_early:
  %turn_early = phi i32 [ 0, %work ], [ %next_turn_early, %again_early ]
  %left_early = load atomic i32, ptr @pool_pending acquire, align 4
  %is_done_early = icmp eq i32 %left_early, 0
  br i1 %is_done_early, label %free, label %still_early
still_early:
  %next_turn_early = add nuw i32 %turn_early, 1
  %is_early = icmp ult i32 %turn_early, %grace
  br i1 %is_early, label %again_early, label %take_over
again_early:
  {pause}
  br label %join_early
take_over:
  %share = phi i64 [ 1, %still_early ], [ %next_share, %next ]
  %has_share = icmp ult i64 %share, %count
  br i1 %has_share, label %look, label %join
look:
  %share_offset = shl i64 %share, 6
  %share_claim = getelementptr i8, ptr @pool_claims, i64 %share_offset
  %claimed_by = load atomic i32, ptr %share_claim monotonic, align 64
  %is_begun = icmp eq i32 %claimed_by, %number
  br i1 %is_begun, label %next, label %try
try:
  %exchanged = cmpxchg ptr %share_claim, i32 %claimed_by, i32 %number acq_rel monotonic
  %is_taken = extractvalue {{ i32, i1 }} %exchanged, 1
  br i1 %is_taken, label %do_share, label %next
do_share:
  call void %function(ptr %argument, i64 %share, i64 %count)
  %pending_before = atomicrmw sub ptr @pool_pending, i32 1 seq_cst
  br label %next
next:
  %next_share = add nuw i64 %share, 1
  br label %take_over
join:
  %turn = phi i32 [ 0, %take_over ], [ %next_turn, %again ]
  %left = load atomic i32, ptr @pool_pending acquire, align 4
  %is_done = icmp eq i32 %left, 0
  br i1 %is_done, label %free, label %still
still:
  %next_turn = add nuw i32 %turn, 1
  %patient = icmp ult i32 %turn, %limit
  br i1 %patient, label %again, label %sleep
again:
  {pause}
  br label %join
sleep:
  store atomic i32 1, ptr @pool_waiting seq_cst, align 4
  br label %sleep_more
sleep_more:
  %left_now = load atomic i32, ptr @pool_pending seq_cst, align 4
  %is_done_now = icmp eq i32 %left_now, 0
  br i1 %is_done_now, label %awake, label %wait
wait:
  %r1 = {futex}, ptr @pool_pending, i32 128, i32 %left_now, ptr null, ptr null, i32 0)
  br label %sleep_more
awake:
  store atomic i32 0, ptr @pool_waiting monotonic, align 4
  br label %free
free:
  store atomic i32 0, ptr @pool_busy release, align 4
  ret void
}}

define void @pool_reset() nounwind {{
  ; the number goes on from where it was, since the claims do; with a count of 0 it asks nobody for anything
  %word = load atomic i64, ptr @pool_word monotonic, align 8
  %number = and i64 %word, 4294967295
  store atomic i64 %number, ptr @pool_word monotonic, align 8
  store atomic i32 0, ptr @pool_pending monotonic, align 4
  store atomic i64 0, ptr @pool_sleepers monotonic, align 8
  store atomic i32 0, ptr @pool_waiting monotonic, align 4
  store i64 1, ptr @pool_started
  store atomic i32 0, ptr @pool_busy release, align 4
  ret void
}}
"""
