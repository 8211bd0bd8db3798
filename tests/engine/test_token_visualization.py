"""The hook draws in a real training, which goes on as without it."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmaction_centerclip.engine import TokenVisualizationHook
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.visualization import see_tokens, tower_inputs

HOOK = dict(type='TokenVisualizationHook', interval=4, num_videos=2)


def trained(tiny_config, work_dir, hook=None, **options):
    """Train for an epoch of six batches."""
    cfg = Config.fromfile(tiny_config)
    cfg.update(work_dir=str(work_dir), launcher='none', experiment_name=work_dir.name)
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 2,
                         'param_scheduler.end': 1, **options})
    if hook:
        cfg.default_hooks.token_pictures = hook
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.slow
def test_pictures_of_a_real_training(tiny_config, tmp_path):
    runner = trained(tiny_config, tmp_path / 'with', HOOK)
    folder, = (tmp_path / 'with').glob('*/vis_data/vis_image')
    names = [f'tokens_1_TokenClustering_video_{i}_4.png' for i in (1, 2)]
    assert sorted(path.name for path in folder.iterdir()) == names
    first, second = (cv2.imread(str(folder / name)) for name in names)
    # Eight frames of 64 pixels, twice as large, in two rows of four.
    assert first.shape == (2 * 128 + 4, 4 * 128 + 3 * 4, 3)
    assert not np.array_equal(first, second)
    plain = trained(tiny_config, tmp_path / 'without')
    assert not list((tmp_path / 'without').glob('*/vis_data/vis_image/*'))
    for name, value in plain.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[name], value), name


@pytest.mark.slow
def test_pictures_in_tensorboard(tiny_config, tmp_path):
    events = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator')
    trained(tiny_config, tmp_path / 'with', HOOK,
            **{'visualizer.vis_backends': [dict(type='TensorboardVisBackend')]})
    file, = (tmp_path / 'with').glob('*/vis_data/events.out.*')
    found = events.EventAccumulator(str(file))
    found.Reload()
    names = [f'tokens_1_TokenClustering_video_{i}' for i in (1, 2)]
    assert sorted(found.Tags()['images']) == names
    picture, = found.Images(names[0])
    assert picture.step == 4 and (picture.width, picture.height) == (524, 260)


@pytest.mark.slow
def test_the_videos_stay_the_same(tiny_config, tmp_path):
    runner = trained(tiny_config, tmp_path / 'work', dict(HOOK, interval=3))
    folder, = (tmp_path / 'work').glob('*/vis_data/vis_image')
    assert len(list(folder.iterdir())) == 4
    hook, = (h for h in runner.hooks if isinstance(h, TokenVisualizationHook))
    view, = see_tokens(runner.model.backbone, hook._videos.imgs)
    picture = cv2.imread(str(folder / 'tokens_1_TokenClustering_video_1_6.png'))
    frames = hook._videos.frames[0]
    for place, kept in enumerate(view.kept[0].flatten().tolist()):
        frame, patch = divmod(place, 16)
        y, x = patch // 4 * 16 + 8, patch % 4 * 16 + 8  # the middle of a patch
        drawn = picture[frame // 4 * 132 + 2 * y, frame % 4 * 132 + 2 * x, ::-1]
        pixel = frames[frame, y, x]
        assert (drawn == (pixel if kept else pixel // 4)).all()


def test_bad_options_and_nothing_to_draw(tiny_config, tmp_path):
    for option in ('interval', 'num_videos', 'columns'):
        with pytest.raises(InputError, match=f'{option} must be a positive integer'):
            TokenVisualizationHook(**{option: 0})
    with pytest.raises(InputError, match='the video tower has no necks'):
        trained(tiny_config, tmp_path, HOOK, **{'model.backbone.necks': []})


def test_a_batch_without_a_readable_video(build_retriever):
    model = build_retriever()
    frames = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    text = torch.randint(1, 49406, (1, 12))
    batch = dict(inputs=dict(imgs=[None, frames], text=[None, text]),
                 data_samples=[dict(missing=True), dict()])
    videos = tower_inputs(model, batch, 2)
    assert (videos.frames[0] == frames.permute(0, 2, 3, 1).numpy()).all()
    assert videos.imgs.shape == (1, 4, 3, 32, 32) and videos.frame_mask is None
    batch['inputs'] = dict(imgs=[None, None], text=[None, None])
    assert len(tower_inputs(model, batch, 2).frames) == 0
    batch['inputs'] = dict(imgs=[frames.float()], text=[text])
    with pytest.raises(InputError, match='must be uint8.*got torch.float32'):
        tower_inputs(model, batch, 1)
