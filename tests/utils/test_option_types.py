"""Options are checked by the annotations of what takes them."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from mmaction import registry
from mmengine.config import ConfigDict
from mmengine.registry import Registry

from mmaction_centerclip.datasets.compression import Compression
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTowerBackbone
from mmaction_centerclip.utils.option_types import PositiveInt, Share, check_types

GOOD = [
    (int, 3), (int, np.int64(3)), (float, 3), (float, np.float32(3)), (bool, True),
    (str, ''), (dict, ConfigDict(a=1)), (dict[str, int], {'a': 1}), (list[int], (1, )),
    (Sequence[str | dict], ['a', {}]), (tuple[int, int], [1, 2]), (tuple[int, ...], ()),
    (Literal['a', 1], 1), (int | None, None), (torch.device | str, 'cpu'),
    (type | object, 3), (np.ndarray, np.ones(2)), (PositiveInt | None, None),
    (Share, 0)]
BAD = [
    (int, True), (int, 1.0), (int, '1'), (float, True), (float, '1'), (bool, 1),
    (bool, 'no'), (bool, None), (str, 5), (str, True), (dict, []), (dict[str, int],
                                                                   {'a': '1'}),
    (list[int], 'a'), (Sequence[str], 'ab'), (Sequence[float], [1, True]),
    (Sequence[dict], {}), (tuple[int, int], [1]), (Literal['a', 1], True),
    (int | None, False), (torch.device | str, 0), (np.ndarray, [1]),
    (PositiveInt, 0), (PositiveInt | None, -1), (Share, 1.0), (Share, float('nan'))]


def takes(hint):
    def function(first, option, **kwargs):
        return option

    function.__annotations__ = dict(option=hint, kwargs=int)
    return check_types(function)


@pytest.mark.parametrize('hint, value', GOOD)
def test_what_is_of_the_type_passes(hint, value):
    assert takes(hint)('x', value, more='y') is value


@pytest.mark.parametrize('hint, value', BAD)
def test_what_is_not_is_named(hint, value):
    with pytest.raises(InputError, match='function: option must be .*, got ') as error:
        takes(hint)('x', option=value)
    assert repr(value) in str(error.value)


def test_of_a_class_all_that_this_package_adds_is_checked():
    @check_types
    class Outside(VideoTowerBackbone):
        def __init__(self, width: int, **kwargs) -> None:
            super().__init__(**kwargs)

    for options in (dict(width='3', tower={}), dict(width=3, tower=dict(type='x'),
                                                    pretrained=True)):
        with pytest.raises(InputError, match='Outside: (width|pretrained) must be'):
            Outside(**options)
    with pytest.raises(TypeError, match='width'):
        Outside()

    @check_types
    @dataclass
    class Plain:
        number: int = 3

    assert Plain().number == 3
    for wrong in (lambda: Plain(True), lambda: Compression(all_intra=2)):
        with pytest.raises(InputError, match='must be'):
            wrong()


def test_every_registered_class_is_checked():
    package = 'mmaction_centerclip.'
    own = [cls for each in vars(registry).values() if isinstance(each, Registry)
           for cls in each.module_dict.values()
           if isinstance(cls, type) and cls.__module__.startswith(package)]
    assert len(own) > 50
    assert all(hasattr(vars(base)['__init__'], 'checks_types')
               for cls in own for base in cls.__mro__
               if base.__module__.startswith(package)
               and '__init__' in vars(base))


def test_a_descriptor_of_a_file_is_no_file():
    # os.path.exists(True) is: standard output, which reading would close.
    with pytest.raises(InputError, match='pretrained must be a text or None, got True'):
        VideoTowerBackbone(dict(type='CLIPVisionTower', arch='ViT-B-32'),
                           pretrained=True)
