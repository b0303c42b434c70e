// Makes the page live: asks for it again and again, takes over what has changed, and draws how three
// of its figures have moved. All texts and numbers are the server's.
"use strict";

const INTERVAL = 2000; // ms
const WINDOW = 5 * 60 * 1000; // ms that a chart shows
const RATIO_OVER = 10 * 1000; // ms whose calls make one hit ratio
const KEPT = "memod.samples";

const connection = document.getElementById("connection");
const pause = document.getElementById("pause");
let samples = kept();
let paused = false;

// What the tab has seen so far, so that going to another page of sessions does not forget it.
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

// The key by which a row is the same row, wherever it is.
const keyOf = (node) => node.dataset?.key;

// Makes `node` look like `next` by changing only what differs, so that focus and selection stay.
function morph(node, next) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!next.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  const wanted = new Set([...next.childNodes].map(keyOf));
  for (const child of [...node.childNodes]) if (!wanted.has(keyOf(child))) child.remove();
  next.childNodes.forEach((child, i) => {
    const here = node.childNodes[i];
    if (here && here.nodeName === child.nodeName && keyOf(here) === keyOf(child)) {
      morph(here, child);
    } else {
      node.insertBefore(document.importNode(child, true), here ?? null);
    }
  });
  while (node.childNodes.length > next.childNodes.length) node.lastChild.remove();
}

function show(page) {
  for (const node of document.querySelectorAll("[data-live]")) {
    morph(node, page.getElementById(node.id));
  }
  document.title = page.title;
}

// The figures of `page` at this moment.
function sample(page) {
  const figure = (id) => page.getElementById(`figure-${id}`);
  const value = (id) => Number(figure(id).value);
  const { textContent: bytesText } = figure("bytes");
  const { textContent: sessionsText } = figure("sessions");
  return {
    time: Date.now(),
    hits: value("hits"),
    lookups: value("hits") + value("misses"),
    bytes: value("bytes"),
    bytesText,
    sessions: value("sessions"),
    sessionsText,
  };
}

function remember(page) {
  const now = sample(page);
  samples = samples.filter(({ time }) => time > now.time - WINDOW && time < now.time);
  samples.push(now);
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(samples));
  } catch {
    // Without a store, the charts begin anew with each page.
  }
}

// Of the calls that came shortly before a sample; null if none came, or the counting began anew.
function ratio(now) {
  const from = samples.find(({ time }) => time >= now.time - RATIO_OVER);
  const lookups = now.lookups - from.lookups;
  const hits = now.hits - from.hits;
  return lookups > 0 && hits >= 0 ? (100 * hits) / lookups : null;
}

const percent = (value) => `${value.toFixed(1)} %`;
const CHARTS = [
  {
    name: "Hit ratio",
    none: "no calls",
    top: 100,
    value: ratio,
    text: (now) => percent(ratio(now)),
  },
  { name: "Bytes", value: (now) => now.bytes, text: (now) => now.bytesText },
  { name: "Sessions", value: (now) => now.sessions, text: (now) => now.sessionsText },
].map((chart) => ({ ...chart, ...figure(chart.name) }));

function element(name, parent, attributes = {}, namespace = parent.namespaceURI) {
  const node = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return parent.appendChild(node);
}

// The elements of a chart, empty.
function figure(name) {
  const box = element("figure", document.querySelector(".charts"));
  const caption = element("figcaption", box);
  element("span", caption).textContent = name;
  const now = element("b", caption);
  const view = { role: "img", viewBox: "0 0 100 100", preserveAspectRatio: "none" };
  const svg = element("svg", box, view, "http://www.w3.org/2000/svg");
  for (const y of [0, 100]) element("line", svg, { class: "rule", x1: 0, x2: 100, y1: y, y2: y });
  const area = element("path", svg, { class: "area" });
  const curve = element("path", svg, { class: "curve" });
  const below = element("p", box, { "aria-hidden": true }); // told by the picture's label
  element("span", below).textContent = "5 min ago";
  const range = element("span", below);
  element("span", below).textContent = "now";
  return { now, svg, area, curve, range };
}

// The pieces of a curve: samples without a value, and times nobody asked at, are gaps.
function pieces(chart) {
  const found = [];
  let last = null;
  for (const each of samples) {
    const value = chart.value(each);
    if (value !== null) {
      if (last === null || each.time - last > 3 * INTERVAL) found.push([]);
      found.at(-1).push({ each, value });
      last = each.time;
    } else {
      last = null;
    }
  }
  return found;
}

function draw(chart) {
  const lines = pieces(chart);
  const points = lines.flat().sort((a, b) => a.value - b.value);
  const newest = samples.at(-1);
  const [low, high] = [points.at(0), points.at(-1)].map((point) => point && chart.text(point.each));
  const now = chart.value(newest) === null ? chart.none : chart.text(newest);
  const range = points.length > 0 ? `lowest ${low}, highest ${high}` : "";
  chart.now.textContent = now;
  chart.range.textContent = range;
  chart.svg.setAttribute("aria-label", `${chart.name} in the last 5 minutes: now ${now}; ${range}`);

  const top = chart.top ?? Math.max(1, (points.at(-1)?.value ?? 0) * 1.1);
  const x = ({ each }) => (100 - (100 * (newest.time - each.time)) / WINDOW).toFixed(2);
  const y = ({ value }) => (100 - (100 * value) / top).toFixed(2);
  const along = (line) => line.map((point) => `${x(point)} ${y(point)}`).join("L");
  // A point by itself is a line to where it is, which its round ends make a dot.
  const curves = lines.map((line) => `M${along(line)}${line.length > 1 ? "" : "h0"}`);
  const areas = lines.map((line) => `M${x(line[0])} 100L${along(line)}L${x(line.at(-1))} 100Z`);
  chart.curve.setAttribute("d", curves.join(""));
  chart.area.setAttribute("d", areas.join(""));
}

const clock = () => new Date().toLocaleTimeString([], { hourCycle: "h23" });

// Each change is announced, and each try is not.
function tell(state, text) {
  if (connection.dataset.state === state) return;
  connection.dataset.state = state;
  connection.textContent = text;
}

function take(page) {
  show(page);
  remember(page);
  CHARTS.forEach(draw);
  tell("live", "Live");
}

function lose() {
  tell("disconnected", `Disconnected since ${clock()}`);
  document.getElementById("state").hidden = true; // until it is known again
  document.title = "memod: disconnected";
}

// Null if memod does not answer.
async function ask() {
  try {
    const signal = AbortSignal.timeout(2 * INTERVAL);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

async function update() {
  const page = await ask();
  if (paused) return;
  if (page) take(page);
  else lose();
}

async function run() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    if (!paused && !document.hidden) await update();
  }
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
  if (paused) tell("paused", `Paused at ${clock()}`);
  else update();
});

pause.hidden = false;
document.getElementById("charts").hidden = false;
take(document);
run();
