const shortened = (text, most) => text.length > most ? text.slice(0, most / 2 - 1) + "…" + text.slice(-most / 2) : text;

/* Multiply-accumulates per byte against multiply-accumulates per cycle, both logarithmic. */
function roofline(svg, layers, machines) {
  const points = layers.filter(each => each.macs && each.cycles && each.bytes)
    .map(each => ({ ...each, x: each.macs / each.bytes, y: each.macs / each.cycles }));
  const roofs = machines.filter(each => each.bytes_per_cycle);
  if (!points.length || !roofs.length) { element("roofline-section").remove(); return; }
  const left = 64, right = 985, top = 16, bottom = 385;
  const peak = Math.max(...roofs.map(each => each.peak)), ridges = roofs.map(each => each.peak / each.bytes_per_cycle);
  const lowX = Math.log2(Math.min(...ridges.map(each => each / 4), ...points.map(each => each.x))) - 0.5;
  const highX = Math.log2(Math.max(...ridges.map(each => each * 4), ...points.map(each => each.x))) + 0.5;
  const lowY = Math.log2(Math.min(peak / 16, ...points.map(each => each.y))) - 0.5;
  const highY = Math.log2(Math.max(peak, ...points.map(each => each.y))) + 0.5;
  const x = value => left + (Math.log2(value) - lowX) / (highX - lowX) * (right - left);
  const y = value => bottom - (Math.log2(value) - lowY) / (highY - lowY) * (bottom - top);
  const marks = (low, high) => {
    const every = Math.max(1, Math.ceil((high - low) / 12)), found = [];
    for (let power = Math.ceil(low); power <= high; power += every) found.push(power);
    return found;
  };
  for (const power of marks(lowX, highX)) {
    draw(svg, "line", { class: "grid", x1: x(2 ** power), x2: x(2 ** power), y1: top, y2: bottom });
    draw(svg, "text", { x: x(2 ** power), y: bottom + 16, "text-anchor": "middle" }, number(2 ** power));
  }
  for (const power of marks(lowY, highY)) {
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y(2 ** power), y2: y(2 ** power) });
    draw(svg, "text", { x: left - 8, y: y(2 ** power) + 4, "text-anchor": "end" }, number(2 ** power));
  }
  draw(svg, "text", { x: (left + right) / 2, y: 420, "text-anchor": "middle" }, "multiply-accumulates per byte of DRAM");
  draw(svg, "text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(16 ${(top + bottom) / 2}) rotate(-90)` }, "multiply-accumulates per cycle");
  for (const each of roofs) {
    const ridge = each.peak / each.bytes_per_cycle, start = Math.max(2 ** lowX, 2 ** lowY / each.bytes_per_cycle);
    draw(svg, "path", { class: "roof", d: `M${x(start)} ${y(start * each.bytes_per_cycle)}L${x(ridge)} ${y(each.peak)}H${right}` });
    draw(svg, "text", { class: "name", x: right - 8, y: bottom - 10 - 16 * roofs.indexOf(each), "text-anchor": "end" },
      `${each.name}: ${number(each.peak)} multiply-accumulates and ${number(each.bytes_per_cycle)} bytes per cycle`);
  }
  const most = Math.max(...points.map(each => each.cycles));
  const taken = [];
  for (const each of [...points].sort((a, b) => b.cycles - a.cycles)) {
    const circle = draw(svg, "circle", { cx: x(each.x), cy: y(each.y), r: 2.5 + 8 * Math.sqrt(each.cycles / most) });
    draw(circle, "title", {}, `${each.name}: ${number(each.cycles)} cycles, ${number(each.x)} per byte, ${number(each.y)} per cycle`);
    const place = { x: x(each.x), y: y(each.y) };
    if (taken.length < 8 && taken.every(other => Math.abs(other.x - place.x) > 150 || Math.abs(other.y - place.y) > 16)) {
      taken.push({ ...place, name: each.name });
    }
  }
  for (const place of taken) { // above all circles
    const inward = place.x > right - 190;
    draw(svg, "text", { class: "name", x: place.x + (inward ? -13 : 13), y: place.y + 4, "text-anchor": inward ? "end" : "start" }, shortened(place.name, 26));
  }
}

function histogram(svg, bins, format) {
  const left = 48, right = 985, top = 14, bottom = 190, most = Math.max(1, ...bins.counts), width = (right - left) / bins.counts.length;
  for (const part of [0, 0.5, 1]) {
    const y = bottom - part * (bottom - top);
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y, y2: y });
    draw(svg, "text", { x: left - 8, y: y + 4, "text-anchor": "end" }, number(Math.round(part * most)));
  }
  bins.counts.forEach((count, index) => {
    const height = count / most * (bottom - top), low = bins.low + index * bins.width;
    const column = draw(svg, "rect", { class: "column", x: left + index * width + 1, y: bottom - height, width: Math.max(1, width - 2), height });
    draw(column, "title", {}, `${format(low)} to ${format(low + bins.width)}: ${number(count)} requests`);
  });
  for (let mark = 0; mark <= 6; mark++) {
    const value = bins.low + mark / 6 * bins.width * bins.counts.length;
    draw(svg, "text", { x: left + mark / 6 * (right - left), y: bottom + 18, "text-anchor": mark === 6 ? "end" : mark ? "middle" : "start" }, format(value));
  }
  draw(svg, "text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "from arrival to answer");
}

/* Rectangles [low, high, first, last, name index] of an area over the time axis of the lanes that it follows. */
function memoryChart(box, title, size, rectangles, names, lanes, unit, tip) {
  const canvas = make("canvas", { "aria-label": title });
  box.append(make("h3", {}, title), canvas);
  const height = 210, top = 22, bottom = height - 6;
  const y = value => bottom - value / Math.max(1, size) * (bottom - top);
  lanes.followers.push(() => {
    const { context, width } = prepared(canvas, height), ink = style("--block-ink");
    ruler(context, lanes.from, lanes.to, width, top, bottom, moment => lanes.x(moment, width), lanes.format);
    context.fillStyle = style("--soft");
    for (const part of [0, 0.5, 1]) context.fillText(unit(part * size), 8, Math.min(bottom, y(part * size) + (part ? 12 : 0)), LABEL - 14);
    for (const [low, high, first, last, name] of rectangles) {
      if (last < lanes.from || first > lanes.to) continue;
      const left = Math.max(LABEL, lanes.x(first, width)), right = Math.min(width, lanes.x(last, width));
      const upper = y(high), tall = Math.max(1, y(low) - upper);
      context.fillStyle = blockColor(name);
      context.fillRect(left, upper, Math.max(1, right - left), tall);
      if (right - left > 44 && tall > 12) label(context, names[name] ?? "from the host", left, upper, right - left, tall, ink);
    }
  });
  canvas.addEventListener("pointermove", event => {
    const moment = lanes.at(event), value = (bottom - event.offsetY) / (bottom - top) * size;
    const hit = rectangles.find(([low, high, first, last]) => low <= value && value < high && first <= moment && moment <= last);
    tip.textContent = hit ? `${names[hit[4]] ?? "from the host"} · ${unit(hit[0])} to ${unit(hit[1])} · cycles ${number(hit[2])} to ${number(hit[3])}` : "";
  });
}
