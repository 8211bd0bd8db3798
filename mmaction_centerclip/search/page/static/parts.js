// What the page and its viewer are made of. All that comes from files, captions and
// users is set as text, never as HTML.
export const byId = id => document.getElementById(id);

export async function ask(address, options) {
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

export function say(line, text, isError = false) {
  line.textContent = text;
  line.classList.toggle('error', isError);
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function span({start, end}) {
  return new URLSearchParams({start, end});
}

export const where = hit => `${hit.name}, ${hit.times}`;

// The picture of a moment, from its middle, which plays it.
export function player(hit, play) {
  const button = element('button', {type: 'button', className: 'play'}, element('img', {
    src: `/thumbnails/${hit.file}?time=${(hit.start + hit.end) / 2}`,
    alt: `Frame of ${where(hit)}`, loading: 'lazy', decoding: 'async',
  }), element('span', {className: 'times', textContent: hit.times}));
  button.setAttribute('aria-label', `Play ${where(hit)}`);
  button.addEventListener('click', () => play(hit));
  return button;
}

const KINDS = {csv: 'Table (.csv)', edl: 'Edit list (.edl)',
  txt: 'Chapters (.txt)', srt: 'Subtitles (.srt)'};

// A menu of files to keep, those of one video among them where all moments are of one.
export function exportMenu(hits, title, label = 'Export') {
  const menu = byId('menu').content.cloneNode(true);
  const isOne = hits.every(hit => hit.file === hits[0].file);
  const query = new URLSearchParams([['title', title], ...hits.map(
    hit => ['hit', [hit.file, hit.start, hit.end, hit.score].join()])]);
  menu.querySelector('summary').textContent = label;
  for (const kind of isOne ? ['csv', 'edl', 'txt', 'srt'] : ['csv', 'edl']) {
    menu.querySelector('div').append(element('a', {textContent: KINDS[kind],
      href: `/export/${kind}?${query}`, download: `${title}.${kind}`}));
  }
  return menu;
}

// A place where a card will be.
export function skeleton() {
  const item = element('li', {className: 'card skeleton'}, element('div', {
    className: 'play'}), element('div', {className: 'text'}, element('p'), element('p')));
  item.setAttribute('aria-hidden', 'true');
  return item;
}
