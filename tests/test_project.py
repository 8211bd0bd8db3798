"""What the project's files promise each other."""
import re

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load

from .paths import CONFIGS, ROOT

RETRIEVAL = sorted((CONFIGS / 'retrieval').glob('*/*.py'))


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r'```bash\n(pip .*)\n```',
                          (ROOT / 'README.md').read_text())
    assert len(commands) == 2
    assert commands[1] in (ROOT / '.ci/run').read_text().splitlines()


@pytest.mark.parametrize('path', RETRIEVAL, ids=lambda path: path.stem)
def test_every_config_builds(path):
    cfg = Config.fromfile(path)
    cfg.model.pretrained = None
    model = MODELS.build(cfg.model)
    assert sum(p.requires_grad for p in model.parameters())
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        context = {
            t.context_length
            for t in loader.dataset.pipeline if t.type == 'OpenCLIPTokenize'
        }
        assert context == {model.text_backbone.context_length}


def test_the_model_index_lists_every_config():
    metafiles = load(ROOT / 'model-index.yml')['Import']
    models = [m for f in metafiles for m in load(ROOT / f)['Models']]
    assert sorted(ROOT / m['Config'] for m in models) == RETRIEVAL
    for model in models:
        assert model['Name'] == model['Config'].split('/')[-1][:-3]


@pytest.mark.parametrize('path', RETRIEVAL, ids=lambda path: path.stem)
def test_a_variant_config_states_only_its_difference(path):
    lines = path.read_text().splitlines()
    if lines[0].startswith("_base_ = '"):
        assert len(lines) <= 20
