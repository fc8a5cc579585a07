// The panel: which metric, its legend, a threshold, the worst layers, the gate's verdict. Native controls, so that
// keyboard and screen readers work; text goes into the page as text only, never as markup.

import { significant } from './scale.js';

const LONGEST_LIST = 40;
const NAME_END = 8; // letters
const MARKS = { pass: '✓', fail: '✗', inconclusive: '?' };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export class Panel {
  /**
   * @param {object} data what the server says
   * @param {{change: () => void, open: (name: string) => void}} on
   */
  constructor(data, on) {
    this._data = data;
    this._labels = new Map(data.labels);
    this._on = on;
    this._metric = element('select', { id: 'nmcheck-metric' });
    data.metrics.forEach((metric, index) => this._metric.append(new Option(metric.title, String(index))));
    this._scale = element('select', { id: 'nmcheck-scale', 'aria-label': 'Scale' });
    this._scale.append(new Option('log', 'log'), new Option('linear', 'linear'));
    this._threshold = element('input', {
      id: 'nmcheck-threshold', type: 'number', step: 'any', placeholder: 'none', autocomplete: 'off',
    });
    this._about = element('p', { class: 'nmcheck-about' });
    this._legend = element('div', { class: 'nmcheck-legend', role: 'img' });
    this._list = element('ol', { class: 'nmcheck-worst' });
    this._rows = [];
    this._status = element('p', { class: 'nmcheck-status', role: 'status' });
    this._body = element('div', { id: 'nmcheck-body' });
    this._fold = element('button', { type: 'button', 'aria-expanded': 'true', 'aria-controls': 'nmcheck-body' });
    this._root = element('section', { id: 'nmcheck-panel', 'aria-label': 'nmcheck' }, this._fold, this._body);
    this._build();
  }

  get metric() {
    return this._data.metrics.length > 0 ? this._data.metrics[Number(this._metric.value)] : null;
  }

  get logarithmic() {
    return this._scale.value === 'log';
  }

  get threshold() {
    return this._threshold.value === '' || !this._threshold.validity.valid ? null : Number(this._threshold.value);
  }

  // What is shown for the name of a node.
  label(name) {
    return this._labels.get(name) ?? name;
  }

  say(text) {
    if (this._status.textContent !== text) {
      this._status.textContent = text;
    }
  }

  // Draw what depends on metric, scale and threshold.
  update(scale) {
    const metric = this.metric;
    this._about.textContent = metric.explanation;
    this._scale.disabled = !scale.possible;
    this._scale.value = scale.logarithmic ? 'log' : 'linear';
    this._drawLegend(metric, scale);
    this._drawList(metric, scale);
  }

  _build() {
    const data = this._data;
    this._setFolded(window.innerWidth < 640);
    this._fold.addEventListener('click', () => this._setFolded(this._fold.getAttribute('aria-expanded') === 'true'));
    this._body.append(...data.summary.map((line) => element('p', { class: 'nmcheck-summary' }, line)));
    if (data.verdict !== null) {
      const { verdict, statements } = data.verdict;
      this._body.append(
        element('details', { class: `nmcheck-verdict nmcheck-${verdict}` },
          element('summary', {}, `${MARKS[verdict]} gate: ${verdict.toUpperCase()}`),
          element('ul', {}, ...statements.map((line) => element('li', {}, line)))));
    }
    if (data.metrics.length > 0) {
      this._body.append(
        element('label', { for: 'nmcheck-metric' }, 'Color by'), this._metric, this._about, this._legend,
        element('div', { class: 'nmcheck-row' },
          element('label', { for: 'nmcheck-scale' }, 'Scale'), this._scale,
          element('label', { for: 'nmcheck-threshold' }, 'Threshold'), this._threshold),
        element('h2', {}, 'Worst layers'), this._list);
    }
    if (data.cuts.length > 0) {
      this._body.append(element('p', { class: 'nmcheck-key' }, '✂ dashed: a ReLU the network can be cut at'));
    }
    this._body.append(this._status, element('p', { class: 'nmcheck-key' }, 'Drawn by Netron (MIT), telemetry off'));
    this._metric.addEventListener('change', () => {
      this._threshold.value = '';
      this._scale.value = this.metric.logarithmic ? 'log' : 'linear';
      this._on.change();
    });
    if (this.metric !== null) {
      this._scale.value = this.metric.logarithmic ? 'log' : 'linear';
    }
    this._scale.addEventListener('change', () => this._on.change());
    this._threshold.addEventListener('input', () => this._on.change());
    // Netron listens to keys everywhere; those typed here are not for it.
    this._root.addEventListener('keydown', (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey) {
        event.stopPropagation();
      }
    });
    document.body.append(this._root);
  }

  _setFolded(folded) {
    this._fold.setAttribute('aria-expanded', String(!folded));
    this._fold.textContent = folded ? 'nmcheck ▸' : 'nmcheck ▾';
    this._body.hidden = folded;
    // Not on the body, whose classes Netron sets as it likes.
    document.documentElement.setAttribute('data-nmcheck-panel', folded ? 'folded' : 'open');
  }

  _drawLegend(metric, scale) {
    const colors = metric.worst === 'low' ? [...this._data.colors].reverse() : this._data.colors;
    const bar = element('div', { class: 'nmcheck-bar' }, ...colors.map((color) => {
      const cell = element('span');
      cell.style.background = color;
      return cell;
    }));
    const threshold = this.threshold;
    if (threshold !== null && (!scale.logarithmic || threshold > 0)) {
      const mark = element('span', { class: 'nmcheck-mark', title: `threshold ${threshold}` });
      mark.style.left = `${Math.min(1, Math.max(0, scale.share(threshold))) * 100}%`;
      bar.append(mark);
    }
    const ends = [scale.low, scale.middle(), scale.high].map(significant);
    const [left, right] = metric.worst === 'low' ? ['worst ', ''] : ['', ' worst'];
    const ticks = element('div', { class: 'nmcheck-ticks' },
      element('span', {}, `${left}${ends[0]}`), element('span', {}, ends[1]), element('span', {}, `${ends[2]}${right}`));
    this._legend.replaceChildren(bar, ticks);
    this._legend.setAttribute('aria-label',
      `Colors from ${ends[0]} to ${ends[2]}, ${scale.logarithmic ? 'logarithmic' : 'linear'}; ${
        metric.worst === 'low' ? 'low' : 'high'} values are worse`);
  }

  _drawList(metric, scale) {
    const direction = metric.worst === 'low' ? 1 : -1;
    const worst = [...metric.values].sort((a, b) => direction * (a[1] - b[1]));
    const threshold = this.threshold;
    const shown = worst.slice(0, LONGEST_LIST);
    while (this._rows.length < shown.length) {
      this._rows.push(new Row(this._on.open));
    }
    shown.forEach(([name, value, text], index) => {
      const beyond = scale.isBeyond(value, threshold);
      this._rows[index].show(name, this.label(name), this._data.colors[scale.color(value)], beyond ? `${text} !` : text, beyond);
    });
    const items = this._rows.slice(0, shown.length).map((row) => row.item);
    if (worst.length > LONGEST_LIST) {
      items.push(element('li', { class: 'nmcheck-more' }, `and ${worst.length - LONGEST_LIST} more`));
    }
    if (items.length !== this._list.children.length || worst.length > LONGEST_LIST) {
      this._list.replaceChildren(...items);
    }
  }
}

// A row of the list, used again for another layer when the metric changes.
class Row {
  constructor(open) {
    this._swatch = element('span', { class: 'nmcheck-swatch' });
    // Where a name is too long for the panel its middle is left out: names of layers differ at their ends.
    [this._start, this._end] = [element('span'), element('span')];
    const name = element('span', { class: 'nmcheck-name' }, this._start, this._end);
    this._value = element('span', { class: 'nmcheck-value' });
    this._button = element('button', { type: 'button' }, this._swatch, name, this._value);
    this._name = '';
    this._button.addEventListener('click', () => open(this._name));
    this.item = element('li', {}, this._button);
  }

  show(name, label, color, text, beyond) {
    this._name = name;
    this._swatch.style.background = color;
    const end = label.length > 2 * NAME_END ? NAME_END : 0;
    this._start.textContent = label.slice(0, label.length - end);
    this._end.textContent = label.slice(label.length - end);
    this._button.title = label;
    this._value.textContent = text;
    this.item.classList.toggle('nmcheck-beyond', beyond);
  }
}
