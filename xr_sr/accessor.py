"""`.sr` on DataArray, Dataset and DataTree: each method is a public function whose cube is the object itself.

Every derived object gets a new accessor, so state here would be lost. Signatures and docstrings are those of the
functions, which are imported when a method is first looked up.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from importlib import import_module
from inspect import Parameter, Signature, cleandoc, formatannotation, signature, unwrap
from types import MethodType
from typing import Any, TypeAlias, TypeVar, get_origin

import xarray as xr

Role: TypeAlias = Callable[[Any, Sequence[Any], Mapping[str, Any]], str]


class _Method:
    """A public function as a method of the accessor.

    where: "module:function" below this package. cube: the parameter that the object fills, by default the first.
    now: the name of the method that replaces this one, which issues a FutureWarning. role: finds the parameter for one
    call, from the object and the arguments.
    """

    def __init__(self, where: str, *, cube: str | None = None, now: str = "", role: Role | None = None) -> None:
        self.where, self.cube, self.now, self.role = where, cube, now, role

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
        by_place = [each.name for each in parameters if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
        old, now, role = self.name, self.now, self.role

        @wraps(public)
        def method(self: SuperResolution, *args: Any, **options: Any) -> Any:
            if now:
                from .errors import warn_caller

                warn_caller(f".sr.{old} is now .sr.{now}; the old name will be removed.", FutureWarning)
            filled = role(self._obj, args, options) if role else cube
            if parameters[0].name == filled:
                return public(self._obj, *args, **options)
            in_order = [each for each in by_place if each != filled]
            if len(args) > len(in_order):
                raise TypeError(f"{name}() takes {len(in_order)} arguments by position; got {len(args)}.")
            return public(**{filled: self._obj}, **dict(zip(in_order, args, strict=False)), **options)

        accessor = Parameter("self", Parameter.POSITIONAL_ONLY)
        method.__signature__ = spelled_out(  # type: ignore[attr-defined]
            signature(public).replace(parameters=[accessor, *rest]), unwrap(public).__globals__
        )
        note = f"As a method, `{cube}.sr.{self.name}(...)`, `{cube}` is this object and is not passed."
        method.__doc__ = f"{cleandoc(public.__doc__ or '')}\n\n{note}\n"
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


def _role_in_explore(obj: Any, args: Sequence[Any], options: Mapping[str, Any]) -> str:
    """Return which argument of `explore` an object is: "sr", as in `compare`; "lr" if no model made it and it is alone.

    In an earlier release it was LR whatever was passed. Where the other cube is finer, or sr= is passed, it is still.
    """
    from .cube.select import model_of
    from .errors import warn_caller

    lr = args[0] if args else options.get("lr")
    if "sr" not in options and lr is None:
        hr = args[1] if len(args) > 1 else options.get("hr")
        return "sr" if model_of(obj) or (hr is not None and not _is_finer(hr, obj)) else "lr"
    if "sr" not in options and not _is_finer(lr, obj):
        return "sr"
    warn_caller(
        ".sr.explore is now a method of SR, sr.sr.explore(lr), as .sr.compare is; lr.sr.explore(sr) will be removed.",
        FutureWarning,
    )
    return "lr"


def _is_finer(one: Any, other: Any) -> bool:
    """Return whether the pixels of a cube or map are smaller than those of another; False for anything else."""
    from .cube.detect import recognize
    from .cube.grid import geobox_of

    if not all(isinstance(each, xr.DataArray | xr.Dataset | xr.DataTree) for each in (one, other)):
        return False
    boxes = [recognize(each).geobox if isinstance(each, xr.DataTree) else geobox_of(each) for each in (one, other)]
    fine, coarse = (None if box is None else abs(box.affine.determinant) for box in boxes)
    return fine is not None and coarse is not None and fine < coarse * (1 - 1e-6)


@xr.register_datatree_accessor("sr")
@xr.register_dataset_accessor("sr")
@xr.register_dataarray_accessor("sr")
class SuperResolution:
    """Super-resolution of a Sentinel-2 cube; `repr` says what was recognized and computes nothing."""

    def __init__(self, obj: xr.DataArray | xr.Dataset | xr.DataTree) -> None:
        self._obj = obj

    def __repr__(self) -> str:
        from .radiometry.summary import summary

        return summary(self._obj)

    def _repr_html_(self) -> str:
        from .radiometry.summary import summary_html

        return summary_html(self._obj)

    upscale = _Method("pipeline.api:upscale")
    fuse = _Method("pipeline.api:fuse")
    interval = _Method("pipeline.interval:interval")
    ensemble = _Method("pipeline.ensemble:ensemble")
    multiframe = _Method("pipeline.multiframe:multiframe")
    explain = _Method("pipeline.api:explain")
    estimate_mtf = _Method("pipeline.sharpness:estimate_mtf")
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
    metrics = _Method("metrics:evaluate", cube="sr", now="evaluate")
    compare = _Method("plot:compare", cube="sr")
    explore = _Method("plot:explore", cube="sr", role=_role_in_explore)
    to_zarr = _Method("io.zarr:to_zarr")
    to_cog = _Method("io.cog:to_cog")
