// Where a value stands on a metric's scale, and the color it gets: as nmcheck/reports/palette.py has it.

export class Scale {
  /**
   * @param {{values: [string, number, string][], worst: 'low' | 'high'}} metric
   * @param {boolean} logarithmic
   * @param {number} colors
   */
  constructor(metric, logarithmic, colors) {
    const values = metric.values.map((entry) => entry[1]);
    this.low = values.reduce((a, b) => Math.min(a, b), Infinity);
    this.high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    this.possible = this.low > 0;
    this.logarithmic = logarithmic && this.possible;
    this.worst = metric.worst;
    this.colors = colors;
  }

  // From 0 at the lowest value to 1 at the highest.
  share(value) {
    if (this.low === this.high) {
      return 0.5;
    }
    const at = this.logarithmic ? Math.log : (number) => number;
    return (at(value) - at(this.low)) / (at(this.high) - at(this.low));
  }

  color(value) {
    const share = this.share(value);
    return Math.floor((this.worst === 'low' ? 1 - share : share) * (this.colors - 1) + 0.5);
  }

  middle() {
    return this.logarithmic ? Math.sqrt(this.low * this.high) : (this.low + this.high) / 2;
  }

  isBeyond(value, threshold) {
    return threshold !== null && (this.worst === 'low' ? value < threshold : value > threshold);
  }
}

// Three significant digits, as the report's tables have them.
export function significant(value) {
  if (value === 0) {
    return '0';
  }
  const exponent = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  if (exponent < -4 || exponent >= 5) {
    return value.toExponential(2);
  }
  return Number(value.toPrecision(3)).toFixed(Math.max(0, 2 - exponent));
}
