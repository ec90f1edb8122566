/* Lanes, [name, slices] each, over a common axis that zooms and moves. A slice is [start, end, name index, ...]; slices of a lane are
   in order and do not overlap. Followers are drawn anew with the lanes. The canvas says what it shows in data-from and
   data-to. */
const LABEL = 96, RULER = 22, LANE = 26;

class Lanes {
  constructor(canvas, tools, tip, lanes, whole, format, describe, nameOf) {
    Object.assign(this, { canvas, tip, whole: Math.max(1, whole), format, describe, nameOf });
    this.names = lanes.map(lane => lane[0]); this.slices = lanes.map(lane => lane[1]);
    this.from = 0; this.to = this.whole; this.followers = []; this.grip = null;
    this.range = make("output");
    const button = (text, title, action) => {
      const box = make("button", { type: "button", title, "aria-label": title }, text);
      box.addEventListener("click", action);
      return box;
    };
    tools.append(
      button("+", "Zoom in", () => this.zoom(this.middle, 0.5)), button("−", "Zoom out", () => this.zoom(this.middle, 2)),
      button("◀", "Earlier", () => this.move(-0.5)), button("▶", "Later", () => this.move(0.5)),
      button("All", "Show all", () => this.show(0, this.whole)), this.range);
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoom(this.at(event), event.deltaY > 0 ? 1.25 : 0.8);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.show(0, this.whole));
    canvas.addEventListener("pointerdown", event => { this.grip = this.at(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", () => { this.grip = null; });
    canvas.addEventListener("pointermove", event => this.hover(event));
    canvas.addEventListener("keydown", event => {
      const action = { "+": () => this.zoom(this.middle, 0.5), "-": () => this.zoom(this.middle, 2), "0": () => this.show(0, this.whole),
        ArrowLeft: () => this.move(-0.25), ArrowRight: () => this.move(0.25) }[event.key];
      if (action) { event.preventDefault(); action(); }
    });
    window.addEventListener("resize", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  get middle() { return (this.from + this.to) / 2; }
  at(event) { return this.from + (event.offsetX - LABEL) / (this.canvas.clientWidth - LABEL) * (this.to - this.from); }
  x(moment, width) { return LABEL + (moment - this.from) / (this.to - this.from) * (width - LABEL); }
  move(part) { const span = this.to - this.from; this.show(this.from + part * span, this.to + part * span); }

  zoom(center, factor) {
    const span = Math.min(this.whole, Math.max(16, (this.to - this.from) * factor));
    const from = center - (center - this.from) / (this.to - this.from) * span;
    this.show(from, from + span);
  }

  show(from, to) {
    const span = Math.min(this.whole, to - from);
    this.from = Math.max(0, Math.min(this.whole - span, from));
    this.to = this.from + span;
    this.draw();
  }

  hover(event) {
    if (this.grip !== null) {
      const moved = this.grip - this.at(event);
      this.show(this.from + moved, this.to + moved);
      return;
    }
    const row = Math.floor((event.offsetY - RULER) / LANE), slices = this.slices[row], moment = this.at(event);
    const hit = slices && event.offsetX > LABEL && slices[this.first(slices, moment)];
    this.tip.textContent = hit && hit[0] <= moment ? this.describe(this.names[row], hit) : "";
  }

  /* The first slice that ends behind a moment. */
  first(slices, moment) {
    let low = 0, high = slices.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (slices[middle][1] <= moment) low = middle + 1; else high = middle;
    }
    return low;
  }

  draw() {
    const { context, width } = prepared(this.canvas, RULER + LANE * this.names.length + 6);
    Object.assign(this.canvas.dataset, { from: this.from, to: this.to });
    this.range.textContent = `${this.format(this.from)} to ${this.format(this.to)}`;
    ruler(context, this.from, this.to, width, RULER, RULER + LANE * this.names.length, moment => this.x(moment, width), this.format);
    const ink = style("--ink"), blockInk = style("--block-ink"), colors = new Map();
    const color = index => { if (!colors.has(index)) colors.set(index, blockColor(index)); return colors.get(index); };
    this.names.forEach((lane, row) => {
      const y = RULER + row * LANE, slices = this.slices[row];
      context.fillStyle = ink;
      context.fillText(lane, 8, y + 16, LABEL - 14);
      let filled = -1;
      for (let i = this.first(slices, this.from); i < slices.length && slices[i][0] < this.to; i++) {
        const left = Math.max(LABEL, this.x(slices[i][0], width)), right = Math.min(width, this.x(slices[i][1], width));
        if (right <= filled) continue; // it would fall on pixels that are filled already
        context.fillStyle = color(slices[i][2]);
        context.fillRect(left, y + 2, Math.max(1, right - left - (right - left > 4 ? 1 : 0)), LANE - 4);
        filled = Math.max(left + 1, right);
        if (right - left > 44) label(context, this.nameOf(slices[i]), left, y, right - left, LANE, blockInk);
      }
    });
    this.followers.forEach(follower => follower(this));
  }
}

function prepared(canvas, height) {
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

function label(context, text, x, y, width, height, ink) {
  context.save();
  context.beginPath(); context.rect(x, y, width - 3, height); context.clip();
  context.fillStyle = ink;
  context.fillText(text, x + 5, y + height / 2 + 4);
  context.restore();
}

/* A round step, so that there are about six marks. */
function step(span) {
  const rough = span / 6, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map(each => each * power).find(each => each >= rough);
}

function ruler(context, from, to, width, top, bottom, x, format) {
  const size = step(to - from);
  context.strokeStyle = style("--line"); context.fillStyle = style("--soft"); context.lineWidth = 1;
  for (let mark = Math.ceil(from / size) * size; mark <= to; mark += size) {
    const at = Math.round(x(mark)) + 0.5;
    context.beginPath(); context.moveTo(at, top - 5); context.lineTo(at, bottom); context.stroke();
    if (at < width - 70) context.fillText(format(mark), at + 4, top - 8);
  }
}
