"""Stored features are checked when they are read."""
import pytest
import torch

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    load_features,
    save_features,
)


def features(**changes):
    torch.manual_seed(0)
    f = RetrievalFeatures(
        video=dict(video=torch.randn(3, 4)), text=dict(text=torch.randn(5, 4)),
        video_of_text=torch.tensor([0, 0, 1, 2, 2]), filenames=['a', 'b', 'c'],
        captions=list('uvwxy'))
    return f._replace(**changes)


def test_what_was_saved_is_loaded(tmp_path):
    path = str(tmp_path / 'deep' / 'f.pth')
    save_features(features(similarity=torch.randn(5, 3)), path)
    again = load_features(path)
    assert torch.equal(again.video['video'], features().video['video'])
    assert again.captions == list('uvwxy') and again.similarity.shape == (5, 3)
    with pytest.raises(InputError, match='exists already'):
        save_features(features(), path)


NAN = torch.full((5, 3), torch.nan)


@pytest.mark.parametrize('changes, message', [
    (dict(similarity=NAN), 'similarity has values that are not finite'),
    (dict(similarity=torch.zeros(5, 3).index_put(
        (torch.tensor(1), torch.tensor(2)), torch.tensor(torch.inf))),
     'similarity has values that are not finite'),
    (dict(similarity=torch.zeros(5, 4)), r'similarity must be floats \(5, 3\), got'),
    (dict(similarity=torch.zeros(5, 3).long()), 'must be floats .* torch.int64'),
    (dict(head='x'), 'head must be a dict, got str'),
    (dict(similarity=[[1.]]), 'similarity must be a tensor'),
    (dict(video_of_text=torch.tensor([0, 0, 1, 2, 3])), 'got 0 to 3'),
    (dict(video_of_text=torch.tensor([-1, 0, 1, 2, 2])), 'got -1 to 2'),
    (dict(video_of_text=torch.tensor([0, 1, 0, 2, 2])), 'must ascend'),
    (dict(video_of_text=torch.zeros(5)), 'video_of_text must be int64'),
    (dict(video_of_text=torch.zeros(4).long()), r'int64 \(5, \)'),
    (dict(video=dict(video=torch.zeros(2, 4))), r"video 'video' must .*\(3, ...\)"),
    (dict(video=dict(video=torch.full((3, 4), torch.nan))), 'not finite'),
    (dict(text={}), 'text must be a dict'), (dict(text=[1]), 'text must be a dict'),
    (dict(text=dict(text='x')), "text 'text' must be a tensor"),
    (dict(text=dict(text=torch.zeros(5, 4, dtype=torch.complex64))), 'complex64'),
    (dict(text=dict(text=torch.zeros(5, 4).to_sparse())), "text 'text' is sparse"),
    (dict(video=dict(video=torch.zeros(1).expand(3, 10**12))), 'is expanded'),
    (dict(video=dict(video=torch.zeros(3, 1, 4))), 'vectors of floats of one width'),
    (dict(video=dict(video=torch.zeros(3, 5))), 'vectors of floats of one width'),
    (dict(video=dict(video=torch.zeros(3, 4).long())), 'vectors of floats of one'),
    (dict(filenames=[]), 'filenames must be'), (dict(captions=[1] * 5), 'captions'),
    (dict(paragraph='yes'), "paragraph must be a bool, got 'yes'"),
])
def test_what_does_not_fit_together_is_named(changes, message, tmp_path):
    path = str(tmp_path / 'f.pth')
    torch.save(dict(features(**changes)._asdict(),
                    format='mmaction_centerclip.features.v1'), path)
    with pytest.raises(InputError, match=f'f.pth is not a file of feat.*{message}'):
        load_features(path)


@pytest.mark.parametrize('content, message', [
    ([1], 'did not write it'), ({}, 'did not write it'),
    (dict(format='mmaction_centerclip.features.v1'), 'missing .*captions'),
    (dict(features()._asdict(), more=1, format='mmaction_centerclip.features.v1'),
     "unknown .'more'")])
def test_another_file_is_named(content, message, tmp_path):
    path = str(tmp_path / 'f.pth')
    torch.save(content, path)
    with pytest.raises(InputError, match=f'f.pth is not a file of feat.*{message}'):
        load_features(path)
    for missing in (str(tmp_path / 'none.pth'), str(tmp_path)):
        with pytest.raises(InputError, match='no such file'):
            load_features(missing)
