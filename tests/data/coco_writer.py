"""Small data sets in COCO's layout; each landmark is a bright dot, so that pixels can be checked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from writers import SHAPE, draw_dots, draw_points

HEIGHT, WIDTH = SHAPE


def write_coco_json(
    root: Path, *, size: int = 68, train: int = 12, test: int = 4, images: str = ""
) -> dict[str, np.ndarray]:
    """Writes train.json and test.json like mmpose's: v is 1, and there are no names. Returns points by name."""
    rng, faces = np.random.default_rng(2), {}
    for split, count in {"train": train, "test": test}.items():
        points = [draw_points(rng, size) for _ in range(count)]
        content = coco(f"{split} ", points)
        faces |= {_name(content, i): face for i, face in enumerate(points)}
        draw(root / images, content, points)
        write_json(root / f"{split}.json", content)
    return faces


def write_cvat(root: Path, points: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Writes an unpacked CVAT export: coordinates count from pixel corners, and labels without points are there too.

    Args:
        root: of the unpacked archive.
        points: of each face, in the order of the markup.
        names: of the points, in that order; the file lists them sorted.
    """
    content, order = coco("frame_", points), np.argsort(names)
    content["categories"] = [
        {"id": 1, "name": "blurred", "supercategory": "", "keypoints": [], "skeleton": []},
        {"id": 3, "name": "face", "supercategory": "", "keypoints": sorted(names), "skeleton": [[1, 2]]},
    ]
    for face, annotation in zip(points, content["annotations"], strict=True):
        annotation["keypoints"] = triples(face[order] + 0.5, v=2)
        annotation |= {"category_id": 3, "segmentation": [], "attributes": {"occluded": False}}
    content["annotations"].append({"id": 99, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0})
    draw(root / "images" / "default", content, points)
    write_json(root / "annotations" / "person_keypoints_default.json", content)
    return {_name(content, i): face for i, face in enumerate(points)}


def write_coco_wholebody(root: Path, *, train: int = 12, test: int = 4, invalid: int = 3) -> dict[str, np.ndarray]:
    """Writes both official files and their photos; so many people of each split have no valid face."""
    rng, faces = np.random.default_rng(3), {}
    for split, count in {"train": train, "val": test}.items():
        points = [draw_points(rng, 68) for _ in range(count)]
        content = coco("000000" if split == "train" else "000001", points)
        faces |= {_name(content, i): face for i, face in enumerate(points)}
        content["annotations"] = [_person(annotation) for annotation in content["annotations"]]
        content["annotations"] += [_person({"id": 900 + i, "image_id": 1, "iscrowd": 0}) for i in range(invalid)]
        draw(root / f"{split}2017", content, points)
        write_json(root / "annotations" / f"coco_wholebody_{split}_v1.0.json", content)
    return faces


def coco(prefix: str, points: Sequence[np.ndarray]) -> dict[str, Any]:
    """Two faces in each image, and boxes that hold the points with 10 pixels to spare."""
    numbers = range(1, (len(points) + 1) // 2 + 1)
    images = [{"id": i, "file_name": f"{prefix}{i:06d}.png", "width": WIDTH, "height": HEIGHT} for i in numbers]
    annotations = [
        {
            "id": 100 + i,
            "image_id": i // 2 + 1,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": triples(face, v=1),
            "num_keypoints": len(face),
            "bbox": [*(face.min(0) - 10), *(np.ptp(face, axis=0) + 20)],
        }
        for i, face in enumerate(points)
    ]
    category = {"id": 1, "name": "face", "supercategory": "person", "keypoints": [], "skeleton": []}
    return {"info": {}, "categories": [category], "images": images, "annotations": annotations}


def triples(points: np.ndarray, *, v: float) -> list[float]:
    return np.hstack([points, np.full((len(points), 1), v)]).ravel().tolist()


def draw(folder: Path, content: dict[str, Any], points: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(content["images"]):
        cv2.imwrite(str(folder / image["file_name"]), draw_dots(np.vstack(points[2 * i : 2 * i + 2])))


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _name(content: dict[str, Any], i: int) -> str:
    return f"{content['images'][i // 2]['file_name']}#{100 + i}"


def _person(face: dict[str, Any]) -> dict[str, Any]:
    """An annotation of COCO-WholeBody; without a face where none is given."""
    kept = {key: face[key] for key in ("id", "image_id", "iscrowd")}
    valid = "keypoints" in face
    return {
        **kept,
        "category_id": 1,
        "segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
        "area": 100.0,
        "bbox": [1.0, 2.0, 30.0, 40.0],
        "keypoints": [0] * 51,
        "num_keypoints": 0,
        "face_box": face["bbox"] if valid else [0.0] * 4,
        "face_kpts": face["keypoints"] if valid else [0.0] * 204,
        "face_valid": valid,
        **{f"{hand}_box": [0.0] * 4 for hand in ("lefthand", "righthand")},
        **{f"{hand}_kpts": [0.0] * 63 for hand in ("lefthand", "righthand")},
        **{f"{part}_valid": False for part in ("lefthand", "righthand", "foot")},
        "foot_kpts": [0.0] * 18,
    }
