"""Training low-rank adapters by the tools, and merging them."""
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from open_clip.model import CLIP

from ..reference.work_dirs import evaluations_of

pytest.importorskip('peft')
MERGE = 'model_converters/merge_lora.py'


@pytest.fixture
def config(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    torch.save(CLIP(**cfg.model.arch).state_dict(), tmp_path / 'clip.pt')
    cfg.model.update(pretrained=str(tmp_path / 'clip.pt'), lora=dict(
        backbone=dict(r=4), text_backbone=dict(r=4, target_modules=['mlp.c_fc'])))
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.param_scheduler.end = 2
    cfg.optim_wrapper.optimizer.lr = 1e-2
    path = tmp_path / 'config.py'
    cfg.dump(path)
    return path


def read(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


@pytest.mark.slow
def test_adapters_train_resume_test_and_merge(run_tool, config, tmp_path):
    whole, start = tmp_path / 'whole', torch.load(tmp_path / 'clip.pt')
    run_tool('train.py', config, '--work-dir', whole)
    saved = read(whole / 'epoch_2.pth')
    trained = saved['state_dict']
    weights = {key.replace('.base_layer', ''): value for key, value in trained.items()}
    for key, value in start.items():
        if key.startswith('visual.'):
            # The base weights, to the last bit, after training and validation.
            assert torch.equal(weights[f'backbone.{key[7:]}'], value), key
    changed = [k for k, v in trained.items() if '.lora_B.' in k and v.any()]
    assert len(changed) == 5

    # Resumed where a kill had left it, it ends alike, with its optimizer's state.
    resumed = tmp_path / 'resumed'
    resumed.mkdir()
    shutil.copy(whole / 'epoch_1.pth', resumed)
    run_tool('train.py', config, '--work-dir', resumed, '--resume')
    again = read(resumed / 'epoch_2.pth')
    assert all(torch.equal(again['state_dict'][k], v) for k, v in trained.items())
    moments, expected = (x['optimizer']['state'] for x in (again, saved))
    assert moments.keys() == expected.keys()
    for i, state in expected.items():
        assert all(torch.equal(moments[i][k], v) for k, v in state.items())

    # What no weight tells is refused, unless it is allowed.
    merged, other = tmp_path / 'merged.pth', 'model.lora.backbone.lora_alpha=64'
    for said in (run_tool('test.py', config, whole / 'epoch_2.pth', '--work-dir',
                          resumed, '--cfg-options', other),
                 run_tool(MERGE, config, whole / 'epoch_2.pth', '--out', merged,
                          '--cfg-options', other)):
        assert 'backbone.lora_scale (lora_alpha / r) 4.0, here 16.0' in said
    assert not merged.exists()
    run_tool('test.py', config, whole / 'epoch_2.pth', '--work-dir', tmp_path / 'other',
             '--cfg-options', other, '--allow-other', 'lora_scale')
    assert evaluations_of(tmp_path / 'other', 'test')

    # Merged, it is a plain model of equal figures.
    said = run_tool(MERGE, config, whole / 'epoch_2.pth', '--out', merged)
    assert said.startswith(f'Wrote {merged}') and 'model.lora=None' in said
    run_tool('test.py', config, merged, '--work-dir', tmp_path / 'test',
             '--cfg-options', 'model.lora=None')
    tested, = evaluations_of(tmp_path / 'test', 'test')
    assert tested == pytest.approx(evaluations_of(whole)[-1], abs=1e-3)
    said = run_tool(MERGE, config, whole / 'epoch_2.pth', '--out', merged)
    assert said == f'error: {merged} exists already, choose another file'
    said = run_tool(MERGE, config, merged, '--out', tmp_path / 'twice.pth')
    assert 'merged.pth holds weights without LoRA' in said
    said = run_tool(MERGE, config, merged, '--out', tmp_path / 'twice.pth',
                    '--cfg-options', 'model.lora=None')
    assert said.endswith('the model has no lora to merge')
    assert not list(tmp_path.glob('twice*'))

    # With a config of the other kind, one line says what to do.
    said = run_tool('test.py', config, whole / 'epoch_2.pth', '--work-dir', resumed,
                    '--cfg-options', 'model.lora=None')
    assert 'epoch_2.pth holds a retriever with LoRA' in said and 'merge_lora.py' in said
    said = run_tool('test.py', config, merged, '--work-dir', resumed)
    assert 'merged.pth holds weights without LoRA' in said and 'model.lora=None' in said
    said = run_tool('model_converters/mmaction_to_open_clip.py', whole / 'epoch_2.pth',
                    '--out', tmp_path / 'clip_again.pt')
    assert said.startswith('error: the towers have LoRA') and 'merge_lora.py' in said
