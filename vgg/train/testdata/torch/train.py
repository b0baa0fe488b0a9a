#!/usr/bin/env python3
"""Trains a small network with PyTorch, in float64, and writes the numbers of each step.

    apt-get install python3-torch
    NONET_WRITE_GIVEN=1 go test ./vgg/train -run TestTorchTraining
    /usr/bin/python3 vgg/train/testdata/torch/train.py

given.json has what comes from random numbers of nonet's own: pictures, which of them
validate, their order in each epoch, and the initial weights. The masks of dropout are
computed here from their definition: vgg.Dropout and package internal/seeded. All else is
PyTorch's: convolutions, pools, cross entropy, their gradients, SGD with momentum and
weight decay, and the mean over the parts of a step.
"""
import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, MICRO, EPOCHS, SEED = 4, 2, 3, 11
RATE, FACTOR, EVERY, WARMUP = 0.05, 4, 2, 1.5
MOMENTUM, DECAY, DROPOUT = 0.9, 0.02, np.float32(0.4)
LAYERS = {4: "fc3", 5: "fc4"}  # fully connected ones that are followed by dropout, by index

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def hash64(v):
    return mix((v * GOLDEN + GOLDEN) & MASK)


def uniform(seed, tensor, n):
    state = (hash64(seed) + hash64(tensor + 1) * GOLDEN) & MASK
    out = []
    for _ in range(n):
        state = (state + GOLDEN) & MASK
        out.append((mix(state) >> 11) * 2.0**-53)
    return np.array(out)


def mask(batch, layer, shape):
    u = uniform(SEED, batch << 8 | layer, int(np.prod(shape)))
    keep = (u.astype(np.float32) >= DROPOUT).reshape(shape)
    return torch.tensor(keep, dtype=torch.float64) / (1 - float(DROPOUT))


given = json.load(open(os.path.join(HERE, "given.json")))
mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
pixels = torch.tensor(given["pixels"], dtype=torch.float64).reshape(-1, 8, 8, 3)
inputs = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
classes = torch.tensor(given["classes"])

SHAPES = {"conv1_1": (4, 3, 3, 3), "conv2_1": (16, 4, 3, 3), "fc3": (12, 64), "fc4": (10, 12), "fc5": (3, 10)}
params = {}
for name, shape in SHAPES.items():
    for kind, s in (("weight", shape), ("bias", shape[:1])):
        w = np.array(given["weights"][name + "." + kind], dtype=np.float64).reshape(s)
        params[name + "." + kind] = torch.tensor(w, requires_grad=True)


def logits(x, batch=None):
    """batch is the number of the batch for dropout, or None for none."""
    for name in ("conv1_1", "conv2_1"):
        x = F.max_pool2d(F.relu(F.conv2d(x, params[name + ".weight"], params[name + ".bias"], padding=1)), 2)
    x = x.flatten(1)
    for layer, name in LAYERS.items():
        x = F.relu(F.linear(x, params[name + ".weight"], params[name + ".bias"]))
        if batch is not None:
            x = x * mask(batch, layer, x.shape)
    return F.linear(x, params["fc5.weight"], params["fc5.bias"])


def rate(epoch, part):
    r = RATE / FACTOR ** (epoch // EVERY)
    done = epoch + part
    return r * done / WARMUP if done < WARMUP else r


out = {}
optimizer = torch.optim.SGD(params.values(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
training, validate = given["training"], given["validate"]
steps, step, batch = len(training) // BATCH, 0, 0
for epoch, order in enumerate(given["orders"]):
    loss_sum, right = 0.0, 0
    for s in range(steps):
        optimizer.zero_grad()
        examples = [training[i] for i in order[s * BATCH : (s + 1) * BATCH]]
        for m in range(0, BATCH, MICRO):
            part = examples[m : m + MICRO]
            x = inputs[part].clone().requires_grad_(True)
            y = logits(x, batch)
            loss = F.cross_entropy(y, classes[part])
            (loss / (BATCH // MICRO)).backward()
            if batch == 0:
                out["first.input"] = inputs[part]
                out["first.targets"] = classes[part].double()
                out["first.loss"] = loss.detach()
                out["first.gradient.input"] = x.grad * (BATCH // MICRO)
                for name, p in params.items():
                    out["first.gradient." + name] = p.grad * (BATCH // MICRO)
            loss_sum += loss.item() * MICRO
            right += (y.argmax(1) == classes[part]).sum().item()
            batch += 1
        for group in optimizer.param_groups:
            group["lr"] = rate(epoch, (s + 1) / steps)
        optimizer.step()
        for name, p in params.items():
            out[f"step{step}.weight.{name}"] = p.detach().clone()
            out[f"step{step}.momentum.{name}"] = optimizer.state[p]["momentum_buffer"].clone()
        step += 1
    with torch.no_grad():
        y = logits(inputs[validate])
        val_loss = F.cross_entropy(y, classes[validate]).item()
        val_right = (y.argmax(1) == classes[validate]).double().mean().item()
    seen = steps * BATCH
    out[f"epoch{epoch}"] = torch.tensor([loss_sum / seen, right / seen, val_loss, val_right, rate(epoch, 1)])

header, data = {}, b""
for name, value in out.items():
    b = value.to(torch.float32).contiguous().numpy().tobytes()
    header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(b)]}
    data += b
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(HERE, "golden.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
print(step, "steps,", len(data), "bytes")
