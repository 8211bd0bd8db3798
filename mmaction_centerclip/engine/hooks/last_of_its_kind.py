"""Let a hook that is registered twice work once."""
from mmengine.hooks import Hook

__all__ = ['is_last_of_its_kind']


def is_last_of_its_kind(hook: Hook, runner) -> bool:
    """Return whether no hook of the same class was registered after this one.

    A config may list in ``custom_hooks`` what ``default_hooks`` have: the
    later one, which has the user's options, counts.
    """
    return [h for h in runner.hooks if type(h) is type(hook)][-1] is hook
