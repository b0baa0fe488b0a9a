// An engine answers requests for paths below this page as fetch does. There are two:
// the server that sent the page, and the same handler as WebAssembly in a worker.

// server asks the server.
function server() {
  return (path, init) => fetch(path, init);
}

// worker asks the network in a Web Worker. One request is computed at a time.
function worker() {
  const thread = new Worker("worker.js");
  const waiting = new Map();
  let next = 0, dead = "";
  const fail = (text) => {
    dead = text;
    for (const w of waiting.values()) w.reject(new Error(text));
    waiting.clear();
  };
  thread.onerror = (e) => fail(e.message || "the worker could not be started");
  thread.onmessage = ({ data }) => {
    if (data.failed) return fail(data.failed);
    const w = waiting.get(data.id);
    waiting.delete(data.id);
    w?.resolve(new Response(data.body, { status: data.status, headers: data.headers }));
  };
  return async (path, init = {}) => {
    // A Request writes forms as bytes and says their type.
    const request = new Request(new URL(path, location.href), init);
    const body = request.method === "GET" ? new ArrayBuffer(0) : await request.arrayBuffer();
    const id = next++;
    const message = { id, method: request.method, path: "/" + path, type: request.headers.get("Content-Type") ?? "", body };
    return new Promise((resolve, reject) => {
      if (dead) return reject(new Error(dead));
      waiting.set(id, { resolve, reject });
      thread.postMessage(message, [body]);
      init.signal?.addEventListener("abort", () => {
        waiting.delete(id);
        reject(init.signal.reason);
      });
    });
  };
}

// name is "server" or "worker".
export const name = document.querySelector("meta[name=engine]").content;

const ask = name === "worker" ? worker() : server();
let key = "";

// setKey sets the key that a server may want. It is kept by this page alone, until it is left.
export function setKey(k) { key = k; }

// request returns the response, or throws an error with the text of the answer.
async function request(path, init = {}) {
  if (key) init.headers = { Authorization: "Bearer " + key };
  const response = await ask(path, init);
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    const answer = JSON.parse(text);
    message = answer.error?.message ?? answer.error ?? text;
  } catch { /* the text of a proxy */ }
  const error = new Error(message || `The server answered with status ${response.status}.`);
  error.status = response.status;
  throw error;
}

const query = (values) => new URLSearchParams(values).toString();

// models returns the networks: [{name, input, classes, labels, similar}].
export async function models() {
  return (await (await request("v1/models")).json()).models;
}

// layers returns the layers of a network: [{name, kind, shape, parameters, millis}].
export async function layers(model) {
  return (await (await request(`v1/models/${encodeURIComponent(model)}/layers`)).json()).layers;
}

// classify returns {predictions: [{class, label, probability}], millis}.
export async function classify(model, picture, top, signal) {
  return (await request("v1/classify?" + query({ model, top }), { method: "POST", body: picture, signal })).json();
}

// overlay returns a PNG of the picture with the heat map of a class.
export async function overlay(model, picture, cls, method, signal) {
  const path = "v1/explain?" + query({ model, class: cls, method, format: "png" });
  return (await request(path, { method: "POST", body: picture, signal })).blob();
}

// activation returns {shape: [C, H, W], data: Float32Array} of a layer.
export async function activation(model, picture, layer, signal) {
  const path = "v1/features?" + query({ model, layer, format: "binary" });
  const response = await request(path, { method: "POST", body: picture, signal });
  const shape = response.headers.get("Nonet-Shapes").split("=")[1].split(",").map(Number);
  while (shape.length < 3) shape.push(1);
  return { shape, data: new Float32Array(await response.arrayBuffer()) };
}

// distance returns {metric, distance} of two pictures.
export async function distance(model, a, b, signal) {
  const form = new FormData();
  form.append("a", a, "a");
  form.append("b", b, "b");
  return (await request("v1/distance?" + query({ model }), { method: "POST", body: form, signal })).json();
}

// similar returns [{name, similarity, thumbnail}], nearest first.
export async function similar(model, picture, top, signal) {
  const path = "v1/similar?" + query({ model, top });
  return (await (await request(path, { method: "POST", body: picture, signal })).json()).neighbours;
}
