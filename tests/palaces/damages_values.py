"""Wrong values in the drawers' index: header, links, vectors, labels, and the map of ids."""

from __future__ import annotations

import struct

import numpy as np

from tests.palaces.segment_editing import (
    Victim,
    cut,
    elements,
    header,
    label_column,
    live_rows,
    load_map,
    save_map,
    set_header,
    vector_rows,
    zero,
)


def link_target_out_of_range(victim: Victim) -> None:
    """One link leads beyond the last element: SIGSEGV when a search passes it."""
    rows = elements(victim.segment)
    rows[5, 4:8] = np.array([len(rows) + 1000], "<u4").view(np.uint8)


def link_count_out_of_range(victim: Victim) -> None:
    """One element claims more links than it has room for."""
    elements(victim.segment)[5, 0:2] = np.array([999], "<u2").view(np.uint8)


def upper_link_out_of_range(victim: Victim) -> None:
    """A link of an upper level leads beyond the last element."""
    content = bytearray((victim.segment / "link_lists.bin").read_bytes())
    at = 0
    while (size := struct.unpack_from("<I", content, at)[0]) == 0:
        at += 4
    assert size >= 68
    struct.pack_into("<HHI", content, at + 4, 1, 0, 1 << 30)
    (victim.segment / "link_lists.bin").write_bytes(content)


def entry_point_out_of_range(victim: Victim) -> None:
    """The search would begin beyond the last element: SIGSEGV."""
    set_header(victim.segment, entry=header(victim.segment)["count"] + 7)


def entry_point_too_low(victim: Victim) -> None:
    """The entry point has no links on the level where the search begins."""
    set_header(victim.segment, level=header(victim.segment)["level"] + 3)


def header_count_above_max(victim: Victim) -> None:
    """More elements than there is room for."""
    known = header(victim.segment)
    set_header(victim.segment, count=known["max"] + known["count"])


def header_zeroed(victim: Victim) -> None:
    """Hundred zeros."""
    zero(victim.segment / "header.bin")


def header_cut(victim: Victim) -> None:
    """Half a header."""
    cut(victim.segment / "header.bin", 0.5)


def header_element_size_wrong(victim: Victim) -> None:
    """Elements of another size than the vectors need."""
    set_header(victim.segment, size=header(victim.segment)["size"] + 4)


def header_huge(victim: Victim) -> None:
    """Counts that would take more memory than any machine has."""
    set_header(victim.segment, max=1 << 62, count=1 << 61)


def header_of_other_version(victim: Victim) -> None:
    """A format that is not known here."""
    set_header(victim.segment, version=2)


def vectors_nan(victim: Victim) -> None:
    """One vector in a hundred is NaN: new drawers are not found any more."""
    vector_rows(victim.segment)[live_rows(victim.segment)[::100]] = np.nan


def vectors_infinite(victim: Victim) -> None:
    """One number of one vector."""
    vector_rows(victim.segment)[live_rows(victim.segment)[9], 3] = np.inf


def vectors_zeroed(victim: Victim) -> None:
    """Some vectors are all zeros."""
    vector_rows(victim.segment)[live_rows(victim.segment)[4:9]] = 0


def vectors_scaled(victim: Victim) -> None:
    """Some vectors are not of length 1, which a cosine index relies on."""
    vector_rows(victim.segment)[live_rows(victim.segment)[4:9]] *= 1.5


def labels_repeated(victim: Victim) -> None:
    """Two elements with one label: one drawer is found twice, another never."""
    labels, live = label_column(victim.segment), live_rows(victim.segment)
    labels[live[11]] = labels[live[12]]


def labels_unknown(victim: Victim) -> None:
    """A label that the map does not have."""
    label_column(victim.segment)[live_rows(victim.segment)[11]] = 1 << 40


def labels_swapped(victim: Victim) -> None:
    """Neighbours in the map have changed places: silently wrong answers."""
    content = load_map(victim.segment)
    ids = list(content["id_to_label"])
    for first, second in zip(ids[::2], ids[1::2], strict=False):
        one, other = content["id_to_label"][first], content["id_to_label"][second]
        content["id_to_label"][first], content["id_to_label"][second] = other, one
        content["label_to_id"][one], content["label_to_id"][other] = second, first
    save_map(victim.segment, content)


def ids_dropped(victim: Victim) -> None:
    """Drawers are neither in the map nor alive in the data: no search reaches them."""
    content, rows = load_map(victim.segment), elements(victim.segment)
    labels = label_column(victim.segment)
    for name in list(content["id_to_label"])[20:60]:
        label = content["id_to_label"].pop(name)
        del content["label_to_id"][label]
        rows[labels == label, 2] |= 1
    save_map(victim.segment, content)


def map_one_sided(victim: Victim) -> None:
    """The two halves of the map contradict each other."""
    content = load_map(victim.segment)
    for label in list(content["label_to_id"])[10:14]:
        del content["label_to_id"][label]
    save_map(victim.segment, content)


def lengths_nan(victim: Victim) -> None:
    """Lengths that are no numbers."""
    count = victim.segment.joinpath("length.bin").stat().st_size // 4
    (victim.segment / "length.bin").write_bytes(np.full(count, np.nan, "<f4").tobytes())
