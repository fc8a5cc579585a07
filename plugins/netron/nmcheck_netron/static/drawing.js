// Colors and badges on Netron's drawing. A node is found by the id of its group, "node-name-<name>", which Netron has
// given it for years; nothing else of Netron is relied on but the classes of a node's title and border.

const SVG = 'http://www.w3.org/2000/svg';
const LETTER = 6.1; // mean width of a letter in a badge: measuring each text would cost a layout
const HEIGHT = 14;
const AT_ONCE = 250; // nodes outside the window that are drawn between two frames
const ID = 'node-name-';
const NOTHING = { color: 'none', text: '', cut: false, beyond: false };

export class Drawing {
  constructor() {
    this._nodes = new Map(); // by a node's group: where it stands, what it shows
    this._vertical = true;
    this._count = 0;
    this._turn = 0;
  }

  element(name) {
    return document.getElementById(ID + name);
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
    // All reading comes before all writing, or the browser would lay out the page once a node.
    if (!this._isCurrent()) {
      this._measure();
    }
    const nodes = [...this._nodes.values()];
    const isInWindow = seenThrough(nodes);
    const [inside, rest] = [[], []];
    for (const node of nodes) {
      (isInWindow(node) ? inside : rest).push(node);
    }
    const found = nodes.filter((node) => marks.has(node.name)).length;
    const mark = (node) => node.show(marks.get(node.name), this._vertical);
    inside.forEach(mark);
    const turn = ++this._turn;
    const goOn = () => {
      if (turn !== this._turn) {
        return; // something else is to be shown by now
      }
      rest.splice(0, AT_ONCE).forEach(mark);
      if (rest.length > 0) {
        afterFrame(goOn);
      } else {
        done(found);
      }
    };
    if (rest.length > 0) {
      afterFrame(goOn);
    } else {
      done(found);
    }
  }

  // Whether the nodes of `names` that are in the drawing all show something already.
  isShown(names) {
    return names.every((name) => {
      const group = this.element(name);
      return group === null || this._nodes.has(group);
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

  // Whether the nodes known are those in the page. Netron makes all of them anew, or none.
  _isCurrent() {
    const [first] = this._nodes.keys();
    return first !== undefined && first.isConnected && this._count === allGroups().length;
  }

  _measure() {
    this._vertical = isVertical();
    const groups = [...allGroups()];
    this._count = groups.length;
    const titled = groups.filter((group) => group.querySelector('.node-item-type'));
    this._nodes = new Map(titled.map((group) => [group, new DrawnNode(group)]));
    // Nodes side by side share the height of their middle.
    const rows = new Map();
    for (const node of this._nodes.values()) {
      const height = Math.round(node.y + node.height / 2);
      rows.set(height, [...(rows.get(height) || []), node]);
    }
    for (const row of rows.values()) {
      row.sort((a, b) => a.x - b.x);
      row.forEach((node, index) => {
        if (index > 0) {
          const before = row[index - 1];
          node.left = node.x - before.x - before.width;
          before.right = node.left;
        }
      });
    }
  }
}

// A node of the drawing: where it stands, and what it shows. Only what changes is written.
class DrawnNode {
  constructor(group) {
    const border = group.querySelector('path.node-border');
    const box = border === null ? { width: 0, height: 0 } : border.getBBox();
    const moved = /translate\(\s*(-?[\d.e+-]+)[ ,]+(-?[\d.e+-]+)/.exec(group.getAttribute('transform') || '');
    [this.x, this.y] = moved === null ? [0, 0] : [Number(moved[1]), Number(moved[2])];
    [this.width, this.height] = [box.width, box.height];
    [this.left, this.right] = [Infinity, Infinity]; // room to the next node
    this.name = group.id.startsWith(ID) ? group.id.slice(ID.length) : null;
    this.group = group;
    this._color = null;
    this._badge = null;
  }

  show(mark = NOTHING, vertical) {
    const classes = this.group.classList;
    if (mark.color !== this._color) {
      if (this._color === null) {
        classes.add('nmc', `nmc-${mark.color}`);
      } else {
        classes.replace(`nmc-${this._color}`, `nmc-${mark.color}`);
      }
      this._color = mark.color;
    }
    classes.toggle('nmc-cut', mark.cut);
    classes.toggle('nmc-beyond', mark.beyond);
    if (mark.text !== '' && this._badge === null) {
      this._badge = new Badge(this.group);
    }
    if (this._badge !== null) {
      this._badge.show(mark.text, this, vertical);
    }
  }
}

class Badge {
  constructor(group) {
    this._group = document.createElementNS(SVG, 'g');
    this._group.setAttribute('class', 'nmc-badge');
    this._rect = document.createElementNS(SVG, 'rect');
    this._rect.setAttribute('height', String(HEIGHT));
    this._rect.setAttribute('rx', '3');
    this._line = document.createElementNS(SVG, 'text');
    this._text = document.createTextNode('');
    this._line.append(this._text);
    this._group.append(this._rect, this._line);
    group.append(this._group);
    this._width = null;
  }

  show(text, node, vertical) {
    if (text === this._text.data) {
      return;
    }
    if ((text === '') !== (this._text.data === '')) {
      this._group.setAttribute('display', text === '' ? 'none' : 'inline');
    }
    this._text.data = text;
    const width = 8 + [...text].reduce((sum, letter) => sum + (letter > '\u2000' ? 1.6 : 1), 0) * LETTER;
    if (width === this._width) {
      return;
    }
    this._width = width;
    this._rect.setAttribute('width', width.toFixed(1));
    const [x, y] = place(node, width, vertical);
    // Not by a transform of the group: the browser would keep, and go through, one more layer a node.
    this._rect.setAttribute('x', x.toFixed(1));
    this._rect.setAttribute('y', String(y));
    this._line.setAttribute('x', (x + 4).toFixed(1));
    this._line.setAttribute('y', String(y + HEIGHT - 3.5));
  }
}

// Where a badge stands: right of the node; left where the next node is too near; else, and in a horizontal drawing, where
// edges leave to the sides, above.
function place(node, width, vertical) {
  if (vertical && node.right > width + 6) {
    return [node.width + 3, 3];
  }
  // The badge of the node over there may need as much of that room.
  if (vertical && node.left > 2 * width + 9) {
    return [-width - 3, 3];
  }
  // It keeps away from the edge that enters in the middle, as far as there is room.
  const aside = vertical ? Math.min(Math.max(node.right - 6, 0), width) : 0;
  return [Math.max(node.width - width, 0) + aside, -HEIGHT - 2];
}

function allGroups() {
  return document.querySelectorAll('g.node');
}

// Call back when the browser has shown what is there by now.
function afterFrame(callback) {
  requestAnimationFrame(() => setTimeout(callback));
}

// A function that says of a node whether any of it is in the window: one look at the page for all nodes.
function seenThrough(nodes) {
  const matrix = nodes.length === 0 ? null : nodes[0].group.parentNode.getScreenCTM();
  const [width, height] = [window.innerWidth, window.innerHeight];
  return (node) => {
    if (matrix === null) {
      return true;
    }
    const left = matrix.a * node.x + matrix.e;
    const top = matrix.d * node.y + matrix.f;
    const [right, bottom] = [left + matrix.a * node.width, top + matrix.d * node.height];
    return right > 0 && left < width && bottom > 0 && top < height;
  };
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
