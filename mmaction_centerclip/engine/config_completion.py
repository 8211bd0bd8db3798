"""Give a config's pipelines what they need to know of its model."""
from mmengine.config import Config

from mmaction_centerclip.utils.homes import expand_home
from mmaction_centerclip.utils.pipelines import find_pipelines, step_type

from .config_checks import is_retriever

__all__ = ['complete_config']

LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'


def complete_config(cfg: Config) -> None:
    """Fill in, in place, what the pipelines of a retriever leave to its model.

    So that ``model.arch`` and ``model.pretrained`` alone choose a model:
    ``OpenCLIPResize`` and ``OpenCLIPTokenize`` without a ``model`` get those,
    and the latter the text tower's ``context_length`` unless it has its own.
    What a config says is left as it is. Workers hand over stacked batches, see
    :func:`stack_in_worker`, where this package's preprocessor takes them.

    In all of it a leading ``~`` is the home folder.
    Whatever the model is, a frame cache (``VideoInit(cache=...)``) gets the
    resizing behind ``VideoDecode``, so that it keeps frames of that size.

    Args:
        cfg (Config): Of a run.
    """
    expand_home(cfg)
    if is_retriever(cfg):
        _complete_for_model(cfg)
    for name in LOADERS:
        for pipeline in find_pipelines(cfg.get(name)):
            _complete_cache(pipeline)


def _complete_for_model(cfg: Config) -> None:
    model, text = cfg.model, cfg.model.text_backbone
    resize = dict(model=model.backbone.get('arch', model.arch),
                  pretrained=model.get('pretrained'))
    tokenize = dict(model=text.get('arch', model.arch),
                    context_length=text.get('context_length'))
    own = (cfg.model.get('data_preprocessor') or {}).get('type')
    for name in LOADERS:
        if cfg.get(name) and str(own).endswith('VideoTextDataPreprocessor'):
            cfg[name].setdefault('collate_fn', dict(type='stack_in_worker'))
        for pipeline in find_pipelines(cfg.get(name)):
            for step in pipeline:
                if step_type(step) == 'OpenCLIPResize' and 'model' not in step:
                    step.update(resize)  # with the tag, which is this model's
                elif step_type(step) == 'OpenCLIPTokenize':
                    step.update({**tokenize, **step})


def _complete_cache(pipeline: list[dict]) -> None:
    """Tell a frame cache how the frames that it keeps are resized."""
    kinds = [step_type(step) for step in pipeline]
    for step, kind in zip(pipeline, kinds):
        cache = step.get('cache')
        if kind != 'VideoInit' or not cache:
            continue
        cache = dict(cache) if isinstance(cache, dict) else dict(path=cache)
        behind = kinds.index('VideoDecode') + 1 if 'VideoDecode' in kinds else 0
        resize = pipeline[behind] if 0 < behind < len(pipeline) else {}
        if 'resize' not in cache and _changes_nothing_twice(resize):
            cache['resize'] = dict(resize)
        step['cache'] = cache


def _changes_nothing_twice(step: dict) -> bool:
    """Whether a transform leaves the frames that it made as they are."""
    return step_type(step) == 'OpenCLIPResize' or (
        step_type(step) == 'Resize' and not step.get('lazy')
        and not isinstance(step.get('scale'), float))
