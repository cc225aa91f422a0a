"""The landmark schemes of the field, written as a yaml would write them. "Right" is the person's right.

Sources: the pages of the data sets, and the mirrored pairs in the configs of mmpose (`configs/_base_/datasets`);
drawn on real faces of each set and found right.
"""

from typing import Any

SCHEMES: tuple[dict[str, Any], ...] = (
    {  # AFLW without its ears, in the order of AFLWinfo_release.mat
        "name": "19",
        "contours": [
            {"name": "right brow", "points": "0-2"},
            {"name": "left brow", "points": "3-5"},
            {"name": "right eye", "points": "6-8"},  # outer corner, centre, inner corner
            {"name": "left eye", "points": "9-11"},
            {"name": "nose", "points": "12-14"},  # right wing, tip, left wing
            {"name": "mouth", "points": "15-17"},  # right corner, centre, left corner
            {"name": "chin", "points": "18"},
        ],
        "mirrored": ["0-2:5-3", "6-8:11-9", "12:14", "15:17"],
        "inter_ocular": [6, 11],
        "inter_pupil": [[7], [10]],
    },
    {  # COFW, which has the points of LFPW; brows and eyes go round from the outer corner over the upper edge
        "name": "29",
        "contours": [
            {"name": "right brow", "points": "0, 4, 2, 5", "closed": True},
            {"name": "left brow", "points": "1, 6, 3, 7", "closed": True},
            {"name": "right eye", "points": "8, 12, 10, 13", "closed": True},
            {"name": "left eye", "points": "9, 14, 11, 15", "closed": True},
            {"name": "right pupil", "points": "16"},
            {"name": "left pupil", "points": "17"},
            {"name": "nose", "points": "18, 21, 19, 20", "closed": True},  # right wing, base, left wing, tip
            {"name": "outer lips", "points": "22, 24, 23, 27", "closed": True},
            {"name": "inner lips", "points": "22, 25, 23, 26", "closed": True},
            {"name": "chin", "points": "28"},
        ],
        "mirrored": ["0:1", "2:3", "4-5:6-7", "8:9", "10:11", "12-13:14-15", "16:17", "18:19", "22:23"],
        "inter_ocular": [8, 9],
        "inter_pupil": [[16], [17]],
    },
    {  # Multi-PIE / iBUG, as in 300-W and COCO-WholeBody
        "name": "68",
        "contours": [
            {"name": "jaw", "points": "0-16"},
            {"name": "right brow", "points": "17-21"},
            {"name": "left brow", "points": "22-26"},
            {"name": "nose bridge", "points": "27-30"},
            {"name": "nostrils", "points": "31-35"},
            {"name": "right eye", "points": "36-41", "closed": True},
            {"name": "left eye", "points": "42-47", "closed": True},
            {"name": "outer lips", "points": "48-59", "closed": True},
            {"name": "inner lips", "points": "60-67", "closed": True},
        ],
        "mirrored": [
            *("0-7:16-9", "17-21:26-22", "31-32:35-34", "36-39:45-42", "40-41:47-46"),
            *("48-50:54-52", "55-56:59-58", "60-61:64-63", "65:67"),
        ],
        "inter_ocular": [36, 45],
        "inter_pupil": ["36-41", "42-47"],
    },
    {  # WFLW
        "name": "98",
        "contours": [
            {"name": "jaw", "points": "0-32"},
            {"name": "right brow", "points": "33-41", "closed": True},
            {"name": "left brow", "points": "42-50", "closed": True},
            {"name": "nose bridge", "points": "51-54"},
            {"name": "nostrils", "points": "55-59"},
            {"name": "right eye", "points": "60-67", "closed": True},
            {"name": "left eye", "points": "68-75", "closed": True},
            {"name": "outer lips", "points": "76-87", "closed": True},
            {"name": "inner lips", "points": "88-95", "closed": True},
            {"name": "right pupil", "points": "96"},
            {"name": "left pupil", "points": "97"},
        ],
        "mirrored": [
            *("0-15:32-17", "33-37:46-42", "38-41:50-47", "55-56:59-58", "60-64:72-68", "65-67:75-73"),
            *("76-78:82-80", "83-84:87-86", "88-89:92-91", "93:95", "96:97"),
        ],
        "inter_ocular": [60, 72],
        "inter_pupil": [[96], [97]],
    },
)
