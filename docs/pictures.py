"""Draws distance.jpg and features.jpg of docs/people.md:

    go build ./cmd/vgg && python3 docs/pictures.py ./vgg PHOTOS docs

PHOTOS has chelsea.png, coffee.png and rocket.jpg. All numbers are those that the commands
print, by the built-in network. Needs Pillow.
"""
import csv
import os
import subprocess
import sys
import tempfile

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE, GAP = 132, 6


def photo(folder, name):
    im = Image.open(os.path.join(folder, name)).convert("RGB")
    side = min(im.size)
    left, top = (im.width - side) // 2, (im.height - side) // 2
    return im.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.LANCZOS)


def text(draw, x, y, words):
    font = ImageFont.load_default()
    for path in ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"):
        if os.path.exists(path):
            font = ImageFont.truetype(path, 13)
            break
    draw.text((x, y), words, fill=(32, 32, 32), font=font)


def variants(folder, work):
    """Pictures that differ from the first one, little to much."""
    cat = photo(folder, "chelsea.png")
    coarse = os.path.join(work, "coarse.jpg")
    cat.save(coarse, quality=8)
    return [("itself", cat), ("as a coarse JPEG", Image.open(coarse).convert("RGB")), ("grey", cat.convert("L").convert("RGB")),
            ("blurred", cat.filter(ImageFilter.GaussianBlur(4))), ("coffee", photo(folder, "coffee.png"))]


def distances(vgg, folder, work, out):
    list = variants(folder, work)
    names = []
    for i, (_, im) in enumerate(list):
        names.append(os.path.join(work, "%d.png" % i))
        im.save(names[-1])
    page = Image.new("RGB", (len(list) * (SIDE + GAP) - GAP, SIDE + 40), "white")
    draw = ImageDraw.Draw(page)
    for i, (what, im) in enumerate(list):
        d = subprocess.check_output([vgg, "distance", names[0], names[i], "--metric", "cosine"], text=True)
        page.paste(im, (i * (SIDE + GAP), 0))
        text(draw, i * (SIDE + GAP), SIDE + 3, what)
        text(draw, i * (SIDE + GAP), SIDE + 20, "%.3f" % float(d))
    page.save(os.path.join(out, "distance.jpg"), quality=80)


def features(vgg, folder, work, out):
    list = [photo(folder, "chelsea.png"), variants(folder, work)[1][1], photo(folder, "coffee.png"), photo(folder, "rocket.jpg")]
    names = []
    for i, im in enumerate(list):
        names.append(os.path.join(work, "f%d.png" % i))
        im.resize((64, 64)).save(names[-1])
    rows = subprocess.check_output([vgg, "features", *names, "--layer", "embedding", "--format", "csv"], text=True)
    values = [[float(v) for v in row[1:]] for row in csv.reader(rows.splitlines()[1:])]
    most, n = max(max(row) for row in values), len(values[0])
    high, wide = 40, 2
    page = Image.new("RGB", (high + GAP + wide * n, len(list) * (high + GAP) - GAP), "white")
    for i, im in enumerate(list):
        y = i * (high + GAP)
        page.paste(im.resize((high, high), Image.LANCZOS), (0, y))
        for j, v in enumerate(values[i]):
            shade = 255 - int(255 * min(1, max(0, v) / most) ** 0.5)
            page.paste((shade, shade, 255 - (255 - shade) // 3), (high + GAP + wide * j, y, high + GAP + wide * (j + 1), y + high))
    page.save(os.path.join(out, "features.jpg"), quality=80)


def main():
    vgg, folder, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        distances(vgg, folder, work, out)
        features(vgg, folder, work, out)


if __name__ == "__main__":
    main()
