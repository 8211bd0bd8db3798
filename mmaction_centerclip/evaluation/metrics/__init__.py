"""Further metrics: a file here that registers one is found by itself."""
from ..registry import import_modules_of

import_modules_of(__name__, __path__)
