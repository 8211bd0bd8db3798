"""A view of a module for one user of it, without changing it for others."""
import functools
import types


def view_of(module: types.ModuleType, **names: object) -> types.ModuleType:
    """Return a module with names of its own, and else all that ``module`` has."""
    view = types.ModuleType(module.__name__, module.__doc__)
    view.__getattr__ = functools.partial(getattr, module)
    vars(view).update(names)
    return view
