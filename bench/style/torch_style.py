"""The loss of style transfer and its gradient at 512x512 with VGG-19 in PyTorch: what
BenchmarkEvaluate of vgg/style computes. Weights are random, which costs the same.

    python3 bench/style/torch_style.py [threads [rounds]]
"""
import sys
import time

import torch
import torch.nn.functional as F

WIDTHS = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512]
STYLE, CONTENT = {0, 2, 4, 8, 12}, 9  # conv1_1 ... conv5_1, and conv4_2, counted over convolutions


def network():
    layers, channels = [], 3
    for w in WIDTHS:
        if w == "M":
            layers.append(None)
            continue
        layers.append((torch.randn(w, channels, 3, 3) * (2 / (9 * channels)) ** 0.5, torch.zeros(w)))
        channels = w
    return layers


def activations(layers, x):
    found, i = {}, 0
    for layer in layers:
        if layer is None:
            x = F.max_pool2d(x, 2)
            continue
        x = F.relu(F.conv2d(x, *layer, padding=1))
        if i in STYLE or i == CONTENT:
            found[i] = x
        i += 1
    return found


def gram(f):
    f = f.flatten(2)[0]
    return f @ f.T / f.shape[1]


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    torch.manual_seed(1)
    layers = network()
    with torch.no_grad():
        wanted = activations(layers, torch.rand(1, 3, 512, 512))
        style = {i: gram(wanted[i]) for i in STYLE}
    x = torch.rand(1, 3, 512, 512, requires_grad=True)
    times = []
    for _ in range(rounds + 1):
        begin = time.time()
        x.grad = None
        acts = activations(layers, x)
        loss = 0.05 * F.mse_loss(acts[CONTENT], wanted[CONTENT])
        for i in STYLE:
            loss = loss + 0.2 * F.mse_loss(gram(acts[i]), style[i])
        loss = loss + 0.1 * ((x[..., 1:] - x[..., :-1]).square().mean() + (x[..., 1:, :] - x[..., :-1, :]).square().mean())
        loss.backward()
        times.append(time.time() - begin)
    times = sorted(times[1:])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads: median {times[len(times) // 2] * 1e3:.0f} ms, least {times[0] * 1e3:.0f} ms")


main()
