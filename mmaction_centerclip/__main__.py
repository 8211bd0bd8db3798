"""Run a tool of this package, or of the zoo with this package imported first.

The names are those of the files in ``tools``, without folder and suffix where they are
one of a kind: ``train``, ``test``, ``search``, ``doctor``, ``any_to_mmaction`` ...
"""
import importlib.util
import runpy
import sys
from pathlib import Path

OWN = Path(__file__).parent / '.mim' / 'tools'
USAGE = 'usage: python -m mmaction_centerclip TOOL [ARGUMENT ...]'


def find_tool(name: str) -> Path | None:
    """Find a file, a tool of this package, or one of the zoo's."""
    own = {path.stem: path for path in sorted(OWN.rglob('*.py'))}
    zoo = Path(importlib.util.find_spec('mmaction').origin).parent / '.mim' / 'tools'
    found = (Path(name), own.get(name.replace('-', '_')), OWN / name, zoo / name,
             zoo / f'{name}.py')
    return next((path for path in found if path and path.is_file()), None)


def _place_configs() -> None:
    """Replace names of our configs by their paths, for the tools of the zoo."""
    from mmaction_centerclip.engine.config import find_own_config
    sys.argv[1:] = [word if Path(word).exists() else find_own_config(word) or word
                    for word in sys.argv[1:]]


def main() -> None:
    """Run the tool named by the first argument with the others."""
    names = ', '.join(sorted(path.stem for path in OWN.rglob('*.py')))
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(f'{USAGE}\n\nTOOL is one of {names}; or a tool of MMAction2, such as\n'
              'analysis_tools/get_flops; or a file. TOOL --help says more.')
        sys.exit(len(sys.argv) < 2)
    del sys.argv[0]
    tool = find_tool(sys.argv[0])
    if tool is None:
        sys.exit(f'{USAGE}\nerror: TOOL must be one of {names}, a tool of MMAction2 or '
                 f'a file, got {sys.argv[0]!r}')
    if not tool.resolve().is_relative_to(OWN.resolve()):
        importlib.import_module('mmaction_centerclip.registration')
        _place_configs()
    sys.argv[0] = str(tool)
    sys.path[0] = str(tool.parent)
    runpy.run_path(str(tool), run_name='__main__')


main()
