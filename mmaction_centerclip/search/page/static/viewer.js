// Plays moments and shows their kept tokens, one after the other.
import {ask, byId, element, say, span, where} from './parts.js';

const viewer = byId('viewer'), note = byId('viewer-note'), content = byId('viewer-content');
let moments = [], place = 0, showsTokens = false, shown = 0;
let onMore, hasNecks;

export function setUp(more, necks) {
  [onMore, hasNecks] = [more, necks];
}

export function view(hits, hit, tokens = false) {
  [moments, place, showsTokens] = [hits, hits.indexOf(hit), tokens];
  if (!viewer.open) viewer.showModal();
  show();
}

export function close() {
  if (viewer.open) viewer.close();
}

function show() {
  const hit = moments[place], number = ++shown;
  if (content.contains(document.activeElement)) viewer.focus(); // or nothing has it
  byId('viewer-title').textContent = hit.name;
  content.replaceChildren();
  byId('previous').disabled = !place;
  byId('next').disabled = place === moments.length - 1;
  byId('switch').textContent = showsTokens ? 'Play' : 'Kept tokens';
  byId('switch').hidden = !hasNecks;
  byId('download').hidden = true;
  say(note, showsTokens ? 'Encoding …' : `${hit.times} …`);
  // Who asked for another one meanwhile gets that.
  const isCurrent = () => number === shown;
  (showsTokens ? tokens : play)(hit, isCurrent).catch(
    error => isCurrent() && say(note, error.message, true));
}

async function play(hit, isCurrent) {
  const how = await ask(`/play/${hit.file}?${span(hit)}`);
  if (!isCurrent()) return;
  const video = element('video', {
    controls: true, autoplay: true, playsInline: true, tabIndex: 0});
  video.setAttribute('aria-label', where(hit));
  const start = way => {
    say(note, hit.times + (way.is_cut ? ', cut out of a file that browsers may not '
      + `play, without sound${way.is_short ? '; the first two minutes' : ''}` : ''));
    video.src = way.source;
  };
  video.addEventListener('error', () => {
    if (!isCurrent()) return;
    if (how.clip && video.src.includes('/videos/')) start(how.clip);
    else say(note, 'The video cannot be played.', true);
  });
  start(how);
  content.append(video);
  video.focus();
  const clip = how.clip || how, name = hit.name.split('/').pop().replace(/\.[^.]*$/, '');
  Object.assign(byId('download'), {hidden: false, href: clip.source,
    download: `${name} ${clock(hit.start)}-${clock(hit.end)}.mp4`.replaceAll(':', '.'),
    textContent: clip.is_short ? 'Download the first two minutes' : 'Download clip'});
}

async function tokens(hit, isCurrent) {
  const pictures = await ask(`/tokens/${hit.file}?${span(hit)}`);
  if (!isCurrent()) return;
  say(note, `The frames that the model took of ${pictures[0].times}. Clear patches are `
    + 'kept. Dark ones are dropped; their borders have the color of the kept patch that '
    + 'stands for them.');
  content.append(...pictures.map(({neck, kept, patches, picture}) => {
    const line = `${neck} keeps ${kept} of ${patches} patches`;
    return element('figure', {}, element('figcaption', {textContent: line}),
      element('img', {src: picture, alt: `Frames of ${hit.name}, in which ${line}`}));
  }));
}

// Hours, minutes, seconds and thousandths, as editors and FFmpeg read them.
function clock(seconds) {
  return new Date(Math.round(1000 * seconds)).toISOString().slice(11, -1);
}

// Not by navigator.clipboard, which only this machine's own address and https have.
function copyTimes() {
  const {start, end} = moments[place];
  const times = element('b', {textContent: `${clock(start)} ${clock(end)}`});
  note.replaceChildren(times, ' copied');
  getSelection().selectAllChildren(times);
  document.execCommand('copy');
  getSelection().removeAllRanges();
}

function step(by) {
  if (!moments[place + by]) return;
  place += by;
  show();
}

byId('previous').addEventListener('click', () => step(-1));
byId('next').addEventListener('click', () => step(1));
byId('copy').addEventListener('click', copyTimes);
byId('more').addEventListener('click', () => onMore(moments[place]));
byId('switch').addEventListener('click', () => {
  showsTokens = !showsTokens;
  show();
});
byId('close').addEventListener('click', close);
viewer.addEventListener('click', event => event.target === viewer && close());
viewer.addEventListener('close', () => {
  shown++;
  content.replaceChildren(); // which ends what plays
});
addEventListener('keydown', event => {
  if (!viewer.open || event.ctrlKey || event.metaKey || event.altKey) return;
  const video = content.querySelector('video');
  if (event.key === 'n') step(1);
  else if (event.key === 'p') step(-1);
  else if (event.key === ' ' && video && !event.target.closest('button, a, video')) {
    event.preventDefault();
    video.focus(); // Browsers play it themselves when it has the focus.
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }
});
