"""Check options by the annotations of the signature that takes them."""
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Annotated

from mmengine.registry import Registry

from mmaction_centerclip.errors import InputError, check_number

# Numbers of a range, for signatures: which they are, and the same in words.
Positive = Annotated[float, (lambda x: x > 0, 'positive')]
NotNegative = Annotated[float, (lambda x: x >= 0, 'at least 0')]
Share = Annotated[float, (lambda x: 0 <= x < 1, 'at least 0 and below 1')]
PositiveInt = Annotated[int, (lambda x: x > 0, 'a positive integer')]
CountOrShare = Annotated[float, (lambda x: x >= 0 and (x < 1 or x % 1 == 0),
                                 'a whole number, or a share below 1')]
PositiveCountOrShare = Annotated[float, (
    lambda x: 0 < x < 1 or x >= 1 and isinstance(x, Integral),
    'a positive integer, or a share below 1')]
NotNegativeInt = Annotated[int, (lambda x: x >= 0, 'at least 0')]

_PACKAGE = __name__.partition('.')[0]
_VARIADIC = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_hints = functools.cache(functools.partial(typing.get_type_hints, include_extras=True))
_WORDS = {bool: 'True or False', int: 'an integer', float: 'a number', str: 'a text',
          dict: 'a dict', type(None): 'None'}


def check_types(target: Callable) -> Callable:
    """Refuse arguments that are not of the types that a signature names.

    A decorator of functions, and of classes, whose ``__init__`` is checked with those
    of base classes in this package. Numbers are not booleans; an integer is a number;
    lists and tuples are the same; what has no annotation may be anything.
    """
    if not isinstance(target, type):
        return _checked(target)
    for cls in target.__mro__:
        init = vars(cls).get('__init__')
        own = cls is target or cls.__module__.split('.')[0] == _PACKAGE
        if own and inspect.isfunction(init) and not hasattr(init, 'checks_types'):
            cls.__init__ = _checked(init)
    return target


def check_registered_types(registries: Iterable[Registry]) -> None:
    """Apply :func:`check_types` to all classes of this package in registries."""
    for registry in registries:
        for cls in registry.module_dict.values():
            if isinstance(cls, type) and cls.__module__.split('.')[0] == _PACKAGE:
                check_types(cls)


def check_options(owner: str, function: Callable, options: Mapping) -> None:
    """Refuse options of other types than a signature's; unknown ones may be any."""
    hints, parameters = _hints(function), inspect.signature(function).parameters
    for name, value in options.items():
        if name not in hints or value is parameters[name].default or (
                parameters[name].kind in _VARIADIC):
            continue
        if not _fits(value, hints[name]):
            raise InputError(f'{owner}: {name} must be {_describe(hints[name])}, got '
                             f'{value!r:.200}')
        for part in (hints[name], *typing.get_args(hints[name])):
            for accepts, words in getattr(part, '__metadata__', ()):
                if value is not None:
                    check_number(f'{owner}: {name}', value, accepts, words)


def _checked(function: Callable) -> Callable:
    signature = inspect.signature(function)
    is_init = function.__name__ == '__init__'

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # The call itself says what is missing.
        owner = type(args[0]) if is_init else function
        check_options(owner.__name__, function, given)
        return function(*args, **kwargs)

    call.checks_types = True
    return call


def _fits(value: object, hint: object) -> bool:
    kind, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Annotated:
        return _fits(value, args[0])
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in args)
    if kind is typing.Literal:
        return any(value == each and type(value) is type(each) for each in args)
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    if kind is tuple and args and args[-1] is not Ellipsis:
        return isinstance(value, (list, tuple)) and len(value) == len(args) and all(
            map(_fits, value, args))
    if kind in (Sequence, list, tuple):
        return isinstance(value, Sequence) and not isinstance(
            value, (str, bytes)) and all(_fits(each, args[0])
                                         for each in value if args)
    if kind is dict:
        return isinstance(value, Mapping) and all(
            _fits(key, args[0]) and _fits(each, args[1])
            for key, each in value.items() if args)
    return not isinstance(kind, type) or isinstance(value, kind)


def _describe(hint: object) -> str:
    kind, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Annotated:
        return _describe(args[0])
    if kind in (typing.Union, types.UnionType):
        return ' or '.join(map(_describe, args))
    if kind is typing.Literal:
        return f'one of {args}'
    if kind in (Sequence, list, tuple):
        parts = ', '.join(_describe(each) for each in args if each is not Ellipsis)
        return f'a list ({parts})' if parts else 'a list'
    return _WORDS.get(kind, getattr(kind, '__name__', str(kind)))


def init_options(cls: type) -> dict[str, inspect.Parameter]:
    """Return the options of a class by name, those that it passes on included."""
    options: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            options = {**{name: parameter for name, parameter in parameters.items()
                          if parameter.kind not in _VARIADIC}, **options}
            if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD
                   for parameter in parameters.values()):
                break
    return options
