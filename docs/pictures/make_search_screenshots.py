#!/usr/bin/env python
"""Make the pictures of docs/search.md: the page of the search, in a browser.

Shows the demonstration of tools/search.py, which needs what tools/run_shapes.py
has trained, in Chromium without a window. Needs playwright.
"""
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmaction_centerclip.cli import ToolParser

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1120, 740
# Pictures that are out of sight are loaded when they are not.
LOADED = """() => [...document.images].every(image => image.complete
    || image.getBoundingClientRect().top > innerHeight)"""


def main() -> None:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'pictures',
                        help='the folder of the pictures')
    parser.add_argument('--chromium', default=shutil.which('chromium'),
                        help='the browser; default: chromium of the PATH, or else '
                        "playwright's own")
    args = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit('error: pip install playwright')
    args.out.mkdir(parents=True, exist_ok=True)
    with serve_demo() as address, sync_playwright() as runner:
        browser = runner.chromium.launch(
            executable_path=args.chromium, args=['--no-sandbox'])
        for name, scheme, action in (('search.png', 'light', None),
                                     ('search_tokens.png', 'dark', 'Kept tokens')):
            page = browser.new_page(
                viewport=dict(width=WIDTH, height=HEIGHT), color_scheme=scheme)
            page.goto(address)
            page.locator('#examples button').first.click()
            page.locator('#hits li').first.wait_for()
            page.mouse.move(0, 0)
            if action:
                page.get_by_role('button', name=action).first.click()
                page.locator('figure img').wait_for()
            page.wait_for_function(LOADED)
            page.screenshot(path=args.out / name)
        browser.close()
    print(f'Saved to {args.out}')


@contextmanager
def serve_demo() -> Iterator[str]:
    """Run the demonstration, and give its address."""
    command = [sys.executable, '-W', 'ignore', ROOT / 'tools' / 'search.py', 'demo',
               '--no-open', '--port', '0']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            address = next(filter(None, (re.search(r'http://\S+', line)
                                         for line in demo.stdout)), None)
            if address is None:
                sys.exit('error: the demonstration does not start, see above')
            yield address[0]
        finally:
            demo.terminate()


if __name__ == '__main__':
    main()
