"""The page in a real browser: what is typed, asked for, found and kept."""
import re
import time

import pytest

from mmaction_centerclip.utils.html_page import render_page

from .conftest import COPY, HTML, loaded, look_for

pytestmark = pytest.mark.slow  # A browser starts.


def said(tab, text, place='#status'):
    """Wait for a text in a place, the line of status, and return all of that."""
    line = tab.locator(place, has_text=text)
    line.wait_for()
    return line.inner_text()


def test_before_the_first_search_the_videos_are_shown(tab):
    assert said(tab, 'Indexed videos') == 'Indexed videos'
    assert '4 videos in my.index, by tiny' in said(tab, 'videos', '#about')
    cards = tab.locator('#hits > li')
    cards.nth(3).wait_for()
    assert set(cards.locator('.name').all_inner_texts()) == {
        'long.mp4', COPY, 'sub/old.avi', HTML}
    assert loaded(tab, cards.first.locator('img')) == 64
    assert tab.get_by_text('Show more').is_hidden()
    tab.get_by_label('Only in files like').fill('again')
    tab.keyboard.press('Enter')
    cards.nth(1).wait_for(state='detached')
    assert cards.locator('.name').all_inner_texts() == [COPY]


def test_words_show_moments_by_their_middles(tab):
    cards = look_for(tab, 'a red circle')
    assert re.fullmatch('[0-9]+ moments for “a red circle”', said(tab, 'moments'))
    image = cards.first.locator('img').first
    assert loaded(tab, image) == 64
    assert image.get_attribute('alt').startswith('Frame of ')
    start, end = seconds(cards.first)
    middle = float(image.get_attribute('src').partition('time=')[2])
    assert middle == pytest.approx((start + end) / 2, abs=.06)


def seconds(card):
    """Return the in and out point of a card's first moment."""
    return [60 * int(minutes) + float(rest) for minutes, rest in re.findall(
        r'(\d\d):(\d\d\.\d)', card.locator('.times').first.inner_text())]


def test_moments_of_a_file_are_together_and_copies_folded(tab):
    cards = look_for(tab, 'a red circle')
    names = cards.locator('.name').all_inner_texts()
    assert len(set(names)) == len(names)
    shown = cards.locator('.play:visible')
    count = int(said(tab, 'moments').split()[0])
    folded = cards.locator('summary:has-text("more like this")')
    hidden = sum(int(text.split()[0]) for text in folded.all_inner_texts() if text)
    assert hidden and shown.count() == count - hidden > len(names)
    for summary in folded.all():
        if summary.is_visible():
            summary.click()
    assert shown.count() == count


def test_places_of_cards_while_loading(tab):
    def answer(route):
        time.sleep(.3)
        route.continue_()

    tab.route('**/search?*', answer)
    tab.get_by_label('What to look for').fill('x')
    tab.keyboard.press('Enter')
    tab.locator('#hits[aria-busy] .skeleton').nth(11).wait_for()
    tab.locator('#hits:not([aria-busy]) .play').first.wait_for()
    assert tab.locator('.skeleton').count() == 0


def test_the_address_holds_all_and_back_works(tab):
    tab.get_by_label('But not').fill('a star')
    tab.get_by_label('How many').fill('3')
    look_for(tab, 'a red circle', files='long')
    assert tab.url.endswith('/?words=a+red+circle&not=a+star&files=long&topk=3')
    assert said(tab, 'moments') == '3 moments for “a red circle” without “a star”'
    found = tab.locator('#hits').inner_text()
    tab.get_by_label('But not').fill('')
    look_for(tab, 'a blue square')
    tab.locator('.more').first.click()
    like = said(tab, 'moments like ')
    assert 'like=' in tab.url and tab.evaluate('document.activeElement.id') == 'status'
    tab.reload()
    assert said(tab, 'moments like ') == like
    tab.go_back()
    said(tab, '“a blue square”')
    tab.go_back()
    said(tab, 'without “a star”')
    assert tab.locator('#hits').inner_text() == found
    assert tab.get_by_label('Only in files like').input_value() == 'long'
    assert tab.locator('#active').inner_text().strip() == '(3 set)'
    tab.go_back()
    said(tab, 'Indexed videos')
    assert tab.get_by_label('But not').input_value() == ''
    tab.go_forward()
    said(tab, 'without “a star”')


def test_nothing_is_said_in_vain(tab):
    tab.get_by_label('Lowest score').fill('2')
    assert look_for(tab, 'x').count() == 0
    assert said(tab, 'Nothing') == 'Nothing for “x” scores 2 or more'
    with expected_error(tab):
        assert look_for(tab, 'x', files='absent').count() == 0
        assert said(tab, 'No video') == 'No video has a name like “absent”.'
    assert not re.search(r"[\[\]']|/tmp|\b0 ", tab.locator('body').inner_text())


class expected_error:
    """The browser writes failed requests to its console."""

    def __init__(self, tab):
        self.tab = tab

    def __enter__(self):
        self.count = len(self.tab.wrong)

    def __exit__(self, *_):
        del self.tab.wrong[self.count:]


def test_a_name_and_a_query_of_html_are_text(tab):
    card = look_for(tab, '<b id=bold>bold</b>', files='onerror').first
    assert card.locator('.name').inner_text() == HTML
    assert '“<b id=bold>bold</b>”' in tab.locator('#status').inner_text()
    card.get_by_role('button', name='Play').first.click()
    assert tab.locator('#viewer-title').inner_text() == HTML
    tab.locator('video').wait_for()
    assert tab.locator('#bold, [onerror]').count() == 0
    assert tab.evaluate('window.harmed') is None


def test_a_clip_is_looked_for(tab, films):
    look_for(tab, 'a red circle')
    tab.get_by_label('by a clip').set_input_files(films / 'sub' / 'old.avi')
    said(tab, 'moments like old.avi')
    assert tab.get_by_label('What to look for').input_value() == ''
    assert tab.locator('#hits > li').count() == 4
    tab.go_back()
    said(tab, '“a red circle”')
    tab.go_forward()
    said(tab, 'moments like old.avi')


def test_a_clip_that_is_too_large_is_refused_before_it_is_sent(tab, tmp_path):
    (tmp_path / 'large.mp4').write_bytes(bytes(2**20 + 1))
    held = []  # so that the file is there before the page knows what is too large
    tab.route('**/about', lambda route: held.append(route))
    tab.reload()
    tab.get_by_label('by a clip').set_input_files(tmp_path / 'large.mp4')
    held[0].continue_()
    tab.locator('#status.error', has_text='large.mp4 is larger than 1 MiB').wait_for()


def export(tab, menu, kind):
    menu.locator('summary').click()
    with tab.expect_download() as download:
        menu.get_by_text(kind).click()
    assert not menu.locator('div').is_visible()
    return download.value.suggested_filename, download.value.path().read_text()


def test_moments_are_exported(tab):
    look_for(tab, 'a red circle')
    menu = tab.locator('#exports')
    name, text = export(tab, menu, '.edl')
    assert name == 'a red circle.edl' and text.startswith('TITLE: a red circle\n')
    name, text = export(tab, menu, '.csv')
    assert text.count('\n') == 1 + int(said(tab, 'moments').split()[0])
    assert menu.get_by_text('.srt').count() == 0  # which is of one video
    look_for(tab, 'a red circle', files='long')
    name, text = export(tab, menu, '.txt')
    assert name == 'a red circle.txt' and 'title=a red circle\n' in text
    _, text = export(tab, menu, '.srt')
    assert '\na red circle\n' in text


def test_the_keyboard_does_all(tab):
    assert tab.evaluate('document.activeElement.id') == 'words'
    tab.keyboard.type('a red circle')
    tab.keyboard.press('Enter')
    said(tab, 'moments for')
    order = []
    for _ in range(11):
        tab.keyboard.press('Tab')
        order.append(tab.evaluate(
            'document.activeElement.id || document.activeElement.textContent'))
    assert order[:8] == [
        'Search', 'a red circle', 'Filters and other ways to search', 'not', 'files',
        'topk', 'min_score', 'upload']
    assert order[8] == 'Export all' and order[9].startswith('00:')
    assert tab.evaluate('getComputedStyle(document.activeElement).outlineStyle'
                        ) == 'solid'
    tab.keyboard.press('Shift+Tab')
    assert tab.evaluate('document.activeElement.className') == 'play'
    tab.keyboard.press('Enter')
    tab.locator('video').wait_for()
    tab.keyboard.press('Escape')
    assert tab.evaluate('document.activeElement.className') == 'play'
    tab.keyboard.press('Shift+Tab')
    tab.keyboard.press('Enter')
    table = tab.locator('#exports').get_by_text('Table (.csv)')
    assert table.is_visible()
    tab.keyboard.press('Escape')
    assert not table.is_visible()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_a_phone_shows_what_is_found_at_once(tab, page, scheme):
    tab.set_viewport_size(dict(width=400, height=800))
    tab.emulate_media(color_scheme=scheme)
    tab.goto(page)
    tab.get_by_label('What to look for').fill('a red circle')
    tab.keyboard.press('Enter')
    said(tab, 'moments for')
    box = tab.locator('#hits .play').first.bounding_box()
    assert tab.evaluate('scrollY') == 0 and box['y'] + box['height'] < 600
    tab.get_by_role('button', name='Kept').first.click()
    tab.locator('figure img').wait_for()
    assert tab.evaluate('document.documentElement.scrollWidth') <= 400
    ground = tab.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, re.findall(r'\d+', ground))) > 400) == (scheme == 'light')


LOOK = """() => ['body', 'h1', '.panel', '.faint'].map(name => {
    const {color, backgroundColor, borderRadius, fontFamily} = getComputedStyle(
        document.querySelector(name));
    return [color, backgroundColor, borderRadius, name === '.panel' || fontFamily];
})"""


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_pages_of_tools_look_alike(tab, chromium, scheme):
    tab.emulate_media(color_scheme=scheme)
    look_for(tab, 'a red circle')
    other = chromium.new_page(color_scheme=scheme)
    other.set_content(render_page('<p class="faint">x</p>', 'results', 'R1 50'))
    assert other.evaluate(LOOK) == tab.evaluate(LOOK)
    other.close()


def test_names_and_roles_for_screen_readers(tab):
    look_for(tab, 'a red circle')
    for control in tab.locator('button:visible, input:visible, a:visible').all():
        assert control.evaluate('control => control.ariaLabel || control.textContent '
                                '|| control.labels?.[0]?.textContent'), control
    assert tab.get_by_role('search').count() == tab.get_by_role('main').count() == 1
    assert tab.locator('#status').get_attribute('aria-live') == 'polite'
