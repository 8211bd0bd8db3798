"""Pages of HTML that need no other file, and look like that of the search."""
import base64
from pathlib import Path

from jinja2 import DictLoader, Environment

# No page may fetch anything, whatever a caption holds.
_BASE = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
{{ look | safe }}
h1, h2 { margin: 1.25rem 0 .75rem }
h3 { margin: 0 0 .4rem; font-size: 1rem; overflow-wrap: anywhere }
.panel { margin-bottom: 1rem; overflow-x: auto }
.panel > :last-child { margin-bottom: 0 }
.panel p { margin-bottom: .6rem }
img { background: #fff; border-radius: 8px; height: auto; display: block }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: .875rem }
pre .row { white-space: pre }
table { border-collapse: collapse; margin: 0 0 1rem; font-size: .9rem }
td, th { border-top: 1px solid var(--line); padding: .3rem .8rem .3rem 0;
 text-align: left; vertical-align: top; overflow-wrap: anywhere }
th { border: 0; color: var(--faint); font-weight: 400 }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{# Rows of tables are not broken. #}
<pre class="panel">{% for line in summary.splitlines() %}
<span{% if '  ' in line.strip() %} class="row"{% endif %}>{{ line }}</span>
{% endfor %}</pre>
{% block body %}{% endblock %}
</body>
</html>
'''
_LOOK = Path(__file__).parents[1] / 'search' / 'page' / 'static' / 'look.css'
_TEMPLATES = Environment(loader=DictLoader({'base.html': _BASE}), autoescape=True,
                         trim_blocks=True, lstrip_blocks=True)


def render_page(body: str, title: str, summary: str, **values: object) -> str:
    """Fill a Jinja template, texts as they are, below the lines of a summary."""
    template = _TEMPLATES.from_string(
        '{% extends "base.html" %}{% block body %}' + body + '{% endblock %}')
    page = template.render(title=title, summary=summary,
                           look=_LOOK.read_text('utf-8'), **values)
    # A name of bytes that are no text has lone surrogates.
    return page.encode('utf-8', 'backslashreplace').decode()


def data_url(content: bytes, kind: str) -> str:
    """Return a picture as a URL, of the kind ``'png'`` or ``'jpeg'``."""
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
