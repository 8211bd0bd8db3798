"""Stand in for the package openai-clip with open_clip's parts."""
import sys
import types

import open_clip
from open_clip.model import CLIP


def install(monkeypatch, image_size):
    """Stand in for ``clip``, with towers as thin as a test needs them."""

    def make(embed_dim, pixels, layers, width, patch, context, vocabulary, *text):
        assert (pixels, layers, width, patch) == (224, 12, 768, 32)
        return CLIP(
            embed_dim,
            dict(image_size=image_size, patch_size=patch, width=64, layers=1),
            dict(context_length=context, vocab_size=vocabulary, width=64, heads=1,
                 layers=1))

    package, model = types.ModuleType('clip'), types.ModuleType('clip.model')
    model.CLIP = make
    package.model, package.tokenize = model, open_clip.tokenize
    package.load = None  # it would download weights
    monkeypatch.setitem(sys.modules, 'clip', package)
    monkeypatch.setitem(sys.modules, 'clip.model', model)
