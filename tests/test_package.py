"""The package's shape: what is installed is what is there, and imports run one way."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
OUTER = {"passes": "graphc.passes", "runtime": "graphc.runtime"}

# A folder may import itself and those to its right.
BELOW: dict[str, set[str]] = {
    "ir": set(),
    "ops": {"ir", "kernel"},
    "kernel": {"ir"},
    "passes": {"ir", "ops", "kernel"},
    "codegen": {"ir", "kernel", "passes", "runtime"},  # the runtime's LLVM makes PTX of a module's text
    "runtime": {"ir", "kernel", "passes", "codegen"},  # for a GPU, late: it copies arrays by kernels of its own
    "frontend": {"ir", "ops", "kernel", "passes", "codegen", "runtime"},
    "eager": {"ir", "ops", "kernel", "passes", "codegen", "runtime", "frontend"},
    "cli": {"ir", "ops", "kernel", "passes", "codegen", "runtime", "frontend", "eager"},
}
# What users import beside graphc itself: names, with little code, over everything below.
_NAMESPACES = (
    "__config__ accelerator amp autograd backends compiler cpu cuda distributed distributions fft "
    "func functional hub jit linalg masked mps multiprocessing nn optim overrides profiler random return_types "
    "serialization special storage testing types utils xpu"
).split()
for _namespace in _NAMESPACES:
    BELOW[_namespace] = BELOW["cli"] | {"autograd"}
BELOW["accelerator"] |= {"cuda"}
BELOW["cpu"] |= {"amp"}
BELOW["cuda"] |= {"amp"}
BELOW["autograd"] |= {"profiler"}
BELOW["utils"] |= {"hub"}
BELOW["optim"] |= {"nn"}
BELOW["func"] |= {"nn"}
BELOW["jit"] |= {"nn"}
BELOW["serialization"] |= {"nn"}
BELOW["__config__"] |= {"version"}
BELOW["cli"] |= {"version"}
BELOW["version"], BELOW["torch_version"] = {"torch_version"}, set()


def modules() -> Iterator[tuple[str, Path]]:
    for folder, prefix in {"graphc": "graphc", **OUTER}.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((prefix, *parts)).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_folder_is_an_installed_package() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in modules()}
    assert listed == present


def test_imports_run_one_way() -> None:
    wrong = []
    for name, path in modules():
        level = name.split(".")[1] if "." in name else ""
        if level not in BELOW:
            continue  # graphc itself and graphc.__main__ stand above all
        for line, target in imported(path):
            parts = target.split(".")
            if parts[0] == "graphc" and len(parts) > 1 and parts[1] in BELOW:
                if parts[1] != level and parts[1] not in BELOW[level]:
                    wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert wrong == []


def test_no_module_is_left_out_of_the_layers() -> None:
    levels = {name.split(".")[1] for name, _ in modules() if name.count(".")}
    assert levels - {"__main__"} <= set(BELOW)


@pytest.mark.parametrize("folder", OUTER)
def test_outer_folders_refuse_another_name(folder: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"imported as graphc.{folder}" in done.stderr


def test_importing_graphc_needs_no_extra() -> None:
    code = (
        "import sys; import graphc; "
        "extra = {'sklearn', 'matplotlib', 'rich', 'torch', 'jax', 'pytest', 'scipy', 'mpmath', 'tensorboardX'}; "
        "extra &= set(sys.modules); "
        "assert not extra, extra"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


ON_DEMAND = (
    "graphc.fft",
    "graphc.linalg",
    "graphc.nn",
    "graphc.optim",
    "graphc.special",
    "graphc.utils",
    "graphc.autograd.functional",
)
"""What `import graphc` leaves until it is asked for."""


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_graphc_loads_no_namespace_and_no_compiler() -> None:
    late = (*ON_DEMAND, "graphc.passes", "graphc.codegen", "graphc.kernel.ir", "graphc.runtime.engine")
    late += ("graphc.runtime.cuda", "llvmlite")
    run_python(f"import sys, graphc; found = {{*{late!r}}} & {{*sys.modules}}; assert not found, found")


MOST_MODULES = 265
MOST_DATACLASSES = 50
MOST_SIGNATURES = 55


def test_importing_graphc_is_quick_by_what_it_does() -> None:
    """What takes the time: modules, dataclasses and signatures that are made, slow parts of the standard library."""
    run_python(f"""
import dataclasses, inspect, sys
import numpy, ml_dtypes
known = {{*sys.modules}}
made = [0, 0]
process, signature = dataclasses._process_class, inspect.signature
def count_process(*args, **kwargs):
    made[0] += 1
    return process(*args, **kwargs)
def count_signature(*args, **kwargs):
    made[1] += 1
    return signature(*args, **kwargs)
dataclasses._process_class, inspect.signature = count_process, count_signature
import graphc
new = {{*sys.modules}} - known
ours = sum(name.partition(".")[0] == "graphc" for name in new)
assert ours <= {MOST_MODULES}, ours
assert made[0] <= {MOST_DATACLASSES} and made[1] <= {MOST_SIGNATURES}, made
slow = {{"concurrent.futures", "decimal", "difflib", "fractions", "hashlib", "logging", "subprocess", "traceback"}}
assert not slow & new, slow & new
""")


@pytest.mark.parametrize("name", ON_DEMAND)
@pytest.mark.parametrize("way", ["import graphc; {0}.{1}", "import {0}; {0}.{1}", "from {2} import {3}; {3}.{1}"])
def test_namespaces_are_there_however_they_are_asked_for(name: str, way: str) -> None:
    member = {
        "fft": "fft",
        "linalg": "det",
        "nn": "Module",
        "optim": "SGD",
        "special": "erf",
        "utils": "dlpack",
        "functional": "vjp",
    }
    parent, _, short = name.rpartition(".")
    run_python(way.format(name, member[short], parent, short))


def test_what_is_imported_on_demand_is_listed_pickled_and_refused_as_all_else() -> None:
    run_python(
        "import graphc, pickle; "
        "assert not {*graphc.__all__} - {*dir(graphc)}; assert 'functional' in dir(graphc.autograd); "
        "assert pickle.loads(pickle.dumps(graphc.linalg.det)) is graphc.linalg.det; "
        "assert not hasattr(graphc, 'absent') and not hasattr(graphc.autograd, 'absent')"
    )
    run_python("from graphc import *; nn.Module, linalg.det, autograd.functional.vjp")
