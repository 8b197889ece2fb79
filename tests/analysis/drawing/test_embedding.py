import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.drawing.embedding import MOST_POINTS, Embedding, draw_embeddings
from analysis.drawing.style import PANEL_WIDTH, TEACHER_COLOURS

SVG = "{http://www.w3.org/2000/svg}"
CLASSES = ("baby", "boy", "girl", "man", "woman")


def embedding_of(label: str, row: str = "", num: int = 100, seed: int = 0) -> Embedding:
    """A map of so many images of five classes."""
    generator, classes = np.random.default_rng(seed), np.arange(num) % 5
    points = generator.normal(size=(num, 2)) + 6 * np.eye(5)[classes][:, :2]
    return Embedding(label, points.astype(np.float32), classes, 0.771, 0.8257, row)


def marks_of(svg: str) -> list[tuple[str, np.ndarray]]:
    """The style of each class's marks, in the order of the file, with their places [N, 2]."""
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return [
        (path.attrib["style"], np.array(re.findall(r"M([\d.-]+) ([\d.-]+)", path.attrib["d"]), dtype=float))
        for path in paths
    ]


def frames_of(svg: str) -> np.ndarray:
    """Left, top, width and height of each panel [P, 4]."""
    frames = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return np.array([[float(frame.attrib[key]) for key in ("x", "y", "width", "height")] for frame in frames])


def test_panels_are_titled_with_their_figures_and_rows_with_theirs(words):
    rows = ("trained without mixup", "trained with mixup")
    svg = draw_embeddings(
        [embedding_of(label, row) for row in rows for label in ("vit <b>", "resnet")], CLASSES, "maps"
    )
    said = words(svg)
    assert [word for word in said if word in rows] == list(rows)
    assert said.count("V-measure 0.771 · accuracy 82.6 %") == said.count("resnet") + said.count("vit <b>") == 4
    assert said[: len(CLASSES)] == list(CLASSES)
    assert ElementTree.fromstring(svg).attrib["aria-label"] == "maps"


@pytest.mark.parametrize("narrow", [False, True])
def test_every_image_is_a_mark_of_its_class_in_its_panel(narrow, words):
    embeddings = [embedding_of(f"model{number}", seed=number) for number in range(6)]
    svg = draw_embeddings(embeddings, CLASSES, "maps", narrow)
    marks, frames = marks_of(svg)[len(CLASSES) :], frames_of(svg)
    assert len(frames) == 6
    for panel, (left, top, width, height) in enumerate(frames):
        for number, (style, places) in enumerate(marks[5 * panel : 5 * panel + 5]):
            assert len(places) == 20
            assert TEACHER_COLOURS[number] in style
            assert (places > [left, top]).all()
            assert (places < [left + width, top + height]).all()
    _, _, right, bottom = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
    assert right == (PANEL_WIDTH if narrow else 860)
    assert (frames[:, :2] + frames[:, 2:] <= [right, bottom]).all()
    assert "V-measure 0.771" in " ".join(words(svg))


def test_maps_keep_their_proportions():
    embedding = embedding_of("model")
    places = marks_of(draw_embeddings([embedding], CLASSES, "maps"))[5][1]
    points = embedding.points[embedding.classes == 0]
    scale = np.ptp(places[:, 0]) / np.ptp(points[:, 0])
    assert places - places.mean(axis=0) == pytest.approx((points - points.mean(axis=0)) * [scale, -scale], abs=0.11)


def test_shapes_tell_classes_apart_without_colours():
    svg = draw_embeddings([], CLASSES, "maps")
    shapes = {path.attrib["d"].split("m")[1] for path in ElementTree.fromstring(svg).iter(f"{SVG}path")}
    assert len(shapes) == len(CLASSES)


def test_of_many_images_evenly_many_are_drawn():
    marks = marks_of(draw_embeddings([embedding_of("model", num=4 * MOST_POINTS)], CLASSES, "maps"))[5:]
    counts = [len(places) for _, places in marks]
    assert sum(counts) == MOST_POINTS
    assert max(counts) - min(counts) <= MOST_POINTS / 25


def test_maps_of_one_place_or_of_nothing_are_finite():
    one, nothing = embedding_of("one"), embedding_of("nothing", num=0)
    one = replace(one, points=np.zeros_like(one.points))
    for embeddings in ([one], [nothing], [one, nothing], []):
        for class_names in (CLASSES, ()):
            svg = draw_embeddings(embeddings, class_names, "maps")
            assert ElementTree.fromstring(svg).tag == f"{SVG}svg"
            assert not re.search(r"\b(nan|inf)\b", svg)


def test_a_key_of_many_classes_has_several_lines():
    names = [f"a class with a long name {number}" for number in range(12)]
    svg = ElementTree.fromstring(draw_embeddings([], names, "maps", narrow=True))
    places = [(float(text.attrib["x"]), float(text.attrib["y"])) for text in svg.iter(f"{SVG}text")]
    assert len(set(places)) == 12
    assert max(x for x, _ in places) < PANEL_WIDTH - 100
