"""graphc.hub: models from the net, which graphc doesn't fetch: it runs no code and loads no file that it was not given.

>>> list("pytorch/vision")
Traceback (most recent call last):
graphc.ir.errors.MissingFeature: graphc fetches no code from the net: torch.hub.list
  get the repository with git, and import its model from there
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from graphc.eager.guard import guarded
from graphc.ir.errors import MissingFeature

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]


class _Folder:
    """The folder that was set."""

    path: str | None = None


def get_dir() -> str:
    """The folder that models would be kept in: what was set, `$TORCH_HOME/hub`, or that of the user's cache."""
    if _Folder.path is not None:
        return _Folder.path
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set that folder."""
    _Folder.path = os.path.expanduser(d)


def _refuse_code(function: str) -> NoReturn:
    raise MissingFeature(
        f"graphc fetches no code from the net: torch.hub.{function}",
        hint="get the repository with git, and import its model from there",
    )


def _refuse_file(function: str) -> NoReturn:
    raise MissingFeature(
        f"graphc fetches no file from the net: torch.hub.{function}",
        hint="get the file with another program, and read it by torch.load",
    )


@guarded
def load(repo_or_dir: str, model: str, *args: object, **kwargs: object) -> Any:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse_code("load")


@guarded
def list(github: str, *args: object, **kwargs: object) -> Any:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse_code("list")


@guarded
def help(github: str, model: str, *args: object, **kwargs: object) -> Any:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse_code("help")


@guarded
def load_state_dict_from_url(url: str, *args: object, **kwargs: object) -> Any:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse_file("load_state_dict_from_url")


@guarded
def download_url_to_file(url: str, dst: str, *args: object, **kwargs: object) -> None:
    """Raises MissingFeature (a NotImplementedError)."""
    _refuse_file("download_url_to_file")
