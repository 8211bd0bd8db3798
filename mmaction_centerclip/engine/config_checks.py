"""Compare a config's pipelines with what its model was trained on."""
from collections.abc import Iterator

from mmaction.registry import METRICS
from mmengine.config import Config

from mmaction_centerclip.clip.models import check_tokenizer, tokenizer_of
from mmaction_centerclip.clip.preprocessing import (
    check_normalization,
    pictures_for,
    pictures_of,
)
from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.utils.pipelines import find_pipelines, step_type

__all__ = ['check_pipelines', 'is_retriever', 'pipeline_settings']


def check_pipelines(cfg: Config) -> None:
    """Refuse pipelines that give a retriever other text or pictures than it knows.

    Captions must come from the tokenizer of the model's ``arch``. Frames must
    be normalised and resized as those that the tag in ``pretrained`` was
    trained on; of a local file nothing is known, and nothing is checked.

    Args:
        cfg (Config): Of a run. Of a recogniser with a ``VideoTowerBackbone``
            the normalisation is compared; other models pass.

    Raises:
        InputError: Naming both tokenizers, or both values.
    """
    if not is_retriever(cfg):
        _check_recognizer(cfg.get('model') or {})
        return
    model = cfg.model
    _check_evaluators(cfg)
    if model.get('data_preprocessor') is None:
        raise InputError("model.data_preprocessor must be a config, such as dict(type="
                         "'VideoTextDataPreprocessor', format_shape='NCHW'), got None")
    known = pictures_of(model.arch, model.get('pretrained'))
    own = model.data_preprocessor
    if 'mean' in own or 'std' in own:  # else the retriever fills them in
        check_normalization(model.arch, model.get('pretrained'),
                            own.get('mean'), own.get('std'))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for pipeline in find_pipelines(cfg.get(name)):
            with named_errors(name):
                _check_tokenizer(pipeline, model.text_backbone.get('arch', model.arch))
                if known:
                    _check_resizing(pipeline, known,
                                    f'pretrained={model.pretrained!r} for arch '
                                    f'{model.arch!r}')


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
    """Compare the normalisation with that of the tag of a recogniser's tower."""
    backbone = model.get('backbone') or {}
    if backbone.get('type') == 'VideoTowerBackbone' and backbone.get('pretrained'):
        own = model.get('data_preprocessor') or {}
        check_normalization(backbone.tower.get('arch'), backbone.pretrained,
                            own.get('mean'), own.get('std'))


def _check_tokenizer(pipeline: list[dict], arch: str | dict) -> None:
    for step in pipeline:
        if step_type(step) == 'OpenCLIPTokenize':
            check_tokenizer(tokenizer_of(step.get('model', 'ViT-B-32')), arch)


def _check_resizing(pipeline: list[dict], known: dict, source: str) -> None:
    keeps_ratio = known['resize_mode'] != 'squash'
    expected = dict(keep_ratio=keeps_ratio, interpolation=known['interpolation'])
    for name, found in _find_resizing(pipeline):
        if found['keep_ratio'] is None:
            found['keep_ratio'] = keeps_ratio
        if found != expected:
            size = known['image_size']
            scale = (-1, size) if keeps_ratio else (size, size)
            raise InputError(
                f'{source} was trained on frames resized with {expected}; the '
                f'pipeline has a {name} with {found}; write '
                f'{dict(type="Resize", scale=scale, **expected)}')


def _find_resizing(pipeline: list[dict], arch: str | dict = 'ViT-B-32',
                   pretrained: str | None = None) -> Iterator[tuple[str, dict]]:
    """Find what resizes, and how; a crop has no proportions of the frame to keep."""
    is_cropped = False
    for step in pipeline:
        name = step_type(step)
        is_cropped |= name.endswith('Crop')
        if name == 'OpenCLIPResize':
            own = pictures_for(step.get('model', arch),
                               step.get('pretrained', pretrained))
            yield name, dict(keep_ratio=own['resize_mode'] != 'squash',
                             interpolation=own['interpolation'])
        elif name == 'Resize':
            yield name, dict(
                keep_ratio=None if is_cropped else step.get('keep_ratio', True),
                interpolation=step.get('interpolation', 'bilinear'))


def pipeline_settings(cfg: Config) -> dict[str, object]:
    """Return how a retriever's pipeline, that of the test if any, makes frames.

    Returns:
        dict[str, object]: ``num_frames``, ``frames_per_second`` and ``resizing``
        where it says so.
    """
    settings = {}
    for name in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        for pipeline in find_pipelines(cfg.get(name)) if is_retriever(cfg) else ():
            for step in pipeline:
                if 'clip_len' in step:
                    settings['num_frames'] = step['clip_len'] * step.get('num_clips', 1)
                if step.get('frames_per_second'):
                    settings['frames_per_second'] = step['frames_per_second']
            for _, found in _find_resizing(
                    pipeline, cfg.model.backbone.get('arch', cfg.model.arch),
                    cfg.model.get('pretrained')):
                settings['resizing'] = str(found)
            return settings
    return settings


def is_retriever(cfg: Config) -> bool:
    """Whether a config's model is a retriever of videos by captions."""
    model = cfg.get('model') or {}
    return 'arch' in model and 'text_backbone' in model
