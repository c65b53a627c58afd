"""Checkpoints as files and bytes: archives written and read, CRIU's images, verdicts, and what changed between two dumps.

Nothing here knows containerd or the bus. Whatever is read was brought by somebody: names, sizes and bytes are checked before
anything comes of them, and what is refused leaves nothing behind.
"""

from __future__ import annotations

from bridge.checkpoints.criu_tar import read_criu_tar
from bridge.checkpoints.delta import Delta, DeltaFacts
from bridge.checkpoints.directory import copy_dump, read_directory
from bridge.checkpoints.dumpable import ToDump, before_dump
from bridge.checkpoints.facts import Told, described, told
from bridge.checkpoints.finding import host_paths, network_of, network_path
from bridge.checkpoints.images import Inventory, criu_version, dump_stats, inventory, stats_of
from bridge.checkpoints.intake import Arrived
from bridge.checkpoints.layer import LAYER_TYPES, check_layer, keep_layer, layer_stream
from bridge.checkpoints.layout import IMAGES, LAYER, LIMITS, LOG, STATS, Limits
from bridge.checkpoints.packing import Packing
from bridge.checkpoints.reading import peek, unpack
from bridge.checkpoints.rebuilding import rebuild
from bridge.checkpoints.restorable import ToRestore, before_restore
from bridge.checkpoints.survey import recoded, survey
from bridge.checkpoints.writing import Contents, PackedArchive, pack, pack_criu_tar

__all__ = [
    "Arrived",
    "Contents",
    "Delta",
    "DeltaFacts",
    "Inventory",
    "IMAGES",
    "LAYER",
    "LAYER_TYPES",
    "LIMITS",
    "LOG",
    "Limits",
    "PackedArchive",
    "Packing",
    "STATS",
    "ToDump",
    "ToRestore",
    "Told",
    "before_dump",
    "before_restore",
    "check_layer",
    "copy_dump",
    "criu_version",
    "described",
    "dump_stats",
    "host_paths",
    "inventory",
    "keep_layer",
    "layer_stream",
    "network_of",
    "network_path",
    "pack",
    "pack_criu_tar",
    "peek",
    "read_criu_tar",
    "read_directory",
    "rebuild",
    "recoded",
    "stats_of",
    "survey",
    "told",
    "unpack",
]
