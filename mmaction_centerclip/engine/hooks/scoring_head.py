"""Lend the model's head to the metrics that compare features."""
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

__all__ = ['ScoringHeadHook']


@HOOKS.register_module()
class ScoringHeadHook(Hook):
    """Give ``VideoTextRetrievalMetric`` the head of the model that runs.

    A head that is not separable compares pairs with its own weights. The
    metric caches what the head keeps of videos and captions, and asks the
    head for the similarities of all pairs at the end. Heads that are
    separable do without this hook.
    """
    priority = 'LOW'  # After EMAHook has put its weights into the model.

    def before_train(self, runner) -> None:
        """Lend it at once: what does not go together says so before."""
        if runner.val_loop is not None:
            self._lend(runner.model, runner.val_evaluator.metrics)

    def before_val_epoch(self, runner) -> None:
        """Lend the head to the metrics of the validation."""
        self._lend(runner.model, runner.val_evaluator.metrics)

    def before_test_epoch(self, runner) -> None:
        """Lend the head to the metrics of the test."""
        self._lend(runner.model, runner.test_evaluator.metrics)

    def _lend(self, model, metrics: list) -> None:
        if is_model_wrapper(model):
            model = model.module
        for metric in metrics:
            if hasattr(metric, 'use_head'):
                metric.use_head(model.head, getattr(model, 'head_config', None))
