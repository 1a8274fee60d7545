"""`.sr` on DataArray, Dataset and DataTree: each method is a public function whose cube is the object itself.

Every derived object gets a new accessor, so state here would be lost. Signatures and docstrings are those of the
functions, which are imported when a method is first looked up.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from importlib import import_module
from inspect import Parameter, Signature, formatannotation, signature, unwrap
from types import MethodType
from typing import Any, TypeVar, get_origin

import xarray as xr


class _Method:
    """A public function as a method of the accessor.

    where: "module:function" below this package. cube: the parameter that the object fills, by default the first.
    """

    def __init__(self, where: str, *, cube: str | None = None) -> None:
        self.where, self.cube = where, cube

    def __get__(self, accessor: Any, owner: type | None = None) -> Callable[..., Any]:
        return self.function if accessor is None else MethodType(self.function, accessor)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @cached_property
    def function(self) -> Callable[..., Any]:
        """Make a function of the accessor and the remaining arguments."""
        module, _, name = self.where.partition(":")
        public = getattr(import_module(f"{__package__}.{module}"), name)
        parameters = list(signature(public).parameters.values())
        cube = self.cube or parameters[0].name
        rest = [parameter for parameter in parameters if parameter.name != cube]
        in_order = [parameter.name for parameter in rest if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]

        @wraps(public)
        def method(self: SuperResolution, *args: Any, **options: Any) -> Any:
            if parameters[0].name == cube:
                return public(self._obj, *args, **options)
            if len(args) > len(in_order):
                raise TypeError(f"{name}() takes {len(in_order)} arguments by position; got {len(args)}.")
            return public(**{cube: self._obj}, **dict(zip(in_order, args, strict=False)), **options)

        accessor = Parameter("self", Parameter.POSITIONAL_ONLY)
        method.__signature__ = spelled_out(  # type: ignore[attr-defined]
            signature(public).replace(parameters=[accessor, *rest]), unwrap(public).__globals__
        )
        note = f"Method of `{public.__name__}`: `{cube}` is this object."
        method.__doc__ = f"{(public.__doc__ or '').rstrip()}\n\n    {note}\n    "
        method.__name__, method.__qualname__ = self.name, f"SuperResolution.{self.name}"
        del method.__wrapped__  # `inspect` would show the function's own signature
        return method


def spelled_out(public: Signature, names: Mapping[str, Any]) -> Signature:
    """Replace the names of type aliases in a signature by what they stand for, such as `float | Literal['auto']`.

    names: the globals of the function's module. Annotations are text there, and stay text.
    """

    def text_of(annotation: Any) -> str:
        text = annotation if isinstance(annotation, str) else formatannotation(annotation)
        text = re.sub(r"\b(typing|collections\.abc|pathlib)\.|~", "", re.sub(r"\bxarray\.core\.\w+\.", "xr.", text))
        tree = _Aliases(names, text_of).visit(ast.parse(text, mode="eval"))
        return ast.unparse(tree)

    empty = Signature.empty
    parameters = [
        each if each.annotation is empty else each.replace(annotation=text_of(each.annotation))
        for each in public.parameters.values()
    ]
    returned = public.return_annotation
    return Signature(parameters, return_annotation=returned if returned is empty else text_of(returned))


class _Aliases(ast.NodeTransformer):
    """Puts the meaning of aliases and type variables in the place of their names."""

    def __init__(self, names: Mapping[str, Any], text_of: Callable[[Any], str]) -> None:
        self.names, self.text_of = names, text_of

    def visit_Name(self, node: ast.Name) -> ast.expr:
        meaning = self.names.get(node.id)
        if isinstance(meaning, TypeVar):
            meaning = " | ".join(map(self.text_of, meaning.__constraints__ or (meaning.__bound__ or "Any",)))
        if not isinstance(meaning, str) and get_origin(meaning) is None:
            return node  # a module, a class, or a word of typing itself, such as Any
        return ast.parse(self.text_of(meaning), mode="eval").body


@xr.register_datatree_accessor("sr")
@xr.register_dataset_accessor("sr")
@xr.register_dataarray_accessor("sr")
class SuperResolution:
    """Super-resolution of a Sentinel-2 cube; `repr` says what was recognized and computes nothing."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __repr__(self) -> str:
        from .radiometry.summary import summary

        return summary(self._obj)

    def _repr_html_(self) -> str:
        from .radiometry.summary import summary_html

        return summary_html(self._obj)

    upscale = _Method("pipeline.api:upscale")
    fuse = _Method("pipeline.api:fuse")
    explain = _Method("pipeline.api:explain")
    reflectance = _Method("radiometry.cubes:reflectance")
    mask = _Method("radiometry.cubes:mask")
    set_radiometry = _Method("radiometry.written:set_radiometry")
    align = _Method("registration:align")
    index = _Method("analytics:index")
    water = _Method("analytics:water")
    flood = _Method("analytics:flood")
    areas = _Method("analytics:areas")
    agreement = _Method("analytics:agreement")
    consistency = _Method("metrics:consistency", cube="sr")
    evaluate = _Method("metrics:evaluate", cube="sr")
    metrics = _Method("metrics:evaluate", cube="sr")  # an older name
    compare = _Method("plot:compare", cube="sr")
    explore = _Method("plot:explore")
    to_zarr = _Method("io.zarr:to_zarr")
    to_cog = _Method("io.cog:to_cog")
