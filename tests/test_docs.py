"""The documentation's code runs, and its commands exist."""
import doctest
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn import functional as F

from mmaction_centerclip.datasets import read_annotations
from mmaction_centerclip.evaluation import (
    RERANKINGS,
    RETRIEVAL_METRICS,
    RetrievalFeatures,
    save_features,
)

from .doc_code import (
    BASE,
    DOCS,
    README,
    blocks_of,
    build_config,
    check_command,
    commands_of,
    run_here,
    write_files,
)
from .paths import ROOT


def each_page_with(language, slow=()):
    return pytest.mark.parametrize('page', [
        pytest.param(path, id=name, marks=pytest.mark.slow if name in slow else ())
        for name, path in DOCS.items()
        # Programs that need an exported model, which tests/deployment runs, or the
        # clients of search engines.
        if blocks_of(path, language) and (name, language) not in (
            ('deployment', 'python'), ('scale', 'python'))])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder like the repository, in which pages write files and register."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for registry in (MODELS, RETRIEVAL_METRICS, RERANKINGS):
        monkeypatch.setattr(registry, '_module_dict', dict(registry.module_dict))
    before = dict(sys.modules)
    init_default_scope('mmaction')
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        if str(getattr(sys.modules[name], '__file__', '')).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def features(folder):
    """Files of features in the folder."""
    video_of_text = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5])
    for name in ('features.pth', 'bank.pth'):
        save_features(RetrievalFeatures(
            dict(video=F.normalize(torch.randn(6, 8))),
            dict(text=F.normalize(torch.randn(9, 8))), video_of_text,
            [f'{i}.mp4' for i in range(6)], [f'caption {i}' for i in range(9)]), name)


@pytest.fixture
def films(folder, shapes, tiny_config, tiny_checkpoint):
    """Videos, and a model for them, in the folder."""
    Path('films').symlink_to(shapes / 'videos')
    Path('my_config.py').symlink_to(tiny_config)
    Path('my_checkpoint.pth').symlink_to(tiny_checkpoint)


@each_page_with('python', slow=('usage', 'search'))
def test_python(page, folder, features, monkeypatch, request):
    if page.stem in ('README', 'faq', 'search'):
        request.getfixturevalue('films')
    monkeypatch.syspath_prepend(folder)
    write_files(page)
    known, scope = set(Config.fromfile(BASE)), {}
    for block in blocks_of(page, 'python'):
        if not block.is_config:
            if block.file:
                importlib.import_module(block.file[:-3])
            else:
                exec(compile(block.text, block.place, 'exec'), scope)
            continue
        path = Path(block.file or 'fragment.py')
        if '_base_' not in block.text:
            path.write_text(f'_base_ = {str(BASE)!r}\n{block.text}')
        cfg = build_config(path)
        if 'mmaction::' not in block.text:
            assert set(cfg) <= known, block.place


@each_page_with('json')
def test_json(page, tmp_path):
    for block in blocks_of(page, 'json'):
        path = tmp_path / 'annotations.json'
        path.write_text(block.text)
        assert read_annotations(str(path)) == json.loads(block.text), block.place


@each_page_with('bash')
def test_commands(page, folder, features, capsys):
    write_files(page)
    for block in blocks_of(page, 'bash'):
        commands = commands_of(block.text)
        assert commands, block.place
        for command in commands:
            check_command(command.program, command.args)
            if command.args[:1] == ['tools/analysis_tools/eval_features.py']:
                run_here(command)
                assert 't2v R1' in capsys.readouterr().out


TINY_CLIP = """
model = dict(
    pretrained=None, frozen_layers=-1,
    arch=dict(
        _delete_=True, embed_dim=16,
        vision_cfg=dict(
            image_size=224, patch_size=32, width=32, head_width=16, layers=7),
        text_cfg=dict(
            context_length=32, vocab_size=49408, width=32, heads=2, layers=1)))
"""
IN_THIS_PROCESS = [
    f'{loader}_dataloader.{option}' for loader in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False')
]


@pytest.mark.slow
def test_training_on_your_own_videos(folder, shapes, capfd):
    Path('my_data').mkdir()
    Path('my_data/videos').symlink_to(shapes / 'videos')
    for split in ('train', 'test'):
        videos = json.loads((shapes / f'{split}.json').read_text())
        Path(f'my_data/{split}.json').write_text(json.dumps(dict(
            list(videos.items())[:4])))
    write_files(README)
    with open('my_videos.py', 'a') as file:
        file.write(TINY_CLIP)
    block, = (block for block in blocks_of(README, 'bash')
              if 'my_videos.py' in block.text)
    options = ['--cfg-options', *IN_THIS_PROCESS]
    if not torch.cuda.is_available():  # as the README says
        options.append('optim_wrapper.type=OptimWrapper')
    train, test = commands_of(block.text)
    run_here(train, *options, 'train_cfg.val_interval=5')
    run_here(test, *options)
    printed = capfd.readouterr().out
    assert 'Scaling the original LR by 0.25' in printed
    assert printed.count('captions, 4 videos') == 2


@pytest.mark.slow
def test_extensions_train(folder, shapes, capfd):
    Path('data').mkdir()
    Path('data/shapes').symlink_to(shapes)
    write_files(DOCS['extending'])
    options = ['--cfg-options', *IN_THIS_PROCESS, 'train_cfg.max_epochs=1',
               'train_cfg.val_interval=1', 'param_scheduler.end=1']
    trained = []
    for block in blocks_of(DOCS['extending'], 'bash'):
        for command in commands_of(block.text):
            script, *args = command.args
            if script in ('tools/train.py', 'tools/test.py'):
                args = [arg.replace('epoch_10', 'epoch_1') for arg in args]
                run_here(command._replace(args=[script, *args]), *options)
                trained.append(args[0])
            elif script == 'tools/analysis_tools/eval_features.py':
                run_here(command)
    printed = capfd.readouterr().out
    assert trained == ['my_reducer_config.py', 'my_host_config.py', 'my_head_config.py',
                       'my_head_config.py']
    assert printed.count('captions, 9 videos') == 5
    assert 't2v margin' in printed and 'centered' in printed


EXAMPLES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted((ROOT / 'mmaction_centerclip').rglob('*.py'))
    if '>>> ' in path.read_text()
}


@pytest.mark.parametrize('path', [
    pytest.param(path, marks=pytest.mark.slow if "'ViT-B-32" in text else ())
    for path, text in EXAMPLES.items()])
def test_examples_of_docstrings(path):
    module = importlib.import_module(path.removesuffix('.py').replace('/', '.'))
    failed, attempted = doctest.testmod(module)
    assert attempted and not failed
