"""Keep a model's config in a file, as data that is never run."""
import ast
import os
from collections.abc import Iterator

from mmengine.config import Config

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.pipelines import find_pipelines

# Whose classes a config names; of others a name would be imported.
SCOPES = ('mmaction', 'mmcv', 'mmengine', 'mmpretrain')


def describe_config(cfg: Config, checkpoint: str | os.PathLike | None = None,
                    name: str | None = None) -> str | None:
    """Return the completed config of a model, and its checkpoint, as a literal.

    With the ``name`` of its file, None for the whole path.

    One of Python's, which unlike JSON knows tuples: transforms tell them from lists.

    None of a config with custom imports or with values that are no data: to read it
    back, code would have to run.
    """
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    if set([imports] if isinstance(imports, str) else imports) - {
            'mmaction_centerclip'}:
        return None
    hook = cfg.get('default_hooks', {}).get('check_checkpoint')
    parts = dict(
        default_scope=cfg.get('default_scope', 'mmaction'), model=cfg.model,
        test_dataloader=dict(dataset=dict(
            pipeline=next(find_pipelines(cfg.test_dataloader)))),
        default_hooks=dict(check_checkpoint=hook) if hook else {})
    text = repr(dict(config=Config(parts).to_dict(),
                     name=cfg.filename if name is None else name,
                     checkpoint=checkpoint and os.path.abspath(checkpoint)))
    try:
        parse_config(text, 'the config')  # which checks it
    except InputError:
        return None
    return text


def parse_config(text: str, path: str, advice: str = '') -> tuple[Config, str | None]:
    """Return the config and the checkpoint of :func:`describe_config`; runs nothing.

    ``path`` is the file that has them, for messages, and ``advice`` what to do.
    """
    try:
        found = ast.literal_eval(text)
        config, checkpoint = found['config'], found['checkpoint']
        for key, name in (('_scope_', config['default_scope']), *_names(config)):
            scope, dot, rest = name.partition('.')
            # Of another scope mmengine imports the package.
            if key == '_scope_' and name not in SCOPES or dot and (
                    scope not in SCOPES or '.' in rest):
                raise InputError(f'{path}: its config has the {key.strip("_")} '
                                 f'{name!r}, expected the name of a registered class')
        return Config(config, cfg_text=text, filename=found['name']), checkpoint
    except (AttributeError, KeyError, MemoryError, RecursionError, SyntaxError,
            TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{path}: its config is damaged ({error}){advice}') from error


def _names(config: object) -> Iterator[tuple[str, str]]:
    """Yield all names of classes and scopes in a config, with their keys."""
    if isinstance(config, dict):
        yield from ((key, config[key]) for key in ('type', '_scope_') if key in config)
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            yield from _names(value)
