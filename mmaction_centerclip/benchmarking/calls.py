"""Build the calls to time: evaluations and training steps, compiled or not."""
import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mmaction_centerclip.evaluation import (
    RetrievalEvaluation,
    RetrievalFeatures,
    choose_scorer,
)

Call = Callable[[], object]


@contextlib.contextmanager
def compiled_towers(models: Sequence[nn.Module], backend: str | None) -> Iterator[None]:
    """Compile the models' vision towers inside, unless there is no backend."""
    if backend is None:
        yield
        return
    # What was compiled before counts against a limit, beyond which torch runs
    # eagerly, with no more than a line in a log.
    torch.compiler.reset()
    for model in models:
        model.encode_video = torch.compile(model.encode_video, backend=backend)
    try:
        yield
    finally:
        for model in models:
            del model.encode_video


def evaluation_call(model: nn.Module, inputs: dict[str, Tensor],
                    autocast: torch.autocast) -> Call:
    """Return what encodes a batch and a caption each, and ranks them.

    Args:
        model (nn.Module): A retriever, in evaluation.
        inputs (dict[str, Tensor]): Normalised ``imgs`` (B, T, 3, H, W), and maybe
            ``frame_mask`` (B, T). Captions are made up.
        autocast (torch.autocast): What to encode in.
    """
    imgs = inputs['imgs']
    text, evaluate = _captions(model, imgs), RetrievalEvaluation()
    names = [str(number) for number in range(len(imgs))]

    def run() -> dict[str, float]:
        """Encode, and rank."""
        with autocast:
            video = model.head.video_features(*model.encode_video(inputs))
            texts = model.head.text_features(model.text_backbone(text))
        features = RetrievalFeatures(
            {k: x.cpu() for k, x in video.items()},
            {k: x.cpu() for k, x in texts.items()},
            torch.arange(len(imgs)), names, names)
        return evaluate(features, choose_scorer(features, model.head))

    return run


def training_step(model: nn.Module, inputs: dict[str, Tensor],
                  autocast: torch.autocast) -> Call:
    """Put a model into training, and return what does one step of it.

    A caption each is made up. The rate is so small that weights stay what they
    are, but for rounding.
    """
    model.train()
    text = _captions(model, inputs['imgs'])
    optimizer = torch.optim.AdamW(
        (p for p in model.parameters() if p.requires_grad), lr=1e-9)

    def step() -> None:
        with torch.enable_grad(), autocast:
            losses = model(dict(inputs, text=text), mode='loss')
            loss, _ = model.parse_losses(losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _captions(model: nn.Module, imgs: Tensor) -> Tensor:
    """Token ids (B, L) of a caption each, as long as the model takes."""
    # The captions of MMAction2's model have 77 tokens, whatever they say.
    tower = getattr(model, 'text_backbone', None)
    text = torch.ones(len(imgs), 77 if tower is None else tower.context_length,
                      dtype=torch.long, device=imgs.device)
    if tower is not None:
        text[:, -1] = tower.vocab_size - 1  # the end token
    return text
