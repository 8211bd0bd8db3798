from .token_pictures import draw_tokens
from .token_views import TokenView, see_tokens
from .tower_inputs import TowerInputs, tower_inputs, tower_of

__all__ = ['TokenView', 'TowerInputs', 'draw_tokens', 'see_tokens', 'tower_inputs',
           'tower_of']
