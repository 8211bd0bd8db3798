"""Exported towers give what the model gives."""
import pytest
import torch

from mmaction_centerclip.apis import export_towers
from mmaction_centerclip.errors import InputError

from ..conftest import NECK


@pytest.mark.slow
def test_exported_towers(build_retriever, inputs, tmp_path):
    model = build_retriever([NECK]).eval()
    export_towers(model, tmp_path, num_frames=4, image_size=32)
    videos, texts = (torch.export.load(tmp_path / name).module()
                     for name in ('videos.pt2', 'texts.pt2'))
    for seed in range(3):
        torch.manual_seed(seed)
        imgs, text = torch.randn_like(inputs['imgs'])[seed:], inputs['text'][seed:]
        expected = model(dict(imgs=imgs, text=text))
        torch.testing.assert_close(videos(imgs), expected['video'])
        torch.testing.assert_close(texts(text), expected['text'])
    with pytest.raises(InputError, match='videos.pt2 exists already'):
        export_towers(model, tmp_path, num_frames=4, image_size=32)
