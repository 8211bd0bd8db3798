from mmaction_centerclip.utils.html_page import data_url, render_page


def test_texts_are_shown_as_they_are():
    page = render_page('{% for x in texts %}<p>{{ x }}</p>{% endfor %}', '<t>',
                       '&\na  b', texts=['<script>', 'a"b', '{{ 7 * 7 }}', '\udcff'])
    assert ('<h1>&lt;t&gt;</h1>\n<pre class="panel">'
            '<span>&amp;</span>\n<span class="row">a  b</span>\n</pre>') in page
    assert '<p>&lt;script&gt;</p><p>a&#34;b</p><p>{{ 7 * 7 }}</p><p>\\udcff</p>' in page
    assert "default-src 'none'" in page and '//' not in page
    assert data_url(b'\0', 'png') == 'data:image/png;base64,AA=='
