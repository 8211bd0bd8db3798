"""Give a config's pipelines what they need to know of its model."""
from mmengine.config import Config

from mmaction_centerclip.config_checks import find_pipelines, is_retriever, step_type

__all__ = ['complete_config']


def complete_config(cfg: Config) -> None:
    """Fill in, in place, what the pipelines of a retriever leave to its model.

    So that ``model.arch`` and ``model.pretrained`` alone choose a model:
    ``OpenCLIPResize`` and ``OpenCLIPTokenize`` without a ``model`` get those,
    and the latter the text tower's ``context_length`` unless it has its own.
    What a config says is left as it is.

    Args:
        cfg (Config): Of a run. One whose model is no retriever stays as it is.
    """
    if not is_retriever(cfg):
        return
    model, text = cfg.model, cfg.model.text_backbone
    resize = dict(model=model.backbone.get('arch', model.arch),
                  pretrained=model.get('pretrained'))
    tokenize = dict(model=text.get('arch', model.arch),
                    context_length=text.get('context_length'))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for pipeline in find_pipelines(cfg.get(name)):
            for step in pipeline:
                if step_type(step) == 'OpenCLIPResize' and 'model' not in step:
                    step.update(resize)  # with the tag, which is this model's
                elif step_type(step) == 'OpenCLIPTokenize':
                    step.update({**tokenize, **step})
