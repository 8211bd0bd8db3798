from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmaction_centerclip.engine.runner import model_of
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import PositiveInt
from mmaction_centerclip.visualization import (
    TowerInputs,
    draw_tokens,
    see_tokens,
    tower_inputs,
    tower_of,
)


@HOOKS.register_module()
class TokenVisualizationHook(Hook):
    """Draw kept tokens for the backends of the visualizer.

    Of the ``num_videos`` first videos that this training reads, the same ones each
    time. They are drawn as by :func:`draw_tokens`, one a neck, for all of
    ``vis_backends``. The model runs on them in evaluation mode, without gradient, so
    that training goes on as it would without this hook.
    """

    def __init__(self, interval: PositiveInt = 100, num_videos: PositiveInt = 1,
                 columns: PositiveInt = 4) -> None:
        self.interval, self.num_videos, self.columns = interval, num_videos, columns
        self._videos: TowerInputs | None = None

    def before_train(self, runner) -> None:
        """Refuse a model of which there is nothing to draw."""
        if not tower_of(model_of(runner)).necks:
            raise InputError('TokenVisualizationHook: the video tower has no necks, '
                             'so that every patch stays; leave the hook out')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        if not is_main_process():
            return
        model = model_of(runner)
        if self._videos is None and isinstance(data_batch, dict):
            videos = tower_inputs(model, data_batch, self.num_videos)
            self._videos = videos if len(videos.frames) else None
        if self._videos is None or not self.every_n_train_iters(runner, self.interval):
            return
        videos = self._videos
        views = see_tokens(tower_of(model), videos.imgs, videos.frame_mask)
        for number, view in enumerate(views, start=1):
            neck = view.neck.partition('(')[0]
            for i, frames in enumerate(videos.frames):
                center, size = (x[i].cpu().numpy() for x in (view.center, view.size))
                runner.visualizer.add_image(
                    f'tokens_{number}_{neck}_video_{i + 1}',
                    draw_tokens(frames, center, size, self.columns), runner.iter + 1)
