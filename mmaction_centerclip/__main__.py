"""Run a tool of the zoo with this package imported first.

For tools that read no config, and all of them with a package that the zoo refuses
(``docs/installation.md``)::

    python -m mmaction_centerclip deployment/publish_model.py IN.pth OUT.pth
"""
import importlib.util
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the tool named by the first argument: a file, or one of the zoo's tools."""
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        sys.exit('usage: python -m mmaction_centerclip TOOL [ARGUMENT ...]')
    del sys.argv[0]
    zoo = Path(importlib.util.find_spec('mmaction').origin).parent
    tools = zoo / '.mim' / 'tools'
    tool = next((path for path in (Path(sys.argv[0]), tools / sys.argv[0])
                 if path.is_file()), None)
    if tool is None:
        sys.exit(f'TOOL must be a file, or one in {tools}, got {sys.argv[0]!r}')
    sys.argv[0] = str(tool)
    sys.path[0] = str(tool.parent)
    runpy.run_path(str(tool), run_name='__main__')


main()
