"""What cannot be exported is said in a line, and in docs/deployment.md."""
import pytest
from mmaction.registry import MODELS
from torch import nn

from mmaction_centerclip.deployment.programs import (
    check_any_frames,
    check_exportable,
    why_not,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TokenNeck
from mmaction_centerclip.models.heads.base import SimilarityHead

from ..conftest import NECK
from ..models.hosts import HOSTS
from ..paths import ROOT

JOINED = 'VideoMAETower, TimeSformerTower of joint attention, UniFormerV2Tower'
# By what the page calls it: a neck, and the hosts that it is refused in.
CASES = {
    'RunLengthTokens': (dict(type='RunLengthTokens', num_segments=1), 'any'),
    'RareTokenDrop(num_centers=0.5)': (
        dict(NECK, type='RareTokenDrop', num_segments=1, num_centers=0.5), 'any'),
    'SpectralTokenClustering': (dict(NECK, type='SpectralTokenClustering'), 'any'),
    'AgglomerativeClustering': (dict(NECK, type='AgglomerativeClustering'), 'any'),
    'TokenClustering(p=1.0)': (dict(NECK, p=1.0), 'any'),
    'TokenClustering(adaptive_segments=True)': (
        dict(NECK, adaptive_segments=True), JOINED),
}
HEADS = {'SequentialLSTMHead': dict(embed_dims=16)}


class Retriever(nn.Module):
    """A tower, with a head that can be exported."""

    def __init__(self, backbone, head='MeanPoolingHead', **options):
        super().__init__()
        self.backbone = backbone
        self.head = MODELS.build(dict(type=head, **options))


def build(neck, hosts):
    host = 'clip' if hosts == 'any' else 'videomae'
    return Retriever(HOSTS[host].build([neck] * bool(neck)))


def rows():
    """The table of the page: what, where, and why."""
    for name, (neck, hosts) in CASES.items():
        model = build(neck, hosts)
        own, = model.backbone.necks
        yield f'`{name}`', hosts, why_not(model).replace(f'{own} ', '')
    for name, options in HEADS.items():
        reason = why_not(Retriever(HOSTS['clip'].build(), name, **options))
        yield f'`{name}`', 'any', reason.replace(f'{name} ', '')
    others = sorted(
        name for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, SimilarityHead)
        and not cls.separable)
    yield (', '.join(f'`{name}`' for name in others), 'any',
           'compares pairs, so that a video is no vector')


def test_the_table_of_the_page():
    page = (ROOT / 'docs/deployment.md').read_text()
    table = ''.join(f'| {" | ".join(row)} |\n' for row in rows())
    assert table in page, table


def test_every_refusal_has_a_case():
    """Of all necks of the package, by what their classes say."""
    refused = {name for name, cls in MODELS.module_dict.items()
               if isinstance(cls, type) and issubclass(cls, TokenNeck)
               and (cls.without_onnx or cls.pads)
               and cls.__module__.startswith('mmaction_centerclip.')}
    assert refused <= {name.split('(')[0] for name in CASES}


@pytest.mark.parametrize('name', CASES)
def test_it_is_refused(name):
    neck, hosts = CASES[name]
    with pytest.raises(InputError, match='docs/deployment.md'):
        check_exportable(build(neck, hosts))


def test_other_segments_of_a_joint_tower_are_not():
    assert why_not(build(dict(NECK, exclude_padding=True), JOINED)) is None
    assert why_not(build(dict(NECK, adaptive_segments=True), 'any')) is None


@pytest.mark.parametrize('host, necks, said', [
    ('videomae', [], 'fixed by VideoMAETower, whose attention joins them'),
    ('clip', [dict(NECK, type='DensityPeakClustering')], 'fixed by DensityPeak'),
    ('clip', [dict(NECK, frame_embed='zeros', frames_per_segment=4)],
     'fixed by TokenClustering'),
    ('clip', [NECK, dict(NECK, type='RareTokenDrop', before_block=1)],
     'fixed by RareTokenDrop'),
    ('clip', [NECK, dict(NECK, type='RareTokenDrop', before_block=3)], None),
    ('timm', [dict(type='TokenMerging', before_block=[1, 2], r=1)], None),
])
def test_a_number_of_frames_that_is_fixed(host, necks, said):
    model = Retriever(HOSTS[host].build(necks))
    if said is None:
        return check_any_frames(model)
    with pytest.raises(InputError, match=said):
        check_any_frames(model)
