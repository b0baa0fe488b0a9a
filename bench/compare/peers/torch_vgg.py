"""A VGG network on PyTorch, same protocol as common.h.

  python3 torch_vgg.py --config D --batch 1 --threads 2 --weights FILE
      [--mode eval|train] [--layout nchw|nhwc]

eval: "check FILE N", "run N".  train: "run N" times whole steps (forward, loss,
backward, SGD with momentum 0.9 and weight decay 5e-4), dropout switched on;
"check FILE N" prints the losses of three steps on the first N pictures with dropout
off, from the seeded weights.
"""
import json
import sys
import time

import numpy as np
import torch
from torch import nn

args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
config, batch, train = args["--config"], int(args.get("--batch", 1)), args.get("--mode") == "train"
torch.set_num_threads(int(args.get("--threads", 1)))
torch.manual_seed(1)
LR = 1e-5  # larger steps leave the seeded weights for infinity, or amplify rounding
DEPTH = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "C": (2, 2, 3, 3, 3), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
WIDTH = (64, 128, 256, 512, 512)
REPVGG = {"RepVGG-A0": ((1, 2, 4, 14, 1), (48, 48, 96, 192, 1280)), "RepVGG-B1": ((1, 4, 6, 16, 1), (64, 128, 256, 512, 2048))}


def repvgg():
    layers, width = [], 3
    for depth, out in zip(*REPVGG[config]):
        for i in range(depth):
            layers += [nn.Conv2d(width, out, 3, stride=2 if i == 0 else 1, padding=1), nn.ReLU(inplace=True)]
            width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))


def network(drop):
    layers, width = [], 3
    for depth, out in zip(DEPTH[config], WIDTH):
        for i in range(depth):
            kernel = 1 if config == "C" and i == 2 else 3
            layers += [nn.Conv2d(width, out, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
            width = out
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout(drop)]
    layers += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(drop), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


def load(net):
    data = np.memmap(args["--weights"], dtype="<f4", mode="r")
    at = 0
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.from_numpy(np.array(data[at : at + p.numel()]).reshape(p.shape)))
            at += p.numel()
    assert at == data.size, "the weight file has another length"


net = repvgg() if config in REPVGG else network(0.5)
load(net)
net.train(train)
layout = torch.channels_last if args.get("--layout") == "nhwc" else torch.contiguous_format
net.to(memory_format=layout)
pictures = torch.rand(batch, 3, 224, 224).to(memory_format=layout)
labels = torch.arange(batch) % 1000


def sgd():
    return torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)


optimizer = sgd() if train else None


def step(x, y):
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def once():
    if train:
        step(pictures, labels)
    else:
        with torch.inference_mode():
            net(pictures)


def read_pictures(path, n):
    return torch.from_numpy(np.fromfile(path, "<f4").reshape(-1, 3, 224, 224)[:n]).to(memory_format=layout)


def check(path, n):
    global optimizer
    x = read_pictures(path, n)
    if train:
        net.eval()  # no dropout
        losses = [step(x, torch.arange(n)) for _ in range(3)]
        load(net)
        optimizer = sgd()
        net.train()
        return {"losses": losses}
    with torch.inference_mode():
        return {"logits": torch.cat([net(x[i : i + batch]) for i in range(0, n, batch)]).flatten().tolist()}


def run(n):
    ms = []
    for _ in range(n):
        t = time.perf_counter()
        once()
        ms.append((time.perf_counter() - t) * 1e3)
    return {"ms": ms}


def answer(words):
    if words[0] == "version":
        return {"version": f"PyTorch {torch.__version__}"}
    if words[0] == "check":
        return check(words[1], int(words[2]))
    if words[0] == "run":
        return run(int(words[1]))
    return {"failure": "unknown command"}


for line in sys.stdin:
    print(json.dumps(answer(line.split())), flush=True)
