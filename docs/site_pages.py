"""Hook of mkdocs: put the README, and each file that a page links to, on the site.

Links stay those of the repository, so that they work on GitHub too. A source is shown
as code, a notebook with its outputs.
"""
import json
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
START = ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md')
BOOSTS = {'docs/faq.md': 3, 'docs/notes/performance.md': 0.3, 'CHANGELOG.md': 0.2}
CODE = re.compile(r'(^ *```.*?^ *```$|`[^`]+`)', re.M | re.S)
LINK = re.compile(r'(?<=\]\()(?!https?:|mailto:|data:|#)([^)#\s]+)')


def site_path(path: str) -> str:
    """Return where a file of the repository is on the site."""
    if path == 'README.md':
        return 'index.md'
    if path.startswith('docs/'):
        return path.removeprefix('docs/')
    return path if path.endswith('.md') else f'{path}.md'


def rewrite_links(text: str, path: str) -> tuple[str, set[str]]:
    """Return a page's text with the site's links, and the files that it links to."""
    linked = set()

    def rewrite(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[1]))
        linked.add(target)
        return posixpath.relpath(site_path(target), posixpath.dirname(site_path(path)))

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(rewrite, part) for part in parts[::2]]
    return ''.join(parts), linked


def output_of(output: dict) -> str:
    """Return what a cell of a notebook printed or showed, as Markdown."""
    data = output.get('data', {})
    for kind in ('image/jpeg', 'image/png'):
        if kind in data:
            content = ''.join(data[kind]).replace('\n', '')
            return f'![{"".join(data["text/plain"])}](data:{kind};base64,{content})'
    printed = ''.join(output.get('text', data.get('text/plain', '')))
    return f'```text\n{printed.rstrip()}\n```'


def notebook_page(text: str) -> str:
    """Return a notebook as Markdown, with its outputs."""
    parts = []
    for cell in json.loads(text)['cells']:
        source = ''.join(cell['source'])
        parts.append(source if cell['cell_type'] == 'markdown'
                     else f'```python\n{source}\n```')
        parts += map(output_of, cell.get('outputs', ()))
    return '\n\n'.join(parts)


def page_of(path: str) -> str:
    """Return a file of the repository as Markdown."""
    text = (ROOT / path).read_text(encoding='utf-8')
    if path in BOOSTS:
        return f'---\nsearch:\n  boost: {BOOSTS[path]}\n---\n{text}'
    if path.endswith('.md'):
        return text
    if path.endswith('.ipynb'):
        return notebook_page(text)
    # Its name finds it in the model zoo; all sources would crowd out the pages.
    return ('---\nsearch:\n  exclude: true\n---\n'
            f'# {path.rpartition("/")[2]}\n\n```python\n{text}```\n')


def linked_pages() -> dict[str, str]:
    """Return the site's pages by path: those of docs/, and what they link to."""
    paths = [*START, *(path.relative_to(ROOT).as_posix()
                       for path in sorted((ROOT / 'docs').rglob('*.md')))]
    pages = {}
    for path in paths:  # grows meanwhile
        if path not in pages:
            text, linked = rewrite_links(page_of(path), path)
            pages[path] = text
            paths += sorted(other for other in linked if (ROOT / other).is_file()
                            and not other.endswith(('.png', '.svg')))
    return {site_path(path): text for path, text in pages.items()}


def on_files(files, config):
    for path, text in linked_pages().items():
        if path in files.src_uris:
            files.remove(files.src_uris[path])
        files.append(File.generated(config, path, content=text))
    return files
