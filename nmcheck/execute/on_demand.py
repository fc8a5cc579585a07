"""torch, loaded when one of its functions is first called.

Loading torch takes a second and a quarter of a gigabyte, which a command that only asks what a node is (``nmcheck
inspect``) should not pay. The tables that say what an operator is name torch's functions, too, so their modules import
torch from here: its functions and types can be named without loading it, and calling one loads it. Where torch is
loaded already, these are torch itself and its own parts. ``Tensor`` is for annotations only.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any


class Later:
    """A module that may not be loaded yet, or something in it.

    Args:
        module: name of the module.
        names: attributes that lead from it to what is meant.
    """

    def __init__(self, module: str, *names: str) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._module not in sys.modules:
            return Later(self._module, *self._names, name)
        value = getattr(self.found(), name)
        # Found without this detour from now on.
        setattr(self, name, value)
        return value

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call what is meant."""
        return self.found()(*arguments, **named)

    def found(self) -> Any:
        """What is meant; its module is loaded if it is not yet."""
        value: Any = import_module(self._module)
        for name in self._names:
            value = getattr(value, name)
        return value


if TYPE_CHECKING or "torch" in sys.modules:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch, functional, Tensor = Later("torch"), Later("torch.nn.functional"), Any

__all__ = ["Later", "Tensor", "functional", "torch"]
