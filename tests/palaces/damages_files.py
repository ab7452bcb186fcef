"""Files and folders of the drawers' index gone, cut, zeroed, bloated, or of different moments."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from collections.abc import Callable

from tests.palaces.segment_editing import Victim, cut, load_map, save_map, zero

_BLOAT = 20 << 30


def segment_set_aside(victim: Victim) -> None:
    """Renamed away, as MemPalace's own quarantine does; the vectors are still there."""
    victim.segment.rename(victim.segment.with_name(f"{victim.segment.name}.drift-20250601-120000"))


def segment_removed(victim: Victim) -> None:
    """Gone for good: its vectors must be embedded again, but for those in the queue."""
    shutil.rmtree(victim.segment)


def pickle_deleted(victim: Victim) -> None:
    """chromadb would overwrite the vectors with a stub when it opens this."""
    (victim.segment / "index_metadata.pickle").unlink()


def pickle_emptied(victim: Victim) -> None:
    """What a kill left once."""
    (victim.segment / "index_metadata.pickle").write_bytes(b"")


def pickle_cut(victim: Victim) -> None:
    """Half a pickle."""
    cut(victim.segment / "index_metadata.pickle", 0.5)


def pickle_of_something_else(victim: Victim) -> None:
    """A sound pickle that holds no map."""
    save_map(victim.segment, ["not", "a", "map"])


def pickle_runs_code(victim: Victim) -> None:
    """A pickle that would create a file where a loader calls what it names."""
    mark = str(victim.palace / "pickle-was-run")
    content = b"cos\nsystem\n(V" + f"touch {mark}".encode() + b"\ntR."
    (victim.segment / "index_metadata.pickle").write_bytes(content)


def _delete_file(name: str) -> Callable[[Victim], None]:
    def delete(victim: Victim) -> None:
        (victim.segment / name).unlink()

    delete.__name__ = f"{name.partition('.')[0]}_deleted"
    return delete


header_deleted = _delete_file("header.bin")
level0_deleted = _delete_file("data_level0.bin")
links_deleted = _delete_file("link_lists.bin")
lengths_deleted = _delete_file("length.bin")


def level0_cut(victim: Victim) -> None:
    """Half of the elements are gone."""
    cut(victim.segment / "data_level0.bin", 0.5)


def level0_zeroed(victim: Victim) -> None:
    """Every element is zeros, as after a crash of the machine."""
    zero(victim.segment / "data_level0.bin")


def level0_page_zeroed(victim: Victim) -> None:
    """One page of the disk is zeros."""
    with (victim.segment / "data_level0.bin").open("r+b") as file:
        file.seek(40960)
        file.write(bytes(4096))


def links_zeroed(victim: Victim) -> None:
    """chromadb dies of it by SIGSEGV."""
    zero(victim.segment / "link_lists.bin")


def links_emptied(victim: Victim) -> None:
    """A file of 0 bytes, which is right only in a stub."""
    (victim.segment / "link_lists.bin").write_bytes(b"")


def links_cut(victim: Victim) -> None:
    """The last block is half there."""
    cut(victim.segment / "link_lists.bin", 0.9)


def index_of_earlier(victim: Victim) -> None:
    """The whole folder is of an earlier moment, as a restored backup leaves it."""
    shutil.rmtree(victim.segment)
    shutil.copytree(victim.older_segment, victim.segment)


def _take_older(victim: Victim, *names: str) -> None:
    for name in names:
        shutil.copy2(victim.older_segment / name, victim.segment / name)


def torn_header_first(victim: Victim) -> None:
    """header.bin is ahead of all the data, and the queue no longer has what lies between.

    That is worse than a kill leaves it: the real thing is in test_killed_writer.py.
    """
    _take_older(victim, "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")


def torn_pickle_last(victim: Victim) -> None:
    """The pickle is behind the data, and the queue no longer has what lies between."""
    _take_older(victim, "index_metadata.pickle")


def torn_links(victim: Victim) -> None:
    """The links are behind the data, too."""
    _take_older(victim, "link_lists.bin", "index_metadata.pickle")


def torn_before_watermark(victim: Victim) -> None:
    """All files behind the header, and the links half written."""
    torn_header_first(victim)
    cut(victim.segment / "link_lists.bin", 0.5)


def links_bloated(victim: Victim) -> None:
    """A sparse file of many gigabytes that holds next to nothing."""
    with (victim.segment / "link_lists.bin").open("r+b") as file:
        file.truncate(_BLOAT)


def level0_bloated(victim: Victim) -> None:
    """The same with the data, whose sound length may be larger than its count, but not so."""
    with (victim.segment / "data_level0.bin").open("r+b") as file:
        file.truncate(_BLOAT)


def links_preallocated(victim: Victim) -> None:
    """Of the right length, with 200 MB of the disk allocated beyond its end."""
    file = victim.segment / "link_lists.bin"
    subprocess.run(["fallocate", "--keep-size", "--length", "200M", str(file)], check=True)


def pickle_written_by_another_pickler(victim: Victim) -> None:
    """The same map, with a memo, as Python's pickle writes it by default."""
    content = pickle.dumps(load_map(victim.segment), protocol=5)
    (victim.segment / "index_metadata.pickle").write_bytes(content)


def lengths_cut(victim: Victim) -> None:
    """Half of the vectors' lengths are gone."""
    cut(victim.segment / "length.bin", 0.5)


def segment_is_a_file(victim: Victim) -> None:
    """A file where the folder should be."""
    shutil.rmtree(victim.segment)
    victim.segment.write_bytes(b"not a folder")
