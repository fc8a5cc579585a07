// Colors and badges on Netron's drawing. A node is found by the id of its group, "node-name-<name>", which Netron has
// given it for years; nothing else of Netron is relied on but the classes of a node's title and border.

const SVG = 'http://www.w3.org/2000/svg';
const LETTER = 6.1; // mean width of a letter in a badge: measuring each text would cost a layout
const HEIGHT = 14;
const AT_ONCE = 150; // nodes outside the window that are drawn between two frames

export class Drawing {
  constructor() {
    this._known = new WeakMap(); // by a node's group: its size, its badge, what it shows
    this._vertical = true;
    this._turn = 0;
  }

  element(name) {
    return document.getElementById(`node-name-${name}`);
  }

  // Whether Netron has drawn something and is done with it: a border gets its shape at the very end.
  isDrawn() {
    const borders = document.querySelectorAll('g.node > path.node-border');
    return borders.length > 0 && borders[borders.length - 1].hasAttribute('d') && borders[0].hasAttribute('d');
  }

  /**
   * Make the drawing show `marks`: what is in the window at once, the rest soon after.
   * @param {Map<string, {color: string, text: string, cut: boolean, beyond: boolean}>} marks by name of the node
   * @param {(found: number) => void} done told at the end how many of these nodes are in the drawing
   */
  show(marks, done) {
    const groups = [...document.querySelectorAll('g.node')].filter((group) => group.querySelector('.node-item-type'));
    const marked = new Map();
    for (const [name, mark] of marks) {
      const group = this.element(name);
      if (group !== null) {
        marked.set(group, mark);
      }
    }
    // All reading comes before all writing, or the browser would lay out the page once a node.
    const fresh = groups.filter((group) => !this._known.has(group));
    if (fresh.length > 0) {
      this._measure(fresh, groups);
    }
    const inside = new Set(groups.filter((group) => isInWindow(group.getBoundingClientRect())));
    const rest = groups.filter((group) => !inside.has(group));
    for (const group of inside) {
      this._mark(group, marked.get(group));
    }
    const turn = ++this._turn;
    const goOn = () => {
      if (turn !== this._turn) {
        return; // something else is to be shown by now
      }
      for (const group of rest.splice(0, AT_ONCE)) {
        this._mark(group, marked.get(group));
      }
      if (rest.length > 0) {
        setTimeout(goOn);
      } else {
        done(marked.size);
      }
    };
    if (rest.length > 0) {
      requestAnimationFrame(() => setTimeout(goOn));
    } else {
      done(marked.size);
    }
  }

  // Whether the nodes of `names` that are in the drawing all show something already.
  isShown(names) {
    return names.every((name) => {
      const group = this.element(name);
      return group === null || this._known.has(group);
    });
  }

  // Bring a node into view and open Netron's page about it, as a click on its title does.
  open(name) {
    const group = this.element(name);
    const title = group === null ? null : group.querySelector('.node-item-type');
    if (title === null) {
      return false;
    }
    title.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, view: window }));
    group.scrollIntoView({ block: 'center', inline: 'center' });
    return true;
  }

  _measure(fresh, groups) {
    this._vertical = isVertical();
    for (const group of fresh) {
      const border = group.querySelector('path.node-border');
      const box = border === null ? { width: 0, height: 0 } : border.getBBox();
      const place = /translate\(\s*(-?[\d.e+-]+)[ ,]+(-?[\d.e+-]+)/.exec(group.getAttribute('transform') || '');
      const [x, y] = place === null ? [0, 0] : [Number(place[1]), Number(place[2])];
      this._known.set(group, { width: box.width, height: box.height, x, y, room: Infinity, classes: [], badge: null });
    }
    // Nodes side by side share the height of their middle.
    const rows = new Map();
    for (const group of groups) {
      const known = this._known.get(group);
      const row = Math.round(known.y + known.height / 2);
      rows.set(row, [...(rows.get(row) || []), known]);
    }
    for (const row of rows.values()) {
      row.sort((a, b) => a.x - b.x);
      row.forEach((known, index) => {
        known.room = index + 1 < row.length ? row[index + 1].x - known.x - known.width : Infinity;
      });
    }
  }

  _mark(group, mark) {
    const known = this._known.get(group);
    const classes = ['nmc', `nmc-${mark === undefined ? 'none' : mark.color}`];
    if (mark !== undefined && mark.cut) {
      classes.push('nmc-cut');
    }
    if (mark !== undefined && mark.beyond) {
      classes.push('nmc-beyond');
    }
    if (classes.join() !== known.classes.join()) {
      group.classList.remove(...known.classes);
      group.classList.add(...classes);
      known.classes = classes;
    }
    const text = mark === undefined ? '' : mark.text;
    if (text !== '' && known.badge === null) {
      known.badge = new Badge(group);
    }
    if (known.badge !== null) {
      known.badge.show(text, known, this._vertical);
    }
  }
}

class Badge {
  constructor(group) {
    this._group = document.createElementNS(SVG, 'g');
    this._group.setAttribute('class', 'nmc-badge');
    this._rect = document.createElementNS(SVG, 'rect');
    this._text = document.createElementNS(SVG, 'text');
    this._rect.setAttribute('height', String(HEIGHT));
    this._rect.setAttribute('rx', '3');
    this._text.setAttribute('x', '4');
    this._text.setAttribute('y', String(HEIGHT - 3.5));
    this._group.append(this._rect, this._text);
    group.append(this._group);
    this._shown = null;
  }

  show(text, node, vertical) {
    if (text === this._shown) {
      return;
    }
    this._shown = text;
    const width = 8 + [...text].reduce((sum, letter) => sum + (letter > '\u2000' ? 2 : 1), 0) * LETTER;
    this._text.textContent = text;
    this._rect.setAttribute('width', width.toFixed(1));
    // Right of the node; above it where the next node or, in a horizontal drawing, its edge stands there.
    const beside = vertical && node.room > width + 6;
    // Above, it keeps away from the edge that enters in the middle, as far as there is room.
    const aside = vertical ? Math.min(Math.max(node.room - 6, 0), width) : 0;
    const x = beside ? node.width + 3 : Math.max(node.width - width, 0) + aside;
    const y = beside ? 3 : -HEIGHT - 2;
    this._group.setAttribute('transform', `translate(${x.toFixed(1)},${y})`);
    this._group.setAttribute('display', text === '' ? 'none' : 'inline');
  }
}

function isInWindow(box) {
  return box.right > 0 && box.left < window.innerWidth && box.bottom > 0 && box.top < window.innerHeight;
}

// Whether the edges of the drawing run down rather than across.
function isVertical() {
  let across = 0;
  let down = 0;
  for (const path of [...document.querySelectorAll('path.edge-path')].slice(0, 40)) {
    const numbers = (path.getAttribute('d') || '').match(/-?\d+(\.\d+)?(e-?\d+)?/g) || [];
    if (numbers.length >= 4) {
      across += Math.abs(Number(numbers[numbers.length - 2]) - Number(numbers[0]));
      down += Math.abs(Number(numbers[numbers.length - 1]) - Number(numbers[1]));
    }
  }
  return down >= across;
}
