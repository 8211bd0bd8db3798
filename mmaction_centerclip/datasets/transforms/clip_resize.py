from mmaction.datasets.transforms import CenterCrop, Resize
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from mmaction_centerclip.clip.preprocessing import describe_resizing, preprocessing_for
from mmaction_centerclip.errors import InputError, named_errors


@TRANSFORMS.register_module()
class OpenCLIPResize(BaseTransform):
    """Resize and crop frames to the pictures that a model was trained on.

    By the zoo's ``Resize`` and ``CenterCrop``, with what open_clip has for a tag: most
    keep the proportions and crop, SigLIP's and PE-Core's squash.

    Required and Modified Keys:

        - imgs, img_shape: see ``mmaction.datasets.transforms.Resize``

    Added Keys:

        - resizing: what was done, which a model compares with that of its own

    Args:
        model (str | dict): The model's ``arch``, see :func:`clip_config`. In a
            retriever's config the runner fills it in. OpenAI's share the default's
            pictures.
        pretrained (str, optional): See :func:`preprocessing_for`.
    """
    deterministic = True

    def __init__(self, model: str | dict = 'ViT-B-32',
                 pretrained: str | None = None) -> None:
        with named_errors('OpenCLIPResize: model'):
            known = preprocessing_for(model, pretrained)
        self.resizing = describe_resizing(known)
        size, options = known['image_size'], dict(interpolation=known['interpolation'])
        height, width = (size, size) if isinstance(size, int) else size
        self.size = height, width
        if known['resize_mode'] == 'squash':
            self.steps = [Resize((width, height), keep_ratio=False, **options)]
        elif known['resize_mode'] == 'shortest' and height == width:
            self.steps = [Resize((-1, height), **options), CenterCrop(height)]
        else:
            raise InputError(f'OpenCLIPResize: model {model!r} takes pictures of '
                             f'{height} x {width}, resized by '
                             f"{known['resize_mode']!r}, which is not supported")
        self.model, self.pretrained = model, pretrained

    def transform(self, results: dict) -> dict:
        # Those of a cache are as they should be, and are not copied.
        is_done = results['imgs'] and all(
            img.shape[:2] == self.size for img in results['imgs'])
        imgs = results.pop('imgs') if is_done else None
        for step in self.steps:
            results = step(results)
        if is_done:
            results['imgs'] = imgs
        results['resizing'] = self.resizing
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(model={self.model!r}, '
                f'pretrained={self.pretrained!r})')
