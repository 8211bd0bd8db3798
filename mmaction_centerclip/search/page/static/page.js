'use strict';

// All that comes from files, captions and users is set as text, never as HTML.
const byId = id => document.getElementById(id);
const form = byId('form'), words = byId('words'), upload = byId('upload');
const statusLine = byId('status'), list = byId('hits'), viewer = byId('viewer');
const note = byId('viewer-note'), content = byId('viewer-content');
let mostBytes = Infinity;
let asked = 0; // answers to older questions are dropped
let viewed = 0;

async function ask(address, options) {
  let answer, said;
  try {
    answer = await fetch(address, options);
    said = await answer.json();
  } catch {
    throw new Error('The program behind this page does not answer. Does it still run?');
  }
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function say(line, text, isError = false) {
  line.textContent = text;
  line.classList.toggle('error', isError);
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function numbers(hit) {
  return new URLSearchParams({start: hit.start, end: hit.end});
}

function settings() {
  return ['topk', 'min_score', 'files'].map(name => [name, byId(name).value.trim()]);
}

async function search(parameters, what, options) {
  const number = ++asked;
  say(statusLine, `Looking for ${what} …`);
  list.setAttribute('aria-busy', 'true');
  try {
    const query = new URLSearchParams([...settings(), ...parameters]);
    const found = await ask(`/search?${query}`, options);
    if (number === asked) show(found, what);
  } catch (error) {
    if (number !== asked) return;
    list.replaceChildren();
    say(statusLine, error.message, true);
  } finally {
    if (number === asked) list.removeAttribute('aria-busy');
  }
}

function show(found, what) {
  const count = found.hits.length;
  list.replaceChildren(...found.hits.map(card));
  say(statusLine, count ? `${count === 1 ? '1 moment' : `${count} moments`} for ${what}, `
    + 'the nearest first.' : `No moment for ${what} has such a score.`);
  statusLine.scrollIntoView({block: 'nearest'});
}

function card(hit) {
  const item = byId('hit').content.cloneNode(true);
  const part = name => item.querySelector(name);
  const where = `${hit.name}, ${hit.times}`;
  const picture = part('img');
  picture.src = `/thumbnails/${hit.file}?${numbers(hit)}`;
  picture.alt = `Frame of ${where}`;
  part('.times').textContent = hit.times;
  part('.name').textContent = hit.name;
  part('.score').textContent = `score ${hit.score.toFixed(3)}`
    + (hit.change ? `; the file ${hit.change}` : '');
  for (const [name, label, action] of [
    ['.play', 'Play', play], ['.more', 'More like', more],
    ['.tokens', 'Kept tokens of', showTokens]]) {
    part(name).setAttribute('aria-label', `${label} ${where}`);
    part(name).addEventListener('click', () => action(hit));
  }
  return item;
}

function more(hit) {
  words.value = upload.value = '';
  history.replaceState(null, '', '/');
  search([['like', hit.file], ...numbers(hit)],
    `what is like ${hit.name}, ${hit.times}`);
  statusLine.focus(); // The button is about to go.
}

function open(title, text) {
  byId('viewer-title').textContent = title;
  content.replaceChildren();
  say(note, text);
  if (!viewer.open) viewer.showModal();
  return ++viewed;
}

async function play(hit) {
  const number = open(hit.name, `${hit.times} …`);
  try {
    const how = await ask(`/play/${hit.file}?${numbers(hit)}`);
    if (number !== viewed) return;
    const video = element('video', {controls: true, autoplay: true, playsInline: true});
    video.setAttribute('aria-label', `${hit.name}, ${hit.times}`);
    const start = way => {
      say(note, hit.times + (way.is_cut ? ', cut out of a file that browsers may not '
        + `play, without sound${way.is_short ? '; the first two minutes' : ''}` : ''));
      video.src = way.source;
    };
    video.addEventListener('error', () => {
      if (number !== viewed) return;
      if (how.clip && video.src.includes('/videos/')) start(how.clip);
      else say(note, 'The video cannot be played.', true);
    });
    start(how);
    content.append(video);
  } catch (error) {
    if (number === viewed) say(note, error.message, true);
  }
}

async function showTokens(hit) {
  const number = open(hit.name, 'Encoding …');
  try {
    const pictures = await ask(`/tokens/${hit.file}?${numbers(hit)}`);
    if (number !== viewed) return;
    if (!pictures.length) {
      return say(note, 'This model has no neck that selects tokens: all are kept.');
    }
    say(note, `The frames that the model took of ${pictures[0].times}. Clear patches are `
      + 'kept. Dark ones are dropped; their borders have the color of the kept patch that '
      + 'stands for them.');
    content.append(...pictures.map(({neck, kept, patches, picture}) => {
      const figure = element('figure');
      const line = `${neck} keeps ${kept} of ${patches} patches`;
      figure.append(element('figcaption', {textContent: line}),
        element('img', {src: picture, alt: `Frames of ${hit.name}, in which ${line}`}));
      return figure;
    }));
  } catch (error) {
    if (number === viewed) say(note, error.message, true);
  }
}

function searchWords() {
  upload.value = '';
  const text = words.value.trim();
  history.replaceState(null, '', text ? `/?${new URLSearchParams({q: text})}` : '/');
  search([['words', text]], `“${text}”`);
}

function searchFile() {
  const file = upload.files[0];
  words.value = '';
  history.replaceState(null, '', '/');
  if (file.size > mostBytes) {
    asked++;
    list.replaceChildren();
    return say(statusLine, `${file.name} is larger than ${mostBytes / 2 ** 20} MB, the `
      + 'most that this page takes; cut a clip of it.', true);
  }
  search([], `what is like ${file.name}`, {method: 'POST', body: file});
}

form.addEventListener('submit', event => {
  event.preventDefault();
  if (!words.value.trim() && upload.files.length) searchFile();
  else searchWords();
});
upload.addEventListener('change', () => upload.files.length && searchFile());
byId('close').addEventListener('click', () => viewer.close());
viewer.addEventListener('click', event => event.target === viewer && viewer.close());
viewer.addEventListener('close', () => {
  viewed++;
  content.replaceChildren(); // which ends what plays
});

async function start() {
  const about = await ask('/about');
  mostBytes = about.most_bytes;
  byId('about').textContent = `${about.videos} ${about.videos === 1 ? 'video' : 'videos'}`
    + ` in ${about.index}, by ${about.model}`;
  for (const text of about.examples) {
    const button = element('button', {type: 'button', textContent: text});
    button.addEventListener('click', () => {
      words.value = text;
      searchWords();
    });
    byId('examples').append(button);
    byId('examples').hidden = false;
  }
}

const query = new URLSearchParams(location.search).get('q');
if (query) {
  words.value = query;
  searchWords();
}
start().catch(error => say(statusLine, error.message, true));
