"""The commands of the Dockerfile are those that exist."""
import json
import re

from ..doc_code import check_command, parser_of
from ..paths import ROOT

TEXT = (ROOT / 'docker/Dockerfile').read_text()


def test_it_installs_extras_that_there_are():
    extras, = re.findall(r"pip install --no-cache-dir -e '\.\[([\w,]+)\]'", TEXT)
    known = (ROOT / 'setup.py').read_text()
    assert all(f"'{name}': " in known for name in extras.split(','))


def test_it_ends_in_the_page_of_the_search():
    program, *args = (word for name in ('ENTRYPOINT', 'CMD') for word in json.loads(
        re.search(rf'^{name} (.*)$', TEXT, re.M)[1]))
    check_command(program, args)
    assert parser_of(args[0]).parse_known_args(args[1:])[0].command == 'serve'
