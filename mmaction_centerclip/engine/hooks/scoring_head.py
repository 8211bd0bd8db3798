from mmaction.registry import HOOKS
from mmengine.hooks import Hook

from mmaction_centerclip.engine.runner import model_of


@HOOKS.register_module()
class ScoringHeadHook(Hook):
    """Pass the head of the model that runs to ``VideoTextRetrievalMetric``.

    The metric asks a head that is not separable for the similarities of all pairs at
    the end. Its config, which a file of features needs, is ``model.head``.
    """
    priority = 'LOW'  # After EMAHook has put its weights into the model.

    def before_train(self, runner) -> None:
        """Lend it at once: options that do not fit it are errors before."""
        if runner.val_loop is not None:
            self.before_val_epoch(runner)

    def before_val_epoch(self, runner) -> None:
        _lend(runner, runner.val_evaluator.metrics)

    def before_test_epoch(self, runner) -> None:
        _lend(runner, runner.test_evaluator.metrics)


def _lend(runner, metrics: list) -> None:
    config = runner.cfg.get('model', {}).get('head')
    if config is not None:
        config = config.to_dict()
    for metric in metrics:
        if hasattr(metric, 'use_head'):
            metric.use_head(model_of(runner).head, config)
