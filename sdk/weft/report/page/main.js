const TOTALS = {
  device: "device", target: "target", cycles: "cycles", macs: "multiply-accumulates", utilization: "utilization", device_seconds: "device ms",
  host_seconds: "host ms (measured)", transfers: "transfers", transfer_bytes: "transferred bytes", read_bytes: "DRAM bytes read", write_bytes: "DRAM bytes written",
  samples: "samples",
};
element("title").textContent = document.title = data.title;
figures("totals", Object.entries(TOTALS).filter(([key]) => key in data.totals).map(([key, name]) => {
  const value = data.totals[key];
  if (key === "utilization") return [name, share(value, 1)];
  return [name, typeof value !== "number" ? value : number(key.endsWith("seconds") ? value * 1e3 : value)];
}));

const drawn = data.drawn.instructions === data.drawn.slices ? `${number(data.drawn.instructions)} instructions.`
  : `${number(data.drawn.instructions)} instructions, drawn as ${number(data.drawn.slices)} slices: neighbours of one node that lie close together are one slice.`;
element("timeline-note").textContent = "Wheel or + and −: zoom. Drag or arrows: move. Slices of one color belong to one ONNX node. " + drawn;
const regionAt = moment => data.regions.find(each => each[1] <= moment && moment < each[2]);
const timeline = new Lanes(element("canvas"), element("timeline-tools"), element("tip"), Object.entries(data.units), data.cycles,
  moment => number(Math.round(moment)),
  (unit, [start, end, name, instruction, opcode, count]) => `${unit} · ${data.names[name]} · ` +
    (count > 1 ? `${number(count)} instructions from ${instruction}` : `instruction ${instruction} ${opcode}`) +
    ` · cycles ${number(start)} to ${number(end)} (${number(end - start)}, ${number((end - start) / data.clock_mhz)} µs)` +
    (regionAt(start) ? " · " + regionAt(start)[0] : ""),
  slice => data.names[slice[2]]);

for (const cause of data.causes) {
  const swatch = make("i");
  swatch.style.background = `var(--${cause})`;
  element("causes").append(make("span", {}, swatch, cause));
}
function stack(layer) {
  const box = make("span", { class: "stack", title: data.causes.map((cause, index) => `${cause} ${number(layer.time[index] || 0)}`).join(", ") });
  data.causes.forEach((cause, index) => {
    const part = make("i");
    part.style.cssText = `background: var(--${cause}); width: ${layer.cycles ? 100 * (layer.time[index] || 0) / layer.cycles : 0}%`;
    box.append(part);
  });
  return box;
}
const keep = table("layers", [
  { label: "layer", value: each => each.name, text: true, wrap: true },
  { label: "operator", value: each => each.op, text: true },
  { label: "where", value: each => each.where, text: true },
  { label: "cycles", value: each => each.cycles },
  { label: "share", value: each => each.cycles / data.cycles, show: each => share(each.cycles, data.cycles) },
  { label: "MACs", value: each => each.macs },
  { label: "utilization", value: each => each.utilization, show: each => each.macs ? share(each.utilization, 1) : "–" },
  { label: "time", text: true, value: each => each.cycles - (each.time[0] || 0), show: stack },
  ...data.causes.slice(1).map((cause, index) => ({ label: cause, value: each => each.time[index + 1] || 0 })),
  { label: "read", value: each => each.read }, { label: "written", value: each => each.written },
  { label: "ONNX nodes", value: each => each.nodes.join(", "), text: true, wrap: true },
], data.layers);
const count = shown => { element("shown").textContent = `${number(shown)} of ${number(data.layers.length)} layers`; };
count(data.layers.length);
element("filter").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  count(keep(each => [each.name, ...each.nodes].some(name => name.toLowerCase().includes(wanted))));
});

roofline(element("roofline"), data.layers.map(each => ({ ...each, bytes: each.read + each.written })), data.machines);

const kib = bytes => bytes >= 1 << 20 ? number(+(bytes / (1 << 20)).toFixed(2)) + " MiB" : number(+(bytes / 1024).toFixed(1)) + " KiB";
for (const map of data.memory) {
  for (const area of map.areas.filter(each => each.rectangles.length)) {
    memoryChart(element("maps"), `${map.region}: DRAM, ${area.name} (${kib(area.bytes)})`, area.bytes, area.rectangles, data.names, timeline, kib, element("memory-tip"));
  }
  if (map.rows.length) {
    memoryChart(element("maps"), `${map.region}: scratchpad (${kib(map.scratchpad_bytes)})`, map.scratchpad_bytes, map.rows, data.names, timeline, kib, element("memory-tip"));
  }
}
if (!element("maps").children.length) element("memory").remove();
else element("memory-note").textContent = "Read off the instructions: bytes count as held from the first write to the last read before they are written anew. The time axis is the timeline's, " +
  `and follows its zoom. The scratchpad is shown in parts of 1/${data.memory_rows}.` + (data.memory_note ? " " + data.memory_note : "");

table("units", [
  { label: "unit", value: each => each.name, text: true },
  { label: "busy cycles", value: each => each.busy },
  { label: "share", value: each => each.busy / data.cycles, show: each => share(each.busy, data.cycles) },
  { label: "", text: true, show: each => bar(each.busy, data.cycles) },
  { label: "stalled cycles by cause", text: true, wrap: true, show: each => Object.entries(each.stalls).filter(([, cycles]) => cycles)
    .map(([cause, cycles]) => cause + " " + number(cycles)).join(", ") || "–" },
], Object.entries(data.counters).map(([name, each]) => ({ name, ...each })));

if (data.host.length) table("host", [
  { label: "graph", value: each => each.name, text: true }, { label: "ms", value: each => each.seconds * 1e3 },
], data.host);
else element("host-section").remove();

if (data.nodes.length) table("nodes", [
  { label: "node", value: each => each.name, text: true, wrap: true }, { label: "operator", value: each => each.op, text: true },
  { label: "runs on", value: each => each.device, text: true }, { label: "region", value: each => each.region, text: true },
  { label: "estimated cycles", value: each => each.cycles }, { label: "MACs", value: each => each.macs },
  { label: "why", value: each => each.reason, text: true, wrap: true },
], data.nodes);
if (data.partition) {
  element("partition-note").textContent = `Chosen by estimated time for the host ${data.partition.host}: ${data.partition.chosen}.`;
  const ms = value => number(value / 1e6);
  table("candidates", [
    { label: "partition", value: each => each.name, text: true },
    ...["host", "accelerator", "transfers", "launches", "total"].map(key => ({ label: key + " ms", value: each => each[key], show: each => ms(each[key]) })),
  ], data.partition.candidates);
} else element("candidates-box").remove();
if (data.control) element("control-picture").append(make("img", { src: data.control, alt: "The control-flow graph, lines as wide as they were taken often" }));
else if (data.control_note) element("control-note").textContent = data.control_note;
else element("control").remove();
if (data.picture) element("picture").append(make("img", { src: data.picture, alt: "The steps of the model and what crosses between them" }));
else { element("picture").remove(); if (data.picture_note) element("partition-note").textContent += " " + data.picture_note; }
if (!data.nodes.length && !data.picture) element("partition").remove();

if (data.requests) {
  const requests = data.requests, f = requests.figures, ms = value => number(+(value * 1e3).toFixed(4)) + " ms";
  element("requests-note").textContent = `${requests.title}. Simulated time; wheel or + and −: zoom, drag or arrows: move. One color is one request. ${requests.note}`;
  figures("request-figures", [
    ["throughput", number(+f.throughput.toFixed(2)) + " / s"], ["busiest part allows", number(+f.limit.toFixed(2)) + " / s"],
    ["reached", share(f.efficiency, 1)], ["busiest part", f.busiest], ["latency p50", ms(f.latency_p50)], ["latency p90", ms(f.latency_p90)],
    ["latency p99", ms(f.latency_p99)], ["latency max", ms(f.latency_max)], ["a request alone", ms(f.serial_seconds)],
    ["answered", number(f.completed)], ["turned away", number(f.rejected)],
  ]);
  table("parts", [
    { label: "part", value: each => each.name, text: true }, { label: "busy s", value: each => each.busy_seconds },
    { label: "use", value: each => each.utilization, show: each => share(each.utilization, 1) },
    { label: "", text: true, show: each => bar(each.utilization, 1) },
    { label: "alone allows per second", value: each => each.limit, show: each => each.limit ? number(+each.limit.toFixed(2)) : "–" },
  ], f.parts);
  const time = nanoseconds => number(+(nanoseconds / 1e6).toFixed(4)) + " ms";
  new Lanes(element("requests-canvas"), element("requests-tools"), element("requests-tip"), requests.lanes, requests.span, time,
    (part, [start, end, request, task]) => `${part} · request ${request} · ${requests.tasks[task]} · ${time(start)} to ${time(end)}`,
    slice => `#${slice[2]} ${requests.tasks[slice[3]]}`).draw();
  histogram(element("latencies"), requests.histogram, nanoseconds => number(+(nanoseconds / 1e6).toPrecision(5)) + " ms");
} else element("requests").remove();

timeline.draw();
for (const section of document.querySelectorAll("section")) {
  element("sections").append(make("a", { href: "#" + section.id }, section.dataset.name));
}
document.body.dataset.ready = "yes";
