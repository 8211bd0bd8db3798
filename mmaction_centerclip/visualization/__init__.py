"""Pictures of kept tokens, of what was found, and of failures."""
from .result_page import (
    Confusion,
    Failure,
    confusable_captions,
    result_page,
    worst_queries,
)
from .result_sheets import Hit, VideoFolder, film_strip, result_sheet
from .token_pictures import draw_tokens
from .token_views import TokenView, TowerInputs, see_tokens, tower_inputs, tower_of

__all__ = ['Confusion', 'Failure', 'Hit', 'TokenView', 'TowerInputs', 'VideoFolder',
           'confusable_captions', 'draw_tokens', 'film_strip', 'result_page',
           'result_sheet', 'see_tokens', 'tower_inputs', 'tower_of', 'worst_queries']
