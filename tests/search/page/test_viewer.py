"""Moments in a real browser: played, stepped through, kept, and their tokens."""
import re

import av
import pytest

from .conftest import loaded, look_for
from .test_browser import seconds

pytestmark = pytest.mark.slow  # A browser starts.


def played(tab):
    """Wait until a video has played; its source, and from when it did."""
    tab.wait_for_function(
        '() => document.querySelector("video")?.played.length')
    return tab.locator('video').evaluate('video => [video.src, video.played.start(0)]')


def test_a_moment_plays_from_its_in_point(tab):
    card = look_for(tab, 'a red circle', files='long').first
    moment = next(button for button in card.locator('.play:visible').all()
                  if '00:00.0 –' not in button.inner_text())
    start, end = seconds(moment.locator('..'))
    moment.click()
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
    card.locator('.play').first.click()
    source, began = played(tab)
    assert '/clips/' in source and began == 0
    assert 'cut out of a file' in tab.locator('#viewer-note').inner_text()
    assert tab.locator('video').evaluate('video => video.videoWidth') == 64


def test_space_plays(tab):
    tab.get_by_role('button', name='Play long.mp4').click()  # of 18 s
    played(tab)
    assert tab.evaluate('document.activeElement.tagName') == 'VIDEO'
    for paused in (True, False, True):
        tab.keyboard.press('Space')
        tab.wait_for_function(
            'paused => document.querySelector("video").paused === paused', arg=paused)
    tab.locator('#viewer-title').click()  # The video has the focus no more.
    for paused in (False, True):
        tab.keyboard.press('Space')
        tab.wait_for_function(
            'paused => document.querySelector("video").paused === paused', arg=paused)


def test_previous_and_next(tab):
    cards = look_for(tab, 'a red circle', files='long')
    times = cards.locator('.times').all_inner_texts()
    assert len(times) > 2
    cards.locator('.play').first.click()
    note = tab.locator('#viewer-note')
    assert tab.get_by_role('button', name='Previous').is_disabled()
    for step, action in ((1, lambda: tab.get_by_role('button', name='Next').click()),
                         (2, lambda: tab.keyboard.press('n')),
                         (1, lambda: tab.keyboard.press('p')),
                         (0, lambda: tab.locator('#previous').click())):
        action()
        tab.wait_for_function('text => document.getElementById("viewer-note")'
                              '.textContent === text', arg=times[step])
        played(tab)
    assert note.inner_text() == times[0]
    for _ in times:
        tab.keyboard.press('n')
    assert tab.get_by_role('button', name='Next').is_disabled()
    assert tab.evaluate('!!document.activeElement.closest("dialog")')


def test_the_clip_and_its_times_can_be_had(tab):
    card = look_for(tab, 'a red circle', files='long').first
    start, end = seconds(card)
    card.locator('.play').first.click()
    with tab.expect_download() as download:
        tab.get_by_text('Download clip').click()
    assert re.fullmatch(r'long 00\.00\.\d\d\.\d{3}-00\.00\.\d\d\.\d{3}\.mp4',
                        download.value.suggested_filename)
    with av.open(str(download.value.path())) as clip:
        assert clip.streams.video[0].codec_context.name == 'h264'
        assert clip.duration / av.time_base == pytest.approx(end - start, abs=.2)
    tab.get_by_role('button', name='Copy times').click()
    copied = tab.locator('#viewer-note').inner_text().removesuffix(' copied')
    tab.keyboard.press('Escape')
    words = tab.get_by_label('What to look for')
    words.fill('')
    words.press('Control+v')
    assert words.input_value() == copied
    assert [float(text[6:]) for text in copied.split()] == pytest.approx(
        [start, end], abs=.06)


def test_kept_tokens_are_shown(tab):
    card = look_for(tab, 'a red circle', files='long').first
    times = card.locator('.times').first.inner_text()
    card.get_by_role('button', name='Kept tokens').click()
    image = tab.locator('figure img')
    assert loaded(tab, image) >= 64
    kept = re.search(r'keeps (\d+) of (\d+) patches', image.get_attribute('alt'))
    assert 0 < int(kept[1]) < int(kept[2]) <= 128
    assert times.partition(' ')[0] in tab.locator('#viewer-note').inner_text()
    tab.get_by_role('button', name='Play', exact=True).click()
    played(tab)
    tab.keyboard.press('Escape')
    assert not tab.locator('dialog').is_visible()


def test_back_closes_what_plays(tab):
    look_for(tab, 'a red circle').locator('.play').first.click()
    played(tab)
    tab.go_back()
    tab.locator('#status', has_text='Indexed videos').wait_for()
    assert not tab.locator('dialog').is_visible()
