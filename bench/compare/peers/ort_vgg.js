// A VGG network on ONNX Runtime's CPU provider, same protocol as common.h.
//
//   node ort_vgg.js --model FILE --threads T --batch N
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const modules = process.env.NONET_NODE_MODULES;
const ort = require(path.join(modules, 'onnxruntime-node'));

const args = {};
for (let i = 2; i + 1 < process.argv.length; i += 2) args[process.argv[i]] = process.argv[i + 1];
const batch = Number(args['--batch'] || 1);
const picture = 3 * 224 * 224;

async function main() {
  const session = await ort.InferenceSession.create(args['--model'], {
    intraOpNumThreads: Number(args['--threads'] || 1),
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    executionProviders: ['cpu'],
  });
  const input = new ort.Tensor('float32', new Float32Array(batch * picture), [batch, 3, 224, 224]);
  const output = new ort.Tensor('float32', new Float32Array(batch * 1000), [batch, 1000]);

  async function run() {
    const t = process.hrtime.bigint();
    await session.run({ input }, { logits: output });
    return Number(process.hrtime.bigint() - t) / 1e6;
  }

  async function check(file, n) {
    const bytes = fs.readFileSync(file);
    const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const logits = [];
    for (let i = 0; i < n; i += batch) {
      for (let j = 0; j < batch; j++) {
        const k = (i + j) % n;
        input.data.set(all.subarray(k * picture, (k + 1) * picture), j * picture);
      }
      await run();
      logits.push(...output.data.subarray(0, 1000 * Math.min(batch, n - i)));
    }
    return { logits };
  }

  async function answer(command, a, b) {
    switch (command) {
      case 'version':
        return { version: 'ONNX Runtime ' + require(path.join(modules, 'onnxruntime-node', 'package.json')).version };
      case 'check':
        return check(a, Number(b));
      case 'run': {
        const ms = [];
        for (let i = 0; i < Number(a); i++) ms.push(await run());
        return { ms };
      }
    }
    return { failure: 'unknown command' };
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(...line.trim().split(' '))));
  }
}

main().catch((err) => {
  console.error(String(err));
  process.exit(1);
});
