"""The older form of `parametrizations.spectral_norm`: a hook computes the weight before each call.

In: a module and the name of its weight. Out: the module with a parameter `<name>_orig` in its place, and the vectors of
the power iteration as buffers `<name>_u` and `<name>_v`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from graphc.nn.parameter import Parameter, is_lazy

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)

_dot, _mv, _pinv = (of_table(name) for name in ("dot", "mv", "linalg.pinv"))


class SpectralNorm:
    """The hook: the weight over its largest singular value."""

    _version: int = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.dim, self.n_power_iterations, self.eps = name, dim, n_power_iterations, eps

    def reshape_weight_to_matrix(self, weight: Any) -> Any:
        """`[size of dim, all others]`."""
        if self.dim != 0:
            weight = weight.permute(self.dim, *(axis for axis in range(weight.dim()) if axis != self.dim))
        return weight.reshape(weight.size(0), -1)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight; with `do_power_iteration` after further iterations, which move the buffers."""
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(_mv(matrix.t(), u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(_mv(matrix, v), dim=0, eps=self.eps))
                # Copies: the next iteration must not write to what the gradient needs.
                u, v = u.clone(), v.clone()
        return weight / _dot(u, _mv(matrix, v))

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for part in ("u", "v", "orig"):
            delattr(module, f"{self.name}_{part}")
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Register the hook for a weight of the module."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        made = SpectralNorm(name, n_power_iterations, dim, eps)
        weight: Any = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `SpectralNorm` can't have uninitialized parameters. Make sure to run the dummy "
                "forward before applying spectral normalization"
            )
        with no_grad():
            matrix = made.reshape_weight_to_matrix(weight)
            rows, columns = matrix.size()
            u = F.normalize(weight.new_empty(rows).normal_(0, 1), dim=0, eps=eps)
            v = F.normalize(weight.new_empty(columns).normal_(0, 1), dim=0, eps=eps)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        # A plain attribute: a buffer of this name would be saved.
        setattr(module, name, weight.data)
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(made)
        module._register_state_dict_hook(made._note_version)
        module._register_load_state_dict_pre_hook(_Upgrade(made))
        return made

    def _note_version(self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        noted = local_metadata.setdefault("spectral_norm", {})
        key = f"{self.name}.version"
        if key in noted:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        noted[key] = self._version


class _Upgrade:
    """Before loading: computes `<name>_v`, which states of the first version lack."""

    def __init__(self, hook: SpectralNorm) -> None:
        self.hook = hook

    def __call__(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        *rest: Any,
    ) -> None:
        name = self.hook.name
        version = local_metadata.get("spectral_norm", {}).get(f"{name}.version")
        key = prefix + name
        parts = (f"{key}_orig", key, f"{key}_u")
        if (
            (version is not None and version >= 1)
            or f"{key}_v" in state_dict
            or any(k not in state_dict for k in parts)
        ):
            return
        with no_grad():
            weight, computed, u = state_dict[parts[0]], state_dict.pop(key), state_dict[parts[2]]
            sigma = weight.norm() / computed.norm()
            matrix = self.hook.reshape_weight_to_matrix(weight)
            # v solves u = W v / sigma in the least squares sense, scaled so that u W v = sigma.
            v = _mv(_pinv(matrix.t() @ matrix), _mv(matrix.t(), u))
            state_dict[f"{key}_v"] = v * (sigma / _dot(u, _mv(matrix, v)))


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value; `parametrizations.spectral_norm` is the newer form."""
    if dim is None:
        dim = int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))
    SpectralNorm.apply(module, name, n_power_iterations, dim, eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter again."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for hooks in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
        for key, each in list(hooks.items()):
            owner = each.hook if isinstance(each, _Upgrade) else getattr(each, "__self__", None)
            if isinstance(owner, SpectralNorm) and owner.name == name:
                del hooks[key]
    return module
