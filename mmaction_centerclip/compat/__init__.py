"""Repair the stock zoo where today's Python stack breaks it.

Each repair names its upstream cause and does nothing where it is not needed.
:func:`apply` runs them all; importing :mod:`mmaction_centerclip` calls it, so that a
config's ``custom_imports`` is enough for MMAction2's own tools, too.
"""
from .checkpoints import (
    allow_mmengine_checkpoints,
    leave_stored_configs_unread,
    write_files_whole,
)
from .numpy_2 import keep_hues_in_range, measure_tubes, restore_numpy_names
from .stack import (
    accept_newer_mmcv,
    leave_out_vindlu,
    provide_missing_drn,
    require_mmcv,
    use_the_zoos_scope,
)


def apply() -> None:
    """Apply every repair that this environment needs."""
    # In this order: the later ones import the zoo, which needs the former.
    require_mmcv()
    accept_newer_mmcv()
    provide_missing_drn()
    leave_out_vindlu()
    allow_mmengine_checkpoints()
    leave_stored_configs_unread()
    write_files_whole()
    restore_numpy_names()
    keep_hues_in_range()
    measure_tubes()
    use_the_zoos_scope()
