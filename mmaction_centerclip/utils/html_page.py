"""Pages of HTML that need no other file."""
import base64

from jinja2 import DictLoader, Environment

# No page may fetch anything, whatever a caption holds.
_BASE = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.4 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em }
img { max-width: 100%; height: auto }
section { border-top: 1px solid #999 }
pre { white-space: pre-wrap }
table { border-collapse: collapse; margin-bottom: 1em }
td, th { border: 1px solid #ccc; padding: .2em .6em; text-align: left;
 vertical-align: top; overflow-wrap: anywhere }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<pre>{{ summary }}</pre>
{% block body %}{% endblock %}
</body>
</html>
'''
_TEMPLATES = Environment(loader=DictLoader({'base.html': _BASE}), autoescape=True,
                         trim_blocks=True, lstrip_blocks=True)


def render_page(body: str, title: str, summary: str, **values: object) -> str:
    """Fill a Jinja template, texts as they are, below the lines of a summary."""
    template = _TEMPLATES.from_string(
        '{% extends "base.html" %}{% block body %}' + body + '{% endblock %}')
    page = template.render(title=title, summary=summary, **values)
    # A name of bytes that are no text has lone surrogates.
    return page.encode('utf-8', 'backslashreplace').decode()


def data_url(content: bytes, kind: str) -> str:
    """Return a picture as a URL, of the kind ``'png'`` or ``'jpeg'``."""
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
