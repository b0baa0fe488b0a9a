import * as engine from "./engine.js";
import { draw } from "./maps.js";

const $ = (id) => document.getElementById(id);
const TOP = 5;

// What is shown: each change of it redraws what depends on it.
const state = { models: [], model: null, picture: null, url: "", cls: null, layer: null, other: null };
let running = new AbortController();
let maps = null, channel = 0;

function say(text) { $("status").textContent = text; }

function complain(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// work runs one request and says what goes on; what a newer picture has overtaken is dropped.
async function work(text, fn) {
  const { signal } = running;
  complain(null);
  say(text);
  document.body.setAttribute("aria-busy", "true");
  try {
    await fn(signal);
    if (!signal.aborted) say("");
  } catch (error) {
    if (signal.aborted) return;
    say("");
    complain(error);
    if (error.status === 401) $("key-form").hidden = false;
  } finally {
    if (!signal.aborted) document.body.removeAttribute("aria-busy");
  }
}

function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k === "text") e.textContent = v;
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v);
  }
  e.append(...children);
  return e;
}

const percent = (p) => (100 * p).toFixed(p < 0.1 ? 2 : 1) + " %";
const millis = (m) => (m >= 10 ? m.toFixed(0) : m.toPrecision(2)) + " ms";

// --- the picture and its classes

function setPicture(file) {
  running.abort();
  running = new AbortController();
  URL.revokeObjectURL(state.url);
  Object.assign(state, { picture: file, url: URL.createObjectURL(file), cls: null });
  $("result").hidden = false;
  $("classes").replaceChildren();
  $("took").textContent = "";
  $("distance").textContent = "";
  $("pair").hidden = true;
  state.other = null;
  $("choose-other").disabled = false;
  showPlain();
  classify();
}

function showPlain() {
  $("shown").src = state.url;
  $("shown").alt = "The picture that the network sees: " + (state.picture.name || "pasted");
  $("shown").classList.remove("small");
  $("caption").textContent = "Choose a class to see what speaks for it.";
  state.cls = null;
  press();
}

function press() {
  for (const b of $("classes").querySelectorAll("button")) {
    b.setAttribute("aria-pressed", String(Number(b.dataset.class) === state.cls));
  }
  $("plain").setAttribute("aria-pressed", String(state.cls === null));
}

function classify() {
  return work("Classifying…", async (signal) => {
    const answer = await engine.classify(state.model.name, state.picture, TOP, signal);
    if (signal.aborted) return;
    $("classes").replaceChildren(...answer.predictions.map(bar));
    $("took").textContent = `The network took ${millis(answer.millis.compute)}.`;
    if (state.layer) await showLayer(signal);
    if (state.model.similar) await showSimilar(signal);
  });
}

function bar({ class: cls, label, probability }) {
  const name = label || `class ${cls}`;
  const ground = element("span", { class: "bar", "aria-hidden": "true" });
  ground.style.width = 100 * probability + "%";
  return element("li", {}, element("button", {
    type: "button", "data-class": cls, "aria-pressed": "false", "aria-label": `${name}, ${percent(probability)}: show the heat map`,
    onclick: () => explain(cls, name),
  }, ground, element("span", { class: "name", text: name }), element("span", { class: "share", text: percent(probability) })));
}

function explain(cls, name) {
  state.cls = cls;
  state.clsName = name;
  press();
  const method = $("method");
  const methodName = method.options[method.selectedIndex].text;
  return work(`Computing ${methodName}…`, async (signal) => {
    const png = await engine.overlay(state.model.name, state.picture, cls, method.value, signal);
    if (signal.aborted || state.cls !== cls) return;
    const image = $("shown");
    image.onload = () => {
      image.classList.toggle("small", image.naturalWidth < 128);
      URL.revokeObjectURL(image.src);
      image.onload = null;
    };
    image.src = URL.createObjectURL(png);
    image.alt = `${methodName} of ${name} over the picture`;
    $("caption").textContent = `${methodName}: what speaks for ${name} is red.`;
  });
}

// --- layers

async function loadLayers() {
  const body = $("layers").tBodies[0];
  body.replaceChildren();
  const layers = await engine.layers(state.model.name);
  body.append(...layers.map((l) => element("tr", {},
    element("th", { scope: "row" }, element("button", {
      type: "button", "data-layer": l.name, "aria-pressed": "false", text: l.name, onclick: () => chooseLayer(l),
    })),
    element("td", { text: l.kind }),
    element("td", { text: l.shape.join(" × ") }),
    element("td", { class: "number", text: l.parameters ? l.parameters.toLocaleString("en") : "" }),
    element("td", { class: "number", text: l.millis ? millis(l.millis) : "" }))));
}

function chooseLayer(layer) {
  state.layer = layer;
  for (const b of $("layers").querySelectorAll("button")) {
    b.setAttribute("aria-pressed", String(b.dataset.layer === layer.name));
  }
  if (!state.picture) return say("Choose a picture to see the layer's maps.");
  return work(`Computing ${layer.name}…`, showLayer);
}

async function showLayer(signal) {
  const { name } = state.layer;
  const tensor = await engine.activation(state.model.name, state.picture, name, signal);
  if (signal.aborted || state.layer.name !== name) return;
  $("maps").hidden = false;
  maps = draw($("grid"), tensor, $("maps").clientWidth);
  const [c, h, w] = tensor.shape;
  maps.title = h * w === 1 ? `${name}: ${c} values` : `${name}: ${c} maps of ${h} × ${w}`;
  $("grid").setAttribute("aria-label", maps.title + ". The arrow keys go from map to map.");
  $("grid-caption").textContent = maps.title;
  channel = 0;
}

function tell(c) {
  if (!maps || c < 0 || c >= maps.channels) return;
  channel = c;
  $("grid-caption").textContent = `${maps.title}. ${maps.describe(c)}`;
}

// --- two pictures, nearest pictures

function compare(file) {
  state.other = file;
  return work("Comparing…", async (signal) => {
    for (const [id, picture] of [["left", state.picture], ["right", file]]) {
      URL.revokeObjectURL($(id).src);
      $(id).src = URL.createObjectURL(picture);
    }
    $("pair").hidden = false;
    $("distance").textContent = "";
    const d = await engine.distance(state.model.name, state.picture, file, signal);
    if (signal.aborted || state.other !== file) return;
    $("distance").textContent = `Distance (${d.metric}): ${d.distance.toPrecision(4)}. 0 means that the network sees no difference.`;
  });
}

async function showSimilar(signal) {
  const found = await engine.similar(state.model.name, state.picture, 12, signal);
  if (signal.aborted) return;
  $("neighbours").replaceChildren(...found.map((n) => element("li", {}, element("figure", {},
    element("img", { src: n.thumbnail, alt: n.name }),
    element("figcaption", { text: `${n.name}: ${n.similarity.toFixed(3)}` })))));
}

// --- events

function chosen(input, use) {
  input.addEventListener("change", () => {
    if (input.files.length) use(input.files[0]);
    input.value = ""; // the same file can be chosen again
  });
}

function listen() {
  $("key-form").onsubmit = (e) => {
    e.preventDefault();
    engine.setKey($("key").value);
    $("key-form").hidden = true;
    load();
  };
  $("choose").onclick = () => $("file").click();
  $("photograph").onclick = () => $("camera").click();
  $("choose-other").onclick = () => $("other-file").click();
  chosen($("file"), setPicture);
  chosen($("camera"), setPicture);
  chosen($("other-file"), compare);
  $("plain").onclick = () => state.picture && showPlain();
  $("method").onchange = () => state.cls !== null && explain(state.cls, state.clsName);
  $("model").onchange = () => useModel($("model").value);

  const drop = $("drop");
  addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (e) => {
    e.preventDefault();
    drop.classList.remove("over");
    if (e.dataTransfer.files.length) setPicture(e.dataTransfer.files[0]);
  });
  addEventListener("paste", (e) => {
    const file = [...e.clipboardData.files].find((f) => f.type.startsWith("image/"));
    if (file) setPicture(file);
  });

  const grid = $("grid");
  grid.addEventListener("pointermove", (e) => {
    const scale = grid.width / grid.clientWidth;
    tell(maps?.at(e.offsetX * scale, e.offsetY * scale));
  });
  grid.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -maps?.columns, ArrowDown: maps?.columns }[e.key];
    if (!step) return;
    e.preventDefault();
    tell(channel + step);
  });
}

function useModel(name) {
  running.abort();
  running = new AbortController();
  state.model = state.models.find((m) => m.name === name);
  state.layer = null;
  maps = null;
  $("maps").hidden = true;
  $("similar").hidden = !state.model.similar;
  $("where").textContent = `${state.model.name}: pictures of ${state.model.input[1]} × ${state.model.input[2]}, ${state.model.classes} classes`;
  return work("Loading the layers…", async () => {
    await loadLayers();
    if (state.picture) {
      showPlain();
      await classify();
    }
  });
}

// load lists the networks and opens the first.
async function load() {
  await work("Loading the network…", async () => {
    state.models = await engine.models();
    if (!state.models.length) throw new Error("The server has no network.");
    $("model").replaceChildren(...state.models.map((m) => element("option", { value: m.name, text: m.name })));
  });
  if (state.models.length) await useModel(state.models[0].name);
}

async function start() {
  listen();
  if (engine.name === "worker") $("engine-name").textContent = "this browser";
  await load();
  document.body.dataset.ready = "true";
}

start();
