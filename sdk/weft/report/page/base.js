const element = id => document.getElementById(id);
const number = value => value.toLocaleString("en", { maximumFractionDigits: 4 });
const share = (part, whole) => whole ? (100 * part / whole).toFixed(1) + " %" : "–";
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const blockColor = index => index < 0 ? style("--waiting") : `hsl(${(index * 137.5 + 210) % 360} ${style("--block")})`;

function make(tag, attributes = {}, ...children) {
  const box = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
  box.append(...children);
  return box;
}

function draw(svg, tag, attributes, text) {
  const box = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
  if (text !== undefined) box.textContent = text;
  svg.append(box);
  return box;
}

function figures(id, entries) {
  for (const [name, text] of entries) element(id).append(make("div", {}, make("dt", {}, name), make("dd", {}, text)));
}

function bar(part, whole) {
  const inner = make("i");
  inner.style.width = whole ? Math.min(100, 100 * part / whole).toFixed(2) + "%" : "0";
  return make("span", { class: "bar" }, inner);
}

/* Columns: label, value(row) to sort by, show(row) as text or element (the value by default), text: left-aligned, wrap.
   A click on a header sorts by it, numbers from the largest; a second click turns the order round. */
function table(id, columns, rows) {
  const head = make("tr"), body = make("tbody");
  let shown = [...rows];
  const fill = () => body.replaceChildren(...shown.map(row => make("tr", {}, ...columns.map(column => {
    const content = (column.show || column.value)(row);
    const kind = [column.text && "text", column.wrap && "wrap"].filter(Boolean).join(" ");
    const shown = typeof content === "number" ? number(content) : content;
    return make("td", kind ? { class: kind } : {}, column.wrap ? make("span", { class: "clamp", title: shown }, shown) : shown);
  }))));
  for (const column of columns) {
    const cell = make("th", column.text ? { class: "text", scope: "col" } : { scope: "col" });
    if (column.value) {
      const button = make("button", { type: "button" }, column.label);
      button.addEventListener("click", () => {
        const first = column.text ? "ascending" : "descending";
        const order = cell.getAttribute("aria-sort") === first ? (column.text ? "descending" : "ascending") : first;
        head.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        shown.sort((a, b) => {
          const x = column.value(a), y = column.value(b);
          return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
        });
        fill();
      });
      cell.append(button);
    } else cell.append(column.label);
    head.append(cell);
  }
  element(id).replaceChildren(make("thead", {}, head), body);
  fill();
  return keep => { shown = rows.filter(keep); head.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort")); fill(); return shown.length; };
}
