"""Keep the model of an index in its file, as data that is never run."""
import ast
import os
from collections.abc import Iterator

from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.pipelines import find_pipelines

from .store import IndexStore

# Whose classes a config names; of others a name would be imported.
SCOPES = ('mmaction', 'mmcv', 'mmengine', 'mmpretrain')


def describe_model(inferencer: VideoTextRetrievalInferencer) -> str | None:
    """Return the completed config of a model, and its checkpoint, as a literal.

    One of Python's, which unlike JSON knows tuples: transforms tell them from lists.

    None of a config with custom imports or with values that are no data: to read it
    back, code would have to run.
    """
    cfg, checkpoint = inferencer.cfg, inferencer.checkpoint
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
    text = repr(dict(config=Config(parts).to_dict(), name=cfg.filename,
                     checkpoint=checkpoint and os.path.abspath(checkpoint)))
    try:
        read_model(text, 'the config')  # which checks it
    except InputError:
        return None
    return text


def remembered_model(path: str | os.PathLike,
                     checkpoint: str | os.PathLike | None = None
                     ) -> tuple[Config, str | None]:
    """Return the config and the checkpoint of the model that an index was made with.

    They are what an inferencer takes. ``checkpoint`` is where the weights are now, if
    not where they were; other weights are refused by :class:`VideoIndex`.
    """
    store = IndexStore(path)
    store.close()
    return read_model(store.settings.get('model'), store.path,
                      checkpoint and os.fspath(checkpoint))


def read_model(text: str | None, path: str, checkpoint: str | None = None
               ) -> tuple[Config, str | None]:
    """Return the config and the checkpoint of :func:`describe_model`; runs nothing.

    ``path`` is the index that has them, for messages, and ``checkpoint`` goes before
    the one that it names.
    """
    if text is None:
        raise InputError(f'{path} does not hold its config (one with custom imports '
                         'or values that are no data, or its making was broken off); '
                         'give --config')
    try:
        found = ast.literal_eval(text)
        config, checkpoint = found['config'], checkpoint or found['checkpoint']
        for name in (config['default_scope'], *_types(config)):
            scope, dot, rest = name.partition('.')
            if dot and (scope not in SCOPES or '.' in rest):
                raise InputError(f'{path}: its config has the type {name!r}, expected '
                                 'the name of a registered class')
        cfg = Config(config, cfg_text=text, filename=found['name'])
    except (AttributeError, KeyError, MemoryError, RecursionError, SyntaxError,
            TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{path}: its config is damaged ({error}); give '
                         '--config') from error
    if checkpoint is not None and not os.path.isfile(checkpoint):
        raise InputError(f'{path}: its checkpoint {checkpoint} is gone; '
                         '--checkpoint says where it is now')
    return cfg, checkpoint


def _types(config: object) -> Iterator[str]:
    """Yield all names of classes in a config."""
    if isinstance(config, dict):
        yield from (config[key] for key in ('type', '_scope_') if key in config)
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            yield from _types(value)
