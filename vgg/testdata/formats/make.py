#!/usr/bin/env python3
"""Writes the same small networks with the tools that people's files come from.

    apt-get install python3-torch python3-onnx python3-h5py
    python3 vgg/testdata/formats/make.py DIRECTORY [--full]

Configuration A at a thirty-second of the channels, 64×64 pixels, 10 classes, with
weights that are the same function of their place in every file; and the same with
batch normalisation. TestFormats compares what vgg.Open makes of the files. With
--full they are VGG-16 at its own size: torch.save's two formats, Caffe, ONNX and
the safetensors of torchvision's names.
"""
import json
import os
import struct
import sys
from collections import OrderedDict

import numpy as np

OUT = sys.argv[1]
FULL = "--full" in sys.argv

if FULL:
    LAYERS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    FCS, SIDE = [4096, 4096, 1000], 7
else:
    LAYERS = [2, "M", 4, "M", 8, 8, "M", 16, 16, "M", 16, 16, "M"]
    FCS, SIDE = [24, 20, 10], 2


def tensor(index, shape):
    """Values in [-1, 1), scaled for activations of about 1, from their index alone."""
    n = int(np.prod(shape))
    z = (np.arange(n, dtype=np.uint64) + np.uint64(index) * np.uint64(1 << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(31)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(29)
    u = (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 100
    return (u * np.sqrt(6 / fan)).astype(np.float32).reshape(shape)


def network(norm):
    """The layers as (kind, name in the paper, tensors)."""
    net, channels, block, conv, index = [], 3, 1, 1, 0
    for width in LAYERS:
        if width == "M":
            net.append(("pool", f"pool{block}", {}))
            block, conv = block + 1, 1
            continue
        t = {"weight": tensor(index, (width, channels, 3, 3)), "bias": tensor(index + 1, (width,))}
        if norm:
            t.update({"gamma": 1 + tensor(index + 100, (width,)), "beta": tensor(index + 200, (width,)),
                      "mean": tensor(index + 300, (width,)), "var": 1 + np.abs(tensor(index + 400, (width,)))})
        net.append(("conv", f"conv{block}_{conv}", t))
        channels, conv, index = width, conv + 1, index + 2
    inputs = channels * SIDE * SIDE
    for i, width in enumerate(FCS):
        net.append(("fc", f"fc{block + i}", {"weight": tensor(index, (width, inputs)), "bias": tensor(index + 1, (width,))}))
        inputs, index = width, index + 2
    return net


def torchvision(net, norm):
    d, feature, classifier = OrderedDict(), 0, 0
    for kind, _, t in net:
        if kind == "pool":
            feature += 1
        elif kind == "conv":
            d[f"features.{feature}.weight"], d[f"features.{feature}.bias"] = t["weight"], t["bias"]
            if norm:
                feature += 1
                for name, key in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "var")):
                    d[f"features.{feature}.{name}"] = t[key]
                d[f"features.{feature}.num_batches_tracked"] = np.array(7, dtype=np.int64)
            feature += 2
        else:
            d[f"classifier.{classifier}.weight"], d[f"classifier.{classifier}.bias"] = t["weight"], t["bias"]
            classifier += 3
    return d


def save_safetensors(path, tensors):
    header, at = {}, 0
    for name, a in tensors.items():
        kind = {"float32": "F32", "int64": "I64"}[str(a.dtype)]
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in tensors.values():
            f.write(a.tobytes())


def save_torch(path, tensors, zipped):
    import torch
    d = OrderedDict((k, torch.from_numpy(v.copy())) for k, v in tensors.items())
    for k in list(d)[:3]:  # tensors whose elements do not lie in their order
        if d[k].dim() == 4 and not FULL:
            d[k] = d[k].to(memory_format=torch.channels_last)
    d._metadata = OrderedDict({"": {"version": 1}})
    torch.save(d, path, _use_new_zipfile_serialization=zipped)


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def pb(number, body):
    """A field of a protocol buffer: bytes, or an integer."""
    if isinstance(body, int):
        return varint(number << 3) + varint(body)
    return varint(number << 3 | 2) + varint(len(body)) + body


def save_caffe(path, net, old):
    """A NetParameter of either version: Debian has no Caffe of its own."""
    out = pb(1, b"VGG")
    for kind, name, t in net:
        blobs = b""
        for key in ("weight", "bias"):
            if key in t:
                a = t[key]
                if old:
                    dims = [1] * (4 - a.ndim) + list(a.shape)
                    shape = b"".join(pb(i + 1, d) for i, d in enumerate(dims))
                else:
                    shape = pb(7, pb(1, b"".join(varint(d) for d in a.shape)))
                blobs += pb(6 if old else 7, shape + pb(5, a.tobytes()))
        types = {"conv": (4, b"Convolution"), "pool": (17, b"Pooling"), "fc": (14, b"InnerProduct")}
        if old:
            out += pb(2, pb(4, name.encode()) + pb(5, types[kind][0]) + blobs)
        else:
            out += pb(100, pb(1, name.encode()) + pb(2, types[kind][1]) + blobs)
    with open(path, "wb") as f:
        f.write(out)


def save_onnx(path, net, norm, style):
    """style: gemm (transB), matmul (MatMul + Add), fields (float_data instead of raw_data)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes, init, at, count = [], [], "input", 0

    def const(a):
        nonlocal count
        count += 1
        name = f"constant_{count}"
        if style == "fields" and a.dtype == np.float32:
            init.append(helper.make_tensor(name, TensorProto.FLOAT, a.shape, a.flatten().tolist()))
        else:
            init.append(numpy_helper.from_array(a, name))
        return name

    def node(op, inputs, **attributes):
        nonlocal at, count
        count += 1
        out = f"activation_{count}"
        nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{count}", **attributes))
        at = out

    fcs = [n for n in net if n[0] == "fc"]
    for kind, name, t in net:
        if kind == "conv":
            node("Conv", [at, const(t["weight"]), const(t["bias"])], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
            if norm:
                node("BatchNormalization", [at] + [const(t[k]) for k in ("gamma", "beta", "mean", "var")], epsilon=1e-5)
            node("Relu", [at])
        elif kind == "pool":
            node("MaxPool", [at], kernel_shape=[2, 2], strides=[2, 2])
        else:
            if name == fcs[0][1]:
                if style == "matmul":
                    node("Reshape", [at, const(np.array([-1, t["weight"].shape[1]], dtype=np.int64))])
                else:
                    node("Flatten", [at], axis=1)
            if style == "matmul":
                node("MatMul", [at, const(np.ascontiguousarray(t["weight"].T))])
                node("Add", [at, const(t["bias"])])
            else:
                node("Gemm", [at, const(t["weight"]), const(t["bias"])], transB=1)
            if name != fcs[-1][1]:
                node("Relu", [at])
                node("Dropout", [at])
    size = SIDE << 5
    graph = helper.make_graph(nodes, "vgg", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, size, size])],
                              [helper.make_tensor_value_info(at, TensorProto.FLOAT, ["N", FCS[-1]])], init)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def export_onnx(path, net):
    """What torch.onnx.export makes of torchvision's module."""
    import torch
    from torch import nn

    features, classifier, channels = [], [], 3
    for kind, _, t in net:
        if kind == "pool":
            features.append(nn.MaxPool2d(2, 2))
        elif kind == "conv":
            features += [nn.Conv2d(channels, len(t["bias"]), 3, padding=1), nn.ReLU(True)]
            channels = len(t["bias"])
        else:
            classifier += [nn.Linear(t["weight"].shape[1], len(t["bias"])), nn.ReLU(True), nn.Dropout()]

    class VGG(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*features)
            self.avgpool = nn.AdaptiveAvgPool2d((SIDE, SIDE))
            self.classifier = nn.Sequential(*classifier[:-2])

        def forward(self, x):
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    m = VGG().eval()
    m.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in torchvision(net, False).items()})
    torch.onnx.export(m, torch.zeros(1, 3, SIDE << 5, SIDE << 5), path)


def keras(net):
    d = OrderedDict()
    names = {}
    for kind, name, _ in net:
        if kind == "conv":
            names[name] = f"block{name[4]}_conv{name[6:]}"
    for name, key in zip([n for k, n, _ in net if k == "fc"], ("fc1", "fc2", "predictions")):
        names[name] = key
    channels = [t["weight"].shape[0] for k, _, t in net if k == "conv"][-1]
    first = True
    for kind, name, t in net:
        if kind == "pool":
            continue
        w = t["weight"]
        if kind == "conv":
            w = w.transpose(2, 3, 1, 0)
        else:
            if first:
                w = w.reshape(w.shape[0], channels, SIDE, SIDE).transpose(0, 2, 3, 1).reshape(w.shape[0], -1)
            w, first = w.T, False
        base = f"{names[name]}/{names[name]}"
        d[base + "/kernel:0"], d[base + "/bias:0"] = np.ascontiguousarray(w), t["bias"]
    return d


def keras_by_h5py(path, tensors):
    """The export that the error for .h5 files describes."""
    import h5py
    h5 = os.path.join(OUT, "keras.h5")
    with h5py.File(h5, "w") as f:
        for name, a in tensors.items():
            f.create_dataset(name, data=a)
    w = {}
    h5py.File(h5).visititems(lambda n, d: w.update({n: d[()]}) if hasattr(d, "shape") else None)
    save_safetensors(path, w)
    if FULL:
        os.remove(h5)


def timm(net):
    d = torchvision(net, False)
    out, fc = OrderedDict(), 0
    names = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")
    for name, a in d.items():
        part, number, kind = name.split(".")
        if part == "classifier":
            name = names[int(number) // 3] + "." + kind
            if a.ndim == 2 and number != "6":
                side = SIDE if number == "0" else 1
                a = a.reshape(a.shape[0], -1, side, side)
        out[name] = a
    return out


def main():
    os.makedirs(OUT, exist_ok=True)
    path = lambda name: os.path.join(OUT, name)
    net = network(False)
    save_safetensors(path("torchvision.safetensors"), torchvision(net, False))
    save_torch(path("zip.pth"), torchvision(net, False), True)
    save_torch(path("legacy.pth"), torchvision(net, False), False)
    save_caffe(path("v1.caffemodel"), net, True)
    save_onnx(path("gemm.onnx"), net, False, "gemm")
    if FULL:
        return
    save_caffe(path("v2.caffemodel"), net, False)
    save_onnx(path("matmul.onnx"), net, False, "matmul")
    save_onnx(path("fields.onnx"), net, False, "fields")
    export_onnx(path("exported.onnx"), net)
    keras_by_h5py(path("keras.safetensors"), keras(net))
    save_safetensors(path("timm.safetensors"), timm(net))
    net = network(True)
    save_safetensors(path("bn_torchvision.safetensors"), torchvision(net, True))
    save_torch(path("bn_zip.pth"), torchvision(net, True), True)
    save_onnx(path("bn_gemm.onnx"), net, True, "gemm")
    # torch's own answer for one picture, in float64: the folding is right.
    import torch
    import torch.nn.functional as F
    x = torch.from_numpy(tensor(999, (1, 3, SIDE << 5, SIDE << 5)).astype(np.float64))
    for kind, _, t in net:
        t = {k: torch.from_numpy(v.astype(np.float64)) for k, v in t.items()}
        if kind == "conv":
            x = F.conv2d(x, t["weight"], t["bias"], padding=1)
            x = F.relu(F.batch_norm(x, t["mean"], t["var"], t["gamma"], t["beta"], eps=1e-5))
        elif kind == "pool":
            x = F.max_pool2d(x, 2)
        else:
            x = F.linear(x.flatten(1), t["weight"], t["bias"])
            if len(t["bias"]) != FCS[-1]:
                x = F.relu(x)
    save_safetensors(path("bn_answer.safetensors"), OrderedDict(
        input=tensor(999, (1, 3, SIDE << 5, SIDE << 5)), logits=x.numpy().astype(np.float32)))


main()
