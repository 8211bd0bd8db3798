"""The page in a real browser: what is seen, played, typed and asked for."""
import re

import pytest

from .conftest import HTML

pytestmark = pytest.mark.slow  # A browser starts.


@pytest.fixture
def tab(chromium, page):
    """An open page, whose errors and requests elsewhere fail the test."""
    tab = chromium.new_page(viewport=dict(width=1000, height=800))
    wrong = []
    tab.on('console', lambda message: message.type in ('error', 'warning')
           and wrong.append(message.text))
    tab.on('pageerror', lambda error: wrong.append(str(error)))
    tab.on('request', lambda request: request.url.startswith(f'{page}/')
           or wrong.append(request.url))
    tab.set_default_timeout(60_000)
    tab.goto(page)
    yield tab
    tab.close()
    assert wrong == []


def look_for(tab, words, files=''):
    """Search, and wait for the answer; the cards."""
    tab.get_by_label('Only in files like').fill(files)
    tab.get_by_label('What to look for').fill(words)
    with tab.expect_response(re.compile('/search')):
        tab.get_by_role('button', name='Search', exact=True).click()
    tab.locator('#hits[aria-busy]').wait_for(state='detached')
    return tab.locator('#hits li')


def loaded(tab, image):
    """Wait for a picture, and return its width."""
    tab.wait_for_function('image => image.complete', arg=image.element_handle())
    return image.evaluate('image => image.naturalWidth')


def test_words_show_moments(tab):
    assert '3 videos in my.index, by tiny' in tab.locator('#about').inner_text()
    cards = look_for(tab, 'a red circle')
    assert cards.count() > 3
    said = tab.get_by_role('status').first.inner_text()
    assert 'moments for “a red circle”' in said
    image = cards.first.locator('img')
    assert loaded(tab, image) == 64
    assert image.get_attribute('alt').startswith('Frame of ')
    assert re.search(r'\d\d:\d\d\.\d – \d\d:\d\d\.\d', cards.first.inner_text())
    assert 'q=a+red+circle' in tab.url
    tab.reload()
    tab.locator('#hits li').first.wait_for()
    tab.get_by_label('Lowest score').fill('2')
    assert look_for(tab, 'a red circle').count() == 0


def test_a_name_and_a_query_of_html_are_text(tab):
    card = look_for(tab, '<b id=bold>bold</b>', files='onerror').first
    assert card.locator('.name').inner_text() == HTML
    assert '“<b id=bold>bold</b>”' in tab.locator('#status').inner_text()
    card.get_by_role('button', name='Play').click()
    assert tab.locator('#viewer-title').inner_text() == HTML
    tab.locator('video').wait_for()
    assert tab.locator('#bold, [onerror]').count() == 0
    assert tab.evaluate('window.harmed') is None


def played(tab):
    """Wait until a video has played; its source, and from when it did."""
    tab.wait_for_function(
        '() => document.querySelector("video")?.played.length')
    return tab.locator('video').evaluate('video => [video.src, video.played.start(0)]')


def test_a_moment_plays_from_its_in_point(tab):
    cards = look_for(tab, 'a red circle', files='long')
    card = next(card for card in cards.all()
                if '00:00.0 –' not in card.inner_text())
    start, end = (60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(
        r'(\d\d):(\d\d\.\d)', card.locator('.times').inner_text()))
    card.get_by_role('button', name='Play').click()
    source, began = played(tab)
    assert '/videos/' in source and began == pytest.approx(start, abs=0.1)
    video = tab.locator('video')
    video.evaluate('(video, end) => { video.currentTime = end - 0.3 }', end)
    tab.wait_for_function('() => document.querySelector("video").paused')
    assert end - 0.1 < video.evaluate('video => video.currentTime') < end + 1
    tab.get_by_role('button', name='Close').click()
    video.wait_for(state='detached')


def test_a_file_that_browsers_do_not_play_is_cut(tab):
    card = look_for(tab, 'a red circle', files='old').first
    card.get_by_role('button', name='Play').click()
    source, began = played(tab)
    assert '/clips/' in source and began == 0
    assert 'cut out of a file' in tab.locator('#viewer-note').inner_text()
    assert tab.locator('video').evaluate('video => video.videoWidth') == 64


def test_kept_tokens_are_shown(tab):
    look_for(tab, 'a red circle').first.get_by_role(
        'button', name='Kept tokens').click()
    image = tab.locator('figure img')
    image.wait_for()
    assert loaded(tab, image) > 4 * 64
    assert 'TokenClustering keeps 32 of 128' in image.get_attribute('alt')
    tab.keyboard.press('Escape')
    assert not tab.locator('dialog').is_visible()


def test_more_like_this_and_a_clip(tab, films):
    card = look_for(tab, 'a red circle', files='long').first
    tab.get_by_label('Only in files like').fill('')
    where = card.locator('.times').inner_text()
    with tab.expect_response(re.compile('like=')):
        card.get_by_role('button', name='More like').click()
    said = tab.locator('#status', has_text='what is like long.mp4')
    said.wait_for()
    assert where in said.inner_text()
    assert tab.get_by_label('What to look for').input_value() == ''
    assert tab.evaluate('document.activeElement.id') == 'status'
    with tab.expect_response(re.compile('/search')):
        tab.get_by_label('by a clip').set_input_files(films / 'sub' / 'old.avi')
    tab.locator('#status', has_text='what is like old.avi').wait_for()
    assert tab.locator('#hits li').count() > 3


def test_a_clip_that_is_too_large_is_refused_before_it_is_sent(tab, tmp_path):
    (tmp_path / 'large.mp4').write_bytes(bytes(2**20 + 1))
    tab.get_by_label('by a clip').set_input_files(tmp_path / 'large.mp4')
    tab.locator('#status.error', has_text='large.mp4 is larger than 1 MB').wait_for()


def test_the_keyboard_does_all(tab):
    assert tab.evaluate('document.activeElement.id') == 'words'
    tab.keyboard.type('a red circle')
    tab.keyboard.press('Enter')
    tab.locator('#hits li').first.wait_for()
    order = []
    for _ in range(9):
        tab.keyboard.press('Tab')
        order.append(tab.evaluate(
            'document.activeElement.id || document.activeElement.textContent'))
    assert order[:6] == ['Search', 'a red circle', 'upload', 'files', 'topk',
                         'min_score']
    assert order[7:] == ['More like this', 'Kept tokens']  # behind the picture
    assert tab.evaluate('getComputedStyle(document.activeElement).outlineStyle'
                        ) == 'solid'
    tab.keyboard.press('Shift+Tab')
    tab.keyboard.press('Shift+Tab')
    assert tab.evaluate('document.activeElement.className') == 'play'
    tab.keyboard.press('Enter')
    played(tab)
    tab.keyboard.press('Escape')
    assert tab.evaluate('document.activeElement.className') == 'play'


@pytest.mark.parametrize('width, scheme', [(400, 'light'), (400, 'dark')])
def test_a_narrow_window_needs_no_scrolling_sideways(tab, width, scheme):
    tab.set_viewport_size(dict(width=width, height=800))
    tab.emulate_media(color_scheme=scheme)
    look_for(tab, 'a red circle').first.get_by_role('button', name='Kept').click()
    tab.locator('figure img').wait_for()
    assert tab.evaluate('document.documentElement.scrollWidth') <= width
    ground = tab.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, re.findall(r'\d+', ground))) > 400) == (scheme == 'light')


def test_names_and_roles_for_screen_readers(tab):
    look_for(tab, 'a red circle')
    for control in tab.locator('button:visible, input:visible').all():
        assert control.evaluate('control => control.ariaLabel || control.textContent '
                                '|| control.labels?.[0]?.textContent'), control
    assert tab.get_by_role('search').count() == tab.get_by_role('main').count() == 1
    assert tab.locator('#status').get_attribute('aria-live') == 'polite'
