"""Hook of mkdocs: a page for each public package, which has all of its ``__all__``.

A public name without a docstring is a warning, at which a strict build ends.
"""
import json
import logging
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'mmaction_centerclip'
ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`([^`]+)`')
log = logging.getLogger('mkdocs.site_api')


def public_paths(package: griffe.Module) -> dict[str, dict[str, str]]:
    """Return where the public names of each package are documented.

    A name is that of the lowest package that exports it; a function is hidden by a
    module of its name, and found in there.
    """
    places, below = {}, set()
    for module in package.modules.values():
        if module.is_init_module and not module.is_alias:
            places |= public_paths(module)
            below.update(map(str, module.exports or ()))
    if package.exports is not None:
        names = sorted(set(map(str, package.exports)) - below)
        places[package.path] = {
            name: f'{package.path}.{name}.{name}' if name in package.modules
            and name in package[name].members else f'{package.path}.{name}'
            for name in names}
    return places


def is_documented(member: griffe.Object | griffe.Alias) -> bool:
    """Return whether a public name has a docstring, where it is defined."""
    return bool((member.final_target if member.is_alias else member).docstring)


def short(path: str) -> str:
    """Return the name of a page."""
    return path.removeprefix(f'{PACKAGE}.')


def api_page(path: str, places: dict[str, str]) -> str:
    """Return the page of a package in mkdocstrings' Markdown."""
    shown = [name for name, place in places.items() if place == f'{path}.{name}']
    parts = ['---\nsearch:\n  boost: 0.3\n---',  # Searches find the guides first.
             f'# {short(path)}',
             f'::: {path}\n    options:\n      members: {json.dumps(shown)}']
    parts += [f'::: {place}\n    options:\n      show_root_heading: true\n'
              '      show_root_toc_entry: true\n      heading_level: 2'
              for name, place in places.items() if name not in shown]
    return '\n\n'.join(parts)


def on_files(files, config):
    package = griffe.load(PACKAGE, search_paths=[str(ROOT)], resolve_aliases=True)
    pages = public_paths(package)
    for place in sorted({*pages, *(x for places in pages.values()
                                   for x in places.values())}):
        if not is_documented(package.modules_collection[place]):
            log.warning('%s has no docstring', place)
    for path, places in pages.items():
        files.append(File.generated(
            config, f'api/{short(path)}.md', content=api_page(path, places)))
    return files


class LinkedRoles(griffe.Extension):
    """Turn the roles of docstrings, such as func, into links to public names."""

    def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
        self.places = {name: place for places in public_paths(pkg).values()
                       for name, place in places.items()}
        self.link(pkg)

    def link(self, item: griffe.Object) -> None:
        if item.docstring:
            item.docstring.value = ROLE.sub(self.linked, item.docstring.value)
        for member in item.members.values():
            if not member.is_alias:
                self.link(member)

    def linked(self, role: re.Match) -> str:
        place = self.places.get(role[1])
        return f'[`{role[1]}`][{place}]' if place else f'`{role[1]}`'
