"""An index keeps what its model needs."""
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.remembered import read_model


def test_values_come_back_as_they_were():
    """Transforms tell tuples from lists."""
    config = dict(default_scope='mmaction', resize=dict(type='Resize', scale=(-1, 64)))
    cfg, checkpoint = read_model(
        repr(dict(config=config, name='a.py', checkpoint=None)), 'my.index')
    assert cfg.to_dict() == config and cfg.filename == 'a.py' and checkpoint is None
    assert isinstance(cfg.resize.scale, tuple)


@pytest.mark.parametrize('config, said', [
    (dict(default_scope='films'), "the scope 'films'"),
    (dict(default_scope='mmaction', model=[dict(_scope_='films')]), "scope 'films'"),
    (dict(default_scope='mmaction', model=dict(type='films.run')), "type 'films.run'")])
def test_no_package_is_imported_by_its_name(config, said):
    text = repr(dict(config=config, name='a.py', checkpoint=None))
    with pytest.raises(InputError, match=said):
        read_model(text, 'my.index')


@pytest.mark.parametrize('text', [
    '', 'open("x")', '[1]', '{}', '(' * 9999, "{'config': {'default_scope': 3}, "
    "'name': '', 'checkpoint': None}"])
def test_what_is_no_model_is_damage(text):
    with pytest.raises(InputError, match='my.index: its config is damaged'):
        read_model(text, 'my.index')
