"""Low-rank adapters (LoRA) in the towers of a retriever, by ``peft``."""
import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.utils.option_types import Positive, PositiveInt, check_options

_TOWERS = ('backbone', 'text_backbone')


def add_adapters(model: nn.Module, lora: dict) -> None:
    """Freeze both towers, and put adapters into the blocks of one or both.

    LoRA (arXiv 2106.09685), Sec. 4.1: a frozen weight W acts as W + alpha / r B A, with
    matrices A and B of rank r learned, B from zero. What a tower's library class does
    not have (necks, 3-D patches) is trained as before. The keys of an adapted layer's
    weights in the state dict get a ``base_layer.``.

    ``lora`` has by tower, ``backbone`` or ``text_backbone``, options of
    ``peft.LoraConfig``: ``r`` (8), ``lora_alpha`` (16), ``lora_dropout`` (0.0),
    ``use_rslora`` (False), and the ends of the names of ``target_modules``, linear
    layers inside the blocks, and ``target_parameters``, their matrices, by default
    ``['attn.in_proj_weight']``: CLIP's queries, keys and values.
    """
    if not lora or not lora.keys() <= set(
            _TOWERS) or not all(isinstance(x, dict) for x in lora.values()):
        raise InputError(f'lora must be a dict of one or both of {_TOWERS}, each '
                         f'with the options of its adapters, got {lora!r}')
    try:
        import peft
    except ImportError as error:
        raise InputError(f"lora needs peft, which cannot be imported ({error}); "
                         "install 'mmaction_centerclip[peft]'") from error
    for name in _TOWERS:
        tower = getattr(model, name)
        added = tuple(getattr(tower, 'added_keys', ()))
        for key, parameter in tower.named_parameters():
            parameter.requires_grad = bool(added) and key.startswith(added)
        if name in lora:
            with named_errors(f'lora: {name}'):
                blocks = tower.tower_blocks()
                if not isinstance(blocks, nn.Module):
                    blocks = nn.ModuleList(blocks)
                options = _check_options(dict(lora[name]), blocks)
                try:
                    config = peft.LoraConfig(**options)
                    peft.inject_adapter_in_model(config, blocks)
                except (TypeError, ValueError) as error:
                    raise InputError(f'peft refuses {options}: '
                                     f'{" ".join(str(error).split())}') from error


def _options(r: PositiveInt, lora_alpha: Positive, lora_dropout: float,
             use_rslora: bool, target_modules: Sequence[str],
             target_parameters: Sequence[str]) -> None:
    """Name the options of adapters, and their types."""


def _check_options(options: dict, blocks: nn.Module) -> dict:
    """Return all options of the adapters, if they fit the blocks."""
    known = inspect.signature(_options).parameters
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise InputError(f'the options are {tuple(known)}, got {unknown}')
    check_options('its options', _options, options)
    if not options.keys() & {'target_modules', 'target_parameters'}:
        options['target_parameters'] = ['attn.in_proj_weight']
    options = {'r': 8, 'lora_alpha': 16, 'target_modules': [], **options}
    modules = dict(blocks.named_modules())
    known = dict(
        target_modules=[k for k, m in modules.items() if isinstance(m, nn.Linear)],
        target_parameters=[k for k, p in blocks.named_parameters() if p.ndim == 2])
    for option, names in known.items():
        # The names inside a block: in front stands its number.
        inside = sorted({name.partition('.')[2] for name in names})
        targets = options.get(option) or []
        for target in targets:
            if any(isinstance(module, nn.MultiheadAttention) for key, module
                   in modules.items() if f'.{key}'.endswith(f'.{target}')):
                # It adds to them before a call, and takes away again after it.
                raise InputError(
                    f"{option}: got {target!r}, torch's MultiheadAttention, whose "
                    'frozen weights peft would change a little with every call; '
                    f"write target_parameters=['{target}.in_proj_weight']")
            if not any(f'.{name}'.endswith(f'.{target}') for name in inside):
                raise InputError(f'{option}: the blocks have {inside}, got {target!r}')
    return options


def _adapters(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """List the adapted layers: the module that each is in, its name, itself."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    return [(parent, name, layer) for parent in model.modules()
            for name, layer in parent.named_children()
            if isinstance(layer, BaseTunerLayer)]


def without_adapter(layer: nn.Module) -> nn.Module:
    """Return a layer as it was before it was adapted."""
    while hasattr(layer, 'get_base_layer'):
        layer = layer.base_layer
    return layer


def adapted_weight(layer: nn.Module, name: str,
                   rows: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a weight of a layer, its adapters included, with its rows mapped.

    By a linear map, which is cheaper on the factor B of an adapter B A than on B A.
    """
    weight = rows(getattr(without_adapter(layer), name))
    while hasattr(layer, 'get_base_layer'):
        if getattr(layer, 'parameter_name', name) == name and not layer.merged:
            for adapter in layer.active_adapters:
                factors = layer.lora_B[adapter].weight, layer.lora_A[adapter].weight
                weight = weight + layer.scaling[adapter] * (
                    rows(factors[0]) @ factors[1])
        layer = layer.base_layer
    return weight


@contextlib.contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Temporarily remove LoRA adapters while base weights are loaded."""
    layers = _adapters(model) if model.lora else []
    for parent, name, layer in layers:
        setattr(parent, name, layer.get_base_layer())
    try:
        yield
    finally:
        for parent, name, layer in layers:
            setattr(parent, name, layer)


@contextlib.contextmanager
def watch_adapters(model: nn.Module) -> Iterator[None]:
    """Refuse adapters without an effect, in the first pass of a training.

    A block may read the weight without a call of the layer, as VideoMAE's ``qkv``.
    """
    if not model.lora or model.adapters_seen:
        yield
        return
    names = {layer: name for name, layer in model.named_modules()}
    silent = {layer for _, _, layer in _adapters(model)}
    handles = [layer.register_forward_hook(lambda layer, *_: silent.discard(layer))
               for layer in list(silent)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if silent:
        raise InputError(
            f'lora: {len(silent)} of {len(handles)} adapters have no effect, since '
            'their layers are not called (the block reads the weight itself), such as '
            f'{sorted(names[layer] for layer in silent)[:3]}; choose other targets')
    model.adapters_seen = True


def merge_adapters(model: nn.Module) -> None:
    """Add the adapters to the weights that they adapt, and take them out."""
    if not model.lora:
        raise InputError('the model has no lora to merge')
    for parent, name, layer in _adapters(model):
        while hasattr(layer, 'get_base_layer'):  # several on one layer
            try:
                layer.merge(safe_merge=True)
            except ValueError as error:
                raise InputError(f'lora: {error}') from error
            layer = layer.base_layer
        setattr(parent, name, layer)
    model.lora = None
