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
from itertools import product
from pathlib import Path

from mmaction_centerclip.cli import ToolParser

ROOT = Path(__file__).resolve().parents[2]
SIZES = {1280: 800, 400: 800}
STATES = ('videos', 'moments', 'menu', 'play', 'tokens')
SHOWN = {  # in docs/search.md: width, colors and state
    'search.png': (1280, 'light', 'moments'),
    'search_tokens.png': (1280, 'dark', 'tokens'),
    'search_phone.png': (400, 'dark', 'moments'),
}
# Pictures that are out of sight are loaded when they are not.
LOADED = """() => [...document.images].every(image => image.complete
    || image.getBoundingClientRect().top > innerHeight)"""


def main() -> None:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'docs' / 'pictures',
                        help='the folder of the pictures')
    parser.add_argument('--all', action='store_true',
                        help='all states at 1280 and 400 pixels, light and dark, to be '
                        'looked at')
    parser.add_argument('--address', help='of a page that is served already')
    parser.add_argument('--query', help='what to look for; default: the first example')
    parser.add_argument('--chromium', default=shutil.which('chromium'),
                        help='the browser; default: chromium of the PATH, or else '
                        "playwright's own")
    args = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit('error: pip install playwright')
    args.out.mkdir(parents=True, exist_ok=True)
    shown = {f'{state}_{width}_{scheme}.png': (width, scheme, state)
             for width, scheme, state in product(SIZES, ('light', 'dark'), STATES)
             } if args.all else SHOWN
    with serve_demo(args.address) as address, sync_playwright() as runner:
        browser = runner.chromium.launch(
            executable_path=args.chromium, args=['--no-sandbox'])
        for name, (width, scheme, state) in shown.items():
            page = browser.new_page(viewport=dict(width=width, height=SIZES[width]),
                                    color_scheme=scheme)
            page.goto(address)
            page.locator('#hits:not([aria-busy]) .play').first.wait_for()
            if state != 'videos':
                page.get_by_label('What to look for').fill(
                    args.query or page.locator('#examples button').first.inner_text())
                page.keyboard.press('Enter')
                page.locator('#exports summary').wait_for()
                bring(page, state)
            page.mouse.move(0, 0)
            page.wait_for_function(LOADED)
            page.screenshot(path=args.out / name)
            page.close()
        browser.close()
    print(f'Saved to {args.out}')


def bring(page, state: str) -> None:
    """Bring a page that shows moments into another state."""
    if state == 'menu':
        page.locator('#exports summary').click()
    elif state == 'play':
        page.locator('#hits .play').first.click()
        page.wait_for_function('() => document.querySelector("video")?.played.length')
        page.wait_for_timeout(300)  # until the first frame is drawn
    elif state == 'tokens':
        page.get_by_role('button', name='Kept tokens').first.click()
        page.locator('figure img').wait_for()


@contextmanager
def serve_demo(address: str | None) -> Iterator[str]:
    """Run the demonstration unless a page is served, and give its address."""
    if address:
        yield address
        return
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
