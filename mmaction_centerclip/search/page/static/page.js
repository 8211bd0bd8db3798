// The address holds what is asked for, in the words of the program's own /search.
import {ask, byId, element, exportMenu, player, say, skeleton, span, where} from './parts.js';
import {close, setUp, view} from './viewer.js';

const FILTERS = ['not', 'files', 'topk', 'min_score'];
const words = byId('words'), upload = byId('upload'), list = byId('hits');
const statusLine = byId('status'), further = byId('further');
let about = {most_bytes: Infinity};
let asked = 0; // answers to older questions are dropped
const uploads = []; // which no address holds

function filters() {
  return FILTERS.map(name => [name, byId(name).value.trim()]).filter(([, value]) => value);
}

// Ask for something else, which Back undoes.
function go(query, state = null) {
  history.pushState(state, '', `/?${new URLSearchParams(query)}`);
  run();
}

// Show what the address asks for.
async function run() {
  const query = new URLSearchParams(location.search), number = ++asked;
  const file = uploads[history.state?.upload];
  close();
  for (const name of FILTERS) byId(name).value = query.get(name) || '';
  words.value = query.get('words') || '';
  if (!file) upload.value = '';
  const count = filters().length;
  byId('active').textContent = count ? ` (${count} set)` : '';
  const isHome = !file && !query.get('words') && !query.get('like');
  document.body.classList.toggle('home', isHome);
  document.title = [words.value, 'Find a moment'].filter(Boolean).join(' – ');
  empty(isHome ? 'Indexed videos' : 'Looking …');
  list.append(...Array.from({length: Math.min(query.get('topk') || 12, 12)}, skeleton));
  list.setAttribute('aria-busy', 'true');
  try {
    await described;
    if (isHome) return await showVideos(number);
    const found = await ask(`/search${location.search}`,
      file && {method: 'POST', body: file});
    if (number === asked) showHits(found, query, file);
  } catch (error) {
    if (number !== asked) return;
    empty(error.message, true);
  } finally {
    if (number === asked) list.removeAttribute('aria-busy');
  }
}

function empty(text, isError = false) {
  say(statusLine, text, isError);
  list.replaceChildren();
  byId('exports').replaceChildren();
  further.hidden = true;
}

async function showVideos(number, first = 0) {
  const {videos, total} = await ask(`/videos?${new URLSearchParams([
    ['first', first], ...filters()])}`);
  if (number !== asked) return;
  if (!first) list.replaceChildren();
  list.append(...videos.map(video => card([video], [], videos)));
  const shown = first + videos.length;
  further.hidden = shown >= total;
  further.onclick = () => showVideos(number, shown).catch(
    error => say(statusLine, error.message, true));
}

function showHits({hits, like}, query, file) {
  const title = query.get('words') || `like ${file?.name || where(like)}`;
  const what = (query.get('words') ? `for “${title}”` : title)
    + (query.get('not') ? ` without “${query.get('not')}”` : '');
  if (!hits.length) {
    const least = query.get('min_score');
    return empty(least ? `Nothing ${what} scores ${least} or more`
      : 'The index has no other moment');
  }
  say(statusLine, `${hits.length === 1 ? '1 moment' : `${hits.length} moments`} ${what}`);
  // The moments of a file are together, behind each those that nearly copy it.
  const files = new Map();
  for (const hit of hits) {
    const key = (hit.copy_of === null ? hit : hits[hit.copy_of]).file;
    if (!files.has(key)) files.set(key, {own: [], copies: []});
    files.get(key)[hit.copy_of === null ? 'own' : 'copies'].push(hit);
  }
  const groups = [...files.values()];
  const order = groups.flatMap(({own, copies}) => [...own, ...copies]);
  list.replaceChildren(...groups.map(({own, copies}) => {
    const item = card(own, copies, order);
    if (own.length > 1 && groups.length > 1) {
      item.querySelector('.actions').append(exportMenu(own, title));
    }
    return item;
  }));
  byId('exports').replaceChildren(exportMenu(hits, title, 'Export all'));
}

function card(own, copies, order) {
  const item = byId('card').content.cloneNode(true).firstElementChild;
  const part = name => item.querySelector(name);
  const play = hit => view(order, hit), [hit, ...others] = own;
  item.prepend(player(hit, play));
  part('.name').textContent = hit.name;
  part('.faint').textContent = [hit.score && `score ${hit.score.toFixed(3)}`,
    hit.change && `the file ${hit.change}`].filter(Boolean).join('; ');
  part('.others').append(...others.map(other => element('li', {}, player(other, play))));
  part('.copies').hidden = !copies.length;
  part('.copies summary').textContent = `${copies.length} more like this`;
  part('.copies ol').append(...copies.map(copy => element('li', {}, player(copy, play),
    element('span', {className: 'faint', textContent: copy.name}))));
  for (const [name, label, action] of [
    ['.more', 'More like', more],
    ['.tokens', 'Kept tokens of', () => view(order, hit, true)]]) {
    part(name).setAttribute('aria-label', `${label} ${where(hit)}`);
    part(name).addEventListener('click', () => action(hit));
  }
  part('.tokens').hidden = !about.has_necks;
  return item;
}

function more(hit) {
  go([['like', hit.file], ...span(hit), ...filters()]);
  statusLine.focus(); // The button is gone.
}

byId('form').addEventListener('submit', event => {
  event.preventDefault();
  const query = new URLSearchParams(location.search), text = words.value.trim();
  if (matchMedia('(pointer: coarse)').matches) words.blur(); // closes its keyboard
  if (text) go([['words', text], ...filters()]);
  else if (query.has('like')) {
    go([...['like', 'start', 'end'].map(name => [name, query.get(name)]), ...filters()]);
  } else go(filters(), history.state);
});

upload.addEventListener('change', async () => {
  const file = upload.files[0];
  if (!file) return;
  await described.catch(() => {}); // what the page takes at most
  if (file.size > about.most_bytes) {
    asked++;
    return empty(`${file.name} is larger than ${about.most_bytes / 2 ** 20} MiB, the most `
      + 'that this page takes; cut a clip of it.', true);
  }
  go(filters(), {upload: uploads.push(file) - 1});
});

addEventListener('popstate', run);
addEventListener('click', event => {
  for (const menu of document.querySelectorAll('.menu[open]')) {
    if (!menu.contains(event.target) || event.target.closest('a')) menu.open = false;
  }
});
addEventListener('keydown', event => {
  const menu = event.key === 'Escape' && document.querySelector('.menu[open]');
  if (!menu) return;
  menu.open = false;
  menu.querySelector('summary').focus();
});

async function describe() {
  about = await ask('/about');
  byId('about').textContent = `${about.videos} ${about.videos === 1 ? 'video' : 'videos'}`
    + ` in ${about.index}, by ${about.model}`;
  byId('not').disabled = !about.can_exclude;
  setUp(more, about.has_necks);
  for (const text of about.examples) {
    const button = element('button', {type: 'button', textContent: text});
    button.addEventListener('click', () => go([['words', text], ...filters()]));
    byId('examples').append(button);
    byId('examples').hidden = false;
  }
}

byId('filters').open = matchMedia('(min-width: 45rem)').matches;
const described = describe();
run();
