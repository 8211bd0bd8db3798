from pathlib import Path

import pytest
from mmengine.config import Config

from mmaction_centerclip.cli import ToolParser, add_cfg_options
from mmaction_centerclip.datasets.caching.feature_cache import FeatureCache
from mmaction_centerclip.datasets.caching.frame_cache import FrameCache
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import check_absent, expand_home
from mmaction_centerclip.utils.tensor_files import read_tensors, save_tensors


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    (tmp_path / 'home').mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path / 'home'
    assert not Path('~').exists()


@pytest.mark.parametrize('value, expected', [
    ('~/a', '{}/a'), ('~', '{}'), ('a/~', 'a/~'), ('', ''), (5, 5), (None, None),
    ('~no-such-user/a', '~no-such-user/a'), ('local-dir:~/a', 'local-dir:{}/a'),
    (('~/a', 1), ('{}/a', 1)), ('a ~\n', 'a ~\n')])
def test_a_value(value, expected, home):
    def fill(x):
        return x.format(home) if isinstance(x, str) else x
    expected = tuple(map(fill, expected)) if isinstance(
        expected, tuple) else fill(expected)
    assert expand_home(value) == expected
    assert expand_home(dict(a=[value], b=dict(c=value))) == dict(
        a=[expected], b=dict(c=expected))


def test_a_path(home):
    assert expand_home(Path('~/a')) == home / 'a'


def test_all_of_a_config(home):
    loader = dict(dataset=dict(
        ann_file='~/a.json', data_root='~', data_prefix=dict(video='~/v'),
        pipeline=[dict(type='VideoInit', cache='~/frames.db')]))
    cfg = Config(dict(work_dir='~/wd', load_from='~/a.pth', train_dataloader=loader,
                      model=dict(type='X', init_cfg=dict(checkpoint='~/b.pth'))))
    prepare_config(cfg)
    text = repr(cfg.to_dict())
    assert '~' not in text and text.count(str(home)) == 7


def test_all_words_of_a_command(home):
    parser = ToolParser()
    parser.add_argument('words', nargs='*')
    parser.add_argument('--work-dir')
    parser.add_argument('--out', type=Path)
    add_cfg_options(parser)
    args = parser.parse_args([
        '~/a', 'b ~', '--work-dir=~/wd', '--out', '~/o', '--cfg-options',
        'train_dataloader.dataset.data_root=~/d'])
    assert args.words == [f'{home}/a', 'b ~'] and args.work_dir == f'{home}/wd'
    assert args.out == home / 'o'
    assert args.cfg_options == {'train_dataloader.dataset.data_root': f'{home}/d'}


def test_files(home):
    save_tensors({}, '~/a.pth')
    assert (home / 'a.pth').is_file() and read_tensors('~/a.pth') == {}
    with pytest.raises(InputError, match='a.pth exists'):
        check_absent('~/a.pth')
    FrameCache('~/caches/frames.db')
    FeatureCache('~/caches/features.db', '', writable=True)
    assert {path.name for path in (home / 'caches').iterdir()} >= {
        'frames.db', 'features.db'}
