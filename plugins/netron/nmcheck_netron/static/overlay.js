// nmcheck's results over Netron's drawing. The state of it stands in <html data-nmcheck="...">:
// "ready:<layers in the drawing>" or "error:<why>".

import { Drawing } from './drawing.js';
import { Panel } from './panel.js';
import { Scale } from './scale.js';

const drawing = new Drawing();

function announce(state) {
  document.documentElement.setAttribute('data-nmcheck', state);
}

class View {
  constructor(data) {
    this._data = data;
    this._cuts = new Map(data.cuts);
    this._waiting = false;
    this._seen = 0;
    this._panel = new Panel(data, {
      change: () => this._refresh(),
      open: (name) => {
        if (!drawing.open(name)) {
          this._panel.say(`${this._panel.label(name)} is not in this drawing.`);
        }
      },
    });
    this._refresh();
    // Netron draws anew when names are shown, the direction is changed or a sub-graph is opened.
    new MutationObserver(() => this._wait()).observe(document.body, { childList: true, subtree: true });
    this._wait();
  }

  _wait() {
    if (!this._waiting) {
      this._waiting = true;
      setTimeout(() => this._look(), 20);
    }
  }

  _look() {
    this._waiting = false;
    if (!drawing.isDrawn()) {
      if (document.querySelector('g.node') !== null) {
        this._wait();
      }
    } else if (!drawing.isShown([...this._marks.keys()]) || this._shown !== this._marks) {
      this._paint();
    }
  }

  _refresh() {
    const metric = this._panel.metric;
    const marks = new Map();
    for (const name of this._cuts.keys()) {
      marks.set(name, { color: 'none', text: '✂', cut: true, beyond: false });
    }
    const scale = metric === null ? null : new Scale(metric, this._panel.logarithmic, this._data.colors.length);
    if (scale !== null) {
      const threshold = this._panel.threshold;
      for (const [name, value, text] of metric.values) {
        const cut = this._cuts.has(name);
        const beyond = scale.isBeyond(value, threshold);
        const badge = `${cut ? '✂ ' : ''}${text}${beyond ? ' !' : ''}`;
        marks.set(name, { color: String(scale.color(value)), text: badge, cut, beyond });
      }
    }
    this._marks = marks;
    // The drawing first: it reads where things stand, which costs a layout once the panel has changed.
    if (drawing.isDrawn()) {
      this._paint();
    }
    if (scale !== null) {
      this._panel.update(scale);
    }
  }

  _paint() {
    this._shown = this._marks;
    drawing.show(this._marks, (found) => this._report(found));
  }

  _report(found) {
    this._seen = Math.max(this._seen, found);
    const missing = this._data.missing.length;
    const strays = missing > 0 ? `; ${missing} of the report's layers are not in this file` : '';
    this._panel.say(`${found} of ${this._marks.size} layers in this drawing${strays}`);
    if (this._seen === 0 && (this._marks.size > 0 || missing > 0)) {
      announce(`error:0 of ${this._marks.size + missing} layers found`);
    } else {
      announce(`ready:${found}`);
    }
  }
}

async function start() {
  const answer = await fetch('nmcheck/overlay.json');
  if (!answer.ok) {
    throw new Error(`overlay.json: ${answer.status}`);
  }
  new View(await answer.json());
}

start().catch((error) => announce(`error:${error.message}`));
