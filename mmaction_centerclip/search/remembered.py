"""Keep the model of an index in its file, as data that is never run."""
import os

from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.deployment.onnx_folder import is_exported
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.engine.stored_config import describe_config, parse_config
from mmaction_centerclip.errors import InputError

from .store import IndexStore

_FOLDER = 'folder: '


def describe_model(inferencer: VideoTextRetrievalInferencer) -> str | None:
    """Return what an index keeps of its model, see :func:`describe_config`.

    Of an exported one its folder.
    """
    if isinstance(inferencer.model, OnnxRetriever):
        return f'{_FOLDER}{inferencer.model.folder}'
    return describe_config(inferencer.cfg, inferencer.checkpoint)


def remembered_model(path: str | os.PathLike,
                     checkpoint: str | os.PathLike | None = None
                     ) -> tuple[Config | str, str | None]:
    """Return the config and the checkpoint of the model that an index was made with.

    They are what an inferencer takes, as is the folder of an exported model.
    ``checkpoint`` is where the weights are now, if not where they were; other weights
    are refused by :class:`VideoIndex`.
    """
    store = IndexStore(path)
    store.close()
    return read_model(store.settings.get('model'), store.path,
                      checkpoint and os.fspath(checkpoint))


def read_model(text: str | None, path: str, checkpoint: str | None = None
               ) -> tuple[Config | str, str | None]:
    """Return the config and the checkpoint of :func:`describe_model`; runs nothing.

    ``path`` is the index that has them, for messages, and ``checkpoint`` goes before
    the one that it names.
    """
    if text is None:
        raise InputError(f'{path} does not hold its config (one with custom imports '
                         'or values that are no data, or its making was broken off); '
                         'give --config')
    if text.startswith(_FOLDER):
        folder = text.removeprefix(_FOLDER)
        if not is_exported(folder):
            raise InputError(f'{path}: its exported model {folder} is gone; --config '
                             'says where it is now')
        return folder, checkpoint
    cfg, stored = parse_config(text, path, '; give --config')
    checkpoint = checkpoint or stored
    if checkpoint is not None and not os.path.isfile(checkpoint):
        raise InputError(f'{path}: its checkpoint {checkpoint} is gone; '
                         '--checkpoint says where it is now')
    return cfg, checkpoint
