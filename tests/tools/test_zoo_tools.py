"""The zoo's own tools, as they are installed, with a config of this project."""
from pathlib import Path

import cv2
import mmaction
import pytest
import torch
from mmengine.config import Config

ZOO = Path(mmaction.__file__).parent / '.mim' / 'tools'


@pytest.mark.slow
def test_train_test_and_publish(run_tool, tiny_config, tmp_path):
    said = run_tool(ZOO / 'train.py', tiny_config, '--work-dir', tmp_path,
                    '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'retrieval/t2v/R1' in said, said
    said = run_tool(ZOO / 'test.py', tiny_config, tmp_path / 'epoch_1.pth',
                    '--work-dir', tmp_path / 'test')
    assert 'retrieval/t2v/R1' in said, said
    run_tool(ZOO / 'deployment' / 'publish_model.py', tmp_path / 'epoch_1.pth',
             tmp_path / 'published.pth')
    published, = tmp_path.glob('published_*.pth')
    whole = torch.load(tmp_path / 'epoch_1.pth')
    content = torch.load(published)
    assert 'optimizer' in whole and 'optimizer' not in content
    assert content['state_dict'].keys() <= whole['state_dict'].keys()


def test_vis_scheduler(run_tool, tiny_config, tmp_path):
    said = run_tool(ZOO / 'visualizations' / 'vis_scheduler.py', tiny_config, '-d', 24,
                    '--not-show', '-s', tmp_path / 'lr.png', '--cfg-options',
                    'optim_wrapper.type=OptimWrapper')
    assert (tmp_path / 'lr.png').stat().st_size, said


@pytest.mark.parametrize('mode', ['transformed', 'pipeline'])
def test_browse_dataset(run_tool, tiny_config, tmp_path, mode):
    pytest.importorskip('moviepy.editor', reason='needs moviepy below 2',
                        exc_type=ImportError)
    said = run_tool(ZOO / 'visualizations' / 'browse_dataset.py', tiny_config, tmp_path,
                    '--show-number', 2, '--mode', mode)
    films = sorted(tmp_path.rglob('*.mp4'))
    assert len(films) == 2, said
    assert cv2.VideoCapture(str(films[0])).read()[0]


def test_what_browse_dataset_puts_in_place_is_called(load_tool, tiny_config):
    """Where moviepy is another, as far as that tool goes without it."""
    from mmaction.registry import DATASETS
    tool = load_tool(ZOO / 'visualizations' / 'browse_dataset.py')
    dataset = DATASETS.build(Config.fromfile(tiny_config).train_dataloader.dataset)
    seen = []
    dataset.pipeline = tool.InspectCompose(dataset.pipeline.transforms, seen)
    item = dataset[0]
    assert seen[0]['name'] == 'VideoDecode' and item['inputs']['imgs'].ndim == 4
    assert all(len(step['imgs']) == len(item['inputs']['imgs']) for step in seen)


def test_get_flops_does_not_know_a_caption(run_tool, tiny_config):
    with pytest.raises(Exception) as error:
        run_tool(ZOO / 'analysis_tools' / 'get_flops.py', tiny_config)
    assert not isinstance(error.value, AssertionError)
