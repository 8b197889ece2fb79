document.documentElement.classList.add("scripted");

// Tables are sorted by a click on a header: numbers by value, empty cells last.
for (const header of document.querySelectorAll("table.sortable th")) {
  const isNumber = header.classList.contains("number");
  const value = row => row.cells[header.cellIndex].textContent.trim();
  const number = text => parseFloat(text.replaceAll(",", "").replace("−", "-"));
  const compare = (a, b) => (isNumber ? number(a) - number(b) : a.localeCompare(b));
  const sort = () => {
    const falling = header.ariaSort === "descending" ? false : header.ariaSort === "ascending" || isNumber;
    for (const other of header.parentNode.cells) other.ariaSort = null;
    header.ariaSort = falling ? "descending" : "ascending";
    const body = header.closest("table").tBodies[0];
    const rows = [...body.rows].sort((first, second) => {
      const [a, b] = [value(first), value(second)];
      return (a === "") - (b === "") || (falling ? compare(b, a) : compare(a, b));
    });
    body.append(...rows);
  };
  header.classList.add("sorts");
  header.tabIndex = 0;
  header.addEventListener("click", sort);
  header.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}

function reveal(element) {
  element.scrollIntoView();
  element.focus({ preventScroll: true });
}

// A front chart shows the figures of the nearest arm, under the pointer or by the arrow keys, from left to right.
function enliven(svg, figure, chart) {
  const tip = figure.querySelector(".tip");
  const points = [...svg.querySelectorAll("[data-arm]")].map(node => {
    const [x, y] = ["x", "y"].map(name => Number(node.querySelector("use").getAttribute(name)));
    return { node, x, y, arm: Number(node.dataset.arm) };
  }).sort((a, b) => a.x - b.x);
  const rows = chart.rows[figure.dataset.reading], linked = new Set(chart.linked);
  let shown = null;
  const hide = () => {
    shown?.node.classList.remove("shown");
    svg.classList.remove("linked");
    tip.hidden = true;
    shown = null;
  };
  const figures = arm => [...chart.titles.map((title, column) => [title, rows[arm][column + 1]]),
    ["Front probability", chart.probability[figure.dataset.reading][arm].toFixed(2)]];
  const show = point => {
    if (point === shown) return;
    hide();
    shown = point;
    point.node.classList.add("shown");
    svg.classList.toggle("linked", linked.has(point.arm));
    const name = document.createElement("strong"), list = document.createElement("dl");
    name.textContent = rows[point.arm][0];
    for (const pair of figures(point.arm)) {
      ["dt", "dd"].forEach((tag, index) => { list.appendChild(document.createElement(tag)).textContent = pair[index]; });
    }
    tip.replaceChildren(name, list);
    tip.hidden = false;
    const [mark, frame] = [point.node.querySelector("use"), figure].map(each => each.getBoundingClientRect());
    const left = (mark.left + mark.right) / 2 - frame.left - tip.offsetWidth / 2;
    const above = mark.top - frame.top - tip.offsetHeight - 10;
    tip.style.left = `${Math.max(0, Math.min(left, frame.width - tip.offsetWidth))}px`;
    tip.style.top = `${above > 0 ? above : mark.bottom - frame.top + 10}px`;
  };
  const nearest = event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const distance = point => Math.hypot(point.x - at.x, point.y - at.y);
    const best = points.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    return distance(best) < 24 ? best : null;
  };
  const open = point => {
    if (linked.has(point.arm)) reveal(document.getElementById(`reliability-${figure.dataset.reading}-${point.arm}`));
  };
  svg.setAttribute("role", "group");
  svg.addEventListener("pointermove", event => {
    if (event.pointerType === "touch") return;
    const point = nearest(event);
    if (point) show(point);
    else hide();
  });
  svg.addEventListener("pointerleave", event => { if (event.pointerType !== "touch") hide(); });
  svg.addEventListener("click", event => {
    const point = nearest(event);
    if (!point) hide();
    else if (point === shown) open(point);
    else show(point); // on a touch screen, the first tap shows and the second opens
  });
  points.forEach((point, index) => {
    point.node.setAttribute("role", "link");
    point.node.setAttribute("tabindex", index ? "-1" : "0");
    point.node.setAttribute("aria-label", [rows[point.arm][0], ...figures(point.arm).map(pair => pair.join(" "))].join(", "));
    point.node.addEventListener("focus", () => show(point));
    point.node.addEventListener("blur", hide);
    point.node.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter") open(point);
      if (event.key === "Escape") hide();
      if (!step || !points[index + step]) return;
      event.preventDefault();
      points[index + step].node.focus();
    });
  });
}

const data = document.getElementById("chart-data");
if (data) {
  const chart = JSON.parse(data.textContent);
  for (const figure of document.querySelectorAll(".chart")) {
    for (const svg of figure.querySelectorAll("svg")) {
      if (svg.querySelector("[data-arm]")) enliven(svg, figure, chart);
    }
  }
}
