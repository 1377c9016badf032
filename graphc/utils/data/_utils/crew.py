"""Workers as the loader sees them: processes or threads that answer tasks in the order in which they got them.

In: jobs and tasks. Out: replies. A crew knows nothing of epochs; it tells when a worker dies, never waits for one that
has died, and leaves none behind when it is stopped.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import queue
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from graphc.utils.data._utils import wire
from graphc.utils.data._utils.failure import ExceptionWrapper
from graphc.utils.data._utils.wire import Slot
from graphc.utils.data._utils.worker import Job, Worker

CHECK_SECONDS = 5.0
"""How often those who wait look whether the other side lives, where its end of the pipe has not told."""
GRACE_SECONDS = 2.0
"""How long a crew that is stopped may take to finish what it is at."""


class Crew(Protocol):
    """Workers, numbered from 0."""

    is_stopped: bool
    """Whether it works no more, by `stop` or by a death."""

    def send(self, worker: int, task: Any) -> None:
        """Give a task to a worker."""

    def receive(self, workers: Sequence[int], timeout: float | None) -> tuple[int, Any] | None:
        """The oldest unread reply of the first of these workers that has one, still encoded, and which worker that is;
        None after so many seconds. Raises RuntimeError if a worker has died."""

    def decode(self, reply: Any) -> Any:
        """A reply that was received."""

    def stop(self) -> None:
        """End all workers."""


class ProcessCrew:
    """Workers that are processes."""

    def __init__(self, jobs: Sequence[Job], context: BaseContext | None, slots_each: int) -> None:
        self._owner = os.getpid()
        self._connections: list[connection.Connection] = []
        self._processes: list[BaseProcess] = []
        self._slots: list[deque[Slot | None]] = []
        self._death = ""
        self.is_stopped = False
        try:
            for job in jobs:
                self._start(job, context or multiprocessing.get_context(), slots_each)
        except BaseException:
            self.stop()
            raise

    def _start(self, job: Job, context: BaseContext, slots_each: int) -> None:
        ours, theirs = context.Pipe()
        slots = [Slot() if wire.can_share_memory() else None for _ in range(slots_each)]
        self._slots.append(deque(slots))
        self._connections.append(ours)
        inherited = self._connections if context.get_start_method() == "fork" else []
        process = context.Process(  # type: ignore[attr-defined]  # every context has it
            target=_run_process,
            args=(job, theirs, slots, inherited),
            name=f"DataLoader worker {job.worker}",
            daemon=True,
        )
        with warnings.catch_warnings(), contextlib.closing(theirs):
            # Python's warning about forking with threads is meant for locks that stay closed; ours are opened.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            process.start()
        self._processes.append(process)

    def send(self, worker: int, task: Any) -> None:
        try:
            self._connections[worker].send(task)
        except OSError:
            return  # it has died, which `receive` tells when its reply is wanted
        except KeyboardInterrupt:
            self._give_up()
            raise

    def receive(self, workers: Sequence[int], timeout: float | None) -> tuple[int, Any] | None:
        if self._death:
            raise RuntimeError(self._death)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        ends = {self._connections[worker]: worker for worker in workers}
        sentinels = {process.sentinel: process for process in self._processes}
        while True:
            remaining = max(deadline - time.monotonic(), 0)
            ready = connection.wait([*ends, *sentinels], min(remaining, CHECK_SECONDS))
            for end, worker in ends.items():
                if end in ready:
                    return worker, self._read(worker)
            for each in ready:
                sentinels[each].join(CHECK_SECONDS)  # type: ignore[index]  # the ends have been looked at
            self._raise_for_dead()
            if not ready and not remaining:
                return None

    def _read(self, worker: int) -> Any:
        slots = self._slots[worker]
        try:
            reply = wire.receive(self._connections[worker], slots[0])
        except (EOFError, OSError):
            self._processes[worker].join(CHECK_SECONDS)
            self._raise_for_dead()
            raise
        except KeyboardInterrupt:
            self._give_up()
            raise
        slots.rotate(-1)
        return reply

    def _give_up(self) -> None:
        """Stop after half a task or half a reply, behind which nothing can be understood."""
        self._death = "DataLoader was interrupted while it spoke with a worker: begin a new pass"
        self.stop()

    def decode(self, reply: Any) -> Any:
        return wire.decode(reply)

    def _raise_for_dead(self) -> None:
        """Stop, and say which workers have died, if any did."""
        dead = [process for process in self._processes if not process.is_alive()]
        if not dead:
            return
        pids = ", ".join(str(process.pid) for process in dead)
        self._death = f"DataLoader worker (pid(s) {pids}) exited unexpectedly"
        cause = RuntimeError(_cause_of_death(dead[0]))
        self.stop()
        raise RuntimeError(self._death) from cause

    def stop(self) -> None:
        if self.is_stopped or os.getpid() != self._owner:
            return
        self.is_stopped = True
        for end in self._connections:
            # Closing alone would not tell: processes that were forked meanwhile have the end too.
            with contextlib.suppress(OSError):
                os.set_blocking(end.fileno(), False)
                end.send(_Stop())
            end.close()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self._processes:
            process.join(max(deadline - time.monotonic(), 0))
        for end_process in (BaseProcess.terminate, BaseProcess.kill):
            alive = [process for process in self._processes if process.is_alive()]
            for process in alive:
                end_process(process)
            for process in alive:
                process.join(CHECK_SECONDS)
        for slots in self._slots:
            for slot in slots:
                if slot is not None:
                    slot.close()


def _cause_of_death(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code < 0:
        return f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)}. "
    return (
        f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. Details are lost due to "
        "multiprocessing. Rerunning with num_workers=0 may give better error trace."
    )


@dataclass(frozen=True, slots=True)
class _Stop:
    """A task: end."""


def _run_process(
    job: Job, end: connection.Connection, slots: list[Slot | None], inherited: list[connection.Connection]
) -> None:
    """The life of a worker process."""
    for each in inherited:
        each.close()  # so that only the loader has its ends, and the workers' ends tell when it is gone
    # Processes that others fork may still have them.
    parent = os.getppid()
    ring = deque(slots)
    try:
        worker = Worker(job)
        while True:
            while not end.poll(CHECK_SECONDS):
                if os.getppid() != parent:
                    return
            task = end.recv()
            if isinstance(task, _Stop):
                return
            reply = worker.reply(task)
            if isinstance(reply, ExceptionWrapper):
                reply = reply.for_process()
            try:
                wire.send(end, reply, ring[0])
            except (EOFError, OSError):
                raise
            except Exception as error:
                where = f"in DataLoader worker process {job.worker}"
                wire.send(end, ExceptionWrapper(error, where).for_process(), ring[0])
            ring.rotate(-1)
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return  # the loader needs no more


class ThreadCrew:
    """Workers that are threads."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._tasks: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in jobs]
        self._replies: list[deque[Any]] = [deque() for _ in jobs]
        self._arrived = threading.Condition()
        self._stopping = threading.Event()
        self.is_stopped = False
        self._threads = [
            threading.Thread(
                target=_run_thread,
                args=(job, tasks, replies, self._arrived, self._stopping),
                name=f"DataLoader worker {job.worker}",
                daemon=True,
            )
            for job, tasks, replies in zip(jobs, self._tasks, self._replies)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, worker: int, task: Any) -> None:
        self._tasks[worker].put((task,))

    def receive(self, workers: Sequence[int], timeout: float | None) -> tuple[int, Any] | None:
        with self._arrived:
            if not self._arrived.wait_for(lambda: any(self._replies[worker] for worker in workers), timeout):
                return None
            worker = next(worker for worker in workers if self._replies[worker])
            return worker, self._replies[worker].popleft()

    def decode(self, reply: Any) -> Any:
        return reply

    def stop(self) -> None:
        self.is_stopped = True
        self._stopping.set()
        for tasks in self._tasks:
            tasks.put(None)
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))


def _run_thread(
    job: Job,
    tasks: queue.SimpleQueue[Any],
    replies: deque[Any],
    arrived: threading.Condition,
    stopping: threading.Event,
) -> None:
    """The life of a worker thread."""
    worker: Worker | None = None
    while True:
        task = tasks.get()
        if stopping.is_set():
            return
        try:
            worker = worker or Worker(job)
            reply: Any = worker.reply(task[0])
        except BaseException as error:  # such as SystemExit, which would end the thread without a word
            reply = ExceptionWrapper(error, f"in DataLoader worker thread {job.worker}")
        with arrived:
            replies.append(reply)
            arrived.notify()
        del task, reply  # what the user drops is not kept alive while the thread waits
