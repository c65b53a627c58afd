"""Signatures put together: typer reads a command's options from its function's parameters, and many share the same ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, TypeVar

__all__ = ["own_parameters", "parameter", "taken", "with_parameters"]

F = TypeVar("F", bound=Callable[..., Any])


def own_parameters(body: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of `body` behind its first one, as keywords."""
    _, *own = inspect.signature(body, eval_str=True).parameters.values()
    return [each.replace(kind=Parameter.KEYWORD_ONLY) for each in own]


def parameter(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    """Return one keyword parameter."""
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def with_parameters(function: F, like: Callable[..., Any], parameters: Iterable[Parameter]) -> F:
    """Return `function` with the name and the docstring of `like`, showing these parameters."""
    shown = list(parameters)
    function.__name__ = function.__qualname__ = like.__name__
    function.__module__ = like.__module__
    function.__doc__ = like.__doc__
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    # typer takes the types from here.
    function.__annotations__ = {each.name: each.annotation for each in shown}
    return function


def taken(values: dict[str, Any], parameters: Iterable[Parameter]) -> Mapping[str, Any]:
    """Take the values of these parameters out of `values` and return them."""
    return {each.name: values.pop(each.name) for each in parameters}
