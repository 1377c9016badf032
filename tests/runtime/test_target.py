"""What targets say of themselves, and how many CPUs there are to use."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from graphc.ir.errors import ArgumentError
from graphc.runtime.cpu import available_cpus, cgroup_quota
from graphc.runtime.target import TARGETS, Target, host_target, named_target, native_target, target_machine


@pytest.mark.parametrize(
    "name, arch, bits, registers, fma, f16c, avx512",
    [
        ("x86-64", "x86_64", 128, 16, False, False, False),
        ("x86-64-v3", "x86_64", 256, 16, True, True, False),
        ("x86-64-v4", "x86_64", 512, 32, True, True, True),
        ("aarch64", "aarch64", 128, 32, True, True, False),
        ("cortex-a72", "aarch64", 128, 32, True, True, False),
    ],
)
def test_named_targets(name: str, arch: str, bits: int, registers: int, fma: bool, f16c: bool, avx512: bool) -> None:
    target = named_target(name)
    assert (target.arch, target.vector_bits, target.vector_registers) == (arch, bits, registers)
    assert (target.has_fma, target.has_f16c, target.has_avx512) == (fma, f16c, avx512)
    assert f'"prefer-vector-width"="{bits}"' in target.function_attributes


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ArgumentError, match="no target is called 'pentium'") as caught:
        named_target("pentium")
    assert "x86-64-v3" in str(caught.value)


def test_this_machine_runs_its_own_code_and_no_other_machines() -> None:
    assert native_target().runs_here
    assert host_target().runs_here
    assert named_target("native") == native_target()
    foreign = "aarch64" if native_target().arch == "x86_64" else "x86-64"
    assert not TARGETS[foreign].runs_here
    more = Target(native_target().triple, "x", native_target().features + ",+imaginary")
    assert not more.runs_here


def test_the_cpu_setting_narrows_the_target(run_child) -> None:
    source = "from graphc.runtime.target import host_target\nprint(host_target().vector_bits, host_target().runs_here)"
    if native_target().arch == "x86_64":
        assert run_child(source, GRAPHC_CPU="x86-64") == "128 True\n"
    source = """
        from graphc.ir.errors import ArgumentError
        from graphc.runtime.target import host_target
        try:
            host_target()
        except ArgumentError as error:
            print(error.message)
    """
    foreign = "aarch64" if native_target().arch == "x86_64" else "x86-64"
    assert "cannot run" in run_child(source, GRAPHC_CPU=foreign)
    assert "no target is called 'z80'" in run_child(source, GRAPHC_CPU="z80")


def test_each_thread_has_a_machine_of_its_own() -> None:
    target = TARGETS["x86-64-v3"]
    mine = target_machine(target)
    assert target_machine(target) is mine
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(target_machine(target) is mine))
    thread.start()
    thread.join()
    assert others == [False]


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "files, quota",
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        ({"proc/self/cgroup": "0::/../outside\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1.0),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/x\n0::/\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, None),
        ({"proc/self/cgroup": "nonsense\n"}, None),
    ],
)
def test_quotas_of_cgroups(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(system(tmp_path, files)) == quota


def test_the_quota_limits_the_count(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
    assert available_cpus(system(tmp_path, files)) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_limits_the_count(run_child) -> None:
    output = run_child("""
        import os
        from graphc.runtime.cpu import available_cpus
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(available_cpus())
    """)
    assert output == "1\n"
