// Runs the network as WebAssembly: vgg.wasm sets self.nonet to a function that answers
// one request, {method, path, type, body}, with a promise of {status, headers, body}.
importScripts("wasm_exec.js");

async function load() {
  const go = new Go();
  const { instance } = await WebAssembly.instantiateStreaming(fetch("vgg.wasm"), go.importObject);
  const ready = new Promise((resolve) => { self.nonetReady = resolve; });
  const ended = go.run(instance).then(() => { throw new Error("the program ended"); });
  await Promise.race([ready, ended]);
  ended.catch((error) => postMessage({ failed: error.message }));
}

const loaded = load();
loaded.catch((error) => postMessage({ failed: "the network could not be loaded: " + error.message }));

onmessage = async ({ data }) => {
  await loaded;
  const answer = await self.nonet(data.method, data.path, data.type, new Uint8Array(data.body));
  postMessage({ id: data.id, ...answer }, [answer.body.buffer]);
};
