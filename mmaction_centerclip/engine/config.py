"""Complete and check a config, once a run."""
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from mmaction.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmaction_centerclip.clip.models import check_tokenizer, tokenizer_of
from mmaction_centerclip.clip.preprocessing import (
    check_normalization,
    preprocessing_for,
    pretrained_preprocessing,
)
from mmaction_centerclip.datasets.caching.frame_cache import is_idempotent
from mmaction_centerclip.errors import InputError, config_errors, named_errors
from mmaction_centerclip.models import check_host
from mmaction_centerclip.utils.files import expand_home
from mmaction_centerclip.utils.pipelines import find_pipelines, step_type

CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'
LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'


def read_config(path: str | os.PathLike, options: dict | None = None,
                allow_other: list[str] | None = None) -> Config:
    """Read a config file, and merge options into it as :func:`merge_options` does.

    A name without a folder may be that of a config which the package has.
    """
    path = find_config(os.fspath(path))
    with config_errors(path):
        cfg = expand_home(Config.fromfile(path))
        merge_options(cfg, options, allow_other)
    return cfg


def merge_options(cfg: Config, options: dict | None,
                  allow_other: list[str] | None = None) -> None:
    """Merge ``--cfg-options`` into a config, and import what they say to.

    With ``allow_other`` a checkpoint may differ in settings that it records.
    """
    cfg.merge_from_dict(options or {})
    if any(name.startswith('custom_imports') for name in options or ()):
        import_modules_from_strings(**cfg.custom_imports)  # as those of the file
    if allow_other:
        hooks = cfg.setdefault('default_hooks', {})
        hooks.setdefault('check_checkpoint', dict(type='CheckCheckpointHook'))
        hooks['check_checkpoint']['allow_other'] = allow_other


def find_config(path: str) -> str:
    """Return a config file, or the package's own of that name, with or without .py."""
    found = path if os.path.isfile(path) else find_own_config(path)
    if found is None:
        raise InputError(f'config file not found: {path}')
    return found


def find_own_config(name: str) -> str | None:
    """Find a config of the package by its name, with or without .py."""
    name = name.removesuffix('.py')
    if os.path.basename(name) != name:
        return None
    return next(map(str, CONFIGS.rglob(f'{glob.escape(name)}.py')), None)


def prepare_config(cfg: Config) -> Config:
    """Complete and check a config, in place; a second time changes nothing.

    ``model.arch`` and ``model.pretrained`` alone choose a model: a retriever's
    ``OpenCLIPResize`` and ``OpenCLIPTokenize`` without a ``model`` get those, and the
    latter the text tower's ``context_length`` unless it has its own. Workers hand over
    stacked batches, see :func:`stack_in_worker`, where this package's preprocessor
    takes them. What a config says is compared with the model: captions must come from
    its tokenizer, and frames be normalised and resized as the tag in ``pretrained``
    asks. Of a local file nothing is checked.

    Of any model a leading ``~`` is the home folder, loaders without workers lose the
    options of workers, and a frame cache (``VideoInit(cache=...)``) gets the resizing
    behind ``VideoDecode``, so that it keeps frames of that size.
    """
    expand_home(cfg)
    pipelines = [(name, pipeline) for name in LOADERS
                 for pipeline in find_pipelines(cfg.get(name))]
    if is_retriever(cfg):
        _prepare_retriever(cfg, pipelines)
    else:
        _check_recognizer(cfg.get('model') or {})
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            # torch takes them with workers only.
            loader.update(persistent_workers=False)
            loader.pop('prefetch_factor', None)
    for _, pipeline in pipelines:
        _complete_cache(pipeline)
    return cfg


def is_retriever(cfg: Config) -> bool:
    """Return True if a config's model is a retriever of videos by captions."""
    model = cfg.get('model') or {}
    return 'arch' in model and 'text_backbone' in model


def pipeline_settings(cfg: Config) -> dict[str, object]:
    """Return how a retriever's pipeline, that of the test if any, makes frames.

    ``num_frames``, ``frames_per_second`` and ``resizing``, where it says so.
    """
    settings = {}
    for name in reversed(LOADERS):
        for pipeline in find_pipelines(cfg.get(name)) if is_retriever(cfg) else ():
            for step in pipeline:
                if 'clip_len' in step:
                    settings['num_frames'] = step['clip_len'] * step.get('num_clips', 1)
                if step.get('frames_per_second'):
                    settings['frames_per_second'] = step['frames_per_second']
            for _, found in _find_resizing(pipeline, _visual(cfg.model)):
                settings['resizing'] = str(found)
            return settings
    return settings


def _visual(model: dict) -> dict:
    """Return the model whose frames the video tower takes."""
    return dict(model=model.backbone.get('arch', model.arch),
                pretrained=model.get('pretrained'))


def _prepare_retriever(cfg: Config, pipelines: list[tuple[str, list[dict]]]) -> None:
    model, text = cfg.model, cfg.model.text_backbone
    _check_evaluators(cfg)
    own = model.get('data_preprocessor')
    if own is None:
        raise InputError("model.data_preprocessor must be a config, such as dict(type="
                         "'VideoTextDataPreprocessor', format_shape='NCHW'), got None")
    source = f'pretrained={model.get("pretrained")!r} for arch {model.arch!r}'
    known = pretrained_preprocessing(model.arch, model.get('pretrained'))
    if 'mean' in own or 'std' in own:  # else the retriever fills them in
        check_normalization(known, source, own.get('mean'), own.get('std'))
    visual = _visual(model)
    textual = dict(model=text.get('arch', model.arch),
                   context_length=text.get('context_length'))
    if str(own.get('type')).endswith('VideoTextDataPreprocessor'):
        for name in filter(cfg.get, LOADERS):
            cfg[name].setdefault('collate_fn', dict(type='stack_in_worker'))
    for name, pipeline in pipelines:
        with named_errors(name):
            for step in pipeline:
                if step_type(step) == 'OpenCLIPResize' and 'model' not in step:
                    step.update(visual)  # with the tag, which is this model's
                elif step_type(step) == 'OpenCLIPTokenize':
                    step.update({**textual, **step})
                    check_tokenizer(tokenizer_of(step['model']), textual['model'])
            if known:
                _check_resizing(pipeline, visual, known, source)


def _check_evaluators(cfg: Config) -> None:
    """Refuse metrics of the zoo, which a retriever's features are no input of."""
    for name in ('val_evaluator', 'test_evaluator'):
        metrics = cfg.get(name) or ()
        metrics = metrics.get('metrics', metrics) if isinstance(
            metrics, dict) else metrics
        for metric in metrics if isinstance(metrics, (list, tuple)) else (metrics, ):
            kind = metric.get('type') if isinstance(metric, dict) else type(metric)
            cls = METRICS.get(kind) if isinstance(kind, str) else kind
            process = getattr(cls, 'process', None)
            if getattr(process, '__module__', '').startswith('mmaction.'):
                raise InputError(
                    f'{name}: {cls.__name__} evaluates other models, not a retriever; '
                    "write dict(type='VideoTextRetrievalMetric')")


def _check_recognizer(model: dict) -> None:
    """Check that a recogniser's backbone takes its necks, and its frames its tag."""
    backbone = model.get('backbone') or {}
    kind = backbone.get('type')
    if 'necks' in backbone and (not isinstance(kind, str) or MODELS.get(kind)):
        check_host(backbone)
    if kind == 'VideoTowerBackbone' and backbone.get('pretrained'):
        own, arch = model.get('data_preprocessor') or {}, backbone.tower.get('arch')
        check_normalization(pretrained_preprocessing(arch, backbone.pretrained),
                            f'pretrained={backbone.pretrained!r} for arch {arch!r}',
                            own.get('mean'), own.get('std'))


def _check_resizing(pipeline: list[dict], visual: dict, known: dict,
                    source: str) -> None:
    keeps_ratio = known['resize_mode'] != 'squash'
    expected = dict(keep_ratio=keeps_ratio, interpolation=known['interpolation'])
    for name, found in _find_resizing(pipeline, visual, known):
        if found['keep_ratio'] is None:
            found['keep_ratio'] = keeps_ratio
        if found != expected:
            size = known['image_size']
            scale = (-1, size) if keeps_ratio else (size, size)
            raise InputError(
                f'{source} was trained on frames resized with {expected}; the '
                f'pipeline has a {name} with {found}; write '
                f'{dict(type="Resize", scale=scale, **expected)}')


def _find_resizing(pipeline: list[dict], visual: dict,
                   known: dict | None = None) -> Iterator[tuple[str, dict]]:
    """Find what resizes, and how; a crop has no proportions of the frame to keep."""
    is_cropped = False
    for step in pipeline:
        name = step_type(step)
        is_cropped |= name.endswith('Crop')
        if name == 'OpenCLIPResize':
            model = {**visual, **step} if 'model' not in step else step
            own = known if known and all(
                model.get(key) == value for key, value in visual.items()
            ) else preprocessing_for(model['model'], model.get('pretrained'))
            yield name, dict(keep_ratio=own['resize_mode'] != 'squash',
                             interpolation=own['interpolation'])
        elif name == 'Resize':
            yield name, dict(
                keep_ratio=None if is_cropped else step.get('keep_ratio', True),
                interpolation=step.get('interpolation', 'bilinear'))


def _complete_cache(pipeline: list[dict]) -> None:
    """Copy the resize options into the frame cache."""
    kinds = [step_type(step) for step in pipeline]
    for step, kind in zip(pipeline, kinds):
        cache = step.get('cache')
        if kind != 'VideoInit' or not cache:
            continue
        cache = dict(cache) if isinstance(cache, dict) else dict(path=cache)
        behind = kinds.index('VideoDecode') + 1 if 'VideoDecode' in kinds else 0
        resize = pipeline[behind] if 0 < behind < len(pipeline) else {}
        if 'resize' not in cache and is_idempotent(resize):
            cache['resize'] = dict(resize)
        step['cache'] = cache
